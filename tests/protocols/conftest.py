"""What the tests of protocols share: settings of a run, and runs that say something else."""

import json

import pytest
import torch

from sjepa.encoder import Encoder
from sjepa.protocols.context import Context


@pytest.fixture
def encoder():
    """A small one, without training."""
    torch.manual_seed(0)
    return Encoder(32, 3, 4, frames=32, segment=8).eval()


@pytest.fixture
def common(pretrained):
    """What all protocols take."""
    return {"run": str(pretrained), "device": "cpu"}


@pytest.fixture
def quick(common):
    """A fine-tuning of two epochs."""
    return common | {"epochs": 2, "batch_size": 12, "hidden": 16, "warmup_epochs": 1}


@pytest.fixture
def asked(monkeypatch):
    """`(clips, rotation)` of all features that a protocol asks for."""
    noted, features = [], Context.features

    def note(self, index, rotation=None, *args, **more):
        noted.append((index.tolist(), rotation))
        return features(self, index, rotation, *args, **more)

    monkeypatch.setattr(Context, "features", note)
    return noted


@pytest.fixture
def restate(pretrained):
    """Make the run say that it was pretrained otherwise."""
    def change(**settings):
        path = pretrained / "result.json"
        result = json.loads(path.read_text())
        result["settings"] |= settings
        path.write_text(json.dumps(result))

    return change
