"""Every chapter on the device at hand, and a record of it: `make chapters-gpu`.

    python tests/benchmarks/chapters.py --workers 8 --json book/results/chapters-gpu.json

All chapters as tests, several at a time on one device, with the quick run of the package; and with
`--quick` the quick run made here before. Cells are run and their asserts hold; outputs that a
chapter keeps are a CPU's and are not compared.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

import torch
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


def measure(workers: int, names: list[str], quick: bool) -> dict:
    """Run them all."""
    begun = time.perf_counter()
    if quick:
        subprocess.run([sys.executable, "-m", "sjepa.reproduce", "quick"], check=True, cwd=ROOT)
    made_quick, begun = time.perf_counter() - begun, time.perf_counter()
    paths = sorted(path for path in (ROOT / "notebooks").glob("[0-9a]?_*.ipynb")
                   if not names or path.name[:2] in names)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        made = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax",
             "--nbval-current-env", "--nbval-cell-timeout", "300", "-n", str(workers), "--dist",
             "loadscope", f"--junitxml={report}", *map(str, paths)],
            cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "2"})
        chapters = chapters_of(report)
    for name, row in chapters.items():
        print(f"{name:24} {row['cells']:3} cells, {len(row['failed'])} failed, "
              f"{row['seconds']:6.1f} s", flush=True)
    return {"passed": sum(not row["failed"] for row in chapters.values()), "of": len(paths),
            "quick_seconds": round(made_quick, 1) if quick else None,
            "seconds": round(time.perf_counter() - begun, 1),
            "workers": workers, "status": made.returncode, "chapters": chapters,
            "memory": torch.cuda.get_device_properties(0).total_memory
            if torch.cuda.is_available() else None}


def main(argv: list[str] | None = None) -> int:
    """Measure, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=4, help="chapters at a time")
    parser.add_argument("--json", required=True, type=Path, help="file of the result")
    parser.add_argument("--only", nargs="*", default=[], help="numbers of chapters: 03 08")
    parser.add_argument("--quick", action="store_true", help="make the quick run, too")
    args = parser.parse_args(argv)
    made = measure(args.workers, args.only, args.quick)
    write_record(args.json, made, pick_device())
    print(f"{made['passed']} of {made['of']} chapters passed ({args.json})")
    return int(made["passed"] < made["of"])


if __name__ == "__main__":
    sys.exit(main())
