"""The quick reproduction: `python -m sjepa.reproduce quick`, minutes on two CPU cores.

The group `quick` of `experiments.yaml`: pretrains on the built-in data, and judges the encoder and
its untrained twin by every protocol, each run in its own folder `runs/NAME`. A run of the planned
settings and of today's code stays; what else lies there goes to `runs/old`.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
from pathlib import Path

from filelock import FileLock

from sjepa.checkpoint import read_result
from sjepa.config import RUNS
from sjepa.datasets.prepare import prepare
from sjepa.errors import SjepaError, main_with_errors
from sjepa.pretrain import pretrain
from sjepa.protocols.run import evaluate
from sjepa.study.experiments import Experiment, config_of, experiments
from sjepa.study.identity import code_behind, other_settings
from sjepa.study.tables import write_report


def current(row: Experiment) -> bool:
    """Whether a finished run has the experiment's settings and is of today's code."""
    folder, (code, files) = RUNS / row.run, code_behind()
    try:
        result = read_result(folder)
        fused = result["settings"].get("fused", {})
        if other_settings(row, result) or any(
                read_result(RUNS / name)["hash"] != known for name, known in fused.items()):
            return False
    except SjepaError:
        return False
    if (folder / "code").is_file():
        return (folder / "code").read_text() == code
    # Other runners leave no mark: their runs are of this code if they are younger.
    return (folder / "result.json").stat().st_mtime > max(f.stat().st_mtime for f in files)


def run(row: Experiment) -> None:
    """Run an experiment by the function that its command line and its notebook call."""
    config, folder = config_of(row.name), RUNS / row.run
    if folder.is_dir():
        old = RUNS / "old" / row.run
        shutil.rmtree(old, ignore_errors=True)
        shutil.move(folder, old)
        print(f"{folder} was unfinished, or of other code or settings: now {old}", flush=True)
    if row.step == "pretrain":
        pretrain(config)
    else:
        evaluate(row.step, config, row.command())
    (folder / "code").write_text(code_behind()[0])


def quick() -> Path:
    """Run the quick experiments that are not up to date, one process at a time.

    Returns:
        The folder of the pretraining, which chapters load.

    Raises:
        SjepaError: something has to run, and the folder of runs cannot be written.
    """
    rows = experiments("quick")
    runs = [row for row in rows.values() if row.step not in ("prepare", "report")]
    if all(current(row) for row in runs):
        return RUNS / "quick"
    try:
        (RUNS / "old").mkdir(parents=True, exist_ok=True)
        lock = FileLock(RUNS / ".quick.lock").acquire()  # another process may be at it
    except OSError as error:
        raise SjepaError(f"quick runs have to be made, and {RUNS} cannot be written "
                         f"({error.strerror}): work in a copy that can") from error
    with lock, contextlib.chdir(RUNS.parent):  # parameters name folders as seen from there
        for row in rows.values():
            if row.step == "prepare":
                prepare(config_of(row.name))
            elif row in runs and not current(row):
                run(row)
        write_report(config_of("quick-report"))
    return RUNS / "quick"


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sjepa.reproduce", description=__doc__)
    parser.add_argument("what", choices=["quick"])
    parser.parse_args(argv)
    print(quick())


if __name__ == "__main__":
    main_with_errors(main)
