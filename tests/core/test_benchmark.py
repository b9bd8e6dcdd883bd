"""The plain baseline computes what `sjepa` computes; the benchmark counts and reports rightly."""

import json
import time
from dataclasses import replace

import numpy as np
import plain
import prepare
import pytest
import step
import timing
import torch
from formats import assert_same_weights
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sjepa import views
from sjepa.clips import DeviceStore, crop_resize
from sjepa.config import PretrainConfig
from sjepa.datasets.splits import split
from sjepa.errors import SjepaError
from sjepa.inputs import draw
from sjepa.model import SJEPA
from sjepa.pretrain import Pretraining
from sjepa.study import flops as costs
from sjepa.target import ema_momentum


def test_same_step(store, tiny):
    """From the same weights and draws: the loss, the gradient, and what a step makes of them."""
    run = Pretraining(replace(tiny, empty_bodies="all", warmup_epochs=0, ema_start=0.9), store)
    baseline = plain.PlainStep(run.config, run.device)
    run.model.target.center.normal_()
    baseline.model.load_state_dict(run.model.state_dict(), strict=True)
    index, state = run.train[:6], run.generator.get_state()
    (((x, view, *drawn), _, _),) = run.micro_batches(index)
    run.generator.set_state(state)
    loss = run.training_step(index)["loss"].item()
    pairs = (t.unflatten(0, (6, -1)) for t in (x, view))
    assert baseline(*pairs, drawn, ema_momentum(0, run.steps, 0.9)) == pytest.approx(loss, rel=1e-5)
    assert_same_weights(run.model, baseline.model)
    for a, b in zip(run.model.parameters(), baseline.model.parameters(), strict=True):
        if a.requires_grad:  # a tenth of the gradient, as AdamW's running mean keeps it
            torch.testing.assert_close(run.optimizer.state[a]["exp_avg"],
                                       baseline.optimizer.state[b]["exp_avg"], atol=1e-7, rtol=1e-3)


def test_same_crops_and_views(clip):
    made = DeviceStore(clip[0], torch.tensor([[0]]), torch.tensor([120]), torch.zeros(1).long())
    at = (torch.tensor([7]), torch.tensor([90]))
    ours = crop_resize(made, torch.tensor([0]), *at, 64)
    theirs = plain.crop_resize(clip[0, :, None].numpy(), 7, 90, 64)
    np.testing.assert_allclose(theirs, ours[0], atol=1e-5)
    angles = np.array([0.3, -0.2, 0.1])
    ours = views.euler_rotation(torch.tensor(angles[None]))[0]
    np.testing.assert_allclose(plain.euler(angles), ours, atol=1e-6)
    clip[0, :5] = 0  # not seen at first
    shift = torch.tensor([[0.1, -0.05, 0.02]])
    ours = views.translate(views.rotate_about_body(clip, torch.tensor([0.4])), shift)
    ours = views.flip(ours, torch.tensor([True]))
    theirs = plain.view(clip[0].numpy(), 0.4, shift[0].numpy(), True)
    np.testing.assert_allclose(theirs, ours[0], atol=1e-5)
    assert not plain.view(np.zeros((120, 25, 3)), 0.4, shift[0].numpy(), True).any()


def test_same_mask(clip):
    """The same odds: the share in which each token is hidden agrees to 4.5 standard errors."""
    x = clip.expand(4000, -1, -1, -1)
    config = PretrainConfig()
    torch.manual_seed(0)
    drawn = plain.mask(x, 4, 0.9, 0.8)[0], draw(x, config, torch.Generator().manual_seed(0))[2]
    kept = [torch.bincount(keep.flatten(), minlength=750) / 4000 for keep in drawn]
    spread = (2 * 0.1 * 0.9 / 4000) ** 0.5
    assert (kept[0] - kept[1]).abs().max() < 4.5 * spread
    assert all(keep.shape == (4000, 75) for keep in drawn)


def test_generated_store_has_the_mix_of_ntu60():
    store = step.generated_store(500)
    assert (store.offsets[:, 0] >= 0).all() and (store.offsets[:, 1] >= 0).mean() == 0.18
    assert 75 < store.lengths.mean() < 93
    assert store.offsets.max() + store.lengths[store.offsets.max(1).argmax()] == len(store.frames)
    assert len(split("synthetic/xsub", store)[0]) == 499


@pytest.mark.parametrize("shape", [
    dict(), dict(dim=64, depth=3, predictor_depth=2), dict(frames=64, mask_ratio=0.8),
])
def test_operations_are_counted(tiny, shape):
    """The formula against PyTorch's own count of a step, with attention as plain products."""
    config = replace(tiny, **shape)
    model, rows = SJEPA(config), 2
    x = torch.randn(rows, config.frames, 25, 3)
    drawn = draw(x, config, None)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(*drawn).loss.backward()
    assert rows * costs.row_flops(config) == pytest.approx(counter.get_total_flops(), rel=0.005)


def test_costs_of_the_paper_peaks_and_hours():
    """87.3 GFLOP a clip of two bodies: 3 x (1.97 + 17.70) + 28.32 G (GFP, arXiv 2509.03609)."""
    assert 2 * costs.row_flops(PretrainConfig()) == pytest.approx(87.3e9, rel=0.02)
    half, single = torch.bfloat16, torch.float16
    for device, dtype, peak in (("NVIDIA H200", half, 989.5e12), ("Tesla T4", half, None),
                                ("Tesla T4", single, 65e12), ("CPU, 2 threads", half, None)):
        assert costs.peak_flops(device, dtype) == peak
    assert costs.hours(40_091, 1200, 256 * 156 / 60) == pytest.approx(20)  # an epoch a minute


def test_command_line(tmp_path, capsys):
    out = tmp_path / "made" / "bench.json"
    step.main(["--preset", "quick", "--batch", "4", "--steps", "2", "--clips", "40", "--device",
               "cpu", "--json", str(out), "--profile"])
    made = json.loads(out.read_text())
    assert made["ratio"] == pytest.approx(made["samples_per_s"] / made["plain_samples_per_s"])
    assert made["bodies_per_s"] == pytest.approx(1.18 * made["samples_per_s"])
    assert made["peak_bytes"] > 0 and made["hours"] is None and made["threads"] > 0
    assert 0 < made["mfu"] < 1 and 0 < made["plain_mfu"] < 1 and "CPU" in made["device"]
    assert len(made["step_seconds"]) == len(made["plain_step_seconds"]) == 2
    assert 1 <= made["rows_per_sample"] <= 1.5  # quick drops absent bodies
    for rows in made["profile"].values():
        assert any("mm" in row["op"] for row in rows)
        assert min(r["ms"] for r in rows) >= 0.0009 * sum(r["ms"] for r in rows)
    assert "ratio" in capsys.readouterr().out


def test_each_row_of_growth_changes_one_thing(tmp_path, monkeypatch):
    without = step.GRID["without"]
    monkeypatch.setattr(step, "GRID", {"tokens": [{}, dict(frames=128)], "without": without})
    step.main(["--grow", "--preset", "quick", "--batch", "4", "--steps", "1", "--device", "cpu",
               "--json", str(tmp_path / "grow.json")])
    made = json.loads((tmp_path / "grow.json").read_text())["rows"]
    asis, longer, everyone = made[:3]
    assert (asis["tokens"], longer["tokens"]) == (100, 200)
    assert longer["gflop_per_sample"] > 2 * asis["gflop_per_sample"]
    assert everyone["rows_per_sample"] == 2 > asis["rows_per_sample"]  # quick drops absent bodies
    assert [row["change"] for row in made[2:]] == without
    assert all(row["samples_per_s"] > 0 for row in made)


def test_figures_of_reading_fit_together(tmp_path):
    """Speed is not asserted."""
    out = tmp_path / "bench.json"
    prepare.main(["--clips", "3", "--workers", "1", "--rounds", "1", "--json", str(out)])
    record = json.loads(out.read_text())
    plain = record["plain_clips_per_s"]
    assert record["ratio"] == pytest.approx(record["clips_per_s"] / plain, rel=0.02)
    assert record["ratio_one_core"] == pytest.approx(record["read_clips_per_s"] / plain, rel=0.02)
    minutes = 56_880 / record["store_clips_per_s"] / 60
    assert record["projected_minutes"]["ntu60"] == pytest.approx(minutes, rel=0.05)


def test_the_clock_of_one_thread():
    """Sleep is no work; two threads or a GPU would be counted wrongly and are refused."""
    cpu = torch.device("cpu")
    assert timing.timed(lambda: time.sleep(0.2), 1, cpu, "process") < 0.1
    assert timing.timed(lambda: time.sleep(0.2), 1, cpu, "wall") >= 0.2
    for said in (["--threads", "2", "--device", "cpu"], ["--threads", "1"]):
        with pytest.raises(SjepaError, match="one thread"):
            step.parse(["--json", "never", "--clock", "process", *said])
