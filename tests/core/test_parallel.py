"""Two processes give the run of one: under `torchrun`, on the CPU, through the command line."""

import copy
import shutil
from dataclasses import asdict, replace

import pytest
import torch
import yaml
from formats import assert_same_weights
from torch.distributed import run as torchrun
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from sjepa import device as parallel
from sjepa.checkpoint import save
from sjepa.config import ROOT
from sjepa.errors import SjepaError
from sjepa.pretrain import Pretraining, pretrain

DRIVER = """
import sys
from sjepa import pretrain
from sjepa.errors import main_with_errors
from sjepa.datasets.store import open_store
pretrain.load_store = lambda name: open_store({store!r})
main_with_errors(lambda: pretrain.main(sys.argv[1:]))
"""


def assert_same_run(alone, state):
    """Losses to 1e-6, weights to 1e-5 and a ten-thousandth, after twelve steps."""
    for mine, theirs in zip(alone.history, state["history"], strict=True):
        assert theirs["loss"] == pytest.approx(mine["loss"], rel=1e-6)
        assert {"entropy", "rank"} <= theirs.keys()
    model = copy.deepcopy(alone.model)
    model.load_state_dict(state["model"])
    assert_same_weights(model, alone.model, atol=1e-5)


def test_two_processes_continue_the_run_of_one(store, tiny, tmp_path, monkeypatch, capfd):
    """One process takes an epoch, two the next three, in two parts each; one alone all four.

    `torchrun` starts the command line on the small store, as a user would on the built-in one.
    """
    config = replace(tiny, batch_size=12, out=str(tmp_path / "run"))
    alone, first = Pretraining(config, store), Pretraining(config, store)
    assert alone.steps_per_epoch >= 3
    first.run_epoch()
    save(first, tmp_path / "run")
    driver, params = tmp_path / "driver.py", tmp_path / "params.yaml"
    driver.write_text(DRIVER.format(store=str(store.path)))
    params.write_text(yaml.safe_dump(asdict(config) | {"accumulate": 2}))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torchrun.main(["--standalone", "--nproc_per_node=2", str(driver), "--params", str(params)])
    assert capfd.readouterr().out.split("\n").count(str(tmp_path / "run")) == 1  # one prints
    while alone.epoch < config.epochs:
        alone.run_epoch()
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert state["step"] == alone.step and torch.equal(state["generator"],
                                                       alone.generator.get_state())
    assert_same_run(alone, state)


def test_a_notebook_launches_two_processes(store, tiny, tmp_path, monkeypatch):
    """As book/batch.md has it; one epoch."""
    shutil.copytree(store.path, tmp_path / "nwucla")  # a name that is not made anew from code
    monkeypatch.setenv("SJEPA_DATA", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = replace(tiny, dataset="nwucla", epochs=1, out=str(tmp_path / "run"))
    alone = Pretraining(config, store)
    alone.run_epoch()
    two = LaunchConfig(min_nodes=1, max_nodes=1, nproc_per_node=2, rdzv_backend="c10d",
                       rdzv_endpoint="localhost:0")
    elastic_launch(two, pretrain)(config)
    assert_same_run(alone, torch.load(tmp_path / "run" / "last.pt", weights_only=True))


def test_alone_nothing_is_shared(store, tiny):
    run = Pretraining(tiny, store)
    assert run.network is run.model and (parallel.world(), parallel.rank()) == (1, 0)
    value = torch.ones(3)
    assert parallel.summed(value) is value


def test_too_few_clips_to_share_are_refused(store, tiny):
    with pytest.raises(SjepaError, match="a step has 8 clips, too few for 1 process"):
        Pretraining(replace(tiny, accumulate=9), store)
