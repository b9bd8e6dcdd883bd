"""A book of results of its own for each test, filled as a run and `collect` fill it."""

from dataclasses import asdict

import pytest

from sjepa.checkpoint import write_result
from sjepa.datasets.splits import SPLITS
from sjepa.study import results
from sjepa.study.experiments import config_of, experiments


class Book:
    """Results in a temporary folder; `put` makes a run, and look-ups find it."""

    def __init__(self, folder):
        self.runs = folder / "runs"

    def run(self, name, readings=(), settings=(), behind=(), clips=None):
        """The folder of a finished run, but for what is given as the experiment `name`.

        Readings are `(split, metric, value)`, or with low and high.
        """
        row, split = experiments(name)[name], experiments(name)[name].params["split"]
        facts = {"dataset": row.params["dataset"], "split": split}
        if row.step != "pretrain":
            first = asdict(config_of(row.after[0])) | dict(behind)
            facts |= {"method": row.params["method"], "preset": first["preset"],
                      "seed": first["seed"], "pretraining": {
                          "run": row.after[0].removesuffix("-pretrain"), "settings": first,
                          "stage": {"seconds": 7200.0, "device": "GPU", "peak_bytes": 2**34}}}
        counts = clips or SPLITS[split].counts or (400, 100)
        lines = [{"split": part, "metric": metric, "protocol": row.step, "value": value,
                  "low": ends[0] if ends else value - 2, "high": ends[1] if ends else value + 2,
                  "n": 100, "right": round(value),
                  **{key: facts.get(key) for key in ("method", "preset", "seed")}}
                 for part, metric, value, *ends in readings]
        stage = {"pretrain" if row.step == "pretrain" else "evaluate":
                 {"seconds": 90.0, "device": "CPU", "peak_bytes": 2**30}}
        write_result(self.runs / row.run, row.step, asdict(config_of(name)) | dict(settings),
                     stage, lines, clips=dict(zip(("train", "test"), counts, strict=True)), **facts)
        return self.runs / row.run

    def put(self, name, *readings, learned=(), **other):
        """Make a run, and a paper row's pretraining on `learned` clips, and collect them."""
        row = experiments(name)[name]
        behind = [self.run(row.after[0], clips=learned)] if row.group == "paper" else []
        results.collect([self.run(name, readings, **other), *behind])


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book without results."""
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(results, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(results, "SHIPPED", tmp_path / "shipped")
    return Book(tmp_path)
