"""On a second device that is not there: what mixes devices is found, and what does not, passes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from far_device import Far, chapter, far

from sjepa.config import ROOT, make_config
from sjepa.masking import motion_aware_mask
from sjepa.pretrain import Pretraining
from sjepa.protocols.config import FinetuneConfig
from sjepa.protocols.context import set_up
from sjepa.protocols.finetune import FineTuning
from sjepa.protocols.knn import knn
from sjepa.views import geometric_view


@pytest.mark.parametrize("mixed", [
    lambda x: x + torch.ones(3), lambda x: torch.ones(3)[x.long()],
    lambda x: x.numpy(), lambda x: np.asarray(x), lambda x: torch.stack((x, torch.ones(3))),
    lambda x: torch.nn.functional.linear(x, torch.ones(2, 3)),
    lambda x: torch.rand(3, device="cuda", generator=torch.Generator()),
    lambda x: torch.nn.Linear(3, 3)(x)])
def test_two_devices_in_one_operation_are_refused(mixed):
    with far(), pytest.raises((RuntimeError, TypeError)):
        mixed(torch.zeros(3).to("cuda"))


def test_what_a_gpu_allows_is_allowed():
    with far():
        x = torch.zeros(3, device="cuda")
        assert isinstance(x, Far) and x.device.type == "cuda" and x.cpu().device.type == "cpu"
        assert (x + torch.tensor(1.0)).sum() == 3 and (x[torch.tensor([0])] == 0).all()
        model = torch.nn.Linear(3, 2).to("cuda")
        model(x).sum().backward()
        assert model.weight.grad.is_cuda and f"{model.bias.grad[0]:.1f}" == "1.0"


def test_draws_of_a_generator_of_the_host_are_those_of_the_host():
    """Views and masks of one seed are the same on every device; a device's own draws are not."""
    x = torch.randn(4, 32, 25, 3)

    def drawn(x, generator):
        view = geometric_view(x, generator=generator)
        return [each.cpu() for each in (view, *motion_aware_mask(x.view(4, 8, 25, 12),
                                                                 generator=generator))]

    wanted = drawn(x, torch.Generator().manual_seed(3))
    with far():
        mine = drawn(x.to("cuda"), torch.Generator().manual_seed(3))
        own = drawn(x.to("cuda"), torch.Generator("cuda").manual_seed(3))
    assert all(a.equal(b) for a, b in zip(mine, wanted, strict=True))
    assert not own[0].equal(wanted[0]) and not own[1].equal(wanted[1])


@pytest.mark.parametrize("change", [{}, {"accumulate": 2, "clip_grad": 1.0}, {"target": "motion"},
                                    {"loss": "mse", "stream": "bone", "empty_bodies": "drop"}])
def test_a_step_stays_on_its_device_and_never_waits_for_it(store, tiny, change):
    with far() as mode:
        run = Pretraining(replace(tiny, device="cuda", epochs=1, **change), store)
        assert run.training_step(run.train[:8])["loss"].is_cuda
        mode.waits = 0
        assert "rank" in run.training_step(run.train[:8])  # with its monitors
        assert mode.waits == 0
        assert run.run_epoch()["rank"] > 1 and mode.waits > 0


def test_protocols_stay_on_one_device(pretrained):
    with far():
        config = make_config(FinetuneConfig, dict(
            run=str(pretrained), device="cuda", precision="fp32", batch_size=12, hidden=8))
        context = set_up(config)
        tuned = FineTuning(context, config, context.encoder, context.train[:24])
        assert tuned.run_epoch()["accuracy"] >= 0
        x = torch.randn(12, 4).to("cuda")
        assert knn(x, torch.arange(12).to("cuda"), x, (1,), 12)[1].tolist() == list(range(12))


def test_a_chapter_runs_there_and_a_mixing_one_is_named(tmp_path):
    assert chapter(ROOT / "notebooks" / "03_views.ipynb") == []
    cell = {"cell_type": "code", "metadata": {}, "source": [
        "import torch\n", "torch.ones(2).to('cuda') + torch.ones(2)"]}
    path = tmp_path / "01.ipynb"
    path.write_text(json.dumps({"cells": [cell]}))
    (said,) = chapter(path)
    assert said.startswith("01.ipynb cell 0 line [2]: RuntimeError: Expected all tensors to be on")
