"""What the tests of protocols share: settings of a run, and runs that say something else."""

import json

import pytest


@pytest.fixture
def common(pretrained):
    """What all protocols take."""
    return {"run": str(pretrained), "device": "cpu"}


@pytest.fixture
def quick(common):
    """A fine-tuning of two epochs."""
    return common | {"epochs": 2, "batch_size": 12, "hidden": 16, "warmup_epochs": 1}


@pytest.fixture
def restate(pretrained):
    """Make the run say that it was pretrained otherwise."""
    def change(**settings):
        path = pretrained / "result.json"
        result = json.loads(path.read_text())
        result["settings"] |= settings
        path.write_text(json.dumps(result))

    return change
