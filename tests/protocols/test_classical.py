"""The classical baseline: what its vectors ignore, on any skeleton, and how it is judged."""


from dataclasses import replace

import numpy as np
import pytest
import torch

from sjepa.config import make_config
from sjepa.datasets.layouts import COCO17, KINECT20
from sjepa.protocols import classical
from sjepa.protocols.classical import describe_clip, logistic_regression, standardised
from sjepa.protocols.config import CONFIGS
from sjepa.protocols.context import set_up
from sjepa.protocols.linear import run_linear
from sjepa.skeleton import NTU25


@pytest.mark.parametrize("skeleton", [NTU25, KINECT20], ids=lambda skeleton: skeleton.name)
def test_vectors_ignore_place_size_and_facing(clip, skeleton):
    x = clip[0, :, : len(skeleton)].numpy()
    turn = np.deg2rad(70)
    about = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    moved = 1.3 * x @ about.T + [1, -0.5, 2]
    np.testing.assert_allclose(describe_clip(moved, skeleton), describe_clip(x, skeleton),
                               atol=1e-3)
    left = describe_clip(x, skeleton, False)
    assert np.abs(describe_clip(moved, skeleton, False) - left).max() > 0.1
    nameless = replace(skeleton, joints=tuple(map(str, range(len(skeleton)))))
    np.testing.assert_array_equal(describe_clip(x, nameless), left)  # its shoulders have no name


def test_vectors_of_image_joints_keep_their_confidence(clip):
    x = clip[0, :, :17].numpy()
    x[..., 2] = np.abs(x[..., 2])
    moved = x * [1.3, 1.3, 1] + [1, -0.5, 0]
    vector = describe_clip(x, COCO17)
    np.testing.assert_allclose(describe_clip(moved, COCO17), vector, atol=1e-3)
    np.testing.assert_allclose(vector[: 17 * 3].reshape(17, 3)[:, 2], x[0, :, 2], atol=1e-6)


def test_vectors_hold_poses_steps_and_statistics(clip):
    x = clip[0].numpy()
    vector = describe_clip(x, NTU25, aligned=False)
    centred = (x - x[0, 0]) / np.median(np.linalg.norm(x[:, 20] - x[:, 0], axis=-1))
    poses = vector[: 20 * 75].reshape(20, 25, 3)
    np.testing.assert_allclose(poses[[0, -1]], centred[[0, -1]], atol=1e-5)
    np.testing.assert_allclose(vector[20 * 75 : 39 * 75].reshape(19, 25, 3),
                               np.diff(poses, axis=0))
    np.testing.assert_allclose(vector[40 * 75 : 41 * 75].reshape(25, 3), poses.std(0))
    assert vector.shape == ((20 + 19 + 3) * 75,) and np.isfinite(describe_clip(x[:1], NTU25)).all()


def test_it_needs_no_run_and_only_training_clips_set_the_scale(pretrained, store, monkeypatch):
    monkeypatch.setattr(classical, "FRAMES", 2)  # the regression is then done at once
    train, test = np.arange(20), np.arange(20, 30)
    seen, unseen = standardised(store, NTU25, False, train, test)
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(standardised(store, NTU25, False, train, train)[1], seen)
    np.testing.assert_allclose(standardised(store, NTU25, False, train, test[:1])[1], unseen[:1])
    config = make_config(CONFIGS["linear"], {"method": "classical", "device": "cpu"})
    context = set_up(config)
    result = run_linear(context)
    assert list(result.readings) == ["top1"] and "logistic regression" in result.note
    assert result.readings["top1"].right.mean() > 1 / 6 and context.method == "classical"
    assert config.folder.parts[-2:] == ("classical", "linear-synthetic-xsub-classical")


def test_a_class_without_a_training_clip_is_never_chosen():
    x = torch.randn(30, 4)
    labels = torch.arange(30) % 2 * 2  # classes 0 and 2 of 3
    scores = logistic_regression(x, labels, x, 3)
    assert torch.isneginf(scores[:, 1]).all() and set(scores.argmax(1).tolist()) == {0, 2}
