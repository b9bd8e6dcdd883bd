"""Evaluations: one result in the run's own folder, and all that is refused at the start."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from sjepa.checkpoint import read_result
from sjepa.config import RESULTS, make_config
from sjepa.errors import SjepaError
from sjepa.protocols import context as contexts
from sjepa.protocols import run as module
from sjepa.protocols.config import CONFIGS
from sjepa.protocols.context import Context, reading, set_up
from sjepa.protocols.encoders import load_encoder
from sjepa.protocols.fusion import load_predictions
from sjepa.protocols.metrics import interval, over_seeds
from sjepa.protocols.run import coarse_readings, evaluate


@pytest.fixture
def run(common, tmp_path):
    """Evaluate into `tmp_path/NAME`."""
    def run(protocol, name="out", **settings):
        params = common | {"out": str(tmp_path / name)} | settings
        return evaluate(protocol, make_config(CONFIGS[protocol], params))

    return run


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_result_says_all_of_its_run_and_lies_in_its_own_folder(common, pretrained, store, capsys):
    before = files(pretrained), files(RESULTS)
    config = make_config(CONFIGS["linear"], common | {"epochs": 3, "passes": 1,
                                                      "precision": "auto"})
    result = evaluate("linear", config)
    out = pretrained / "linear-synthetic-xsub-sjepa"
    assert result == json.loads((out / "result.json").read_text()) == read_result(out)
    own = {path for path in files(pretrained) if out not in path.parents}
    assert (own, files(RESULTS)) == (set(before[0]), before[1])
    last, best = result["readings"]
    assert last["metric"] == "top1" and best["right"] >= last["right"] and last["n"] == 36
    assert last["low"] <= last["value"] <= last["high"]
    assert {name: last[name] for name in ("split", "protocol", "method", "preset", "seed")} == {
        "split": "synthetic/xsub", "protocol": "linear", "method": "sjepa", "preset": "quick",
        "seed": 0}
    assert result["run"] == out.name and result["step"] == "linear"
    assert result["settings"]["precision"] == "fp32"
    assert result["clips"] == {"train": 36, "test": 36, "store": len(store)}
    behind = read_result(pretrained)
    assert result["pretraining"] == {"run": behind["run"], "settings": behind["settings"],
                                     "stage": behind["stages"]["pretrain"]}
    assert list(result["stages"]) == ["evaluate"] and result["stages"]["evaluate"]["seconds"] > 0
    assert f"synthetic/xsub linear top1 sjepa: {last['value']:.1f} % [" in capsys.readouterr().out


def test_what_was_judged_is_named(run, restate):
    """The target is the method; an untrained encoder has the evaluation's seed, and no hours."""
    restate(target="motion", seed=2)
    results = {method: run("knn", method, method=method, seed=1, ks=[1])
               for method in ("sjepa", "random", "classical")}
    named = {name: [result[key] for key in ("method", "preset", "seed")]
             for name, result in results.items()}
    assert named == {"sjepa": ["motion", "quick", 2], "random": ["random", "quick", 1],
                     "classical": ["classical", "none", 1]}
    assert results["sjepa"]["pretraining"]["stage"]["seconds"] > 0
    assert results["random"]["pretraining"]["stage"] is None
    assert results["classical"]["pretraining"] is None
    assert len({result["hash"] for result in results.values()}) == 3


def test_several_seeds_are_one_reading_and_train_once(run, store, tmp_path, monkeypatch):
    settings = dict(share=0.5, subsets=3, epochs=2, batch_size=12, hidden=16, warmup_epochs=1)
    result = run("semi", **settings)
    last, best = result["readings"]
    assert [last["metric"], best["metric"]] == ["top1-50pct", "top1-best-epoch-50pct"]
    kept = [load_predictions(tmp_path / "out" / "scores" / f"top1-50pct-seed-{seed}.npz")
            for seed in range(3)]
    right = np.array([one.predicted == one.labels for one in kept])
    assert last["n"] == 3 * 36 and last["right"] == right.sum()
    assert last["value"] == pytest.approx(right.mean() * 100, abs=0.01)
    assert (last["low"], last["high"]) == pytest.approx(over_seeds(right.mean(1) * 100), abs=0.01)
    assert "on 18 labelled clips of 36" in result["note"]
    test = contexts.split("synthetic/xsub", store)[1]
    assert kept[0].names.tolist() == store.names[test].tolist()
    assert kept[0].labels.tolist() == store.labels[test].tolist()
    assert kept[0].classes.tolist() == store.classes and list(kept[0].parts) == ["synthetic/xsub"]
    assert (kept[0].scores.argmax(1) == kept[0].predicted).all()
    monkeypatch.setattr("sjepa.protocols.finetune.FineTuning.run_epoch", None)
    path = tmp_path / "out" / "seed-0" / "last.pt"
    torch.save(torch.load(path, weights_only=True) | {"seconds": 1000.0}, path)
    again = run("semi", **settings)
    assert again["readings"] == result["readings"]
    assert 1000 < again["stages"]["evaluate"]["seconds"] < 1100


def test_leaked_clips_are_reported_apart_and_intervals_are_by_subject(run, store, tmp_path,
                                                                      monkeypatch):
    """One test clip in three is a copy of a training clip; ten people."""
    monkeypatch.setattr("sjepa.datasets.splits.leaked",
                        lambda store, train, test: np.arange(len(test)) % 3 == 0)
    people = replace(store, subjects=np.arange(len(store)) % 10)
    monkeypatch.setattr(contexts, "load_store", lambda name: people)
    monkeypatch.setattr(contexts, "split", lambda name, one: (np.arange(36), np.arange(36, 72)))
    result = run("knn", ks=[1])
    all_, clean, copies = result["readings"]
    assert [row["split"] for row in (all_, clean, copies)] == [
        "synthetic/xsub", "synthetic/xsub-clean", "synthetic/xsub-leaked"]
    assert all_["right"] == clean["right"] + copies["right"] and copies["n"] == 12
    kept = load_predictions(tmp_path / "out" / "scores" / "top1-k1.npz")
    right = (kept.predicted == kept.labels)[None]
    assert (all_["low"], all_["high"]) == pytest.approx(interval(right, kept.subjects), abs=0.01)


def test_coarse_classes_forgive_twins_and_nothing_else(common):
    """Of the one set that has them."""
    class Stub:
        coarse = ("arm", "arm", "leg")
        test_labels = torch.tensor([0, 0, 2])

    readings = coarse_readings(Stub, {"top1": reading(torch.tensor([0, 1, 0]), Stub.test_labels)})
    assert readings["top1-coarse"].right.tolist() == [[True, True, False]]
    context = set_up(make_config(CONFIGS["knn"], common))
    assert context.coarse == () and not context.frontal and coarse_readings(context, {}) == {}
    config = replace(context.config, dataset="kindergator")
    context = replace(context, config=config)
    assert len(context.coarse) == 58 and len(set(context.coarse)) == 42 and context.frontal


def test_the_same_settings_may_run_again_and_others_may_not(run, tmp_path, monkeypatch, restate):
    first = run("knn", ks=[1])
    last = run("knn", ks=[1])
    assert last["hash"] == first["hash"] and last["readings"] == first["readings"]
    monkeypatch.setattr(Context, "features", None)  # nothing may be computed from here on
    (tmp_path / "file").write_text("")
    for args, ks, said in (
        (["knn"], [1, 5], r"out holds the result of a run with ks = \[1\], not \[1, 5\]: choose a"),
        (["retrieval"], [1], "a run with step = knn, not retrieval"),
        (["knn", "run"], [1], "a run with step = pretrain, not knn"),
        (["knn", "file/out"], [1], r"cannot write into .*file/out \(.*\): choose another"),
    ):
        with pytest.raises(SjepaError, match=said):
            run(*args, ks=ks)
    restate(mask_ratio=0.8)
    with pytest.raises(SjepaError, match="with the pretraining's mask_ratio = 0.9, not 0.8"):
        run("knn", ks=[1])
    assert read_result(tmp_path / "out") == last
    with pytest.raises(SjepaError, match="out holds no finished pretraining"):
        load_encoder(tmp_path / "out")


def test_switches_of_the_process_are_put_back(run, monkeypatch):
    inside, judge = [], module.PROTOCOLS["knn"]
    monkeypatch.setitem(module.PROTOCOLS, "knn", lambda context: (
        inside.append(torch.get_float32_matmul_precision()), judge(context))[1])
    torch.set_float32_matmul_precision("medium")
    try:
        run("knn", ks=[1])
        assert inside == ["highest"] and torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("settings, sentence", [
    ({"run": ""}, "parameter run is empty"), ({"run": "none"}, "none holds no finished"),
    ({"split": "synthetic/xsubject"}, "unknown split 'synthetic/xsubject'"),
    ({"split": "nwucla/xview"}, "nwucla/xview': expected one of dataset = 'synthetic'"),
    ({"method": "scratch"}, "method = 'scratch': expected one of sjepa, random, classical"),
    ({"ks": [1, 37]}, r"ks = \[1, 37\]: split 'synthetic/xsub' has 36 training clips"),
])
def test_what_is_not_there_is_named(run, tmp_path, settings, sentence):
    with pytest.raises(SjepaError, match=sentence):
        run("knn", **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("train, test, sentence", [
    (36, 36, "split 'synthetic/xsub' has no test clips, it is for pretraining alone"),
    (1, 2, "all training clips are of one class"),
])
def test_clips_that_nothing_can_be_judged_by_are_refused(run, tmp_path, monkeypatch, train, test,
                                                         sentence):
    """Two sides as those of a pool, and of a set whose clips are all of one class."""
    monkeypatch.setattr(contexts, "split", lambda *_: (np.arange(train), np.arange(train, test)))
    for protocol in ("linear", "knn", "finetune"):
        with pytest.raises(SjepaError, match=sentence):
            run(protocol)
    assert not (tmp_path / "out").exists()


def test_clips_that_the_pretraining_met_are_counted_first(run, store, restate, monkeypatch):
    """Of another set; a store that is missing or another one gives a note, and no error."""
    restate(dataset="synthetic20", split="synthetic/xsub")
    order = []

    def missing(name):
        raise SjepaError(f"no store of {name}")

    monkeypatch.setitem(module.PROTOCOLS, "knn", lambda context, judge=module.PROTOCOLS["knn"]: (
        order.append("protocol"), judge(context))[1])
    for load, note in (
        (lambda name: order.append("store") or store, "0 of 36 test clips are copies of clips of"),
        (lambda name: replace(store, labels=store.labels * 0,
                                          subjects=store.subjects * 0), "not checked against"),
        (missing, "not checked against the clips of synthetic/xsub, whose store is not at hand"),
    ):
        monkeypatch.setattr(module, "load_store", load)
        assert note in run("knn", ks=[1])["note"]
    assert order[:2] == ["store", "protocol"]
    assert "clips of" not in run("knn", "untrained", method="random", ks=[1])["note"]
