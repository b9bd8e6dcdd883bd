"""The other targets: what is predicted, that nothing but the target differs, and the ablations."""

import dataclasses

import pytest
import torch

from sjepa.checkpoint import save
from sjepa.diagnostics import warnings
from sjepa.encoder import patchify, take
from sjepa.inputs import draw, make_batch
from sjepa.model import SJEPA, reconstruction_target
from sjepa.pretrain import Pretraining
from sjepa.protocols.encoders import load_encoder
from sjepa.target import latent_cross_entropy, squared_error

KINDS = ("motion", "coordinates")


def of(config, **changed):
    return dataclasses.replace(config, **changed)


def test_a_target_by_hand(clip):
    """One token written out: the right wrist's third segment."""
    segment, joint, part = 4, 10, 2
    x = clip[:1]
    frames = x[0, part * segment : (part + 1) * segment + 1, joint]
    raw = {"coordinates": frames[:-1], "motion": frames[1:] - frames[:-1]}
    for kind, numbers in raw.items():
        wanted = (numbers - numbers.mean()) / (numbers.var() + 1e-6).sqrt()
        made = reconstruction_target(x, kind, segment)[0, part * 25 + joint]
        torch.testing.assert_close(made, wanted.flatten(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_all_but_the_target_is_the_same(store, tiny, kind):
    """Same encoder at the start, same crops, same masks; and the step is the one written here."""
    latent, other = Pretraining(tiny, store), Pretraining(of(tiny, target=kind), store)
    for mine, theirs in zip(latent.model.encoder.parameters(), other.model.encoder.parameters(),
                            strict=True):
        assert torch.equal(mine, theirs)
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
    torch.testing.assert_close(made.loss, (error * weight).sum() / weight.sum())


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_learns_and_leaves_the_encoder_that_was_trained(store, tiny, tmp_path, kind):
    run = Pretraining(of(tiny, target=kind, epochs=6), store)
    rows = [run.run_epoch() for _ in range(6)]
    assert rows[-1]["loss"] < rows[0]["loss"] < 1.5  # 1 is that of guessing each token's mean
    assert {"rank", "std_clips", "position_share"} <= set(rows[-1])
    assert "entropy" not in rows[-1] and rows[-1]["momentum"] == 0
    assert isinstance(warnings(rows[-1], tiny.dim), list)
    save(run, tmp_path)
    encoder, result = load_encoder(tmp_path)
    assert result["settings"]["target"] == kind
    for left, trained in zip(encoder.parameters(), run.model.encoder.parameters(), strict=True):
        assert torch.equal(left, trained)


def test_squared_error_weighs_rows():
    guess, wanted = torch.randn(2, 3, 5, 4)
    all_rows = squared_error(guess[[0, 1, 1, 2]], wanted[[0, 1, 1, 2]])
    weight = torch.tensor([1.0, 2.0, 1.0])
    torch.testing.assert_close(squared_error(guess, wanted, weight), all_rows)
    assert squared_error(guess.bfloat16(), wanted).dtype == torch.float32


def test_masking_the_input_hides_what_stands_around_a_target(store, tiny):
    """Masked at the output, a target sees the visible tokens; masked at the input, it does not."""
    torch.manual_seed(0)
    models = {at: SJEPA(of(tiny, mask_at=at)) for at in ("output", "input")}
    models["input"].load_state_dict(models["output"].state_dict())
    run = Pretraining(tiny, store)
    x, view, keep, masked = draw(
        make_batch(run.data, run.train[:4], tiny, run.generator)[0], tiny, run.generator)
    tokens = patchify(x, tiny.segment)
    flat = tokens.flatten(1, 2).clone()
    flat.scatter_add_(1, keep[:, :, None].expand(-1, -1, flat.shape[2]),
                      torch.full((*keep.shape, flat.shape[2]), 0.3))
    other = flat.view_as(tokens).unflatten(3, (tiny.segment, 3)).transpose(2, 3)
    other = other.reshape(x.shape)
    for at, sees in (("output", True), ("input", False)):
        one, two = (models[at](clip, view, keep, masked).target for clip in (x, other))
        assert torch.allclose(one, two, atol=1e-6) is not sees


def test_mse_compares_the_latents_themselves(store, tiny):
    run = Pretraining(of(tiny, loss="mse"), store)
    drawn = draw(make_batch(run.data, run.train[:4], tiny, run.generator)[0], tiny, run.generator)
    made = run.model(*drawn)
    torch.testing.assert_close(made.loss, (made.predicted - made.target).square().mean())
    centre = torch.zeros(tiny.dim)
    assert made.loss != latent_cross_entropy(made.predicted, made.target, centre)
