"""Evaluations: one result in the run's own folder, and all that is refused at the start."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from sjepa.checkpoint import read_result
from sjepa.config import RESULTS, make_config
from sjepa.encoders import load_encoder
from sjepa.errors import SjepaError
from sjepa.protocols import context as contexts
from sjepa.protocols import run as module
from sjepa.protocols.config import CONFIGS
from sjepa.protocols.context import Context, reading, set_up
from sjepa.protocols.fusion import load_predictions
from sjepa.protocols.metrics import interval, over_seeds
from sjepa.protocols.run import coarse_readings, evaluate, main

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run(common, tmp_path):
    """Evaluate into `tmp_path/NAME`."""
    def run(protocol, name="out", **settings):
        params = common | {"out": str(tmp_path / name)} | settings
        return evaluate(protocol, make_config(CONFIGS[protocol], params), "the command")

    return run


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------ what is left


def test_a_result_says_all_of_its_run_and_lies_in_its_own_folder(common, pretrained, store, capsys):
    before = files(pretrained), files(RESULTS)
    config = make_config(CONFIGS["linear"], common | {"epochs": 3, "passes": 1,
                                                      "precision": "auto"})
    result = evaluate("linear", config, "the command")
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
    assert result["command"] == "the command" and result["settings"]["precision"] == "fp32"
    assert result["clips"] == {"train": 36, "test": 36, "store": len(store)}
    behind = read_result(pretrained)
    assert result["pretraining"] == {"run": behind["run"], "settings": behind["settings"],
                                     "stage": behind["stages"]["pretrain"]}
    assert list(result["stages"]) == ["evaluate"] and result["stages"]["evaluate"]["seconds"] > 0
    assert f"synthetic/xsub linear top1 sjepa: {last['value']:.1f} % [" in capsys.readouterr().out


def test_predictions_are_those_behind_the_readings(run, common, store, tmp_path):
    last, best = run("linear", epochs=3, passes=1)["readings"]
    kept = load_predictions(tmp_path / "out" / "scores" / "top1.npz")
    context = set_up(make_config(CONFIGS["linear"], common))
    assert kept.names.tolist() == store.names[context.test].tolist()
    assert kept.labels.tolist() == context.test_labels.tolist()
    assert (kept.predicted == kept.labels).sum() == last["right"]
    assert (kept.scores.argmax(1) == kept.predicted).all()
    assert kept.classes.tolist() == store.classes and list(kept.parts) == ["synthetic/xsub"]
    other = load_predictions(tmp_path / "out" / "scores" / "top1-best-epoch.npz")
    assert other.scores is None and (other.predicted == other.labels).sum() == best["right"]


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


def test_several_seeds_are_one_reading(run, tmp_path):
    result = run("semi", share=0.5, subsets=3, epochs=2, batch_size=12, hidden=16, warmup_epochs=1)
    last, best = result["readings"]
    assert [last["metric"], best["metric"]] == ["top1-50pct", "top1-best-epoch-50pct"]
    kept = [load_predictions(tmp_path / "out" / "scores" / f"top1-50pct-seed-{seed}.npz")
            for seed in range(3)]
    right = np.array([one.predicted == one.labels for one in kept])
    assert last["n"] == 3 * 36 and last["right"] == right.sum()
    assert last["value"] == pytest.approx(right.mean() * 100, abs=0.01)
    assert (last["low"], last["high"]) == pytest.approx(over_seeds(right.mean(1) * 100), abs=0.01)
    assert "on 18 labelled clips of 36" in result["note"]


def test_leaked_clips_are_reported_apart(run, store, monkeypatch):
    """One test clip in three is a copy of a training clip."""
    monkeypatch.setattr("sjepa.datasets.splits.leaked",
                        lambda store, train, test: np.arange(len(test)) % 3 == 0)
    all_, clean, copies = run("knn", ks=[1])["readings"]
    assert [row["split"] for row in (all_, clean, copies)] == [
        "synthetic/xsub", "synthetic/xsub-clean", "synthetic/xsub-leaked"]
    assert all_["right"] == clean["right"] + copies["right"] and copies["n"] == 12


def test_intervals_are_by_subject(run, store, monkeypatch, tmp_path):
    people = dataclasses.replace(store, subjects=np.arange(len(store)) % 10)
    monkeypatch.setattr(contexts, "load_store", lambda name: people)
    with monkeypatch.context() as patch:
        patch.setattr(contexts, "split", lambda name, one: (np.arange(36), np.arange(36, 72)))
        (row,) = run("knn", ks=[1])["readings"]
    kept = load_predictions(tmp_path / "out" / "scores" / "top1-k1.npz")
    right = (kept.predicted == kept.labels)[None]
    assert (row["low"], row["high"]) == pytest.approx(interval(right, kept.subjects), abs=0.01)
    assert len(set(kept.subjects)) == 10


def test_coarse_classes_forgive_twins_and_nothing_else():
    class Stub:
        coarse = ("arm", "arm", "leg")
        test_labels = torch.tensor([0, 0, 2])

    readings = coarse_readings(Stub, {"top1": reading(torch.tensor([0, 1, 0]), Stub.test_labels)})
    assert readings["top1-coarse"].right.tolist() == [[True, True, False]]
    Stub.coarse = ()
    assert coarse_readings(Stub, {}) == {}


def test_only_kindergator_has_coarse_classes(common, store, monkeypatch):
    context = set_up(make_config(CONFIGS["knn"], common))
    assert context.coarse == () and not context.frontal
    context.config = dataclasses.replace(context.config, dataset="kindergator")
    assert len(context.coarse) == 58 and len(set(context.coarse)) == 42 and context.frontal
    context.config = dataclasses.replace(context.config, dataset="my-own-set")
    assert context.coarse == () and not context.frontal


# ------------------------------------------------------------------ running again


def test_the_same_settings_may_run_again_and_others_may_not(run, tmp_path, monkeypatch, restate):
    first = run("knn", ks=[1])
    last = run("knn", ks=[1])
    assert last["hash"] == first["hash"] and last["readings"] == first["readings"]
    monkeypatch.setattr(Context, "features", None)  # nothing may be computed from here on
    with pytest.raises(SjepaError, match=r"out holds the result of a run with ks = \[1\], not "
                                         r"\[1, 5\]: choose another out"):
        run("knn", ks=[1, 5])
    with pytest.raises(SjepaError, match="a run with step = knn, not retrieval"):
        run("retrieval", ks=[1])
    with pytest.raises(SjepaError, match="a run with step = pretrain, not knn"):
        run("knn", "run")
    restate(mask_ratio=0.8)
    with pytest.raises(SjepaError, match="with the pretraining's mask_ratio = 0.9, not 0.8"):
        run("knn", ks=[1])
    assert read_result(tmp_path / "out") == last


def test_a_finished_fine_tuning_returns_at_once_with_its_hours(run, monkeypatch, tmp_path):
    settings = dict(epochs=2, batch_size=12, hidden=16, warmup_epochs=1)
    first = run("finetune", **settings)
    monkeypatch.setattr("sjepa.protocols.finetune.FineTuning.run_epoch", None)
    path = tmp_path / "out" / "seed-0" / "last.pt"
    torch.save(torch.load(path, weights_only=True) | {"seconds": 1000.0}, path)
    again = run("finetune", **settings)
    assert again["readings"] == first["readings"] and "for 2 epochs" in first["note"]
    assert 1000 < again["stages"]["evaluate"]["seconds"] < 1100


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


# ------------------------------------------------------------------ refused at the start


def test_a_folder_that_cannot_be_written_costs_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setattr(Context, "features", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(SjepaError, match=r"cannot write into .*file/out \(.*\): choose another"):
        run("knn", "file/out")


@pytest.mark.parametrize("settings, sentence", [
    ({"run": ""}, "parameter run is empty"), ({"run": "none"}, "none holds no finished"),
    ({"split": "synthetic/xsubject"}, "unknown split 'synthetic/xsubject'"),
    ({"split": "nwucla/xview"}, "nwucla/xview' is not of the store"),
    ({"method": "scratch"}, "method = 'scratch': expected sjepa or random or classical"),
])
def test_what_is_not_there_is_named(run, tmp_path, settings, sentence):
    with pytest.raises(SjepaError, match=sentence):
        run("knn", **settings)
    assert not (tmp_path / "out").exists()


def test_a_class_without_a_training_clip_is_named_before_anything_runs(
        run, store, monkeypatch, tmp_path):
    labels = np.where(np.isin(store.subjects, store.subjects[:1]), store.labels, 0)
    poor = dataclasses.replace(store, labels=labels, subjects=1 - store.subjects)
    monkeypatch.setattr(contexts, "load_store", lambda name: poor)
    with pytest.raises(SjepaError, match="the training part has no clip of"):
        run("semi")
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_no_pretraining_is_named(run, tmp_path):
    run("knn", ks=[1])
    with pytest.raises(SjepaError, match="out holds no finished pretraining"):
        load_encoder(tmp_path / "out")


def test_clips_that_the_pretraining_met_are_counted_first(run, store, restate, monkeypatch):
    """Of another set; a store that is missing or another one gives a note, and no error."""
    restate(dataset="synthetic20", split="synthetic/xsub")
    order = []
    monkeypatch.setitem(module.PROTOCOLS, "knn", lambda context, judge=module.PROTOCOLS["knn"]: (
        order.append("protocol"), judge(context))[1])
    for load, note in (
        (lambda name: order.append("store") or store, "0 of 36 test clips are copies of clips of"),
        (lambda name: dataclasses.replace(store, labels=store.labels * 0,
                                          subjects=store.subjects * 0), "not checked against"),
        (None, "not checked against the clips of synthetic/xsub, whose store is not at hand"),
    ):
        monkeypatch.setattr(module, "load_store", load or missing)
        assert note in run("knn", ks=[1])["note"]
    assert order[:2] == ["store", "protocol"]
    assert "clips of" not in run("knn", "untrained", method="random", ks=[1])["note"]


def missing(name):
    raise SjepaError(f"no store of {name}")


# ------------------------------------------------------------------ the command line


def test_command_line(common, tmp_path, capsys):
    params = tmp_path / "p.yaml"
    params.write_text(f"run: {common['run']}\nks: [1]\nout: {tmp_path}/cli\n")
    main(["knn", "--params", str(params), "-o", "ks=[3]", "-o", "device=cpu"])
    result = read_result(tmp_path / "cli")
    assert [row["metric"] for row in result["readings"]] == ["top1-k3"]
    assert result["command"] == (f"python -m sjepa.evaluate knn --params {params} -o 'ks=[3]' "
                                 "-o device=cpu")
    with pytest.raises(SjepaError, match="unknown parameter 'k': did you mean ks"):
        main(["knn", "--params", str(params), "-o", "k=3"])
    for protocol, setting in (("linear", "more_lrs"), ("fuse", "weights")):
        with pytest.raises(SystemExit):
            main([protocol, "--help"])
        assert f"  {setting} = " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["neighbours"])
    assert "choose from" in capsys.readouterr().err
