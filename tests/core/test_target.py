"""Targets: EMA, centre and loss by their formulas, what else can be predicted, the monitors."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import entr, log_softmax, rel_entr, softmax
from torch.testing import assert_close

from sjepa.checkpoint import save
from sjepa.config import PretrainConfig, make_config
from sjepa.diagnostics import effective_rank, gram, mean_reading, monitors, position_share, warnings
from sjepa.encoder import Encoder, patchify, take
from sjepa.inputs import draw, make_batch
from sjepa.masking import motion_aware_mask
from sjepa.model import SJEPA, Step, StepOutput, reconstruction_target
from sjepa.pretrain import Pretraining
from sjepa.protocols.encoders import load_encoder
from sjepa.target import TargetEncoder, ema_momentum, latent_cross_entropy, sharpen, squared_error


def plain_loss(p, t, c, tau_p, tau_t):
    """The loss from the formula, in float64 and scipy."""
    p, t, c = (np.asarray(a, np.float64) for a in (p, t, c))
    return -(softmax((t - c) / tau_t, -1) * log_softmax(p / tau_p, -1)).sum(-1).mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_equals_the_formula(dtype):
    """It is float32 whatever comes in."""
    p, t, c = (torch.randn(shape).to(dtype) for shape in ((3, 7, 256), (3, 7, 256), (256,)))
    loss, other = latent_cross_entropy(p, t, c), latent_cross_entropy(p, t, c, tau_p=0.3, tau_t=0.2)
    p, t, c = p.float(), t.float(), c.float()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(plain_loss(p, t, c, 0.1, 0.06), rel=1e-5)
    assert other.item() == pytest.approx(plain_loss(p, t, c, 0.3, 0.2), rel=1e-5)


def test_gradient_flows_to_the_prediction_alone():
    p, t, c = (torch.randn(2, 5, 16, requires_grad=True), torch.randn(2, 5, 16, requires_grad=True),
               torch.randn(16, requires_grad=True))
    latent_cross_entropy(p, t, c.detach()).backward()
    assert t.grad is None
    wanted = ((p / 0.1).softmax(-1) - sharpen(t, c)) / 0.1 / 10
    assert_close(p.grad, wanted)


@pytest.mark.parametrize("loss", [
    squared_error, functools.partial(latent_cross_entropy, center=torch.linspace(-1, 1, 16))])
def test_weights_stand_for_equal_rows(loss):
    predicted, target, rows = *torch.randn(2, 3, 5, 16), [0, 1, 2, 2, 2, 2]
    weighted = loss(predicted, target, weight=torch.tensor([1.0, 1.0, 4.0]))
    assert_close(weighted, loss(predicted[rows], target[rows]))
    assert loss(predicted.bfloat16(), target).dtype == torch.float32


def test_center_formula():
    target = TargetEncoder(Encoder(16, 0, 4))
    wanted = np.zeros(16)
    for seed in range(5):
        latents = torch.randn(4, 9, 16, generator=torch.Generator().manual_seed(seed)) + 3
        target.update_center(latents)
        wanted = 0.9 * wanted + 0.1 * latents.numpy().astype(np.float64).mean((0, 1))
    np.testing.assert_allclose(target.center, wanted, rtol=1e-5)
    assert target.center.dtype == torch.float32 and target.center.shape == (16,)
    weighted = TargetEncoder(Encoder(16, 0, 4), beta=0.0)
    weighted.update_center(latents[:2], torch.tensor([1.0, 3.0]))
    assert_close(weighted.center, latents[[0, 1, 1, 1]].mean((0, 1)))


def test_ema_formula_for_every_weight():
    encoder = Encoder(16, 2, 4)
    target = TargetEncoder(encoder)
    before = {n: p.double().clone() for n, p in target.encoder.named_parameters()}
    with torch.no_grad():
        for p in encoder.parameters():
            p.add_(torch.randn_like(p))
    target.update(encoder, 0.996)
    wanted = {n: 0.996 * before[n] + 0.004 * p.double() for n, p in encoder.named_parameters()}
    made = {n: p.double() for n, p in target.encoder.named_parameters()}
    assert_close(made, wanted, atol=1e-7, rtol=1e-6)


def test_momentum_schedule(drawn):
    """On a half cosine; a short run, which names no start, has a memory of 20 steps at first."""
    model, *_ = drawn
    model.config = make_config(PretrainConfig, dict(preset="quick"))
    step = Step(0, 400, torch.zeros(1, 1, 32))
    assert model.after_step(step) == {"momentum": pytest.approx(0.95)}
    assert ema_momentum(0, 100) == pytest.approx(0.9999)
    assert ema_momentum(100, 100) == pytest.approx(1.0)
    assert ema_momentum(25, 100) == pytest.approx(1 - 1e-4 * (1 + 0.5**0.5) / 2, abs=1e-8)
    values = [ema_momentum(k, 100, 0.9) for k in range(101)]
    assert all(a < b for a, b in zip(values[:-1], values[1:], strict=True))


@pytest.fixture
def drawn(clip):
    """A model, and the visible and masked tokens of the clip."""
    torch.manual_seed(0)
    config = make_config(PretrainConfig, dict(dim=32, depth=2, heads=4, predictor_depth=1))
    return SJEPA(config), *motion_aware_mask(patchify(clip))


def test_the_targets_output_is_masked_and_not_its_input(drawn, clip):
    """A target must know what stands around it: it changes with joints far from its own token."""
    model, keep, masked = drawn
    made = model(clip, clip, keep, masked)
    assert torch.equal(made.target, take(model.target(clip), masked))
    assert made.target.shape == (1, 675, 32) and made.latents.shape == (1, 750, 32)
    assert (made.target - model.target.encoder(clip, masked)).abs().max() > 1e-3
    near = clip.clone()
    first_kept = keep[0, 0].item()  # a visible token: under input masking targets could not see it
    near[0, 4 * (first_kept // 25) : 4 * (first_kept // 25) + 4, first_kept % 25] += 1.0
    assert (model.target(near)[:, masked[0]] - made.target).abs().amax(-1).min() > 0


def test_the_target_sees_the_clip_and_not_the_view(drawn, clip):
    model, keep, masked = drawn
    a, b = model(clip, clip, keep, masked), model(clip, clip + 0.5, keep, masked)
    assert torch.equal(a.target, b.target)
    assert not torch.equal(a.predicted, b.predicted)


def test_the_loss_has_the_centre_and_the_temperatures_of_the_settings(drawn, clip):
    model, keep, masked = drawn
    model.config = replace(model.config, tau_p=0.4, tau_t=0.2)
    model.target.center.normal_()
    made = model(clip, clip, keep, masked)
    wanted = plain_loss(made.predicted.detach(), made.target, model.target.center, 0.4, 0.2)
    assert made.loss.item() == pytest.approx(wanted, rel=1e-5)


def test_ablations_of_mask_and_loss(drawn, clip):
    """Masked at the input, targets see the masked tokens alone; `mse` compares the latents."""
    model, keep, masked = drawn
    model.config = replace(model.config, mask_at="input")
    made = model(clip, clip, keep, masked)
    assert torch.equal(made.target, model.target.encoder(clip, masked))
    model.config = replace(model.config, loss="mse")
    loss = model(clip, clip, keep, masked).loss
    assert_close(loss, (made.predicted - made.target).square().mean())
    assert loss != made.loss


def test_gradients_reach_all_but_the_target_which_is_a_copy(drawn, clip):
    model, keep, masked = drawn
    for a, b in zip(model.encoder.parameters(), model.target.encoder.parameters(), strict=True):
        assert torch.equal(a, b) and a.data_ptr() != b.data_ptr()
    model(clip, clip, keep, masked).loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in model.target.parameters())
    trained = [*model.encoder.parameters(), *model.predictor.parameters()]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained)


def test_monitors_see_each_collapse():
    g = torch.Generator().manual_seed(0)
    healthy = torch.randn(16, 50, 64, generator=g)
    by_position = torch.randn(1, 50, 64, generator=g).expand(16, -1, -1) + 1e-4 * healthy
    for latents, said in ((healthy, ""), (by_position, "position"), (1e-4 * healthy, "uniform"),
                          (healthy + 20 * torch.eye(64)[3], "one channel")):
        made = StepOutput(torch.tensor(1.0), latents, latents, latents)
        readings = {k: mean_reading([v]) for k, v in monitors(made, torch.zeros(64)).items()}
        warned = " ".join(warnings(readings, 64))
        assert said in warned and bool(warned) == bool(said)


def test_entropy_and_kl_follow_the_losss_weights():
    target, predicted = torch.randn(2, 6, 5, 16).unbind()
    center, weight = torch.randn(16), torch.tensor([1.0, 2, 3, 1, 1, 5])
    loss = latent_cross_entropy(predicted, target, center, weight=weight)
    readings = monitors(StepOutput(loss, target, target, predicted), center, weight=weight)
    rows = torch.arange(6).repeat_interleave(weight.long())
    p = sharpen(target[rows], center).double().numpy()
    q = softmax(predicted[rows].double().numpy() / 0.1, -1)
    for name, wanted in (("entropy", entr(p)), ("kl", rel_entr(p, q))):
        assert readings[name].item() == pytest.approx(wanted.sum(-1).mean(), rel=1e-4)


def test_position_share_by_formula():
    latents = torch.randn(8, 10, 4) + torch.randn(1, 10, 4)
    x = latents.numpy().astype(np.float64)
    wanted = x.mean(0).var(0).sum() / x.reshape(-1, 4).var(0).sum()
    assert position_share(latents).item() == pytest.approx(wanted, rel=1e-4)
    assert position_share(torch.randn(1, 10, 4).expand(8, -1, -1)).item() == pytest.approx(1)


@pytest.mark.parametrize("rows", [6, 40])
def test_rank_is_that_of_the_singular_values(rows):
    """From the products of channels as from the features themselves."""
    features = torch.randn(rows, 16) * torch.logspace(0, -4, 16)
    values = torch.linalg.svdvals(features.double())
    share = values / values.sum()
    wanted = torch.exp(-(share * share.log()).sum()).item()
    assert mean_reading([gram(features), gram(features)]) == pytest.approx(wanted, rel=1e-5)
    features[0, 0] = torch.inf
    assert effective_rank(gram(features)).isnan()


def test_a_target_by_hand(clip):
    """One token written out: the right wrist's third segment."""
    segment, joint, part = 4, 10, 2
    x = clip[:1]
    frames = x[0, part * segment : (part + 1) * segment + 1, joint]
    raw = {"coordinates": frames[:-1], "motion": frames[1:] - frames[:-1]}
    for kind, numbers in raw.items():
        wanted = (numbers - numbers.mean()) / (numbers.var() + 1e-6).sqrt()
        made = reconstruction_target(x, kind, segment)[0, part * 25 + joint]
        assert_close(made, wanted.flatten(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["motion", "coordinates"])
def test_all_but_the_target_is_the_same(store, tiny, kind):
    """Same encoder at the start, same crops, same masks; and the step is the one written here."""
    latent, other = Pretraining(tiny, store), Pretraining(replace(tiny, target=kind), store)
    assert_close(latent.model.encoder.state_dict(), other.model.encoder.state_dict(),
                 atol=0, rtol=0)
    (x, weight), (again, _) = (make_batch(run.data, run.train[:6], run.config, run.generator)
                               for run in (latent, other))
    assert torch.equal(x, again)
    drawn, same = (draw(x, run.config, run.generator) for run in (latent, other))
    assert all(torch.equal(a, b) for a, b in zip(drawn, same, strict=True))
    x, view, keep, masked = same
    made = other.model(x, view, keep, masked, weight)
    guess = other.model.predictor(other.model.encoder(x, keep), keep, masked)
    wanted = take(reconstruction_target(x, kind, tiny.segment), masked)
    error = (guess - wanted).square().flatten(1).mean(1)
    weight = torch.ones(len(x)) if weight is None else weight
    assert_close(made.loss, (error * weight).sum() / weight.sum())


@pytest.mark.parametrize("kind", ["motion", "coordinates"])
def test_a_run_learns_and_leaves_the_encoder_that_was_trained(store, tiny, tmp_path, kind):
    run = Pretraining(replace(tiny, target=kind, epochs=6), store)
    rows = [run.run_epoch() for _ in range(6)]
    assert rows[-1]["loss"] < rows[0]["loss"] < 1.5  # 1 is that of guessing each token's mean
    assert {"rank", "std_clips", "position_share"} <= set(rows[-1])
    assert "entropy" not in rows[-1] and rows[-1]["momentum"] == 0
    assert isinstance(warnings(rows[-1], tiny.dim), list)
    save(run, tmp_path)
    encoder, result = load_encoder(tmp_path)
    assert result["settings"]["target"] == kind
    assert_close(encoder.state_dict(), run.model.encoder.state_dict(), atol=0, rtol=0)
