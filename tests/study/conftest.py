"""A book of results of its own for each test, filled as a run and `collect` fill it."""

import pytest

from sjepa.checkpoint import write_result
from sjepa.config import as_dict
from sjepa.datasets.splits import SPLITS
from sjepa.study import results
from sjepa.study.experiments import config_of, experiments


class Book:
    """Results in a temporary folder; `put` makes a run, and look-ups find it."""

    def __init__(self, folder):
        self.runs = folder / "runs"

    def run(self, name, readings=(), **other):
        """The folder of a finished run, its settings those of the experiment `name`.

        Args:
            name: of the experiment, and so of the run.
            readings: `(split, metric, value)`, or with low and high.
            other: what differs: `settings`, `behind` (of the pretraining), `clips` or facts.
        """
        every = experiments(name)
        row = every[name]
        before = every[row.after[0]] if row.step != "pretrain" else None
        settings = as_dict(config_of(name)) | other.pop("settings", {})
        facts = {"dataset": row.params["dataset"], "split": row.params["split"]}
        if before:
            run = before.name.removesuffix("-pretrain")
            behind = as_dict(config_of(before.name)) | other.pop("behind", {})
            facts |= {"method": row.params["method"], "preset": behind["preset"],
                      "seed": behind["seed"], "pretraining": {
                          "run": run, "settings": behind,
                          "stage": {"seconds": 7200.0, "device": "GPU", "peak_bytes": 2**34}}}
        official = SPLITS[row.params["split"]].counts or (400, 100)
        facts["clips"] = dict(zip(("train", "test"), other.pop("clips", official), strict=True))
        lines = [{"split": split, "metric": metric, "protocol": row.step, "value": value,
                  "low": ends[0] if ends else value - 2, "high": ends[1] if ends else value + 2,
                  "n": 100, "right": round(value),
                  **{key: facts.get(key) for key in ("method", "preset", "seed")}}
                 for split, metric, value, *ends in readings]
        stage = {"seconds": 90.0, "device": "CPU", "peak_bytes": 2**30}
        write_result(self.runs / name.removesuffix("-pretrain"), row.step, settings,
                     {"pretrain" if row.step == "pretrain" else "evaluate": stage}, lines,
                     **(facts | other))
        return self.runs / name.removesuffix("-pretrain")

    def put(self, name, *readings, **other):
        """Make a run and collect it."""
        results.collect([self.run(name, readings, **other)])


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book without results."""
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(results, "RUNS", tmp_path / "runs")
    return Book(tmp_path)
