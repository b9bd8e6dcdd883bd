"""The reading benchmark: that it runs and that its figures fit together. Speed is not asserted."""

import json
import subprocess
import sys

import pytest

from sjepa.config import ROOT

SCRIPT = ROOT / "tests" / "benchmarks" / "prepare.py"


def test_a_small_run_writes_figures_that_fit_together(tmp_path):
    out = tmp_path / "bench.json"
    small = ["--clips", "3", "--workers", "1", "--rounds", "1", "--json", out]
    subprocess.run([sys.executable, SCRIPT, *small], check=True, capture_output=True)
    record = json.loads(out.read_text())
    plain = record["plain_clips_per_s"]
    assert record["ratio"] == pytest.approx(record["clips_per_s"] / plain, rel=0.02)
    assert record["ratio_one_core"] == pytest.approx(record["read_clips_per_s"] / plain, rel=0.02)
    minutes = 56_880 / record["store_clips_per_s"] / 60
    assert record["projected_minutes"]["ntu60"] == pytest.approx(minutes, rel=0.05)
