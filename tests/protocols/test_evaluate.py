"""Semi-supervised, transfer, retrieval, fusion, class-by-class metrics, and every record's id."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sjepa.config import make_config
from sjepa.datasets.subsets import labelled_subset
from sjepa.encoders import load_encoder
from sjepa.errors import SjepaError
from sjepa.evaluate import evaluate, variant
from sjepa.protocols import finetune as tuning
from sjepa.protocols.config import (
    FinetuneConfig,
    FuseConfig,
    KnnConfig,
    LinearConfig,
    RetrievalConfig,
    SemiConfig,
    TransferConfig,
)
from sjepa.protocols.context import set_up
from sjepa.protocols.features import extract
from sjepa.protocols.fusion import fuse, late_fusion, load_predictions, softmax
from sjepa.protocols.knn import knn, nearest, recall
from sjepa.protocols.metrics import confused_pairs, confusion, per_class_accuracy
from sjepa.study.records import (
    PAPER,
    paper_value,
    read_records,
    record_id,
    spread,
    summary,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def common(pretrained, tmp_path):
    """What all protocols here share."""
    return {"run": str(pretrained), "results": str(tmp_path / "r"), "device": "cpu"}


@pytest.fixture
def quick(common):
    """A fine-tuning of two epochs."""
    return common | {"epochs": 2, "batch_size": 12, "hidden": 16, "warmup_epochs": 1}


def restate(run, **changes):
    """Make a run say that it was pretrained otherwise."""
    facts = json.loads((run / "run.json").read_text())
    facts["config"] |= changes
    (run / "run.json").write_text(json.dumps(facts))


# ------------------------------------------------------------------ neighbours and retrieval


def test_recall_by_brute_force():
    g = torch.Generator().manual_seed(0)
    train, test = torch.randn(60, 8, generator=g), torch.randn(37, 8, generator=g)
    labels, wanted = (torch.randint(0, 6, (n,), generator=g) for n in (60, 37))
    found = recall(train, labels, test, wanted, (1, 5, 10))
    for i in range(37):
        cosine = [(test[i] @ t / test[i].norm() / t.norm()).item() for t in train]
        order = sorted(range(60), key=lambda j: -cosine[j])
        for k, hits in found.items():
            assert hits[i].item() == any(labels[j] == wanted[i] for j in order[:k])
    assert torch.equal(found[1], knn(train, labels, test, (1,), 6)[1] == wanted)
    assert found[1].sum() < found[5].sum() < found[10].sum()


def test_neighbours_do_not_depend_on_the_batch():
    g = torch.Generator().manual_seed(1)
    train, test = torch.randn(50, 8, generator=g), torch.randn(31, 8, generator=g)
    whole, parts = nearest(train, test, (7,))[7], nearest(train, test, (7,), batch=4)[7]
    assert torch.equal(whole[1], parts[1])
    torch.testing.assert_close(whole[0], parts[0])
    assert nearest(train[:3], test, (7,))[7][1].shape == (31, 3)  # a gallery smaller than K


def test_records_of_retrieval(common):
    records = evaluate("retrieval", make_config(RetrievalConfig, common | {"ks": [1, 3]}))
    assert [r["metric"] for r in records] == ["recall-at-1", "recall-at-3"]
    assert records[0]["value"] <= records[1]["value"] and records[0]["paper"] is None
    assert records[0]["id"] == "synthetic-xsub-retrieval-sjepa-quick-recall-at-1"
    with pytest.raises(SjepaError, match=r"ks = \[0\]: expected whole numbers from 1"):
        make_config(RetrievalConfig, {"ks": [0]})


# ------------------------------------------------------------------ few labels


def test_semi_trains_on_each_subset_and_reports_mean_and_spread(quick, store):
    config = make_config(SemiConfig, quick | {"share": 0.5, "subsets": 3})
    records = evaluate("semi", config)
    (last, best) = records
    assert last["id"] == "synthetic-xsub-semi-sjepa-quick-top1-50pct"
    assert best["metric"] == "top1-best-epoch-50pct"
    assert last["seeds"] == [0, 1, 2] and "over 3 seeds" in last["note"]
    train = set_up(config).train
    each = []
    for seed in range(3):
        folder = f"{config.run}/semi-50pct-sjepa-synthetic-xsub/seed-{seed}"
        state = torch.load(f"{folder}/last.pt", weights_only=True)
        kept = labelled_subset(store, train, 0.5, seed)
        assert state["train"].tolist() == kept.tolist() and len(kept) == 18
        with open(f"{folder}/labelled.txt") as file:
            assert file.read().split() == store.names[kept].tolist()
        made = load_predictions(f"{config.run}/scores/{last['id']}-seed-{seed}.npz")
        assert made.seeds == (0, seed) and made.record["seeds"] == [seed]
        each.append((made.predicted == made.wanted).mean() * 100)
    assert last["value"] == pytest.approx(np.mean(each), abs=0.01)
    low, high = last["interval"]
    assert (high - low) / 2 == pytest.approx(np.std(each, ddof=1), abs=0.02)


def test_semi_goes_on_where_it_was_killed(quick, monkeypatch):
    config = make_config(SemiConfig, quick | {"share": 0.5, "subsets": 2, "checkpoint_every": 1})
    whole = evaluate("semi", make_config(SemiConfig, dataclasses.asdict(config) | {
        "out": config.run + "/whole"}))
    steps, epoch = [], tuning.FineTuning.run_epoch

    def dies(run):
        steps.append((run.config.seed, run.epoch))
        if len(steps) == 4:  # second subset, second epoch
            raise KeyboardInterrupt
        return epoch(run)

    monkeypatch.setattr(tuning.FineTuning, "run_epoch", dies)
    with pytest.raises(KeyboardInterrupt):
        evaluate("semi", config)
    steps.clear()
    again = evaluate("semi", config)
    assert steps == [(1, 1)]  # one epoch is lost, and nothing else is done again
    assert [r["value"] for r in again] == [r["value"] for r in whole]


def test_one_subset_can_be_run_alone_and_is_found_by_the_rest(quick, monkeypatch):
    alone = make_config(SemiConfig, quick | {"share": 0.5, "subsets": 1, "seed": 1})
    (record, _) = evaluate("semi", alone)
    assert record["id"] == "synthetic-xsub-semi-sjepa-quick-evalseed1-top1-50pct"
    assert record["seeds"] == [1] and "deviation" not in record["note"]
    seeds, epoch = set(), tuning.FineTuning.run_epoch
    monkeypatch.setattr(tuning.FineTuning, "run_epoch",
                        lambda run: (seeds.add(run.config.seed), epoch(run))[1])
    evaluate("semi", make_config(SemiConfig, quick | {"share": 0.5, "subsets": 3}))
    assert seeds == {0, 2}


def test_spread_by_hand():
    assert spread(np.array([60.0, 62.0, 64.0])) == (62.0, [60.0, 64.0])
    assert spread(np.array([99.0, 100.0]))[1][1] == 100.0
    value, (low, high) = summary(np.array([[1, 1, 0, 0]], bool))
    assert value == 50.0 and low == 0.0 and high == 100.0  # the bootstrap of four clips


# ------------------------------------------------------------------ transfer


def test_a_record_says_where_the_encoder_was_pretrained(common, pretrained):
    """If it was elsewhere; an untrained encoder was not."""
    path = pretrained / "run.json"
    facts = json.loads(path.read_text())
    here = make_config(KnnConfig, common)
    assert "pretrained on" not in evaluate("knn", here)[0]["note"]
    path.write_text(json.dumps(facts | {"device": "NVIDIA H200"}))
    assert "pretrained on NVIDIA H200" in evaluate("knn", here)[0]["note"]
    untrained = make_config(KnnConfig, common | {"method": "random"})
    assert "pretrained on" not in evaluate("knn", untrained)[0]["note"]


def test_transfer_says_where_the_encoder_comes_from(quick, pretrained):
    restate(pretrained, split="ntu120/xsub", dataset="ntu120")
    config = make_config(TransferConfig, quick | {"probe_passes": 1})
    records = {r["metric"]: r for r in evaluate("transfer", config)}
    names = ("top1", "top1-best-epoch", "linear-top1", "linear-top1-best-epoch")
    assert set(records) == {f"{name}-from-ntu120-xsub" for name in names}
    main = records["top1-from-ntu120-xsub"]
    assert main["id"] == "synthetic-xsub-transfer-sjepa-quick-top1-from-ntu120-xsub"
    assert "from ntu120/xsub" in main["note"] and main["dataset"] == "synthetic"
    made = load_predictions(pretrained / "scores" / f"{main['id']}.npz")
    assert made.scores.shape == (36, 6)


def test_transfer_onto_the_same_set_is_refused(quick):
    with pytest.raises(SjepaError, match="was pretrained on synthetic/xsub, the data set of "
                                         "synthetic/xview: that is fine-tuning"):
        evaluate("transfer", make_config(TransferConfig, quick | {"split": "synthetic/xview"}))
    with pytest.raises(SjepaError, match="method = 'scratch': expected sjepa"):
        make_config(TransferConfig, {"method": "scratch"})


def test_foreign_encoders_cannot_pass_for_the_sets_own(common, pretrained):
    config = make_config(LinearConfig, common | {"epochs": 1, "passes": 1})
    assert variant(set_up(config)) == ""
    restate(pretrained, split="ntu60/xview", stream="bone")
    assert variant(set_up(config)) == "-bone-from-ntu60-xview"
    untrained = dataclasses.replace(config, method="random")
    assert variant(set_up(untrained)) == "-bone"  # nothing of the other set is in its weights


# ------------------------------------------------------------------ late fusion


def test_fusion_by_hand():
    a, b = np.array([[2.0, 0, 0]]), np.array([[0, 1.0, 0]])
    p, q = (np.exp(x) / np.exp(x).sum() for x in (a, b))
    np.testing.assert_allclose(fuse([a, b]), (p + q) / 2)
    np.testing.assert_allclose(fuse([a, b], [3, 1]), (3 * p + q) / 4)
    np.testing.assert_allclose(softmax(a + 1e4), p)  # no overflow
    for wrong in ([1], [1, -1], [0, 0], ["a", 1]):
        with pytest.raises(SjepaError, match="one weight a file, 0 or more, and not all 0"):
            fuse([a, b], wrong)


@pytest.fixture
def streams(common, pretrained, tmp_path):
    """Score files of three evaluated runs that differ in their stream."""
    files = []
    for stream in ("joint", "bone", "motion"):
        restate(pretrained, stream=stream)
        config = make_config(LinearConfig, common | {"epochs": 3, "passes": 1})
        record = evaluate("linear", config)[0]
        files.append(pretrained / "scores" / f"{record['id']}.npz")
    assert [f.stem for f in files] == [
        f"synthetic-xsub-linear-sjepa-quick{s}" for s in ("", "-top1-bone", "-top1-motion")]
    return [str(f) for f in files]


def test_fused_record(streams, tmp_path):
    config = make_config(FuseConfig, {"scores": streams, "weights": [2, 2, 1],
                                      "results": str(tmp_path / "r")})
    (record,) = late_fusion(config, "the command")
    sources = [load_predictions(f) for f in streams]
    chances = sum(w * softmax(s.scores) for w, s in zip((2, 2, 1), sources, strict=True))
    right = (chances.argmax(1) == sources[0].wanted).mean() * 100
    assert record["value"] == pytest.approx(right, abs=0.01)
    assert record["id"] == "synthetic-xsub-linear-sjepa-quick-top1-fused-joint-bone-motion-2-2-1"
    assert record["paper"] is None and record["command"] == "the command"
    assert record["id"] in {r["id"] for r in read_records(tmp_path / "r")}
    again = late_fusion(make_config(FuseConfig, {"scores": streams[1:], "results": config.results}))
    assert again[0]["metric"] == "top1-fused-bone-motion"


def test_what_cannot_be_fused_is_named(streams, common, pretrained, tmp_path):
    def fusing(*files, **more):
        return late_fusion(make_config(FuseConfig, {
            "scores": list(files), "results": str(tmp_path / "f")} | more))

    with pytest.raises(SjepaError, match="expected two files RUN/scores/ID.npz or more, found 1"):
        fusing(streams[0])
    with pytest.raises(SjepaError, match="no predictions at"):
        fusing(streams[0], str(tmp_path / "none.npz"))
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    with pytest.raises(SjepaError, match="bad.npz holds no predictions"):
        fusing(streams[0], str(tmp_path / "bad.npz"))
    best = streams[0].replace(".npz", "-top1-best-epoch.npz")
    with pytest.raises(SjepaError, match="holds no class scores"):
        fusing(best, best)
    with pytest.raises(SjepaError, match="one weight a file"):
        fusing(*streams, weights=[1, 1])
    restate(pretrained, stream="joint")
    other = common | {"epochs": 1, "passes": 1, "split": "synthetic/xview"}
    record = evaluate("linear", make_config(LinearConfig, other))[0]
    with pytest.raises(SjepaError, match="scores other test clips than"):
        fusing(streams[0], str(pretrained / "scores" / f"{record['id']}.npz"))
    random = common | {"epochs": 1, "passes": 1, "method": "random"}
    record = evaluate("linear", make_config(LinearConfig, random))[0]
    with pytest.raises(SjepaError, match="has method random, .* has sjepa"):
        fusing(streams[0], str(pretrained / "scores" / f"{record['id']}.npz"))
    assert not (tmp_path / "f").exists()


def test_every_protocol_sees_the_stream_of_the_run(quick, pretrained, monkeypatch):
    restate(pretrained, stream="bone")
    config = make_config(FinetuneConfig, quick)
    bench = set_up(config)
    data = bench.store.to("cpu")
    torch.testing.assert_close(bench.features(bench.test),
                               extract(bench.encoder, data, bench.test, stream="bone"))
    assert not torch.allclose(bench.features(bench.test), extract(bench.encoder, data, bench.test))
    seen, make = set(), tuning.network_input

    def noted(*args, **view):
        seen.add((view["stream"], "rotation" in view))  # only training rotates
        return make(*args, **view)

    monkeypatch.setattr(tuning, "network_input", noted)
    tuning.FineTuning(bench, config, bench.encoder, bench.train).run_epoch()
    assert seen == {("bone", True), ("bone", False)}


# ------------------------------------------------------------------ predictions, class by class


def test_predictions_are_those_behind_the_record(common, pretrained, store):
    config = make_config(LinearConfig, common | {"epochs": 3, "passes": 1})
    last, best = evaluate("linear", config)
    made = load_predictions(pretrained / "scores" / f"{last['id']}.npz")
    bench = set_up(config)
    assert made.names.tolist() == store.names[bench.test].tolist()
    assert made.wanted.tolist() == bench.wanted.tolist()
    assert (made.predicted == made.wanted).mean() * 100 == pytest.approx(last["value"], abs=0.01)
    assert (made.scores.argmax(1) == made.predicted).all()
    assert made.classes.tolist() == store.classes and list(made.parts) == ["synthetic/xsub"]
    assert made.record["id"] == last["id"]
    assert load_predictions(pretrained / "scores" / f"{best['id']}.npz").scores is None


def test_confusion_and_what_follows_from_it():
    wanted = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    predicted = np.array([0, 1, 2, 0, 1, 2, 0, 0])
    matrix = confusion(wanted, predicted, 4)
    for a in range(4):
        for b in range(4):
            assert matrix[a, b] == sum((wanted == a) & (predicted == b))
    accuracy = per_class_accuracy(matrix)
    np.testing.assert_allclose(accuracy[:3], [100 / 3, 50, 100 / 3])
    assert np.isnan(accuracy[3])  # no test clip
    assert confused_pairs(matrix) == [(0, 2, 3), (0, 1, 2)]
    assert confused_pairs(matrix, 1) == [(0, 2, 3)]


# ------------------------------------------------------------------ records


def test_ids_of_shipped_records_follow_from_their_fields():
    """Untrained, the seed is the evaluation's; fine-tuning has that of its pretraining."""
    for r in read_records():
        trained, (first, *_) = r["method"] in ("sjepa", "motion", "coordinates"), r["seeds"]
        seeds = (first, first if r["protocol"] == "finetune" else 0) if trained else (0, first)
        assert r["id"] == record_id(r["split"], r["protocol"], r["method"], r["preset"],
                                    r["metric"], *seeds)


def test_other_seeds_have_other_ids(quick):
    ids = {record_id("a/b", "finetune", "sjepa", "paper", "top1", *seeds)
           for seeds in ((0, 0), (1, 0), (0, 1), (1, 1))}
    assert len(ids) == 4 and "a-b-finetune-sjepa-paper" in ids
    (record, _) = evaluate("finetune", make_config(
        FinetuneConfig, quick | {"seed": 2, "method": "scratch"}))
    assert record["id"] == "synthetic-xsub-finetune-scratch-quick-evalseed2"
    assert record["seeds"] == [2] and record["epochs"] == 0


@pytest.mark.parametrize("protocol, split, metric, value", [
    ("linear", "ntu60/xsub", "top1", 85.3), ("linear", "ntu60/xsub", "top1-best-epoch", 85.3),
    ("linear", "ntu60/xsub", "top1-bone", None), ("knn", "ntu60/xsub", "top1-k1", None),
    ("linear", "ntu60/xsub", "top1-lr0.3", None),
    ("linear", "pku2/xsub", "top1-from-ntu120-xsub", None),
    ("semi", "ntu60/xsub", "top1-1pct", 67.5), ("semi", "ntu60/xview", "top1-10pct", 91.4),
    ("semi", "ntu60/xview", "top1-best-epoch-1pct", 69.1), ("semi", "ntu60/xsub", "top1", None),
    ("transfer", "pku2/xsub", "top1-from-ntu120-xsub", 74.2),
    ("transfer", "pku2/xsub", "linear-top1-from-ntu120-xsub", None),
    ("retrieval", "ntu60/xsub", "recall-at-1", None),
])
def test_the_papers_figure_stands_beside_its_own_row_only(protocol, split, metric, value):
    assert paper_value(protocol, split, metric) == value


def test_only_the_method_itself_is_compared_with_the_paper(common, monkeypatch):
    monkeypatch.setitem(PAPER, ("linear", "synthetic/xsub"), 85.3)
    values = {m: evaluate("linear", make_config(
        LinearConfig, common | {"epochs": 1, "passes": 1, "method": m}))[0]["paper"]
        for m in ("sjepa", "random")}
    assert values == {"sjepa": 85.3, "random": None}


# ------------------------------------------------------------------ faults


def test_checkpoints_of_another_architecture_are_named(pretrained):
    path = pretrained / "target.safetensors"
    weights = load_file(path)
    for stated in ({}, {"dim": "32", "layers": "2"}, {"dim": "wide"}):
        save_file(weights, path, stated)
        with pytest.raises(SjepaError, match="is a checkpoint of another architecture"):
            load_encoder(pretrained)
    path.write_bytes(b"damaged")
    with pytest.raises(SjepaError, match="is damaged"):
        load_encoder(pretrained)


def test_facts_that_are_not_those_of_a_run_are_named(pretrained):
    (pretrained / "run.json").write_text("{}")
    with pytest.raises(SjepaError, match="run.json lacks config"):
        load_encoder(pretrained)


def test_other_joints_are_named(common, monkeypatch):
    from sjepa.protocols import context as bench

    monkeypatch.setattr(bench, "load_encoder", lambda run: (SimpleNamespace(joints=17), {}))
    with pytest.raises(SjepaError, match="takes 17 joints, the stores hold 25"):
        set_up(make_config(LinearConfig, common))


def test_a_class_without_a_training_clip_is_named_before_anything_runs(quick, store, monkeypatch):
    from sjepa.protocols import context as bench

    labels = np.where(np.isin(store.subjects, store.subjects[:1]), store.labels, 0)
    poor = dataclasses.replace(store, labels=labels, subjects=1 - store.subjects)
    monkeypatch.setattr(bench, "load_store", lambda name: poor)
    for protocol, cls in (("finetune", FinetuneConfig), ("semi", SemiConfig)):
        with pytest.raises(SjepaError, match="the training part has no clip of"):
            evaluate(protocol, make_config(cls, quick))
    assert not Path(quick["results"]).exists()


@pytest.mark.parametrize("change, said", [
    ({"share": 0.0}, "share = 0.0: expected above 0, at most 1"),
    ({"share": 1.5}, "share = 1.5: expected above 0, at most 1"),
    ({"subsets": 0}, "subsets = 0: expected at least 1"),
    ({"subset": 5}, "unknown parameter 'subset': did you mean subsets"),
])
def test_wrong_semi_parameters_are_refused_in_words(change, said):
    with pytest.raises(SjepaError, match=said):
        make_config(SemiConfig, change)


# ------------------------------------------------------------------ joints side by side


def test_joints_side_by_side_average_to_the_usual_features(pretrained, store):
    """`[N, V, D]` holds each joint's own mean: the usual feature is their mean, in any order."""
    encoder, _ = load_encoder(pretrained)
    data, index = store.to("cpu"), np.arange(0, len(store), 7)
    apart = extract(encoder, data, index, by_joint=True)
    assert apart.shape == (len(index), 25, encoder.dim)
    assert torch.allclose(apart.mean(1), extract(encoder, data, index), atol=1e-5)
    assert apart.std(1).mean() > 0.01  # joints differ, or the two readings would be one


def test_by_joint_adds_a_reading_and_leaves_the_other(common):
    """`top1` stays what it is without it; `top1-joints` reads more numbers a clip."""
    few = common | {"epochs": 5, "passes": 2, "batch_size": 32}
    plain = {r["metric"]: r["value"] for r in evaluate("linear", make_config(LinearConfig, few))}
    both = {r["metric"]: r["value"] for r in evaluate(
        "linear", make_config(LinearConfig, few | {"by_joint": True, "more_lrs": [0.01]}))}
    assert set(plain) == {"top1", "top1-best-epoch"}
    assert set(both) == {*plain, "top1-lr0.01", "top1-joints", "top1-lr0.01-joints"}
    assert abs(both["top1"] - plain["top1"]) < 2  # rounding may turn a clip
    assert paper_value("linear", "ntu60/xsub", "top1-joints") is None
