"""What the networks are shown: crops, views, masks and streams, by loops and by statistics."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.nn import functional as F

from sjepa import views
from sjepa.clips import DeviceStore, center_crop, crop_resize, train_crop
from sjepa.config import STREAMS
from sjepa.datasets.splits import split
from sjepa.encoder import patchify
from sjepa.inputs import draw, make_batch, to_stream
from sjepa.masking import motion_aware_mask, motion_intensity, motion_logits
from sjepa.pretrain import Pretraining, run_folder
from sjepa.protocols.features import extract, network_input
from sjepa.skeleton import NTU25, NTU_BONES, NTU_FLIP_PAIRS
from sjepa.views import base_rotation, geometric_view


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def ragged():
    """Three clips of 5, 90 and 200 frames; only the second has a second body."""
    frames = torch.randn(5 + 90 + 90 + 200, 25, 3, generator=seeded())
    offsets = torch.tensor([[0, -1], [5, 95], [185, -1]])
    return DeviceStore(frames, offsets, torch.tensor([5, 90, 200]), torch.zeros(3).long())


@pytest.mark.parametrize("frames", [16, 64, 120])
def test_crop_resize_equals_interpolate(ragged, frames):
    begin, span = torch.tensor([1, 10, 33]), torch.tensor([3, 64, 150])
    made = crop_resize(ragged, torch.arange(3), begin, span, frames)
    for (i, body), start in np.ndenumerate(ragged.offsets):
        crop = ragged.frames[start + begin[i] : start + begin[i] + span[i]].flatten(1).T[None]
        wanted = F.interpolate(crop, size=frames, mode="linear", align_corners=False)[0]
        torch.testing.assert_close(made[i, body].flatten(1).T, wanted if start >= 0 else 0 * wanted,
                                   atol=2e-5, rtol=1e-4)


def test_single_frame_clip_survives(ragged):
    ragged.lengths[0] = 1
    made = center_crop(ragged, torch.tensor([0]), 120)
    assert torch.equal(made[0, 0], ragged.frames[:1].expand(120, -1, -1))


@pytest.fixture
def spans(monkeypatch):
    """Crops give where they begin and how long they are."""
    monkeypatch.setattr("sjepa.clips.crop_resize", lambda s, i, begin, span, f: (begin, span))


def test_train_crop_keeps_within_the_clip_and_long_enough(ragged, spans):
    index = torch.tensor([0, 1, 2]).repeat(500)
    begin, span = train_crop(ragged, index, 120, generator=seeded())
    length = ragged.lengths[index]
    assert (begin >= 0).all() and (begin + span <= length).all()
    assert (span[length == 5] == 5).all()  # shorter than 64: the whole clip
    assert (span[length == 90] >= 64).all()
    long = span[length == 200]
    assert long.min() >= 100 and long.max() <= 200 and 140 < long.float().mean() < 160
    free = begin[length == 200] / (200 - long + 1)
    assert 0.4 < free.mean() < 0.6


def test_center_crop_is_central(ragged, spans):
    for share, wanted in (((), (5, 190)), ((0.5,), (50, 100))):  # 95 % unless it is said
        begin, span = center_crop(ragged, torch.tensor([2]), 120, *share)
        assert (begin.item(), span.item()) == wanted


def test_rotations_are_proper_and_invert():
    angles = torch.rand(20, 3, generator=seeded(), dtype=torch.float64) * 2 - 1
    axis = F.normalize(torch.randn(20, 3, generator=seeded(1), dtype=torch.float64), dim=-1)
    for r in (views.euler_rotation(angles), views.axis_rotation(axis, angles[:, 0])):
        eye = torch.eye(3, dtype=torch.float64).expand(20, 3, 3)
        torch.testing.assert_close(r @ r.transpose(1, 2), eye)
        torch.testing.assert_close(torch.linalg.det(r), torch.ones(20, dtype=torch.float64))
    turn = views.axis_rotation(axis, angles[:, 0])
    torch.testing.assert_close((turn @ axis[..., None])[..., 0], axis)
    torch.testing.assert_close(turn.transpose(1, 2), views.axis_rotation(axis, -angles[:, 0]))


def test_euler_order_is_z_y_x():
    a = torch.tensor([[0.3, -0.2, 0.5]], dtype=torch.float64)
    axes = torch.eye(3, dtype=torch.float64)
    x, y, z = (views.axis_rotation(axes[k : k + 1], a[:, k]) for k in range(3))
    torch.testing.assert_close(views.euler_rotation(a), z @ y @ x)


def test_rotation_about_the_body_can_be_undone(clip):
    angle = torch.tensor([0.7])
    turned = views.rotate_about_body(clip, angle)
    assert (turned - clip).abs().max() > 0.1
    torch.testing.assert_close(views.rotate_about_body(turned, -angle), clip, atol=1e-5, rtol=1e-5)
    assert torch.allclose(turned[:, 0, [0, 20]], clip[:, 0, [0, 20]], atol=1e-5)  # the axis stays


def test_flip_swaps_sides_and_is_its_own_inverse(clip):
    yes = torch.tensor([True])
    mirrored = views.flip(clip, yes)
    for left, right in NTU_FLIP_PAIRS:
        assert torch.equal(mirrored[:, :, left], clip[:, :, right] * torch.tensor([-1.0, 1, 1]))
    assert torch.equal(views.flip(mirrored, yes), clip)
    assert torch.equal(views.flip(clip, torch.tensor([False])), clip)
    moved = [k for k, j in enumerate(NTU25.flip_permutation) if k != j]
    assert len(moved) == 20 and sorted(NTU25.flip_permutation) == list(range(25))


def test_absent_bodies_and_frames_stay_zero_and_all_others_keep_their_bones(clip):
    x = torch.cat((torch.zeros_like(clip), clip))
    x[1, 40:60] = 0
    view = geometric_view(x, 0.8, 0.5, 1.0, seeded())
    assert torch.isfinite(view).all()
    assert not view[0].any() and not view[1, 40:60].any()
    assert not views.translate(x, torch.ones(2, 3))[0].any()
    view = geometric_view(clip, 0.8, 0.3, 0.0, seeded())
    a, b = torch.tensor(NTU_BONES).T
    lengths = [(x[:, :, a] - x[:, :, b]).norm(dim=-1) for x in (view, clip)]
    torch.testing.assert_close(*lengths, atol=1e-5, rtol=1e-5)


def test_a_body_without_an_axis_turns_about_the_vertical(clip):
    x = clip.clone()
    x[:, :, 20] = x[:, :, 0]
    turned = views.rotate_about_body(x, torch.tensor([0.5]))
    assert torch.isfinite(turned).all()
    torch.testing.assert_close(turned[..., 1], x[..., 1], atol=1e-5, rtol=1e-5)


def even(draws, limit):
    """Whether `draws` `[N, ...]` fill both sides of ± `limit`, in each column."""
    return (draws.abs() <= limit).all() and all(
        (side.amax(0) >= 0.95 * limit).all() for side in (draws, -draws))


@pytest.mark.parametrize("asked", [{}, dict(rotation=1.0, translation=0.2, flip_p=0.2)])
def test_views_are_drawn_evenly_from_the_ranges(clip, monkeypatch, asked):
    """From those asked for; by default from the lineage's rotation, a tenth of a metre, a half."""
    rotation, translation, flip_p = asked.values() or (0.3, 0.1, 0.5)
    drawn, x = [], clip.expand(500, -1, -1, -1)
    for name in ("rotate_about_body", "translate", "flip"):
        monkeypatch.setattr(views, name, lambda x, amount, *_: drawn.append(amount) or x)
    geometric_view(x, generator=seeded(), **asked)
    angle, shift, which = drawn
    assert even(angle, rotation) and even(shift, translation)
    assert abs(which.float().mean() - flip_p) < 0.07
    monkeypatch.undo()
    torch.testing.assert_close(geometric_view(x[:9], 0.0, 0.0, 0.0, seeded()), x[:9])


@pytest.mark.parametrize("asked", [(), (1.0,)])
def test_the_base_rotation_is_drawn_evenly_about_all_axes(clip, monkeypatch, asked):
    angles = []
    monkeypatch.setattr(views, "euler_rotation", lambda a: angles.append(a) or torch.eye(3).expand(
        len(a), 3, 3))
    base_rotation(clip.expand(500, 1, -1, -1, -1), *asked, generator=seeded())
    assert even(angles[0], *(asked or (0.3,)))


def test_base_rotation_turns_both_bodies_together(clip):
    x = torch.stack((clip, clip), 1)
    turned = base_rotation(x, 0.3, seeded())
    assert torch.equal(turned[:, 0], turned[:, 1])
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


@example(30, 25, 0.9, 0)  # the paper's: 75 of 750 are kept, where `int()` would give 74
@given(st.integers(1, 6), st.integers(1, 9), st.floats(0.05, 0.95), st.integers(0, 10_000))
def test_any_shape_splits_all_tokens(segments, joints, ratio, seed):
    tokens = torch.randn(2, segments, joints, 3, generator=seeded(seed))
    keep, masked = motion_aware_mask(tokens, ratio, generator=seeded(seed))
    count = segments * joints
    assert keep.shape[1] == (75 if count == 750 else round(count * (1 - ratio)))
    assert (keep.diff() > 0).all() and (masked.diff() > 0).all()
    both = torch.cat((keep, masked), 1).sort(1).values
    assert torch.equal(both, torch.arange(count).expand(2, -1))


def test_intensity_and_logits_by_loops(clip):
    """The most that a token moves counts 1 / tau: its odds to one that stands are e^(1 / tau)."""
    tokens = patchify(clip)[0]
    wanted = torch.zeros(30, 25)
    for s in range(1, 30):
        for v in range(25):
            wanted[s, v] = sum(abs(tokens[s, v, f] - tokens[s - 1, v, f]) for f in range(12)) / 12
    wanted[0] = wanted[1]
    torch.testing.assert_close(motion_intensity(tokens[None])[0], wanted.flatten())
    torch.testing.assert_close(motion_logits(tokens[None], tau=0.8)[0],
                               (wanted / wanted.max()).flatten() / 0.8)


def test_frequencies_are_those_of_sampling_without_replacement():
    """Against the exact law, which draws the masked ones one by one from the softmax.

    8 tokens, 2 masked; 40,000 draws. Each probability has a standard error under 0.0025: 4 of them.
    """
    tokens = torch.zeros(40_000, 2, 4, 3)
    tokens[:, 1] = torch.tensor([0.0, 0.3, 0.6, 1.0])[:, None]
    single = motion_logits(tokens[:1, :, :], 0.8)[0, :4].exp()
    weight = torch.cat((single, single))  # the first segment copies the second
    _, masked = motion_aware_mask(tokens, 0.25, 0.8, seeded(1))
    seen = torch.zeros(8).scatter_add_(0, masked.flatten(), torch.ones(masked.numel())) / 40_000
    exact = torch.zeros(8)
    for a, b in itertools.permutations(range(8), 2):
        p = weight[a] / weight.sum() * weight[b] / (weight.sum() - weight[a])
        exact[a] += p
        exact[b] += p
    assert (seen - exact).abs().max() < 0.01


def test_absent_body_gets_a_uniform_mask():
    tokens = torch.zeros(2000, 30, 25, 12)
    keep, _ = motion_aware_mask(tokens, generator=seeded())
    share = torch.bincount(keep.flatten(), minlength=750) / 2000
    assert (share - 0.1).abs().max() < 6 * math.sqrt(0.1 * 0.9 / 2000)


def test_joints_follow_from_the_first_frame_and_the_motion(clip):
    made = to_stream(clip, "motion")
    assert not made[:, -1].any()
    again = torch.cat((clip[:, :1], clip[:, :1] + made[:, :-1].cumsum(1)), 1)
    torch.testing.assert_close(again, clip, atol=1e-4, rtol=0)


@pytest.mark.parametrize("stream", STREAMS)
def test_absent_bodies_and_frames_stay_zero(clip, stream):
    x = torch.stack((clip, torch.zeros_like(clip)), 1)  # [1, M, T, V, 3]
    x[:, 0, 40:50] = 0
    made = to_stream(x, stream)
    assert made.shape == x.shape
    assert not made[:, 1].any() and not made[:, 0, 40:50].any()
    assert made[:, 0, 38].any() and made[:, 0, 51].any()
    if stream == "motion":  # being lost is no jump to the origin, nor is being found again
        assert not made[:, 0, 39].any() and made.abs().max() < 0.5 * x.abs().max()


def test_a_batch_is_cropped_and_turned_as_the_settings_say(store, tiny):
    config = replace(tiny, crop=0.9, base_rotation=1.5, empty_bodies="all")
    data, index = store.to("cpu"), torch.arange(8)
    x, _ = make_batch(data, index, config, seeded())
    generator = seeded()
    clips = train_crop(data, index, config.frames, 0.9, generator=generator)
    assert torch.equal(x, base_rotation(clips, 1.5, generator).flatten(0, 1))


def test_pretraining_sees_the_stream_and_draws_the_mask_from_joints(store, tiny):
    """Not from the view's joints nor from the stream; each stream has a loss of its own."""
    losses = {}
    for stream in STREAMS:
        config = replace(tiny, stream=stream, view_rotation=1.0, view_translation=0.2,
                                     view_flip=0.7, mask_ratio=0.8, mask_tau=0.3)
        run = Pretraining(config, store)
        x, weight = make_batch(run.data, run.train[:6], config, run.generator)
        state = run.generator.get_state()
        losses[stream] = run.model(*draw(x, config, run.generator), weight).loss
        run.generator.set_state(state)
        view = geometric_view(x, 1.0, 0.2, 0.7, run.generator)
        keep, masked = motion_aware_mask(patchify(x, 8), 0.8, 0.3, run.generator)
        seen, viewed = to_stream(x, stream), to_stream(view, stream)
        assert torch.equal(losses[stream], run.model(seen, viewed, keep, masked, weight).loss)
    assert len({round(loss.item(), 4) for loss in losses.values()}) == 3


def test_runs_of_other_streams_live_apart(tiny):
    folders = {run_folder(replace(tiny, stream=s)).name for s in STREAMS}
    assert folders == {"quick-synthetic-xsub-0", "quick-synthetic-xsub-0-bone",
                       "quick-synthetic-xsub-0-motion"}


def test_features_are_those_of_the_stream(store, tiny):
    encoder = Pretraining(tiny, store).model.target.encoder.eval()
    data, index = store.to("cpu"), split(tiny.split, store)[1][:5]
    clips = to_stream(network_input(data, torch.from_numpy(index), 32), "bone")
    with torch.no_grad():
        wanted = encoder(clips.flatten(0, 1)).mean(1).view(5, -1, 32).mean(1)
    torch.testing.assert_close(extract(encoder, data, index, stream="bone"), wanted,
                               atol=1e-5, rtol=1e-4)
