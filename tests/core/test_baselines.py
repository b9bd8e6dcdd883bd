"""The other targets: what is predicted, that nothing but the target differs, and the ablations."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from sjepa.checkpoint import save
from sjepa.diagnostics import warnings
from sjepa.encoder import take
from sjepa.inputs import draw, make_batch
from sjepa.model import reconstruction_target
from sjepa.pretrain import Pretraining
from sjepa.protocols.encoders import load_encoder

KINDS = ("motion", "coordinates")


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


@pytest.mark.parametrize("kind", KINDS)
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


@pytest.mark.parametrize("kind", KINDS)
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


def passed(store, config):
    """What a run with these settings makes of a batch, with the batch and the model."""
    run = Pretraining(config, store)
    drawn = draw(make_batch(run.data, run.train[:4], config, run.generator)[0], config,
                 run.generator)
    return run.model(*drawn), drawn, run.model


def test_masked_at_the_input_targets_see_the_masked_tokens_alone(store, tiny):
    made, (x, _, _, masked), model = passed(store, replace(tiny, mask_at="input"))
    assert torch.equal(made.target, model.target.encoder(x, masked))


def test_mse_compares_the_latents_themselves(store, tiny):
    made, *_ = passed(store, replace(tiny, loss="mse"))
    assert_close(made.loss, (made.predicted - made.target).square().mean())
    assert made.loss != passed(store, tiny)[0].loss
