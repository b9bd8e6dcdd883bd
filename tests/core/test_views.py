"""Crops against the lineage's feeder; views that are rigid, invertible, and spare the absent."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sjepa import views
from sjepa.clips import DeviceStore, center_crop, crop_resize, train_crop
from sjepa.skeleton import NTU25, NTU_BONES, NTU_FLIP_PAIRS


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
    view = views.geometric_view(x, 0.8, 0.5, 1.0, seeded())
    assert torch.isfinite(view).all()
    assert not view[0].any() and not view[1, 40:60].any()
    assert not views.translate(x, torch.ones(2, 3))[0].any()
    view = views.geometric_view(clip, 0.8, 0.3, 0.0, seeded())
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
    views.geometric_view(x, generator=seeded(), **asked)
    angle, shift, which = drawn
    assert even(angle, rotation) and even(shift, translation)
    assert abs(which.float().mean() - flip_p) < 0.07
    monkeypatch.undo()
    torch.testing.assert_close(views.geometric_view(x[:9], 0.0, 0.0, 0.0, seeded()), x[:9])


@pytest.mark.parametrize("asked", [(), (1.0,)])
def test_the_base_rotation_is_drawn_evenly_about_all_axes(clip, monkeypatch, asked):
    angles = []
    monkeypatch.setattr(views, "euler_rotation", lambda a: angles.append(a) or torch.eye(3).expand(
        len(a), 3, 3))
    views.base_rotation(clip.expand(500, 1, -1, -1, -1), *asked, generator=seeded())
    assert even(angles[0], *(asked or (0.3,)))


def test_base_rotation_turns_both_bodies_together(clip):
    x = torch.stack((clip, clip), 1)
    turned = views.base_rotation(x, 0.3, seeded())
    assert torch.equal(turned[:, 0], turned[:, 1])
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
