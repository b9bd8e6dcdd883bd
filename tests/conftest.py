"""Fixtures: a small store of generated clips, a tiny configuration, one clip."""

import shutil

import numpy as np
import pytest
import torch

from sjepa import pretrain, synthetic
from sjepa.config import PretrainConfig, make_config
from sjepa.datasets import open_store, write_store
from sjepa.datasets.layouts import center_on_spine
from sjepa.protocols import context as bench

torch.set_num_threads(1)  # two cost more than they save on networks this small


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Generated clips of six actions (one with two people), four subjects, all views."""
    path = tmp_path_factory.mktemp("stores") / "synthetic"
    pair = synthetic.ACTIONS.index(sorted(synthetic.TWO_PERSON)[0])
    actions = sorted({0, 1, 2, 3, 4, pair})
    clips = list(synthetic.iterate_clips(subjects=(0, 1, 2, 3), actions=actions))
    return open_store(write_store(
        path, [center_on_spine(clip.positions) for clip in clips],
        [actions.index(clip.label) for clip in clips],
        classes=[synthetic.ACTIONS[a] for a in actions], names=[clip.name for clip in clips],
        subjects=[clip.subject for clip in clips], views=[clip.view for clip in clips],
        reps=[clip.rep for clip in clips]))


TINY = dict(
    preset="quick", dim=32, depth=2, heads=4, frames=32, segment=8, predictor_depth=1,
    epochs=4, batch_size=8, warmup_epochs=1, precision="fp32", device="cpu",
    checkpoint_every=1, monitor_every=1, empty_bodies="weighted",
)


@pytest.fixture
def tiny():
    """A configuration that trains in seconds."""
    return make_config(PretrainConfig, TINY)


@pytest.fixture
def here(store, monkeypatch):
    """`pretrain` finds the small store."""
    monkeypatch.setattr(pretrain, "load_store", lambda name: store)


@pytest.fixture(scope="session")
def finished(store, tmp_path_factory):
    """The folder of a whole run of `tiny`, to look at alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "load_store", lambda name: store)
        return pretrain.pretrain(make_config(PretrainConfig, TINY),
                                 tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def pretrained(finished, store, monkeypatch, tmp_path):
    """A copy of that folder; protocols find the small store."""
    monkeypatch.setattr(bench, "load_store", lambda name: store)
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def clip():
    """One clip `[1, 120, 25, 3]` of smooth random motion, centred."""
    rng = np.random.default_rng(0)
    motion = np.cumsum(rng.normal(0, 0.01, (1, 120, 25, 3)), 1) + rng.normal(0, 0.4, (1, 1, 25, 3))
    return torch.tensor(motion, dtype=torch.float32)
