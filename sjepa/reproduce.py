"""The quick reproduction: `python -m sjepa.reproduce quick`, minutes on two CPU cores.

Pretrains the `quick` preset on the built-in data, probes it and its untrained twin, and writes
the records. What is up to date is not run again; a change of the code starts it afresh.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from pathlib import Path

from .command import main_with_errors
from .config import KnnConfig, LinearConfig, PretrainConfig, make_config
from .evaluate import evaluate
from .paths import RESULTS, ROOT, RUNS
from .pretrain import pretrain
from .records import read_records

QUICK = RUNS / "quick"
SPLIT = "synthetic/xsub"


def inputs_hash() -> str:
    """Hash of all code that a run depends on; pictures and tables are not among it."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "sjepa").rglob("*.py")):
        if path.stem not in ("plots", "animation", "book"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def forget_stale(folder: Path, inputs: str) -> None:
    """Delete a run that other code made."""
    stamp = folder / "inputs"
    if stamp.is_file() and stamp.read_text() == inputs:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stamp.write_text(inputs)


def quick() -> Path:
    """Pretrain and probe the quick preset; returns the run's folder, which chapters load."""
    forget_stale(QUICK, inputs_hash())
    pretrain(make_config(PretrainConfig, {"preset": "quick", "split": SPLIT}), QUICK)
    command = "python -m sjepa.reproduce quick"
    for method in ("sjepa", "random"):
        common = {"run": str(QUICK), "method": method, "split": SPLIT}
        done = {(r["protocol"], r["method"]) for r in read_records() if r["split"] == SPLIT}
        stamp = QUICK / f"evaluated-{method}"
        if stamp.exists() and {("linear", method), ("knn", method)} <= done:
            continue
        evaluate("linear", make_config(LinearConfig, common | {"passes": 4}), command)
        evaluate("knn", make_config(KnnConfig, common), command)
        stamp.touch()
    return QUICK


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sjepa.reproduce", description=__doc__)
    parser.add_argument("what", choices=["quick"])
    parser.parse_args(argv)
    print(f"{quick()}, records in {RESULTS}")


if __name__ == "__main__":
    main_with_errors(main)
