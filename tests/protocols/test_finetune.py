"""Fine-tuning: the lineage's recipe by hand, at speed, and a run that can be killed at any time."""

import math
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from formats import poison
from torch.nn import functional as F
from torch.testing import assert_close

from sjepa import device
from sjepa.checkpoint import keep
from sjepa.config import make_config
from sjepa.datasets.subsets import labelled_subset
from sjepa.encoder import drop_path
from sjepa.errors import SjepaError
from sjepa.pretrain import learning_rate
from sjepa.protocols import finetune as tuner
from sjepa.protocols.config import FinetuneConfig, SemiConfig, TransferConfig
from sjepa.protocols.context import set_up
from sjepa.protocols.features import encode_bodies, network_input


@pytest.fixture
def config(common):
    """A fine-tuning that takes a second."""
    return make_config(FinetuneConfig, common | dict(
        epochs=4, batch_size=12, hidden=32, warmup_epochs=1, lr=1e-3, checkpoint_every=1))


def tuning(config, **changes):
    config = replace(config, **changes)
    context = set_up(config)
    return tuner.FineTuning(context, config, context.encoder, context.train)


def depth_of(name, blocks):
    part = name.split(".")
    return (0 if part[1] in ("embed", "positions") else
            int(part[2]) + 1 if part[1] == "blocks" else blocks + 1)


def test_every_parameter_is_in_one_group_with_the_scale_of_its_depth(encoder):
    model = tuner.Classifier(encoder, 6)
    groups = tuner.layer_decay_groups(model, 0.8, 0.05)
    assert (sorted(id(p) for g in groups for p in g["params"])
            == sorted(id(p) for p in model.parameters()))
    of = {id(p): group for group in groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        group = of[id(parameter)]
        bare = name.endswith("bias") or ".norm" in name or name.startswith("head.layers.1.")
        assert group["weight_decay"] == (0.0 if bare else 0.05), name
        assert group["lr_scale"] == pytest.approx(0.8 ** (4 - depth_of(name, 3))), name
    layers = encoder.parameter_layers()
    for wrong in (layers[:-1], [*layers, layers[1]]):
        model.encoder.parameter_layers = Mock(return_value=wrong)
        with pytest.raises(SjepaError, match="Encoder.parameter_layers names .* each once"):
            tuner.layer_decay_groups(model, 0.8, 0.05)


def test_drop_path_drops_whole_rows_and_keeps_the_mean(encoder):
    """In training alone, growing linearly with depth."""
    torch.manual_seed(0)
    x = torch.randn(1, 5, 4).expand(20_000, 5, 4)
    out = drop_path(x, 0.3)
    dropped = (out == 0).all(-1).all(-1)
    assert_close(out[~dropped], x[~dropped] / 0.7)
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / 20_000))
    clips = torch.randn(4, 32, 25, 3)
    plain = encoder.train()(clips)
    encoder.set_drop_path(0.3)
    assert [b.drop_path for b in encoder.blocks] == pytest.approx([0.0, 0.15, 0.3])
    assert torch.equal(encoder.eval()(clips), plain)
    assert not torch.equal(encoder.train()(clips), plain)


def test_head_by_hand():
    torch.manual_seed(0)
    head = tuner.ActionHead(8, 25, 5, hidden=16, dropout=0.0).train()
    tokens = torch.randn(6, 2, 3 * 25, 8)
    feature = torch.stack([
        torch.stack([clip[m].view(3, 25 * 8).mean(0) for m in range(2)]).mean(0)
        for clip in tokens])
    hidden = feature @ head.layers[0].weight.T + head.layers[0].bias
    normed = (hidden - hidden.mean(0)) / (hidden.var(0, correction=0) + 1e-5).sqrt()
    expected = normed.clamp(min=0) @ head.layers[3].weight.T + head.layers[3].bias
    assert_close(head(tokens), expected, atol=1e-5, rtol=1e-4)


def test_dropout_falls_on_tokens_in_training_only():
    head = tuner.ActionHead(8, 25, 5, hidden=16, dropout=0.3)
    tokens, inputs = torch.ones(4, 2, 50, 8), []
    head.layers[0].register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    head.train()(tokens)
    head.eval()(tokens)
    assert torch.equal(inputs[1], torch.ones(4, 200))
    steps = inputs[0] * 0.7 * 4  # the mean of 2 bodies x 2 segments, each 0 or 1 / 0.7
    assert_close(steps, steps.round(), atol=1e-4, rtol=0)
    assert len(steps.round().unique()) == 5


@pytest.mark.parametrize("second", [0, 1, 4, 9])
def test_shared_and_padded_rows_change_neither_output_nor_gradient(encoder, second):
    """Stochastic depth is off, as it draws for each row: tokens to 1e-5, gradients to 2e-5."""
    clips, labels = torch.randn(9, 2, 32, 25, 3), torch.arange(9) % 6
    clips[second:, 1] = 0
    model = tuner.Classifier(encoder, 6, hidden=16, dropout=0.0, drop_path=0.0).train()
    ways = (lambda: model.encoder(clips.flatten(0, 1)).unflatten(0, (9, 2)),
            lambda: encode_bodies(model.encoder, clips),
            lambda: encode_bodies(model.encoder, clips, padded=True))
    results = []
    for way in ways:
        tokens = way()
        loss = F.cross_entropy(model.head(tokens), labels)
        results.append([tokens, *torch.autograd.grad(loss, [*model.parameters()])])
    for other in results[1:]:
        assert_close(results[0], other, atol=2e-5, rtol=1e-3)


def test_defaults_are_the_lineages():
    stated = dict(epochs=100, batch_size=48, lr=3e-4, lr_end=1e-5, warmup_epochs=5,
                  weight_decay=0.05, layer_decay=0.8, drop_path=0.3, dropout=0.3, hidden=2048,
                  label_smoothing=0.1, base_rotation=0.3, test_crop=0.95)
    assert {name: getattr(FinetuneConfig(), name) for name in stated} == stated
    assert (SemiConfig().share, SemiConfig().subsets) == (0.01, 5)


def test_one_step_by_hand(config):
    """Loss, rate by layer and AdamW written out; dropout and stochastic depth off."""
    run, mine = (tuning(config, dropout=0.0, drop_path=0.0) for _ in range(2))
    assert run.optimizer.defaults["betas"] == (0.9, 0.999)
    index, epoch = run.train[:12], 2.5
    run.model.train()
    mine.model.train()
    loss = run.training_step(index, epoch, torch.Generator().manual_seed(3))

    clips = network_input(mine.context.data, index, 32, rotation=0.3,
                          generator=torch.Generator().manual_seed(3))
    tokens = mine.model.encoder(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
    logs = mine.model.head(tokens).log_softmax(1)
    smooth = torch.full_like(logs, 0.1 / 6)
    smooth[torch.arange(12), mine.context.labels[index]] += 0.9
    by_hand = -(smooth * logs).sum(1).mean()
    by_hand.backward()
    assert_close(loss, by_hand.detach(), atol=1e-5, rtol=1e-5)
    rate = learning_rate(epoch, mine.config)
    # Warm-up ends after epoch 1 of 4; the cosine goes from 1e-3 to 1e-5.
    assert rate == pytest.approx(1e-5 + 0.99e-3 * (1 + math.cos(math.pi * 1.5 / 3)) / 2)
    compared = 0
    with torch.no_grad():
        for (name, p), q in zip(mine.model.named_parameters(), run.model.parameters(),
                                strict=True):
            own = rate * 0.8 ** (3 - depth_of(name, 2))
            decayed = p * (1 - own * (0.05 if p.ndim > 1 else 0))
            # First step: the debiased moments are the gradient and its square. Where the gradient
            # is itself a rounding error its sign is none, so only clear ones are compared.
            clear = p.grad.abs() > 1e-5
            expected = decayed - own * p.grad / (p.grad.abs() + 1e-8)
            assert_close(q[clear], expected[clear], atol=1e-6, rtol=1e-3,
                                       msg=lambda m, n=name: f"{n}: {m}")
            compared += int(clear.sum())
    assert compared > 0.5 * sum(p.numel() for p in mine.model.parameters())


@pytest.mark.parametrize("steps", [0, 2])
def test_a_run_left_after_an_epoch_or_amid_one_goes_on_to_the_bit(config, tmp_path, steps):
    """With dropout and stochastic depth, whose generators a checkpoint has to bring along."""
    whole = tuning(config, batch_size=4, epochs=3, dropout=0.5, drop_path=0.5)
    run, again = (tuning(whole.config) for _ in range(2))
    run.run_epoch()
    asked = iter([False] * steps + [True])
    assert run.run_epoch(lambda: next(asked)) is None and len(run.losses) == steps
    (tmp_path / "killed").mkdir()
    keep(run.state(), tmp_path / "killed")
    torch.manual_seed(99)  # another process: another state of everything
    elsewhere = torch.get_rng_state()
    tuner.run_to_end(again, tmp_path / "killed")
    assert torch.equal(torch.get_rng_state(), elsewhere)  # which the run leaves as it was
    tuner.run_to_end(whole, tmp_path / "whole")
    assert_close(whole.model.state_dict(), again.model.state_dict(), atol=0, rtol=0)
    assert whole.history == again.history and torch.equal(whole.scores, again.scores)
    assert torch.equal(whole.best, again.best) and again.earlier > 0
    stamp = (tmp_path / "whole" / "last.pt").stat().st_mtime_ns
    done = tuner.run_to_end(tuning(whole.config), tmp_path / "whole")  # finished: nothing to do
    assert torch.equal(done.scores, whole.scores) and done.seconds == done.earlier
    assert (tmp_path / "whole" / "last.pt").stat().st_mtime_ns == stamp


def test_best_epoch_is_the_first_with_the_curves_maximum(config):
    run = tuning(config)
    labels, test = run.context.labels, run.context.test
    for number, right in enumerate((3, 11, 11, 7)):
        labels[test] = -1
        labels[test[:right]] = number
        run.model.forward = lambda clips, k=number: F.one_hot(torch.full((len(clips),), k),
                                                              6).float()
        run.history.append({"accuracy": run.read_test()})
    assert [row["accuracy"] for row in run.history] == pytest.approx(
        [100 * right / 36 for right in (3, 11, 11, 7)])
    assert (run.best == 1).all()


def test_each_epoch_has_an_order_of_its_own(config):
    run, batches = tuning(config, test_every=3), []
    run.training_step = lambda index, *_: (batches.append(index), torch.zeros(()))[1]
    for _ in range(config.epochs):
        run.run_epoch()
    assert ["accuracy" in row for row in run.history] == [False, False, True, True]
    one, two, *_ = torch.cat(batches).chunk(4)
    assert not torch.equal(one, two) and torch.equal(one.sort()[0], run.train)
    assert torch.equal(two.sort()[0], run.train)


def test_test_clips_are_read_in_eval_mode_one_by_one(config):
    """With dropout, stochastic depth and BatchNorm's batch a clip's scores would be others."""
    run = tuning(config, dropout=0.5, drop_path=0.5)
    run.run_epoch()  # leaves the scores of the test clips, after a training epoch
    scores = run.scores.clone()
    run.read_test()
    assert torch.equal(run.scores, scores) and run.model.training is False
    context = run.context
    context.test = context.test[:5]
    run.read_test()
    assert_close(run.scores, scores[:5], atol=1e-5, rtol=1e-4)


def test_test_clips_never_train(config):
    """Poison every test clip: a single training step on one would make the loss NaN."""
    run = tuning(config, test_every=10)
    poison(run.context.data, run.context.test)
    assert math.isfinite(run.run_epoch()["loss"])


def test_pretrained_weights_are_where_it_starts(config):
    run, scratch = tuning(config), tuning(config, method="scratch")
    assert {group["lr_scale"] for group in scratch.optimizer.param_groups} == {1.0}
    assert_close(run.model.encoder.state_dict(), run.context.encoder.state_dict(), atol=0, rtol=0)
    assert not torch.equal(scratch.model.encoder.embed.weight, run.model.encoder.embed.weight)
    assert all(p.requires_grad for p in run.model.parameters())
    assert not any(p.requires_grad for p in run.context.encoder.parameters())


def test_a_run_that_cannot_go_on_is_refused_and_leaves_nothing(config, tmp_path):
    context, run = set_up(config), tuning(config)
    with pytest.raises(SjepaError, match="takes 1 clips a step here, and BatchNorm needs two"):
        tuner.FineTuning(context, config, context.encoder, context.train[:1])
    torch.nn.init.constant_(run.model.head.layers[3].bias, math.nan)
    with pytest.raises(SjepaError, match="the loss is nan in epoch 1"):
        tuner.run_to_end(run, tmp_path / "o")
    assert not [*(tmp_path / "o").iterdir()]
    once = replace(config, epochs=1)
    tuner.run_to_end(tuning(once), tmp_path / "o")
    for name, value, said in (
        ("config", replace(once, lr=2e-3), "holds a run with lr = 0.001, not 0.002"),
        ("config", replace(once, precision="bf16"),  # `auto` on another device
         "holds a run with precision = fp32, not bf16"),
        ("origin", {"encoder": "another"}, "of another encoder or on other clips"),
        ("train", torch.arange(20), "of another encoder or on other clips"),
    ):
        run = tuning(once)
        setattr(run, name, value)
        with pytest.raises(SjepaError, match=said):
            tuner.run_to_end(run, tmp_path / "o")


def test_semi_trains_on_each_subset_and_goes_on_where_it_was_killed(quick, store, monkeypatch):
    config = make_config(SemiConfig, quick | {"share": 0.5, "subsets": 2, "checkpoint_every": 1})
    context = set_up(config)
    whole = tuner.run_semi(set_up(replace(config, out=config.run + "/whole")))
    epochs, run_epoch = [], tuner.FineTuning.run_epoch

    def dies(run, *stopped):
        epochs.append((run.config.seed, run.epoch))
        if len(epochs) == 4:  # second subset, second epoch
            raise KeyboardInterrupt
        return run_epoch(run, *stopped)

    monkeypatch.setattr(tuner.FineTuning, "run_epoch", dies)
    with pytest.raises(KeyboardInterrupt):
        tuner.run_semi(context)
    epochs.clear()
    again = tuner.run_semi(context)
    assert epochs == [(1, 1)]  # one epoch is lost, and nothing else is done again
    assert config.folder.name == "semi-50pct-synthetic-xsub-sjepa"
    assert again.seeds == (0, 1) and set(again.readings) == {"top1-50pct", "top1-best-epoch-50pct"}
    np.testing.assert_array_equal(again.readings["top1-50pct"].scores,
                                  whole.readings["top1-50pct"].scores)
    for seed in range(2):
        folder = tuner.checkpoints(replace(config, seed=seed))
        kept = labelled_subset(store, context.train, 0.5, seed)
        state = torch.load(folder / "last.pt", weights_only=True)
        assert state["train"].tolist() == kept.tolist() and len(kept) == 18
        assert (folder / "labelled.txt").read_text().split() == store.names[kept].tolist()
    monkeypatch.setattr(tuner.FineTuning, "run_epoch", run_epoch)
    scratch = replace(config, method="scratch", epochs=1)
    tuner.run_semi(set_up(scratch))
    starts = {torch.load(tuner.checkpoints(replace(scratch, seed=seed)) / "last.pt",
                         weights_only=True)["origin"]["encoder"] for seed in range(2)}
    assert len(starts) == 2  # each subset has random weights of its own


def test_transfer_fine_tunes_and_probes_an_encoder_of_another_set(quick, restate):
    here = make_config(TransferConfig, quick | {"split": "synthetic/xview"})
    with pytest.raises(SjepaError, match="was pretrained on synthetic/xsub, the data set of "
                                         "synthetic/xview: that is fine-tuning"):
        tuner.run_transfer(set_up(here))
    restate(split="ntu120/xsub", dataset="ntu120")
    result = tuner.run_transfer(set_up(make_config(TransferConfig, quick | {"probe_passes": 1})))
    assert set(result.readings) == {"top1", "top1-best-epoch", "linear-top1",
                                    "linear-top1-best-epoch"}
    tuned = tuner.run_finetune(set_up(make_config(FinetuneConfig, quick)))
    assert (tuned.readings["top1"].scores == result.readings["top1"].scores).all()


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


def one_step(run):
    """Scores of the test clips, then loss and gradient of a step."""
    run.read_test()
    run.model.train()
    run.optimizer.zero_grad = lambda **_: None  # the gradient is to be looked at
    loss = run.training_step(run.train[:12], 0.5, torch.Generator().manual_seed(0))
    return run.scores, loss, torch.cat([p.grad.flatten() for p in run.model.parameters()])


def test_a_compiled_step_equals_an_eager_one(config, graphs, tmp_path):
    """Without stochastic depth, which draws for padded rows too, and dropout, which draws after.

    In bf16 both round, each in its own way: neither may be much further from float32.
    """
    plain = replace(config, dropout=0.0, drop_path=0.0)
    eager, compiled = (tuning(plain, compile=mode) for mode in ("none", "default"))
    assert compiled.compiled and compiled.model.padded and not eager.compiled
    compiled.load_state(eager.state(), tmp_path)  # a run goes on compiled
    exact, other = one_step(eager), one_step(compiled)
    assert_close(exact[:2], other[:2], atol=1e-5, rtol=1e-5)
    assert (exact[2] - other[2]).norm() < 1e-4 * exact[2].norm() and len(graphs) == 2
    halves = [one_step(tuning(plain, compile=mode, precision="bf16"))
              for mode in ("none", "default")]
    for value, *rounded in zip(exact, *halves, strict=True):
        far, farther = ((half - value).norm() for half in rounded)
        assert 0 < far and farther < 2 * far + 1e-3 * value.norm()
    one, two = (tuning(config, compile="default").run_epoch() for _ in range(2))
    assert one == two  # its draws can be repeated
    assert not tuning(config).compiled  # by default a CPU runs eagerly
