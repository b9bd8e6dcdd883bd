"""The linear probe: the lineage's recipe by hand, on augmented passes."""

import math

import pytest
import torch
from torch.nn import functional as F

from sjepa.config import make_config
from sjepa.errors import SjepaError
from sjepa.protocols import linear
from sjepa.protocols.config import LinearConfig
from sjepa.protocols.context import Context, set_up
from sjepa.protocols.linear import linear_probe, make_probe, probe, run_linear

pytestmark = pytest.mark.usefixtures("one_thread")


def test_probe_is_the_lineages():
    network = make_probe(16, 4)
    assert network[0].eps == 1e-6 and not network[0].affine
    assert network[1].weight.std() < 0.02 and not network[1].bias.any()
    assert LinearConfig().epochs == 100 and LinearConfig().lr == 0.1


def test_probe_learns_what_is_linear_and_only_that():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(600, 8, generator=g) * torch.logspace(-3, 3, 8)  # scales must not matter
    plane, parity = (x[:, 2] > 0).long(), ((x[:, 2] > 0) ^ (x[:, 3] > 0)).long()
    accuracy = [linear_probe(lambda _: x[:400], y[:400], x[400:], y[400:], 2,
                             epochs=30)[0.1]["curve"][-1] for y in (plane, parity)]
    assert accuracy[0] > 95 and accuracy[1] < 70


def test_best_epoch_is_the_curves_maximum():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(200, 4, generator=g), torch.randint(0, 3, (200,), generator=g)
    probed = linear_probe(lambda _: x[:100], y[:100], x[100:], y[100:], 3, epochs=20)[0.1]
    best = (probed["best"] == y[100:]).float().mean().item() * 100
    last = (probed["predicted"] == y[100:]).float().mean().item() * 100
    assert best == pytest.approx(max(probed["curve"]))
    assert last == pytest.approx(probed["curve"][-1])


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
    """The probe as one module under one rate, on a cosine: test scores after the last epoch."""
    torch.manual_seed(seed)
    network = make_probe(test.shape[1], classes)
    sgd = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9)
    steps = -(-len(labels) // batch_size)
    for epoch in range(epochs):
        order = torch.randperm(len(labels))
        for step, part in enumerate(order.split(batch_size)):
            angle = math.pi * (epoch + step / steps) / epochs
            sgd.param_groups[0]["lr"] = lr * (1 + math.cos(angle)) / 2
            sgd.zero_grad()
            F.cross_entropy(network(passes(epoch)[part]), labels[part]).backward()
            sgd.step()
    return network.eval()(test).detach()


def test_rates_trained_together_equal_each_alone():
    """Rounding alone differs: 1e-4 in scores of up to 50, and the same classes."""
    passes, labels, test, test_labels, classes = clouds()
    more = dict(epochs=20, batch_size=64, seed=3)
    rates = (0.1, 0.01, 1.0, 0.3)
    together = linear_probe(passes, labels, test, test_labels, classes, lrs=rates, **more)
    assert tuple(together) == rates
    for lr in rates:
        alone = linear_probe(passes, labels, test, test_labels, classes, lrs=(lr,), **more)[lr]
        torch.testing.assert_close(together[lr]["scores"], alone["scores"], atol=1e-4, rtol=0)
        for name in ("predicted", "best"):
            assert torch.equal(together[lr][name], alone[name])
        assert together[lr]["curve"] == alone["curve"] and len(alone["curve"]) == 20
        hand = by_hand(passes, labels, test, classes, lr, **more)
        torch.testing.assert_close(together[lr]["scores"], hand, atol=1e-4, rtol=0)
    assert len({tuple(probed["curve"]) for probed in together.values()}) == 4


def test_one_rate_is_the_plain_probe_to_the_bit_and_draws_for_itself():
    passes, labels, test, test_labels, classes = clouds()
    more = dict(epochs=5, batch_size=64, seed=1)
    before = torch.get_rng_state()
    probed = linear_probe(passes, labels, test, test_labels, classes, lrs=(0.1,), **more)[0.1]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(probed["scores"], by_hand(passes, labels, test, classes, 0.1, **more))


@pytest.mark.parametrize("change", [{"more_lrs": [0.1]}, {"more_lrs": [0.3, 0.3]}])
def test_a_rate_stands_once(change):
    with pytest.raises(SjepaError, match="expected each once, and lr = 0.1 not among them"):
        make_config(LinearConfig, change)


# ------------------------------------------------------------------ passes over the clips


@pytest.fixture
def passes_of(common, monkeypatch):
    """Run a probe; what each of its passes asked for, and the features that each epoch got."""
    def run(**settings):
        config = make_config(LinearConfig, common | {"epochs": 4} | settings)
        asked, got, features = [], [], Context.features
        monkeypatch.setattr(Context, "features", lambda self, index, *view, **more: (
            asked.append((len(index), *view[:1])), features(self, index, *view, **more))[1])
        monkeypatch.setattr(linear, "linear_probe", lambda passes, *args, **more: (
            got.extend(passes(epoch) for epoch in range(4)),
            linear_probe(passes, *args, **more))[1])
        context = set_up(config)
        probe(context, config)
        plain = features(context, context.train)
        monkeypatch.undo()
        return asked, got, plain

    return run


def test_it_trains_on_augmented_clips_drawn_anew_for_each_epoch(passes_of):
    asked, got, plain = passes_of(more_lrs=[0.3])
    # The test clips at test time, then rotated crops of the training clips: 4 here, 4 in training.
    assert asked == [(36,), *[(36, 0.3)] * 8]
    for number, features in enumerate(got):
        assert (features - plain).abs().mean() > 1e-3  # augmented
        assert all(not torch.equal(features, other) for other in got[:number])


def test_passes_are_used_in_turn(passes_of):
    asked, got, plain = passes_of(passes=2)
    assert asked == [(36,), (36, 0.3), (36, 0.3)]
    assert torch.equal(got[0], got[2]) and torch.equal(got[1], got[3])
    assert not torch.equal(got[0], got[1]) and not torch.allclose(got[0], plain)


def test_by_joint_adds_a_reading_and_leaves_the_other(common):
    """`top1` stays what it is without it; `top1-joints` reads more numbers a clip."""
    few = common | {"epochs": 5, "passes": 2, "batch_size": 32}
    plain, both = (run_linear(set_up(make_config(LinearConfig, few | more))).readings
                   for more in ({}, {"by_joint": True, "more_lrs": [0.01]}))
    assert set(plain) == {"top1", "top1-best-epoch"}
    assert set(both) == {*plain, "top1-lr0.01", "top1-joints", "top1-lr0.01-joints"}
    assert abs(both["top1"].right.mean() - plain["top1"].right.mean()) < 0.02  # rounding
    assert both["top1"].scores.shape == (1, 36, 6)
