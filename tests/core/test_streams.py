"""Streams: what bones and motion keep and lose, absences included; pretraining on each."""

import dataclasses

import pytest
import torch

from sjepa.config import STREAMS
from sjepa.datasets.splits import split
from sjepa.encoder import patchify
from sjepa.inputs import draw, make_batch, to_stream
from sjepa.masking import motion_aware_mask
from sjepa.pretrain import Pretraining, run_folder
from sjepa.protocols.features import extract, network_input
from sjepa.skeleton import NTU_BONES, SPINE_SHOULDER
from sjepa.views import base_rotation


def test_joints_follow_from_the_bones_and_the_hub(clip):
    made = to_stream(clip, "bone")
    joints = torch.zeros_like(clip)
    joints[:, :, SPINE_SHOULDER] = clip[:, :, SPINE_SHOULDER]
    known, left = {SPINE_SHOULDER}, list(NTU_BONES)
    while left:  # from the hub outwards, and inwards along the spine
        for bone in [b for b in left if set(b) & known]:
            child, parent = bone
            if parent in known:
                joints[:, :, child] = joints[:, :, parent] + made[:, :, child]
            else:
                joints[:, :, parent] = joints[:, :, child] - made[:, :, child]
            known |= set(bone)
            left.remove(bone)
    torch.testing.assert_close(joints, clip, atol=1e-5, rtol=0)
    assert not made[:, :, SPINE_SHOULDER].any()


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


def test_bones_and_motion_do_not_know_where_the_body_stands_but_turn_with_it(clip):
    moved = clip + torch.tensor([1.0, -2.0, 0.5])
    x = clip[:, None]
    for stream in ("bone", "motion"):
        torch.testing.assert_close(to_stream(moved, stream), to_stream(clip, stream),
                                   atol=1e-5, rtol=0)
        turned, after = (
            f(torch.Generator().manual_seed(0)) for f in (
                lambda g: to_stream(base_rotation(x, 0.3, g), stream),  # noqa: B023
                lambda g: base_rotation(to_stream(x, stream), 0.3, g)))  # noqa: B023
        torch.testing.assert_close(turned, after, atol=1e-5, rtol=0)


def test_pretraining_sees_the_stream_and_draws_the_mask_from_joints(store, tiny):
    """A linear map of the input: the same weights, view and mask give another loss."""
    losses = {}
    for stream in STREAMS:
        config = dataclasses.replace(tiny, stream=stream, view_rotation=0.0, view_translation=0.0,
                                     view_flip=0.0)
        run = Pretraining(config, store)
        x, weight = make_batch(run.data, run.train[:6], config, run.generator)
        state = run.generator.get_state()
        losses[stream] = run.model(*draw(x, config, run.generator), weight).loss
        run.generator.set_state(state)
        for shape in ((len(x),), (len(x), 3), (len(x),)):  # what the view draws
            torch.rand(shape, generator=run.generator)
        keep, masked = motion_aware_mask(patchify(x, 8), 0.9, 0.8, run.generator)
        seen = to_stream(x, stream)
        # A view of no rotation still goes to the body and back: the last bits may differ.
        torch.testing.assert_close(losses[stream], run.model(seen, seen, keep, masked, weight).loss,
                                   atol=1e-5, rtol=0)
    assert len({round(loss.item(), 4) for loss in losses.values()}) == 3


def test_runs_of_other_streams_live_apart(tiny):
    folders = {run_folder(dataclasses.replace(tiny, stream=s)).name for s in STREAMS}
    assert folders == {"quick-synthetic-xsub-0", "quick-synthetic-xsub-0-bone",
                       "quick-synthetic-xsub-0-motion"}


def test_features_are_those_of_the_stream(store, tiny):
    encoder = Pretraining(tiny, store).model.target.encoder.eval()
    data, index = store.to("cpu"), split(tiny.split, store)[1][:5]
    clips = network_input(data, torch.from_numpy(index), 32, stream="bone")
    torch.testing.assert_close(clips, to_stream(network_input(data, torch.from_numpy(index), 32),
                                                "bone"))
    with torch.no_grad():
        wanted = encoder(clips.flatten(0, 1)).mean(1).view(5, -1, 32).mean(1)
    torch.testing.assert_close(extract(encoder, data, index, stream="bone"), wanted,
                               atol=1e-5, rtol=1e-4)
