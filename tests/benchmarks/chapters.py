"""Every chapter on the device at hand, and a record of it: `make chapters-gpu`.

    python tests/benchmarks/chapters.py --workers 8 --json book/results/chapters-gpu.json

All chapters as tests, several at a time on one device. Cells are run and their asserts hold;
outputs that a chapter keeps are a CPU's and are not compared.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

import pytest
from timing import write_record

from sjepa.config import ROOT
from sjepa.device import pick_device

COLOURS = re.compile(r"\x1b\[[\d;]*m")  # of a terminal


class Chapters:
    """Name to cells, failed cells with the end of their message, and seconds; for pytest."""

    def __init__(self):
        self.found: dict[str, dict] = {}

    def pytest_runtest_logreport(self, report):
        path, _, cell = report.nodeid.partition("::")
        row = self.found.setdefault(Path(path).stem, {"cells": 0, "failed": {}, "seconds": 0.0})
        row["cells"] += report.when == "teardown"
        row["seconds"] = round(row["seconds"] + report.duration, 2)
        if report.failed:
            row["failed"][cell] = COLOURS.sub("", report.longreprtext)[-600:]


def main() -> int:
    """Run them all, and write the record; the status is 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=4, help="chapters at a time")
    parser.add_argument("--json", required=True, type=Path, help="file of the result")
    args = parser.parse_args()
    chapters, begun = Chapters(), time.perf_counter()
    paths = sorted((ROOT / "notebooks").glob("[0-9a]?_*.ipynb"))
    os.environ["OMP_NUM_THREADS"] = "2"
    pytest.main(["-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env",
                 "--nbval-cell-timeout", "300", "-n", str(args.workers), "--dist", "loadscope",
                 *map(str, paths)], plugins=[chapters])
    passed = sum(not row["failed"] for row in chapters.found.values())
    write_record(args.json, {
        "passed": passed, "of": len(paths), "seconds": round(time.perf_counter() - begun, 1),
        "workers": args.workers, "chapters": dict(sorted(chapters.found.items()))}, pick_device())
    print(f"{passed} of {len(paths)} chapters passed ({args.json})")
    return int(passed < len(paths))


if __name__ == "__main__":
    sys.exit(main())
