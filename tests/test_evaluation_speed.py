"""Evaluation at speed: what is read or computed together equals what is read one by one."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from sjepa import device
from sjepa.config import FinetuneConfig, LinearConfig, make_config
from sjepa.encoder import Encoder
from sjepa.evaluate import evaluate
from sjepa.protocols import frozen
from sjepa.protocols.bench import set_up, starting_encoder
from sjepa.protocols.classifier import Classifier
from sjepa.protocols.features import encode_bodies
from sjepa.protocols.finetune import FineTuning, fine_tune
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


# ------------------------------------------------------------------ padded rows


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Encoder(32, 3, 4, frames=32, segment=8)


def couples(clips, second):
    """Clips `[clips, 2, 32, 25, 3]`, the first `second` of which show two bodies."""
    x = torch.randn(clips, 2, 32, 25, 3, generator=torch.Generator().manual_seed(second))
    x[second:, 1] = 0
    return x


@pytest.mark.parametrize("second", [0, 1, 4, 9])
def test_padded_rows_change_neither_output_nor_gradient(encoder, second):
    """Stochastic depth is off, as it draws for each row: tokens to 1e-5, gradients to 2e-5."""
    clips, wanted = couples(9, second), torch.arange(9) % 6
    model = Classifier(encoder, 6, hidden=16, dropout=0.0, drop_path=0.0).train()
    made, rows = [], []
    model.encoder.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    for model.padded in (False, True):
        model.zero_grad()
        tokens = encode_bodies(model.encoder, clips, padded=model.padded)
        F.cross_entropy(model(clips), wanted).backward()
        made.append((tokens.detach(), [p.grad.clone() for p in model.parameters()]))
    assert rows[0] == 9 + second + (second < 9)
    assert rows[2] == 10 + 3 * -(-second // 3) and rows[2] >= rows[0]
    torch.testing.assert_close(made[0][0], made[1][0], atol=1e-5, rtol=1e-4)
    for a, b in zip(made[0][1], made[1][1], strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("clips", [1, 2, 5, 48])
def test_few_numbers_of_rows_occur(clips):
    rows = set()

    def note(x):
        rows.add(len(x))
        return x.flatten(1, 2)

    for second in range(clips + 1):
        made = encode_bodies(note, couples(clips, second), padded=True)
        assert torch.equal(made, couples(clips, second).flatten(2, 3))
    assert len(rows) <= 5 and min(rows) == clips + 1 and max(rows) <= 2 * clips + 4
    assert encode_bodies(note, torch.zeros(clips, 2, 32, 25, 3), padded=True).any() == 0
    assert encode_bodies(note, couples(clips, 0)[:, :1], padded=True).shape == (clips, 1, 800, 3)


# ------------------------------------------------------------------ compiled fine-tuning


@pytest.fixture
def config(common):
    """A fine-tuning that takes a second."""
    return make_config(FinetuneConfig, common | dict(
        epochs=2, batch_size=12, hidden=32, warmup_epochs=1, lr=1e-3, checkpoint_every=1,
        dropout=0.0, drop_path=0.0))


@pytest.fixture
def graphs(monkeypatch):
    """Encoders are captured whole, but no kernels are generated; each capture's rows."""
    why = device.cannot_compile(torch.device("cpu"))
    if why:
        pytest.skip(why)
    torch.compiler.reset()
    captured, compile_ = [], torch.nn.Module.compile

    def backend(graph, inputs):
        captured.append(next(len(x) for x in inputs if x.dim() == 4))
        return graph.forward

    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode, dynamic: compile_(
        self, backend=backend, dynamic=dynamic, fullgraph=True))
    yield captured
    torch.compiler.reset()


def tuning(config, **changes):
    config = dataclasses.replace(config, **changes)
    bench = set_up(config)
    return FineTuning(bench, config, starting_encoder(config)[0], bench.train)


def one_step(run):
    """Scores of the test clips, then loss and gradient of a step."""
    run.read_test()
    run.model.train()
    run.optimizer.zero_grad = lambda **_: None  # the gradient is to be looked at
    loss = run.training_step(run.train[:12], 0.5, torch.Generator().manual_seed(0))
    return run.scores, loss, torch.cat([p.grad.flatten() for p in run.model.parameters()])


@pytest.mark.parametrize("precision, bound, slope", [("fp32", 1e-5, 1e-4), ("bf16", 1e-2, 0.05)])
def test_a_compiled_step_equals_an_eager_one(config, graphs, precision, bound, slope):
    """Without stochastic depth, which draws for padded rows too, and dropout, which draws after.

    Scores and loss to `bound`, the gradient to `slope` of its norm.
    """
    eager = tuning(config, precision=precision)
    graph = tuning(config, precision=precision, compile="default")
    assert graph.compiled and graph.model.padded and not eager.compiled
    assert list(graph.model.state_dict()) == list(eager.model.state_dict())
    (scores, loss, gradient), (their_scores, their_loss, theirs) = map(one_step, (eager, graph))
    torch.testing.assert_close(scores, their_scores, atol=bound, rtol=bound)
    torch.testing.assert_close(loss, their_loss, atol=0, rtol=bound)
    assert (gradient - theirs).norm() < slope * gradient.norm() and len(graphs) == 2


def test_a_compiled_run_with_its_draws_can_be_repeated(config, graphs):
    one, two = (tuning(config, dropout=0.3, drop_path=0.3, compile="default").run_epoch()
                for _ in range(2))
    assert one == two and len(graphs) == len(set(graphs)) > 1  # a number of rows, compiled once


def test_a_run_goes_on_under_another_setting(config, graphs, tmp_path):
    fine_tune(tuning(config, epochs=1), tmp_path / "o")
    state = torch.load(tmp_path / "o" / "last.pt", weights_only=True)
    again = tuning(config, epochs=1, compile="default")
    again.load_state(state, tmp_path / "o")
    assert again.epoch == 1 and again.compiled
    again.read_test()
    torch.testing.assert_close(again.scores, state["scores"], atol=1e-4, rtol=1e-4)


def test_by_default_a_cpu_runs_eagerly(config):
    run = tuning(config)
    assert run.config.compile == "auto" and not run.compiled and not run.model.padded
