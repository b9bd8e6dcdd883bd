"""Makes a Colab machine ready for a chapter: what is missing is said, nothing of it is replaced.

A chapter's first cell runs this file, with the clone of the project around it. With `--drive`, runs
are kept in your Google Drive.
"""

import importlib.util
import os
import sys
from importlib.metadata import version
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
#: What chapters import and what its project is called; all but torch are small.
NEEDED = {"torch": "torch", "numpy": "numpy", "scipy": "scipy", "sklearn": "scikit-learn",
          "matplotlib": "matplotlib", "seaborn": "seaborn", "safetensors": "safetensors",
          "yaml": "PyYAML", "tqdm": "tqdm", "filelock": "filelock", "pooch": "pooch"}


def lacking() -> list[str]:
    """What is missing or too old, a sentence each."""
    said = []
    if sys.version_info < (3, 11):
        said.append(f"Python {sys.version.split()[0]} is too old, the book needs 3.11: choose a "
                    "newer runtime (Runtime > Change runtime type)")
    gone = [project for name, project in NEEDED.items() if importlib.util.find_spec(name) is None]
    if gone:
        said.append(f"missing: run %pip install {' '.join(gone)}, then this cell again")
    elif tuple(int(part) for part in version("torch").split(".")[:2]) < (2, 6):
        said.append(f"torch {version('torch')} is too old, the book needs 2.6: choose a newer "
                    "runtime (Runtime > Change runtime type)")
    return said


def keep_in_drive() -> None:
    """Let the folder of runs lie in the reader's Google Drive."""
    from google.colab import drive

    drive.mount("/content/drive")
    runs, kept = HOME / "runs", Path("/content/drive/MyDrive/sjepa-runs")
    kept.mkdir(exist_ok=True)
    if not runs.exists():
        runs.symlink_to(kept)


def main(arguments: list[str]) -> None:
    """Check, find the package, and go where chapters lie."""
    if said := lacking():
        raise SystemExit("\n".join(said))
    if "--drive" in arguments:
        keep_in_drive()
    sys.path.insert(0, str(HOME))
    os.environ["PYTHONPATH"] = str(HOME)  # for commands that a chapter starts
    os.chdir(HOME / "notebooks")
    import torch

    at = torch.cuda.get_device_name() if torch.cuda.is_available() else "a CPU (a GPU is quicker)"
    print(f"ready: Python {sys.version.split()[0]}, torch {version('torch')}, on {at}")


if __name__ == "__main__":
    main(sys.argv[1:])
