"""Fast paths equal the plain ones, each to a stated bound: weights, parts, halves, graphs."""

import math
from dataclasses import replace

import pytest
import torch
from formats import assert_same_weights

from sjepa import device
from sjepa.inputs import body_rows, make_batch
from sjepa.model import SJEPA
from sjepa.pretrain import Pretraining
from sjepa.target import latent_cross_entropy


def error(made, wanted):
    """Relative error in the norm."""
    return ((made.float() - wanted).norm() / wanted.norm()).item()


def after(run, steps=3, size=8):
    """The run after some steps, and the losses on the way."""
    run.step = 3
    return run, [run.training_step(run.train[size * k : size * (k + 1)])["loss"].item()
                 for k in range(steps)]


def gradient(run):
    """The gradient of the first step, from AdamW's running mean."""
    return torch.cat([s["exp_avg"].flatten() for s in run.optimizer.state.values()]) / 0.1


def test_one_row_with_a_weight_is_many_rows(store, tiny):
    """With the same mask: loss and gradient of the weighted row are those of its copies."""
    run = Pretraining(tiny, store)
    ((inputs, weight, _),) = run.micro_batches(run.train[:8])
    assert weight is not None and weight.max() > 1
    copies = torch.arange(len(weight)).repeat_interleave(weight.long())
    trained = [p for p in run.model.parameters() if p.requires_grad]
    one, many = run.model(*inputs, weight).loss, run.model(*(each[copies] for each in inputs)).loss
    assert one.item() == pytest.approx(many.item(), rel=1e-6)
    torch.testing.assert_close(*(torch.autograd.grad(loss, trained) for loss in (one, many)),
                               atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("empty", ["all", "weighted", "drop"])
def test_rows_from_the_store_are_those_seen_in_the_clips(store, tiny, empty):
    """Who is there is known on the host; the clips themselves show it too."""
    config = replace(tiny, empty_bodies=empty)
    run = Pretraining(config, store)
    index = run.train[:16]
    rows, weight = make_batch(run.data, index, config, torch.Generator().manual_seed(1))
    every, _ = make_batch(run.data, index, replace(config, empty_bodies="all"),
                          torch.Generator().manual_seed(1))
    present = every.flatten(1).any(1)
    assert 0 < present.sum() < len(every)
    if empty == "all":
        assert torch.equal(rows, every) and weight is None
    elif empty == "drop":
        assert torch.equal(rows, every[present]) and weight is None
    else:
        assert torch.equal(rows[:-1], every[present]) and not rows[-1].any()
        assert weight[:-1].eq(1).all() and weight[-1] == len(every) - present.sum()


def test_a_batch_in_which_nobody_is_absent():
    rows, weight = body_rows(torch.ones(3, 2, dtype=torch.bool), "weighted")
    assert rows.tolist() == list(range(6)) and weight is None


@pytest.mark.parametrize("empty", ["drop", "weighted"])
def test_padding_changes_no_sum(store, tiny, empty):
    """Steps on padded batches, as a compiled model takes them, against steps on the bare ones."""
    config = replace(tiny, empty_bodies=empty)
    bare, padded = Pretraining(config, store), Pretraining(config, store)
    padded.compiled, padded.multiple = True, 7
    (inputs, weight, _), = padded.micro_batches(padded.train[:8])
    assert len(weight) % 7 == 0 and (weight == 0).any() and len(inputs[0]) == len(weight)
    padded.generator.manual_seed(tiny.seed)
    (_, losses), (_, theirs) = after(bare), after(padded)
    assert losses == pytest.approx(theirs, rel=1e-6)
    assert_same_weights(bare.model, padded.model)


def test_no_part_is_padding_alone(store, tiny):
    """Eight clips in eight parts, padded to two rows a part: a part of weight 0 would be 0 / 0."""
    run = Pretraining(replace(tiny, accumulate=8, empty_bodies="drop"), store)
    run.compiled = True
    parts = run.micro_batches(run.train[:8])
    assert {len(weight) for _, weight, _ in parts} == {len(parts[0][1])}
    assert all(weight.sum() >= 1 for _, weight, _ in parts)
    assert sum(share for *_, share in parts).item() == pytest.approx(1)


@pytest.mark.parametrize("empty", ["drop", "weighted"])
def test_parts_add_up_to_the_whole(store, tiny, empty):
    """Three unequal micro-batches a step, with the same draws: the same run."""
    config = replace(tiny, empty_bodies=empty)
    whole, losses = after(Pretraining(config, store))
    parts, theirs = after(Pretraining(replace(config, accumulate=3), store))
    assert losses == pytest.approx(theirs, rel=1e-6)
    assert_same_weights(whole.model, parts.model)


def in_fp16(config, store, scale=1024.0):
    """A run in fp16, which users get on GPUs alone, with its scaler on the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "pick_precision", lambda *_: "fp16")
        run = Pretraining(config, store)
    assert run.scaler.is_enabled()
    run.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    return run


@pytest.mark.parametrize("start, bound, far", [
    (lambda config, store: Pretraining(replace(config, precision="bf16"), store), 5e-3, 0.05),
    (in_fp16, 1e-3, 0.01)], ids=["bf16", "fp16"])
def test_the_gradient_of_halves_is_near_and_unscaled(store, tiny, start, bound, far):
    exact, (loss,) = after(Pretraining(tiny, store), 1)
    half, (their_loss,) = after(start(tiny, store), 1)
    assert their_loss == pytest.approx(loss, rel=bound)
    assert 0 < error(gradient(half), gradient(exact)) < far
    assert not half.scaler.is_enabled() or half.scaler.get_scale() == 1024


def test_fp16_clips_the_unscaled_gradient(store, tiny):
    half, _ = after(in_fp16(replace(tiny, clip_grad=0.01), store), 1)
    assert gradient(half).norm().item() == pytest.approx(0.01, rel=0.01)


def test_fp16_skips_a_step_that_overflows(store, tiny):
    run = in_fp16(tiny, store, scale=2.0**100)
    before = {name: p.clone() for name, p in run.model.encoder.named_parameters()}
    run, (loss,) = after(run, 1)
    assert math.isfinite(loss) and run.scaler.get_scale() == 2.0**99
    for name, p in run.model.named_parameters():
        assert torch.equal(p, before.get(name.removeprefix("encoder."), p)) and p.isfinite().all()


def test_coordinates_stay_in_float32(store, tiny):
    """Rotated views and embedded joints keep their millimetres whatever the networks compute in."""
    (exact, *_), (half, *_) = (
        Pretraining(replace(tiny, precision=p), store).micro_batches(torch.arange(4))[0]
        for p in ("fp32", "bf16"))
    assert all(torch.equal(a, b) for a, b in zip(exact, half, strict=True))
    encoder, x = SJEPA(tiny).encoder, exact[0]
    seen = []
    encoder.blocks[0].register_forward_pre_hook(lambda block, tokens: seen.append(tokens[0]))
    with torch.autocast("cpu", torch.bfloat16):
        encoder(x)
    encoder(x)
    assert seen[0].dtype == torch.float32 and torch.equal(*seen)


def test_the_step_is_one_graph(store, tiny, monkeypatch):
    """Captured whole, bf16 and float32, and equal to the eager step; no kernels are generated."""
    compile_ = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode, dynamic: compile_(
        self, backend="aot_eager", dynamic=dynamic, fullgraph=True))
    for precision, bound in (("fp32", 1e-6), ("bf16", 5e-3)):
        config = replace(tiny, precision=precision, depth=1)
        eager, losses = after(Pretraining(config, store), 1)
        graph, theirs = after(Pretraining(replace(config, compile="default"), store), 1)
        assert graph.compiled and not eager.compiled
        assert losses == pytest.approx(theirs, rel=bound)
        if precision == "fp32":
            assert_same_weights(eager.model, graph.model)


def test_compiled_loss_equals_the_eager_one():
    """Generated code for softmax and cross-entropy, from bf16 inputs: 1e-5 in loss and gradient."""
    why = device.cannot_compile(torch.device("cpu"))
    if why:
        pytest.skip(why)
    draws = torch.randn(3, 4, 30, 32, generator=torch.Generator().manual_seed(0))
    predicted, target, center = draws[0].bfloat16(), draws[1].bfloat16(), draws[2, 0, 0]
    made = []
    for loss in (latent_cross_entropy, torch.compile(latent_cross_entropy, dynamic=False)):
        p = predicted.clone().requires_grad_()
        value = loss(p, target, center, weight=torch.arange(4.0))
        value.backward()
        made.append((value, p.grad.float()))
    torch.testing.assert_close(made[0][0], made[1][0], atol=0, rtol=1e-5)
    assert error(made[1][1], made[0][1]) < 1e-5


def test_without_a_compiler_it_says_so_and_runs(store, tiny, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    eager, losses = after(Pretraining(tiny, store), 1)
    run, theirs = after(Pretraining(replace(tiny, compile="default"), store), 1)
    assert not run.compiled and losses == theirs
    said = capsys.readouterr().out
    assert said == ("running without torch.compile: there is no compiler no-such-compiler "
                    "($CXX names another)\n")


def test_auto_compiles_on_a_gpu_and_in_long_runs_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(device, "cannot_compile", lambda at: asked.append(at) or "it is a test")
    model = [torch.nn.Linear(2, 2)]
    long = device.COMPILED_FROM
    assert not device.compile_modules(model, "auto", torch.device("cpu"), long)
    assert not device.compile_modules(model, "none", torch.device("cuda"), long)
    assert not device.compile_modules(model, "auto", torch.device("cuda"), long - 1)
    assert asked == []
    assert not device.compile_modules(model, "auto", torch.device("cuda"), long)
    assert asked == [torch.device("cuda")]
