"""Features: equal to plain re-derivations, of the run's stream, and without traces elsewhere."""


from dataclasses import replace

import numpy as np
import pytest
import torch

from sjepa.clips import train_crop
from sjepa.config import make_config
from sjepa.datasets.layouts import KINECT20
from sjepa.encoder import Encoder
from sjepa.errors import SjepaError
from sjepa.protocols import context as module
from sjepa.protocols import finetune
from sjepa.protocols.config import FinetuneConfig, KnnConfig, LinearConfig
from sjepa.protocols.context import own_draws, set_up
from sjepa.protocols.features import clip_features, encode_bodies, extract, network_input
from sjepa.views import base_rotation


def test_features_are_means_and_absent_bodies_share_a_pass(encoder):
    """The mean over bodies, time and joints; an absent body is an input like any other."""
    clips = torch.randn(4, 2, 32, 25, 3)
    clips[[0, 2, 3], 1] = 0
    plain = encoder(clips.flatten(0, 1)).unflatten(0, (4, 2))
    rows = []
    encoder.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    torch.testing.assert_close(encode_bodies(encoder, clips), plain, atol=1e-5, rtol=1e-4)
    assert rows == [6]
    torch.testing.assert_close(clip_features(encoder, clips), plain.mean((1, 2)))
    apart = clip_features(encoder, clips, by_joint=True)
    torch.testing.assert_close(apart, plain.unflatten(2, (-1, 25)).mean((1, 2)))
    rows.clear()
    assert encode_bodies(encoder, torch.randn(2, 2, 32, 25, 3)).shape == (2, 2, 100, 32)
    nobody = encode_bodies(encoder, torch.zeros(2, 2, 32, 25, 3))
    assert rows == [4, 1] and torch.equal(nobody[0, 0], nobody[1, 1])


def test_features_do_not_depend_on_the_batch_nor_on_the_encoders_mode(encoder, store):
    data, index = store.to("cpu"), np.arange(10)
    a = extract(encoder, data, index, batch=3)
    encoder.train().set_drop_path(0.5)
    b = extract(encoder, data, index[::-1].copy(), batch=128).flip(0)
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    assert encoder.training and all(block.training for block in encoder.blocks)


def test_training_clips_are_cropped_and_turned(store):
    data, index = store.to("cpu"), torch.arange(6)
    made, generator = (torch.Generator().manual_seed(0) for _ in range(2))
    made = network_input(data, index, 32, rotation=0.7, generator=made)
    crops = train_crop(data, index, 32, generator=generator)
    assert torch.equal(made, base_rotation(crops, 0.7, generator))


def test_every_protocol_sees_the_stream_of_the_run_and_its_crop(quick, restate, monkeypatch):
    restate(stream="bone")
    config = make_config(FinetuneConfig, quick | {"test_crop": 0.7})
    context = set_up(config)
    data, test = context.data, context.test
    bones = extract(context.encoder, data, test, stream="bone", crop=0.7)
    torch.testing.assert_close(context.features(test), bones)
    for other in ({"stream": "bone"}, {"crop": 0.7}):
        assert not torch.allclose(bones, extract(context.encoder, data, test, **other))
    views, network_input = set(), finetune.network_input

    def noted(*args, **view):
        views.add((view["stream"], view.get("rotation"), view.get("crop")))
        return network_input(*args, **view)

    monkeypatch.setattr(finetune, "network_input", noted)
    finetune.FineTuning(context, config, context.encoder, context.train).run_epoch()
    assert views == {("bone", 0.3, None), ("bone", None, 0.7)}  # only training rotates


def test_random_judges_an_untrained_encoder_of_the_same_shape(common):
    trained, random, again, other = (
        set_up(make_config(KnnConfig, common | more)).encoder
        for more in ({}, {"method": "random"}, {"method": "random"},
                     {"method": "random", "seed": 1}))
    weights = [net.embed.weight for net in (trained, random, again, other)]
    assert trained.shape == random.shape and torch.equal(weights[1], weights[2])
    assert not torch.allclose(weights[0], weights[1]) and not torch.equal(weights[1], weights[3])
    torch.manual_seed(0)
    assert torch.equal(weights[1], Encoder(**trained.shape).embed.weight)


def test_encoder_and_store_have_the_same_joints(common, store, monkeypatch):
    other = replace(store, skeleton=KINECT20)
    monkeypatch.setattr(module, "load_store", lambda name: other)
    with pytest.raises(SjepaError, match=r"takes 25 joints, the store synthetic has 20 \(kinect20"):
        set_up(make_config(LinearConfig, common))


def test_own_draws_are_those_of_the_seed_and_leave_none_outside():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with own_draws(3):
        inside = torch.rand(4)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(3)
    assert torch.equal(inside, torch.rand(4))
