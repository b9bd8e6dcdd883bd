"""Fine-tuning: the lineage's recipe by hand, and a run that can be killed at any time."""

import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from sjepa.checkpoint import save_atomically
from sjepa.config import make_config
from sjepa.encoder import Encoder, drop_path
from sjepa.errors import SjepaError
from sjepa.evaluate import evaluate
from sjepa.pretrain import learning_rate
from sjepa.protocols.classifier import ActionHead, Classifier, layer_decay_groups
from sjepa.protocols.config import FinetuneConfig
from sjepa.protocols.context import set_up, starting_encoder
from sjepa.protocols.features import clip_features, encode_bodies, network_input
from sjepa.protocols.finetune import FineTuning, fine_tune
from sjepa.protocols.layer_decay import layer_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Encoder(32, 3, 4, frames=32, segment=8)


@pytest.fixture
def config(pretrained, tmp_path):
    """A fine-tuning that takes a second."""
    return make_config(FinetuneConfig, dict(
        run=str(pretrained), results=str(tmp_path / "r"), epochs=4, batch_size=12, hidden=32,
        warmup_epochs=1, lr=1e-3, checkpoint_every=1, device="cpu",
    ))


def tuning(config, **changes):
    config = dataclasses.replace(config, **changes)
    bench = set_up(config)
    return FineTuning(bench, config, starting_encoder(config)[0], bench.train)


# ------------------------------------------------------------------ layer-wise learning rates


def test_layers_by_hand(encoder):
    model = Classifier(encoder, 6)
    wanted = {"encoder.embed.weight": 0, "encoder.positions.joint": 0, "encoder.positions.time": 0,
              "encoder.blocks.0.norm1.weight": 1, "encoder.blocks.2.mlp.0.bias": 3,
              "encoder.norm.weight": 4, "head.layers.0.weight": 4, "head.layers.1.bias": 4}
    assert {name: layer_of(name, 3) for name in wanted} == wanted
    assert set(wanted) <= {name for name, _ in model.named_parameters()}


def test_every_parameter_is_in_one_group_with_the_scale_of_its_depth(encoder):
    model = Classifier(encoder, 6)
    groups = layer_decay_groups(model, 3, 0.8, 0.05)
    found = [id(p) for g in groups for p in g["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters())
    of = {id(p): g for g in groups for p in g["params"]}
    scales = {"encoder.embed.bias": 0.4096, "encoder.positions.time": 0.4096,
              "encoder.blocks.0.attn.qkv.weight": 0.512, "encoder.blocks.1.norm2.bias": 0.64,
              "encoder.blocks.2.mlp.2.weight": 0.8, "encoder.norm.bias": 1.0,
              "head.layers.3.weight": 1.0}
    for name, parameter in model.named_parameters():
        group = of[id(parameter)]
        bare = name.endswith("bias") or ".norm" in name or name.startswith("head.layers.1.")
        assert group["weight_decay"] == (0.0 if bare else 0.05), name
        if name in scales:
            assert group["lr_scale"] == pytest.approx(scales[name]), name


def test_from_scratch_all_layers_learn_alike(config):
    scales = {m: {g["lr_scale"] for g in tuning(config, method=m).optimizer.param_groups}
              for m in ("sjepa", "scratch")}
    assert scales["scratch"] == {1.0} and len(scales["sjepa"]) == 4


# ------------------------------------------------------------------ stochastic depth


def test_drop_path_drops_whole_rows_and_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.randn(1, 5, 4).expand(20_000, 5, 4)
    out = drop_path(x, 0.3)
    dropped = (out == 0).all(-1).all(-1)
    torch.testing.assert_close(out[~dropped], x[~dropped] / 0.7)
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / 20_000))


def test_drop_path_grows_linearly_and_leaves_evaluation_alone(encoder):
    x = torch.randn(4, 32, 25, 3)
    plain = encoder.train()(x)
    encoder.set_drop_path(0.3)
    assert [b.drop_path for b in encoder.blocks] == pytest.approx([0.0, 0.15, 0.3])
    assert torch.equal(encoder.eval()(x), plain)
    assert not torch.equal(encoder.train()(x), plain)
    encoder.set_drop_path(0.0)
    assert torch.equal(encoder.train()(x), plain)


def test_stochastic_depth_keeps_a_branch_in_expectation(encoder):
    """One block, its branches small beside the stream, so that they add up linearly."""
    block, x = encoder.blocks[0], torch.randn(1, 6, 32)
    for layer in (block.attn.proj, block.mlp[2]):
        torch.nn.init.normal_(layer.weight, std=1e-3)
    whole = block.eval()(x) - x
    block.drop_path = 0.4
    drawn = block.train()(x.expand(8000, -1, -1)) - x
    gap = (drawn.mean(0) - whole[0]).abs().max()
    assert gap < 6 * drawn.std(0).max() / math.sqrt(8000)


# ------------------------------------------------------------------ head and classifier


def test_head_by_hand():
    torch.manual_seed(0)
    head = ActionHead(8, 25, 5, hidden=16, dropout=0.0).train()
    tokens = torch.randn(6, 2, 3 * 25, 8)
    feature = torch.stack([
        torch.stack([clip[m].view(3, 25 * 8).mean(0) for m in range(2)]).mean(0)
        for clip in tokens])
    hidden = feature @ head.layers[0].weight.T + head.layers[0].bias
    normed = (hidden - hidden.mean(0)) / (hidden.var(0, correction=0) + 1e-5).sqrt()
    wanted = normed.clamp(min=0) @ head.layers[3].weight.T + head.layers[3].bias
    torch.testing.assert_close(head(tokens), wanted, atol=1e-5, rtol=1e-4)
    assert not head.layers[0].bias.any() and not head.layers[3].bias.any()


def test_dropout_falls_on_tokens_in_training_only():
    head = ActionHead(8, 25, 5, hidden=16, dropout=0.3)
    tokens, seen = torch.ones(4, 2, 50, 8), []
    head.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    head.train()(tokens)
    head.eval()(tokens)
    assert torch.equal(seen[1], torch.ones(4, 200))
    # The mean of 2 bodies x 2 segments, each 0 or 1 / 0.7.
    steps = seen[0] * 0.7 * 4
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
    assert len(steps.round().unique()) == 5


def test_absent_bodies_share_a_pass_and_change_nothing(encoder):
    clips = torch.randn(4, 2, 32, 25, 3)
    clips[[0, 2, 3], 1] = 0
    plain = encoder(clips.flatten(0, 1)).unflatten(0, (4, 2))
    rows = []
    encoder.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    torch.testing.assert_close(encode_bodies(encoder, clips), plain, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(clip_features(encoder, clips), plain.mean((1, 2)), atol=1e-5,
                               rtol=1e-4)
    assert rows == [6, 6]
    both = torch.randn(2, 2, 32, 25, 3)
    assert encode_bodies(encoder, both).shape == (2, 2, 100, 32) and rows[-1] == 4
    nobody = encode_bodies(encoder, torch.zeros(2, 2, 32, 25, 3))
    assert rows[-1] == 1 and torch.equal(nobody[0, 0], nobody[1, 1])


def test_gradient_of_shared_absent_bodies_is_that_of_all(encoder):
    clips, wanted = torch.randn(6, 2, 32, 25, 3), torch.arange(6)
    clips[1:, 1] = 0
    model = Classifier(encoder, 6, hidden=16, dropout=0.0, drop_path=0.0).train()
    grads = []
    for tokens in (encode_bodies(model.encoder, clips),
                   model.encoder(clips.flatten(0, 1)).unflatten(0, (6, 2))):
        model.zero_grad()
        F.cross_entropy(model.head(tokens), wanted).backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-3)


# ------------------------------------------------------------------ the loop


def test_defaults_are_the_lineages():
    stated = dict(epochs=100, batch_size=48, lr=3e-4, lr_end=1e-5, warmup_epochs=5,
                  weight_decay=0.05, layer_decay=0.8, drop_path=0.3, dropout=0.3, hidden=2048,
                  label_smoothing=0.1, base_rotation=0.3, test_crop=0.95)
    assert {name: getattr(FinetuneConfig(), name) for name in stated} == stated


def test_one_step_by_hand(config):
    """Loss, layer-wise rate and AdamW written out; dropout and stochastic depth off."""
    run, mine = (tuning(config, dropout=0.0, drop_path=0.0) for _ in range(2))
    assert run.optimizer.defaults["betas"] == (0.9, 0.999)
    index, epoch = run.train[:12], 2.5
    run.model.train()
    mine.model.train()
    loss = run.training_step(index, epoch, torch.Generator().manual_seed(3))

    clips = network_input(mine.bench.data, index, 32, rotation=0.3,
                          generator=torch.Generator().manual_seed(3))
    tokens = mine.model.encoder(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
    logs = mine.model.head(tokens).log_softmax(1)
    labels = mine.bench.labels[index]
    smooth = torch.full_like(logs, 0.1 / 6)
    smooth[torch.arange(12), labels] += 0.9
    by_hand = -(smooth * logs).sum(1).mean()
    by_hand.backward()
    torch.testing.assert_close(loss, by_hand.detach(), atol=1e-5, rtol=1e-5)
    rate = learning_rate(epoch, mine.config)
    # Warm-up ends after epoch 1 of 4; the cosine goes from 1e-3 to 1e-5.
    assert rate == pytest.approx(1e-5 + 0.99e-3 * (1 + math.cos(math.pi * 1.5 / 3)) / 2)
    compared = 0
    with torch.no_grad():
        for (name, p), q in zip(mine.model.named_parameters(), run.model.parameters(),
                                strict=True):
            own = rate * 0.8 ** (3 - layer_of(name, 2))
            decayed = p * (1 - own * (0.05 if p.ndim > 1 else 0))
            # First step: the debiased moments are the gradient and its square. Where the gradient
            # is itself a rounding error its sign is none, so only clear ones are compared.
            clear = p.grad.abs() > 1e-5
            wanted = decayed - own * p.grad / (p.grad.abs() + 1e-8)
            torch.testing.assert_close(q[clear], wanted[clear], atol=1e-6, rtol=1e-3,
                                       msg=lambda m, n=name: f"{n}: {m}")
            compared += int(clear.sum())
    assert compared > 0.5 * sum(p.numel() for p in mine.model.parameters())


def test_a_killed_run_goes_on_to_the_bit(config, tmp_path):
    whole = fine_tune(tuning(config), tmp_path / "whole")
    run = tuning(config)
    run.run_epoch()
    run.run_epoch()
    (tmp_path / "killed").mkdir()
    save_atomically(lambda p: torch.save(run.state(), p), tmp_path / "killed" / "last.pt")
    torch.manual_seed(99)  # another process: another state of everything
    again = fine_tune(tuning(config), tmp_path / "killed")
    for (name, a), b in zip(whole.model.state_dict().items(), again.model.state_dict().values(),
                            strict=True):
        assert torch.equal(a, b), name
    assert whole.history == again.history and torch.equal(whole.scores, again.scores)
    assert torch.equal(whole.best, again.best) and again.earlier > 0
    stamp = (tmp_path / "whole" / "last.pt").stat().st_mtime_ns
    done = fine_tune(tuning(config), tmp_path / "whole")  # finished: nothing to do
    assert torch.equal(done.scores, whole.scores) and done.seconds == done.earlier
    assert (tmp_path / "whole" / "last.pt").stat().st_mtime_ns == stamp


def test_best_epoch_is_the_first_with_the_curves_maximum(config):
    run = tuning(config)
    curve = [9.0, 30.0, 30.0, 20.0]
    marks = [torch.full((36,), k) for k in range(4)]
    for accuracy, mark in zip(curve, marks, strict=True):
        run.bench.labels[run.bench.test] = -1  # what is wanted: exactly `accuracy` of the marks
        right = round(accuracy / 100 * 36)
        run.bench.labels[run.bench.test[:right]] = mark[0]
        run.model.forward = lambda clips, m=mark: F.one_hot(m[:len(clips)], 6).float()
        row = {"accuracy": run.read_test()}
        run.history.append(row)
    best = max(r["accuracy"] for r in run.history)
    assert [r["accuracy"] for r in run.history].index(best) == 1
    assert torch.equal(run.best, marks[1])


def test_test_clips_are_read_when_asked_and_at_the_end(config, tmp_path):
    run = fine_tune(tuning(config, test_every=3), tmp_path / "o")
    assert ["accuracy" in row for row in run.history] == [False, False, True, True]


def test_test_clips_never_train(config):
    """Poison every test clip: a single training step on one would make the loss NaN."""
    run = tuning(config, test_every=10)
    for i in run.bench.test:
        for start in run.bench.store.offsets[i]:
            if start >= 0:
                end = start + run.bench.store.lengths[i]
                run.bench.data.frames[start:end] = math.nan
    assert math.isfinite(run.run_epoch()["loss"])


def test_it_learns_from_labels(config, tmp_path):
    """Six actions seen from two cameras, tested from a third."""
    config = dataclasses.replace(
        config, split="synthetic/xview", epochs=20, lr=3e-3, warmup_epochs=2, hidden=64,
        drop_path=0.1, dropout=0.1, test_every=20, checkpoint_every=20)
    for method in ("sjepa", "scratch"):
        run = fine_tune(tuning(config, method=method), tmp_path / method)
        assert run.history[-1]["loss"] < 0.8 * run.history[0]["loss"]
        # One in six by chance, and 10 of 24 by chance once in 250 times.
        assert run.history[-1]["accuracy"] > 40, method


def test_pretrained_weights_are_where_it_starts(config):
    encoder, _ = starting_encoder(config)
    run, scratch = tuning(config), tuning(config, method="scratch")
    for name, value in encoder.state_dict().items():
        assert torch.equal(run.model.encoder.state_dict()[name], value)
    assert not torch.equal(scratch.model.encoder.embed.weight, encoder.embed.weight)
    assert all(p.requires_grad for p in run.model.parameters())
    assert not any(p.requires_grad for p in run.bench.encoder.parameters())


# ------------------------------------------------------------------ faults


def test_other_settings_or_other_weights_in_the_same_folder_are_refused(config, tmp_path):
    fine_tune(tuning(config, epochs=1), tmp_path / "o")
    with pytest.raises(SjepaError, match="holds a run with lr = 0.001, not 0.002"):
        fine_tune(tuning(config, epochs=1, lr=2e-3), tmp_path / "o")
    run = tuning(config, epochs=1)
    run.origin = run.origin | {"encoder": "another"}
    with pytest.raises(SjepaError, match="of another encoder or on other clips"):
        fine_tune(run, tmp_path / "o")
    run = tuning(config, epochs=1)
    run.train = run.train[:-1]
    with pytest.raises(SjepaError, match="of another encoder or on other clips"):
        fine_tune(run, tmp_path / "o")


def test_a_loss_that_is_not_finite_stops_and_leaves_nothing(config, tmp_path):
    run = tuning(config)
    with torch.no_grad():
        run.model.head.layers[3].bias.fill_(math.nan)
    with pytest.raises(SjepaError, match="the loss is nan in epoch 1"):
        fine_tune(run, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_too_few_clips_for_batchnorm_are_named(config):
    bench = set_up(config)
    with pytest.raises(SjepaError, match="takes 1 clips a step here, and BatchNorm needs two"):
        FineTuning(bench, config, bench.encoder, bench.train[:1])


@pytest.mark.parametrize("change, said", [
    ({"drop_path": 1.0}, "drop_path = 1.0: expected 0 or more, below 1"),
    ({"layer_decay": 0.0}, "layer_decay = 0.0: expected above 0, at most 1"),
    ({"hidden": 0}, "hidden = 0: expected at least 1"),
    ({"layerdecay": 0.8}, "unknown parameter 'layerdecay': did you mean layer_decay"),
    ({"method": "random"}, "method = 'random': expected sjepa or scratch"),
])
def test_wrong_parameters_are_refused_in_words(change, said):
    with pytest.raises(SjepaError, match=said):
        make_config(FinetuneConfig, change)


def test_half_precision_stays_close(config):
    losses = {}
    for precision in ("fp32", "bf16"):
        run = tuning(config, precision=precision)
        run.model.train()
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        losses[precision] = run.training_step(run.train[:12], 0.5, generator).item()
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.03)
    assert losses["bf16"] != losses["fp32"]


def test_records_of_a_finetuning(config):
    records = evaluate("finetune", config, "the command")
    assert [r["id"] for r in records] == ["synthetic-xsub-finetune-sjepa-quick",
                                          "synthetic-xsub-finetune-sjepa-quick-top1-best-epoch"]
    assert records[1]["value"] >= records[0]["value"]
    assert records[0]["epochs"] == 1 and "fine-tuned for 4 epochs" in records[0]["note"]
    first = records[0]["hours"]
    again = evaluate("finetune", config, "the command")  # from the finished checkpoint
    assert [r["value"] for r in again] == [r["value"] for r in records]
    assert again[0]["hours"] == pytest.approx(first, abs=2e-3) and again[0]["hours"] > 0
