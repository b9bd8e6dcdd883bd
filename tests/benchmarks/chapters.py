"""Every chapter on the device at hand, and a record of it: `make chapters-gpu`.

    python tests/benchmarks/chapters.py --workers 8 --json book/results/chapters-gpu.json

All chapters as tests, several at a time on one device. Cells are run and their asserts hold;
outputs that a chapter keeps are a CPU's and are not compared.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from timing import write_record

from sjepa.config import ROOT
from sjepa.device import pick_device

COLOURS = re.compile(r"(#x1B|\x1b)\[[\d;]*m")  # of a terminal, as XML and text spell them


def chapters_of(report: Path) -> dict[str, dict]:
    """Name to cells, failed cells with the end of their message, and seconds, from JUnit's XML."""
    found: dict[str, dict] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = next(part for part in case.get("classname").split(".") if part[1:2].isdecimal())
        row = found.setdefault(name, {"cells": 0, "failed": {}, "seconds": 0.0})
        row["cells"] += 1
        row["seconds"] = round(row["seconds"] + float(case.get("time")), 2)
        for fault in (*case.iter("failure"), *case.iter("error")):
            row["failed"][case.get("name")] = COLOURS.sub("", fault.text or "")[-600:]
    return dict(sorted(found.items()))


def main() -> int:
    """Run them all, and write the record; the status is 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=4, help="chapters at a time")
    parser.add_argument("--json", required=True, type=Path, help="file of the result")
    args = parser.parse_args()
    paths, begun = sorted((ROOT / "notebooks").glob("[0-9a]?_*.ipynb")), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax",
             "--nbval-current-env", "--nbval-cell-timeout", "300", "-n", str(args.workers),
             "--dist", "loadscope", f"--junitxml={report}", *map(str, paths)],
            cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "2"})
        chapters = chapters_of(report)
    passed = sum(not row["failed"] for row in chapters.values())
    write_record(args.json, {
        "passed": passed, "of": len(paths), "seconds": round(time.perf_counter() - begun, 1),
        "workers": args.workers, "chapters": chapters}, pick_device())
    print(f"{passed} of {len(paths)} chapters passed ({args.json})")
    return int(passed < len(paths))


if __name__ == "__main__":
    sys.exit(main())
