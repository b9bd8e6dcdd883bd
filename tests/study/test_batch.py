"""Many full runs at once: what belongs together, what goes on, what a failure costs."""

import pytest
import yaml

from sjepa.errors import SjepaError
from sjepa.study import batch
from sjepa.study import experiments as study
from sjepa.study.batch import chains, finished, run_all

TINY = {"preset": "quick", "dim": 16, "depth": 1, "heads": 2, "predictor_depth": 1, "epochs": 1,
        "warmup_epochs": 0, "device": "cpu"}


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """Two pretrainings with two evaluations each, the second of them of a set that is not there."""
    rows = [{"pretrain": "a-{seed}", "for": {"seed": [0, 1]}, "split": "synthetic/xsub", **TINY,
             "then": [{"evaluate": "{run}-knn", "step": "knn", "ks": [1]},
                      {"evaluate": "{run}-gone", "step": "knn", "split": "gone/xsub"}]}]
    path = tmp_path / "experiments.yaml"
    path.write_text(yaml.safe_dump({"prepare": {}, "mine": {"text": "t", "rows": rows}}))
    monkeypatch.setattr(study, "FILE", path)
    monkeypatch.setattr(batch, "RUNS", tmp_path / "runs")


def test_a_chain_is_a_pretraining_with_what_is_asked_of_it(planned):
    assert [[row.name for row in chain] for chain in chains(["a-1-knn", "mine"])] == [
        ["a-1-pretrain", "a-1-knn", "a-1-gone"], ["a-0-pretrain", "a-0-knn", "a-0-gone"]]
    with pytest.raises(SjepaError, match="no group and no experiment is named b"):
        chains(["b-*"])
    with pytest.raises(SjepaError, match="--jobs 0: expected at least 1"):
        run_all(["mine"], 0)


def test_what_is_finished_stays_and_what_failed_is_named(planned, tmp_path, monkeypatch):
    assert run_all(["a-0-knn"], 1) == 2
    (knn,) = (row for chain in chains(["a-0-knn"]) for row in chain if row.step == "knn")
    made = tmp_path / knn.params["out"] / "result.json"
    assert finished(knn)
    before = made.stat().st_mtime_ns
    monkeypatch.setattr(batch, "load_store", lambda name: None)
    with pytest.raises(SjepaError, match="1 runs failed: a-0-gone: no store of gone"):
        run_all(["a-0-*"], 1)
    assert made.stat().st_mtime_ns == before
