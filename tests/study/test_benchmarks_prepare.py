"""The reading benchmark: that it runs and that its figures fit together. Speed is not asserted."""

import importlib.util
import json
import subprocess
import sys

import pytest

from sjepa.config import ROOT
from sjepa.datasets.ntu import read_at_once
from sjepa.errors import SjepaError

SCRIPT = ROOT / "tests" / "benchmarks" / "prepare.py"


@pytest.fixture
def bench():
    spec = importlib.util.spec_from_file_location("bench_prepare", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def test_the_files_are_the_owners_and_readers_that_differ_are_not_timed(bench, tmp_path,
                                                                        monkeypatch):
    paths = bench.make_files(tmp_path, clips=4)
    for raw in (path.read_bytes() for path in paths):
        lengths = [len(line) + 1 for line in raw.split(b"\n") if line.count(b" ") == 11]
        assert 105 < sum(lengths) / len(lengths) < 130 and read_at_once(raw) is not None
    bench._check(paths[:1])
    monkeypatch.setitem(bench.READERS, "plain", lambda path: bench.read_plainly(path, 12) + 1e-6)
    with pytest.raises(SjepaError, match="differ"):
        bench._check(paths[:1])
