"""Features of clips at hand: those of evaluation, each clip by itself, bad input in words."""

import copy

import numpy as np
import pytest
import torch

import sjepa
from sjepa.datasets import open_store, write_store
from sjepa.datasets.motion import read_motion
from sjepa.datasets.posture import fill_joints
from sjepa.encoder import Encoder
from sjepa.errors import SjepaError
from sjepa.protocols.encoders import load_encoder, load_pretrained
from sjepa.protocols.features import embed, extract


@pytest.fixture(scope="module")
def encoder(finished):
    return load_encoder(finished)[0]


@pytest.fixture(scope="module")
def some(store):
    """Indices of clips with one body and with two."""
    pairs = store.offsets[:, 1] >= 0
    return np.concatenate([np.flatnonzero(pairs)[:4], np.flatnonzero(~pairs)[::5]])


@pytest.mark.parametrize("dtype, stream", [
    ("float32", None), ("int16", None), ("float32", "bone"), ("float32", "motion")])
def test_features_are_those_of_evaluation(store, encoder, some, tmp_path, dtype, stream):
    clips = [store.clip(i) for i in some]
    assert len(some) > 8 and len(set(store.lengths[some])) > 4
    small = open_store(write_store(tmp_path / "small", clips, [0] * len(some), dtype=dtype))
    index = np.arange(len(small))
    wanted = extract(encoder, small.to("cpu"), index, stream=stream or "joint").numpy()
    made = embed([small.clip(i) for i in index], encoder, stream=stream)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, wanted)


def test_encoder_clips_and_gradients_are_left_alone(encoder, store, finished, some):
    """A folder names its encoder; arrays and tensors are read where they lie."""
    clip = store.clip(some[0])[:, 0] + np.float32(2)
    before, bare = clip.copy(), Encoder(32, 1, 4, frames=32, segment=8)
    np.testing.assert_array_equal(sjepa.embed([clip], finished), embed([clip], encoder))
    assert isinstance(embed([clip, torch.from_numpy(clip)], bare), np.ndarray)
    np.testing.assert_array_equal(clip, before)
    assert all(p.requires_grad and p.grad is None for p in bare.parameters())


def test_a_clip_has_its_feature_in_any_company(store, encoder, some):
    clips = [store.clip(i) if k % 2 else store.clip(i)[:, 0] for k, i in enumerate(some)]
    together = embed(clips, encoder)
    for clip, feature in zip(clips, together, strict=True):
        np.testing.assert_allclose(embed([clip], encoder)[0], feature, atol=1e-5)


def test_an_absent_body_takes_part_as_in_evaluation(store, encoder, some):
    alone = store.clip(some[-1])[:, 0]
    assert not store.clip(some[-1])[:, 1].any()
    wanted = extract(encoder, store.to("cpu"), some[-1:]).numpy()
    np.testing.assert_allclose(embed([alone], encoder, bodies=2), wanted, atol=1e-6)
    assert np.abs(embed([alone], encoder) - wanted).max() > 1e-3


def test_where_a_clip_stands_does_not_matter_unless_it_is_said_to(store, encoder, some):
    clip = store.clip(some[-1])[:, :1]
    away = clip + np.float32([0.5, 1, 3])
    np.testing.assert_allclose(embed([away], encoder), embed([clip], encoder), atol=1e-4)
    moved = embed([away], encoder, center=False) - embed([clip], encoder, center=False)
    assert np.abs(moved).max() > 1e-2


def test_any_number_of_frames_and_one_frame_is_a_still(store, encoder, some):
    clip = store.clip(some[-1])[:, :1]
    still = embed([clip[:1]], encoder)
    np.testing.assert_allclose(embed([clip[:1].repeat(100, 0)], encoder), still, atol=1e-6)
    assert all(np.isfinite(embed([clip[:frames]], encoder)).all() for frames in (2, 3, 5))


@pytest.mark.parametrize("value", [0, np.nan])
def test_absent_joints_are_derived_and_not_left_at_the_origin(store, encoder, some, value):
    """Those that a Kinect v1 lacks."""
    clip = store.clip(some[0]) + np.float32((0, 0, 2)) * store.clip(some[0]).any((2, 3))[
        ..., None, None]
    whole, lacking = embed([clip], encoder), clip.copy()
    lacking[:, :, [2, 21, 22, 23, 24]] = value
    made = fill_joints(lacking, "a")
    assert np.median(np.linalg.norm(made - clip, axis=-1), axis=0).max() < 0.25  # noisy tips
    np.testing.assert_array_equal(made[:, :, :2], clip[:, :, :2])
    np.testing.assert_array_equal(embed([lacking], encoder), embed([made], encoder))
    assert np.abs(embed([lacking], encoder) - whole).mean() < 0.3 * np.abs(whole).mean()
    lacking[5:9, 0, 1], lacking[5:9, 0, 7] = value, value  # for a while
    gap = np.linalg.norm(fill_joints(lacking, "a") - made, axis=-1)
    assert 0 < gap[5:9, 0, [1, 7]].max() < 0.3 and not gap[:5].any() and not gap[9:].any()
    lacking[:, 0, 13] = value
    with pytest.raises(SjepaError, match="clip 0: left knee are in no frame"):
        embed([lacking], encoder)


def test_a_centred_spine_is_no_absent_one(store, some):
    clip = store.clip(some[-1])[:, :1]
    for joint, frames in ((0, slice(None)), (1, slice(None)), (1, 0)):
        centred = clip - clip[frames, :, joint][..., None, None, :].reshape(-1, 1, 1, 3)
        np.testing.assert_array_equal(fill_joints(centred, "a"), centred)


def test_tensors_of_any_kind_are_read(store, encoder, some):
    clip = store.clip(some[-1])[:, 0]
    wanted = embed([clip], encoder)
    of_any = torch.tensor(clip, requires_grad=True), torch.tensor(clip).double(), clip.tolist()
    for like in of_any:
        np.testing.assert_array_equal(embed([like], encoder), wanted)
    made = embed([torch.tensor(clip).bfloat16()], encoder)
    np.testing.assert_allclose(made, wanted, atol=0.2)
    with pytest.raises(SjepaError, match=r"weights are torch.float16: give encoder.float\(\)"):
        embed([clip], copy.deepcopy(encoder).half())


BAD = {
    "ragged": (lambda x: [[[0.0] * 3] * 25, [[0.0] * 3]], "is no array of numbers"),
    "meta": (lambda x: torch.empty(4, 25, 3, device="meta"), "is no array of numbers"),
    "NaN": (lambda x: np.where(np.arange(len(x))[:, None, None, None] == 7, np.nan, x),
            "frame 7 is NaN or infinite"),
    "joints": (lambda x: x[:, :, :20], r"expected \[T, 25, 3\].* found \[\d+, \d, 20, 3\]"),
    "no frames": (lambda x: x[:0], "has no frames"),
    "nobody": (lambda x: 0 * x, "nobody is in the clip"),
    "bodies first": (lambda x: x.swapaxes(0, 1).repeat(2, 0)[:2], "more bodies than frames"),
    "first absent": (lambda x: np.stack([0 * x[:, 0], x[:, 0]], 1), "its first body is absent"),
    "centimetres": (lambda x: 100 * x, "would be 1[0-9]{2} m tall.* divide centimetres by 100"),
    "words": (lambda x: [["a"]], "is no array of numbers"),
}


@pytest.mark.parametrize("change, said", BAD.values(), ids=BAD)
def test_bad_clips_are_named_by_their_place(store, encoder, some, change, said):
    clip = store.clip(some[-1])
    with pytest.raises(SjepaError, match=f"clip 1.*{said}"):
        embed([clip, change(clip)], encoder)


@pytest.mark.parametrize("clips, more, said", [
    (np.zeros((4, 25, 3)), {}, r"clips is one array \[4, 25, 3\]: give a list"),
    (torch.zeros(4, 1, 25, 3), {}, r"give a list, \[clip\] for one"),
    ([], {}, "clips is empty"),
    ([np.eye(25, 3)[None, None].repeat(2, 1) / 4 + 1e-3], {"bodies": 1}, "more than bodies = 1"),
    ([np.zeros((4, 25, 3))], {"encoder": "no-such"}, "no pretrained encoder 'no-such'"),
    ([np.zeros((4, 25, 3))], {"encoder": Encoder(8, 1, 1, joints=17)}, "takes 17 joints"),
    ([], {"encoder": torch.nn.Linear(1, 1)}, "the encoder takes no joints"),
    ([], {"encoder": (Encoder(8, 1, 1), {})},
     r"the encoder is of type tuple: .* first of encoder, card = load_pretrained\(\)"),
    (Encoder(8, 1, 1), {"encoder": []}, "clips is of type Encoder: give a list of arrays first"),
    ("public", {}, "clips is of type str: give a list"),
    *(([], {"bodies": value}, "bodies is .*: expected a whole number from 1")
      for value in (0, 1.5, "2")),
    ([], {"skeleton": "coco17"}, "skeleton is 'coco17': give a Skeleton"),
    ([], {"stream": "bones"}, "stream is 'bones': expected one of joint, bone, motion"),
])
def test_bad_arguments_in_words(encoder, clips, more, said):
    with pytest.raises(SjepaError, match=said):
        embed(clips, **{"encoder": encoder} | more)


def test_what_names_no_encoder():
    for name, said in ((None, "the encoder is of type NoneType: give a name or a path"),
                       (3, "the encoder is of type int"),
                       ("a" * 300, "there is no pretrained encoder")):
        with pytest.raises(SjepaError, match=said):
            load_pretrained(name)


def test_the_package_gives_its_three_functions():
    assert (sjepa.embed, sjepa.load_pretrained, sjepa.read_motion) == (
        embed, load_pretrained, read_motion)
    with pytest.raises(AttributeError, match="no attribute 'embedd'"):
        _ = sjepa.embedd
