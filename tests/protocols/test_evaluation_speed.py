"""Evaluation at speed: several K, several learning rates in one pass equal each by itself."""

import pytest
import torch
from torch.nn import functional as F

from sjepa.config import make_config
from sjepa.evaluate import evaluate
from sjepa.protocols import frozen
from sjepa.protocols.config import LinearConfig
from sjepa.protocols.context import set_up
from sjepa.protocols.knn import knn
from sjepa.protocols.linear import linear_probe, make_probe

pytestmark = pytest.mark.usefixtures("one_thread")


# ------------------------------------------------------------------ several K


@pytest.mark.parametrize("levels", [0, 2])
def test_several_k_equal_one_search_for_each(levels):
    """To the bit, also where coarse features make many clips equally similar."""
    g = torch.Generator().manual_seed(levels)
    train, test = torch.randn(700, 6, generator=g), torch.randn(90, 6, generator=g)
    if levels:
        train, test = ((x * levels).round() + 0.5 for x in (train, test))
    labels = torch.randint(0, 9, (700,), generator=g)
    ks = (5, 1, 20, 1000, 5)
    together = knn(train, labels, test, ks, 9)
    assert list(together) == [5, 1, 20, 1000]
    for k in ks:
        similarity = F.normalize(test, dim=1) @ F.normalize(train, dim=1).T
        alone = similarity.topk(min(k, 700), dim=1)
        votes = torch.zeros(90, 9).scatter_add_(
            1, labels[alone.indices], (alone.values + 1).clamp(min=0))
        assert torch.equal(together[k], votes.argmax(1))


# ------------------------------------------------------------------ several learning rates


def clouds(classes=7, dim=24):
    """Features of overlapping classes: 300 and 120, with labels; a second pass differs."""
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(0, classes, (420,), generator=g)
    centres = torch.randn(classes, dim, generator=g)
    x = centres[labels] + 1.5 * torch.randn(420, dim, generator=g)
    passes = [x[:300], x[:300] + 0.1 * torch.randn(300, dim, generator=g)]
    return lambda epoch: passes[epoch % 2], labels[:300], x[300:], labels[300:], classes


def by_hand(passes, labels, test, classes, lr, epochs, batch_size, seed):
    """The probe as one module under one rate: scores of the test clips after the last epoch."""
    torch.manual_seed(seed)
    probe = make_probe(test.shape[1], classes)
    sgd = torch.optim.SGD(probe.parameters(), lr=lr, momentum=0.9)
    steps = -(-len(labels) // batch_size)
    for epoch in range(epochs):
        order = torch.randperm(len(labels))
        for step, part in enumerate(order.split(batch_size)):
            angle = torch.tensor(torch.pi * (epoch + step / steps) / epochs, dtype=torch.float64)
            sgd.param_groups[0]["lr"] = lr * (1 + angle.cos().item()) / 2
            sgd.zero_grad()
            F.cross_entropy(probe(passes(epoch)[part]), labels[part]).backward()
            sgd.step()
    return probe.eval()(test).detach()


def test_rates_trained_together_equal_each_alone():
    """Rounding alone differs: 1e-4 in scores of up to 50, and the same classes."""
    passes, labels, test, wanted, classes = clouds()
    more = dict(epochs=20, batch_size=64, seed=3)
    rates = (0.1, 0.01, 1.0, 0.3)
    together = linear_probe(passes, labels, test, wanted, classes, lrs=rates, **more)
    assert tuple(together) == rates
    for lr in rates:
        alone = linear_probe(passes, labels, test, wanted, classes, lrs=(lr,), **more)[lr]
        torch.testing.assert_close(together[lr]["scores"], alone["scores"], atol=1e-4, rtol=0)
        for name in ("predicted", "best"):
            assert torch.equal(together[lr][name], alone[name])
        assert together[lr]["curve"] == alone["curve"] and len(alone["curve"]) == 20
        assert torch.equal(together[lr]["scores"].argmax(1), together[lr]["predicted"])
        hand = by_hand(passes, labels, test, classes, lr, **more)
        torch.testing.assert_close(together[lr]["scores"], hand, atol=1e-4, rtol=0)
    assert len({tuple(probe["curve"]) for probe in together.values()}) == 4


def test_one_rate_is_the_plain_probe_to_the_bit():
    passes, labels, test, wanted, classes = clouds()
    more = dict(epochs=5, batch_size=64, seed=1)
    made = linear_probe(passes, labels, test, wanted, classes, lrs=(0.1,), **more)[0.1]
    assert torch.equal(made["scores"], by_hand(passes, labels, test, classes, 0.1, **more))


@pytest.fixture
def common(pretrained, tmp_path):
    """What all runs here share."""
    return {"run": str(pretrained), "results": str(tmp_path / "r"), "device": "cpu"}


def test_records_of_several_rates(common):
    quick = common | {"epochs": 3, "passes": 1}
    (last, best) = evaluate("linear", make_config(LinearConfig, quick))
    records = evaluate("linear", make_config(LinearConfig, quick | {"more_lrs": [0.3, 1e-5]}))
    assert [r["metric"] for r in records] == ["top1", "top1-best-epoch", "top1-lr0.3",
                                              "top1-lr1e-05"]
    assert records[2]["id"] == "synthetic-xsub-linear-sjepa-quick-top1-lr0.3"
    assert all(r["paper"] is None for r in records)
    assert [r["value"] for r in records[:2]] == [last["value"], best["value"]]
    (alone, _) = evaluate("linear", make_config(LinearConfig, quick | {"lr": 0.3}))
    assert records[2]["value"] == alone["value"]


def test_several_rates_take_the_passes_of_one(common, monkeypatch):
    made = []
    encode = frozen.Bench.features
    monkeypatch.setattr(frozen.Bench, "features", lambda self, *args, **how: (
        made.append(args), encode(self, *args, **how))[1])
    config = make_config(LinearConfig, common | {"epochs": 4, "more_lrs": [0.3, 1.0]})
    frozen.probe(set_up(config), config)
    assert len(made) == 5  # the test clips, and a pass an epoch
