"""Streams: what bones and motion keep and lose, absences included; pretraining on each."""

from dataclasses import replace

import pytest
import torch

from sjepa.clips import train_crop
from sjepa.config import STREAMS
from sjepa.datasets.splits import split
from sjepa.encoder import patchify
from sjepa.inputs import draw, make_batch, to_stream
from sjepa.masking import motion_aware_mask
from sjepa.pretrain import Pretraining, run_folder
from sjepa.protocols.features import extract, network_input
from sjepa.views import base_rotation, geometric_view


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
    x, _ = make_batch(data, index, config, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
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
