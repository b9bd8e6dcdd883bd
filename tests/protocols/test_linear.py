"""The linear probe: the lineage's recipe by hand, on augmented passes."""

import math

import pytest
import torch
from torch.nn import functional as F

from sjepa.config import make_config
from sjepa.datasets.subsets import labelled_subset
from sjepa.protocols import linear
from sjepa.protocols.config import LinearConfig
from sjepa.protocols.context import set_up
from sjepa.protocols.linear import linear_probe, make_probe, probe, run_linear


def test_probe_is_the_lineages():
    stated = dict(epochs=100, lr=0.1, batch_size=256, passes=0, base_rotation=0.3, test_crop=0.95,
                  precision="fp32")
    assert {name: getattr(LinearConfig(), name) for name in stated} == stated
    network = make_probe(16, 4)
    assert network[0].eps == 1e-6 and not network[0].affine
    assert network[1].weight.std() < 0.02 and not network[1].bias.any()


def test_best_epoch_is_the_curves_maximum():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(200, 4, generator=g), torch.randint(0, 3, (200,), generator=g)
    probed = linear_probe(lambda _: x[:100], y[:100], x[100:], y[100:], 3, epochs=20)
    for name, wanted in (("best", max(probed["curve"])), ("predicted", probed["curve"][-1])):
        right = (probed[name] == y[100:]).float().mean().item()
        assert 100 * right == pytest.approx(wanted)


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


@pytest.mark.parametrize("lr", [0.1, 1.0])
def test_a_probe_by_hand(lr):
    """To the bit, and its draws are its own."""
    passes, labels, test, test_labels, classes = clouds()
    more = dict(lr=lr, epochs=20, batch_size=64, seed=3)
    before = torch.get_rng_state()
    probed = linear_probe(passes, labels, test, test_labels, classes, **more)
    assert torch.equal(before, torch.get_rng_state()) and len(probed["curve"]) == 20
    assert torch.equal(probed["scores"], by_hand(passes, labels, test, classes, **more))


@pytest.mark.parametrize("passes, kept", [(0, 4), (2, 2)])
def test_it_trains_on_augmented_clips_drawn_anew_or_in_turn(common, asked, monkeypatch, passes,
                                                            kept):
    """Of every epoch, or of the first two, which then take turns."""
    got = []
    monkeypatch.setattr(linear, "linear_probe", lambda passes, *args, **more: (
        got.extend(passes(epoch) for epoch in range(4)),
        linear_probe(lambda epoch: got[0], *args, **more))[1])
    config = make_config(LinearConfig, common | {"epochs": 1, "passes": passes})
    context = set_up(config)
    probe(context, config, context.train)
    train, test = context.train.tolist(), context.test.tolist()
    assert asked == [(test, None), *[(train, 0.3)] * kept]  # test as they are, then rotated crops
    plain = context.features(context.train)
    for number, one in enumerate(got):
        assert (one - plain).abs().mean() > 1e-3  # augmented
        assert [torch.equal(one, other) for other in got[:number]] == [
            (number - k) % kept == 0 for k in range(number)]


def test_by_joint_adds_a_reading_and_leaves_the_other(common):
    """`top1` stays what it is without it; `top1-joints` reads more numbers a clip."""
    few = common | {"epochs": 5, "passes": 2, "batch_size": 32}
    plain, both = (run_linear(set_up(make_config(LinearConfig, few | more))).readings
                   for more in ({}, {"by_joint": True}))
    assert set(plain) == {"top1", "top1-best-epoch"}
    assert set(both) == {*plain, "top1-joints"}
    assert abs(both["top1"].right.mean() - plain["top1"].right.mean()) < 0.02  # rounding
    assert both["top1"].scores.shape == (1, 36, 6)


def test_few_labels_are_the_labelled_subsets(common, asked):
    """Each subset's probe is that of its clips alone, and test features are made once."""
    few = {"epochs": 3, "passes": 1, "share": 0.25, "subsets": 2, "seed": 5}
    context = set_up(make_config(LinearConfig, common | few))
    made = run_linear(context)
    subsets = [labelled_subset(context.store, context.train, 0.25, seed) for seed in (5, 6)]
    assert [clips for clips, _ in asked] == [each.tolist() for each in (context.test, *subsets)]
    assert made.seeds == (5, 6) and set(made.readings) == {"top1-25pct", "top1-best-epoch-25pct"}
    assert made.readings["top1-25pct"].right.shape == (2, len(context.test))
    alone = probe(context, context.config, subsets[1])["top1"].right
    assert (made.readings["top1-25pct"].right[1] == alone[0]).all()
