"""The quick reproduction: `python -m sjepa.reproduce quick`, minutes on two CPU cores.

Every quick row of `sjepa.study.rows`, one after the other: pretrains the `quick` preset on the built-in
data, judges it and its untrained twin by every protocol, and writes the records. What is up to
date is not run again; a change of the code starts it afresh.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import shutil
from pathlib import Path

from sjepa.config import RESULTS, ROOT, RUNS
from sjepa.errors import main_with_errors
from sjepa.evaluate import evaluate
from sjepa.prepare import prepare
from sjepa.pretrain import pretrain
from sjepa.study.records import read_records
from sjepa.study.row import Row
from sjepa.study.rows import load_row, rows
from sjepa.study.tables import PROTOCOLS, row_record, write_report

QUICK = RUNS / "quick"
#: An empty file for each row that ran to its end, here and in the Snakefile.
DONE = RUNS / "done"


def code() -> list[Path]:
    """All code that a run depends on; pictures and tables are not among it."""
    return [path for path in sorted((ROOT / "sjepa").rglob("*.py"))
            if path.stem not in ("plots", "animation", "book", "report")]


def inputs_hash() -> str:
    """Hash of all code that a run depends on; the quick rows' parameters are code too."""
    digest = hashlib.sha256()
    for path in code():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def forget_stale(inputs: str) -> None:
    """Delete the quick runs if other code made them.

    A run without the mark of its code, which the Snakefile leaves, stays if it is younger than
    all code.
    """
    stamp, made = QUICK / "inputs", QUICK / "run.json"
    fresh = stamp.is_file() and stamp.read_text() == inputs
    if not stamp.is_file() and made.is_file():
        fresh = made.stat().st_mtime > max(path.stat().st_mtime for path in code())
    if not fresh:
        for folder in (QUICK, RUNS / "quick-bone"):
            shutil.rmtree(folder, ignore_errors=True)
        for old in DONE.glob("quick-*"):
            old.unlink()
    QUICK.mkdir(parents=True, exist_ok=True)
    stamp.write_text(inputs)


def run_row(row: Row) -> None:
    """Run a row, by the function that its command line and its notebook call."""
    config = load_row(row)
    direct = {"prepare": prepare, "pretrain": pretrain, "report": write_report}
    if row.step in direct:
        direct[row.step](config)
    else:
        evaluate(row.step, config, row.command())


def quick() -> Path:
    """Run the quick rows; returns the folder of the pretraining, which chapters load."""
    forget_stale(inputs_hash())
    DONE.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(ROOT):  # parameter files name folders as seen from here
        for row in rows("quick").values():
            stamp = DONE / row.name
            lost = row.step in PROTOCOLS and row_record(row, read_records()) is None
            if lost or not stamp.is_file():
                run_row(row)
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
