"""Linear probe, kNN and features: equal to plain re-derivations, honest about what they saw."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sjepa import pretrain as training
from sjepa.config import make_config
from sjepa.encoder import Encoder
from sjepa.encoders import load_encoder
from sjepa.errors import SjepaError
from sjepa.evaluate import evaluate
from sjepa.protocols import context as module
from sjepa.protocols.config import KnnConfig, LinearConfig
from sjepa.protocols.features import clip_features, extract
from sjepa.protocols.knn import knn
from sjepa.protocols.linear import linear_probe, make_probe
from sjepa.study.records import read_records


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Encoder(32, 2, 4, frames=32, segment=8).eval()


def test_features_are_the_mean_over_bodies_time_and_joints(encoder):
    clips = torch.randn(3, 2, 32, 25, 3)
    clips[1, 1] = 0  # an absent body is an input like any other
    wanted = encoder(clips.flatten(0, 1)).view(3, 2, 100, 32).mean((1, 2))
    torch.testing.assert_close(clip_features(encoder, clips), wanted, atol=1e-5, rtol=1e-4)


def test_features_do_not_depend_on_the_batch(encoder, store):
    data, index = store.to("cpu"), np.arange(10)
    a = extract(encoder, data, index, batch=3)
    b = extract(encoder, data, index[::-1].copy(), batch=128).flip(0)
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_knn_by_loops():
    g = torch.Generator().manual_seed(0)
    train, test = torch.randn(40, 8, generator=g), torch.randn(15, 8, generator=g)
    labels = torch.randint(0, 5, (40,), generator=g)
    for k, made in knn(train, labels, test, (1, 5, 40), 5).items():
        for i, predicted in enumerate(made):
            similarity = [(torch.dot(test[i], t) / test[i].norm() / t.norm()).item() for t in train]
            votes = [0.0] * 5
            for j in sorted(range(40), key=lambda j: -similarity[j])[:k]:
                votes[labels[j]] += similarity[j] + 1
            assert predicted == max(range(5), key=lambda c: votes[c])


def test_probe_is_the_lineages():
    probe = make_probe(16, 4)
    assert probe[0].eps == 1e-6 and not probe[0].affine
    assert probe[1].weight.std() < 0.02 and not probe[1].bias.any()


def test_probe_learns_what_is_linear_and_only_that():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(600, 8, generator=g) * torch.logspace(-3, 3, 8)  # scales must not matter
    linear, parity = (x[:, 2] > 0).long(), ((x[:, 2] > 0) ^ (x[:, 3] > 0)).long()
    score = {}
    for name, y in dict(linear=linear, parity=parity).items():
        made = linear_probe(lambda _: x[:400], y[:400], x[400:], y[400:], 2, epochs=30)
        score[name] = made[0.1]["curve"][-1]
    assert score["linear"] > 95 and score["parity"] < 70


def test_best_epoch_is_the_curves_maximum():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(200, 4, generator=g), torch.randint(0, 3, (200,), generator=g)
    made = linear_probe(lambda _: x[:100], y[:100], x[100:], y[100:], 3, epochs=20)[0.1]
    best = (made["best"] == y[100:]).float().mean().item() * 100
    last = (made["predicted"] == y[100:]).float().mean().item() * 100
    assert best == pytest.approx(max(made["curve"])) and last == pytest.approx(made["curve"][-1])


# ------------------------------------------------------------------ runs and their records


@pytest.fixture
def run(store, tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(training, "load_store", lambda name: store)
    monkeypatch.setattr(module, "load_store", lambda name: store)
    return training.pretrain(tiny, tmp_path / "run")


def test_records_of_a_linear_run(run, tmp_path):
    common = {"run": str(run), "results": str(tmp_path / "r"), "epochs": 5, "passes": 2}
    evaluate("linear", make_config(LinearConfig, common), "the command")
    evaluate("linear", make_config(LinearConfig, common | {"method": "random"}), "the command")
    records = {r["id"]: r for r in read_records(tmp_path / "r")}
    assert set(records) == {
        f"synthetic-xsub-linear-{m}-quick{s}" for m in ("sjepa", "random")
        for s in ("", "-top1-best-epoch")}
    last = records["synthetic-xsub-linear-sjepa-quick"]
    best = records["synthetic-xsub-linear-sjepa-quick-top1-best-epoch"]
    assert best["value"] >= last["value"]
    low, high = last["interval"]
    assert low <= last["value"] <= high
    assert last["command"] == "the command" and last["paper"] is None and last["epochs"] == 4
    assert records["synthetic-xsub-linear-random-quick"]["epochs"] == 0


def test_knn_reports_every_k(run, tmp_path):
    config = make_config(KnnConfig, {"run": str(run), "results": str(tmp_path / "r"), "ks": [1, 3]})
    metrics = {r["metric"] for r in evaluate("knn", config)}
    assert metrics == {"top1-k1", "top1-k3"}


def test_only_the_targets_weights_are_used(run):
    state = torch.load(run / "last.pt", weights_only=True)
    encoder, _ = load_encoder(run)
    name = "blocks.0.attn.qkv.weight"
    assert torch.equal(encoder.state_dict()[name], state["model"][f"target.encoder.{name}"])
    assert not torch.equal(encoder.state_dict()[name], state["model"][f"encoder.{name}"])


def test_faults_in_words(run, tmp_path):
    with pytest.raises(SjepaError, match="holds no finished pretraining"):
        load_encoder(tmp_path)
    with pytest.raises(SjepaError, match="parameter run is empty"):
        evaluate("linear", LinearConfig())
    with pytest.raises(SjepaError, match="expected sjepa or random"):
        evaluate("linear", make_config(LinearConfig, {"run": str(run), "method": "best"}))


def test_damaged_weights_are_named(run):
    weights = load_file(run / "target.safetensors")
    wider = Encoder(64, 2, 4, frames=32, segment=8).shape
    save_file(weights, run / "target.safetensors", {k: str(v) for k, v in wider.items()})
    with pytest.raises(SjepaError, match="does not fit the shape"):
        load_encoder(run)
