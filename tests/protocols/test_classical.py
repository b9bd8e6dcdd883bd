"""The classical baseline: what its vectors ignore; how records name it and the other targets."""

import dataclasses

import numpy as np
import pytest
import torch

from sjepa import evaluate as module
from sjepa.checkpoint import save
from sjepa.config import make_config
from sjepa.datasets.sources.kindergator import COARSE, COARSE_OF_CLASS
from sjepa.evaluate import coarse_readings, evaluate
from sjepa.pretrain import Pretraining
from sjepa.protocols.classical import describe_clip, logistic_regression, standardised
from sjepa.protocols.config import CONFIGS
from sjepa.protocols.context import reading

pytestmark = pytest.mark.usefixtures("one_thread")


def test_vectors_ignore_place_size_and_facing(clip):
    x = clip[0].numpy()
    turn = np.deg2rad(70)
    about = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    moved = 1.3 * x @ about.T + [1, -0.5, 2]
    np.testing.assert_allclose(describe_clip(moved), describe_clip(x), atol=1e-3)
    assert np.abs(describe_clip(moved, False) - describe_clip(x, False)).max() > 0.1


def test_vectors_hold_poses_steps_and_statistics(clip):
    x = clip[0].numpy()
    made = describe_clip(x, aligned=False)
    centred = (x - x[0, 0]) / np.median(np.linalg.norm(x[:, 20] - x[:, 0], axis=-1))
    poses = made[: 20 * 75].reshape(20, 25, 3)
    np.testing.assert_allclose(poses[[0, -1]], centred[[0, -1]], atol=1e-5)
    np.testing.assert_allclose(made[20 * 75 : 39 * 75].reshape(19, 25, 3), np.diff(poses, axis=0))
    np.testing.assert_allclose(made[40 * 75 : 41 * 75].reshape(25, 3), poses.std(0))
    assert made.shape == ((20 + 19 + 3) * 75,) and np.isfinite(describe_clip(x[:1])).all()


def test_only_training_clips_set_the_scale(store):
    train, test = np.arange(20), np.arange(20, 30)
    seen, unseen = standardised(store, train, test)
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-9)
    again, _ = standardised(store, train, test[:1])
    np.testing.assert_allclose(again, seen)
    np.testing.assert_allclose(standardised(store, train, train)[1], seen)
    assert np.abs(unseen.mean(0)).max() > 0.1


def test_a_class_without_a_training_clip_is_never_chosen():
    x = torch.randn(30, 4)
    labels = torch.arange(30) % 2 * 2  # classes 0 and 2 of 3
    scores = logistic_regression(x, labels, x, 3)
    assert torch.isneginf(scores[:, 1]).all() and set(scores.argmax(1).tolist()) == {0, 2}


def test_coarse_classes_forgive_twins_and_nothing_else():
    twins = [k for k in range(58) if COARSE_OF_CLASS.count(COARSE_OF_CLASS[k]) > 1]
    one, two = [k for k in twins if COARSE_OF_CLASS[k] == COARSE_OF_CLASS[twins[0]]][:2]
    alone = next(k for k in range(58) if k not in twins)

    class Stub:
        config = make_config(CONFIGS["knn"], {"dataset": "kindergator"})
        wanted = torch.tensor([one, one, alone])

    made = coarse_readings(Stub, {"top1": reading(torch.tensor([one, two, one]), Stub.wanted)})
    assert made["top1-coarse"].right.tolist() == [[True, True, False]] and len(COARSE) == 42
    Stub.config = make_config(CONFIGS["knn"], {"dataset": "nwucla"})
    assert coarse_readings(Stub, {}) == {}


def test_records_say_what_was_judged(store, tiny, pretrained, tmp_path, monkeypatch):
    """The target is the method, an ablation ends the metric, classical needs no run."""
    changes = {"m": {"target": "motion", "seed": 2}, "v": {"variant": "no-flip"}}
    for name, changed in changes.items():
        run = Pretraining(dataclasses.replace(tiny, epochs=1, **changed), store)
        run.run_epoch()
        save(run, tmp_path / name)
    monkeypatch.setattr(module, "RUNS", tmp_path)
    seen = {}
    for name, params in {"motion": {"run": str(tmp_path / "m")}, "no-flip": {
            "run": str(tmp_path / "v")}, "classical": {"method": "classical"}}.items():
        config = make_config(CONFIGS["knn"], {"results": str(tmp_path / "r"), "ks": [1]} | params)
        seen[name] = evaluate("knn", config)[0]
    assert seen["motion"]["id"] == "synthetic-xsub-knn-motion-quick-seed2-top1-k1"
    assert seen["motion"]["method"] == "motion" and seen["motion"]["paper"] is None
    assert seen["no-flip"]["id"] == "synthetic-xsub-knn-sjepa-quick-top1-k1-no-flip"
    assert seen["classical"]["id"] == "synthetic-xsub-knn-classical-none-top1-k1"
    assert seen["classical"]["epochs"] == 0
