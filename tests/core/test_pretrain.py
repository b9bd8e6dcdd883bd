"""The training loop: what a step does and in which order, resume to the bit, faults in words."""

import csv
import dataclasses
import math

import numpy as np
import pytest
import torch

from sjepa import pretrain as module
from sjepa.checkpoint import save
from sjepa.config import PretrainConfig, as_dict, make_config
from sjepa.datasets.splits import split
from sjepa.encoders import load_encoder
from sjepa.errors import SjepaError
from sjepa.inputs import draw, make_batch
from sjepa.model import SJEPA
from sjepa.pretrain import Pretraining, learning_rate, parameter_groups, pretrain
from sjepa.target import ema_momentum


@pytest.fixture
def here(store, monkeypatch):
    """`pretrain` finds the small store."""
    monkeypatch.setattr(module, "load_store", lambda name: store)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_paper_preset_is_the_paper():
    c = PretrainConfig()
    stated = dict(dim=256, depth=8, heads=8, frames=120, segment=4, predictor_depth=5,
                  mask_ratio=0.9, mask_tau=0.8, tau_p=0.1, tau_t=0.06, center_beta=0.9,
                  ema_start=0.9999, ema_end=1.0, epochs=1200, batch_size=256, lr=1e-3,
                  lr_end=5e-4, warmup_epochs=20, weight_decay=0.05)
    assert {name: getattr(c, name) for name in stated} == stated
    assert make_config(PretrainConfig, {"preset": "paper"}) == c


def test_learning_rate_schedule():
    c = PretrainConfig()
    assert learning_rate(0, c) == 0
    assert learning_rate(10, c) == pytest.approx(5e-4)
    assert learning_rate(20, c) == pytest.approx(1e-3)
    assert learning_rate(610, c) == pytest.approx(7.5e-4)
    assert learning_rate(1200, c) == pytest.approx(5e-4)


def test_no_decay_on_biases_and_norms(tiny):
    model = SJEPA(tiny)
    decayed, plain = parameter_groups(model, 0.05)
    names = {id(p): n for n, p in model.named_parameters()}
    assert decayed["weight_decay"] == 0.05 and plain["weight_decay"] == 0
    assert all("bias" in names[id(p)] or "norm" in names[id(p)] for p in plain["params"])
    assert not any("bias" in names[id(p)] or "norm" in names[id(p)] for p in decayed["params"])
    assert not any(names[id(p)].startswith("target") for g in (decayed, plain) for p in g["params"])
    count = len(decayed["params"]) + len(plain["params"])
    assert count == sum(p.requires_grad for p in model.parameters())


def test_one_step_by_hand(store, tiny):
    """The whole step from its parts, with AdamW, EMA and centre written out."""
    run = Pretraining(dataclasses.replace(tiny, ema_start=0.9), store)
    run.step = 5
    mine = Pretraining(dataclasses.replace(tiny, ema_start=0.9), store)
    index = run.train[:6]
    loss = run.training_step(index)["loss"]

    x, weight = make_batch(mine.data, index, tiny, mine.generator)
    made = mine.model(*draw(x, tiny, mine.generator), weight)
    made.loss.backward()
    rate = learning_rate(5 / mine.steps_per_epoch, tiny)
    with torch.no_grad():
        for p in mine.model.parameters():
            if p.requires_grad:
                m, v = 0.1 * p.grad, 0.05 * p.grad**2
                p.mul_(1 - rate * (0.05 if p.ndim > 1 else 0.0))
                p.sub_(rate * (m / 0.1) / ((v / 0.05).sqrt() + 1e-8))
        momentum = ema_momentum(5, mine.steps, 0.9)
        pairs = zip(mine.model.target.encoder.parameters(), mine.model.encoder.parameters(),
                    strict=True)
        for t, p in pairs:
            t.copy_(momentum * t + (1 - momentum) * p)
    w = torch.ones(len(x)) if weight is None else weight
    mine.model.target.center.copy_(
        0.1 * (w[:, None, None] * made.target).sum(0).mean(0) / w.sum()
    )
    assert torch.equal(loss, made.loss.detach())
    for (name, a), b in zip(run.model.state_dict().items(), mine.model.state_dict().values(),
                            strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_target_and_centre_move_every_step(store, tiny):
    run = Pretraining(dataclasses.replace(tiny, ema_start=0.5), store)
    run.step = 3
    seen = []
    for _ in range(3):
        run.training_step(run.train[:6])
        target = run.model.target
        seen.append((target.center.clone(), target.encoder.embed.weight.clone()))
    for (c0, w0), (c1, w1) in zip(seen[:-1], seen[1:], strict=True):
        assert not torch.equal(c0, c1) and not torch.equal(w0, w1)


def test_same_seed_same_run_other_seed_other_run(store, tiny):
    runs = [Pretraining(dataclasses.replace(tiny, seed=s), store) for s in (0, 0, 1)]
    losses = [run.run_epoch()["loss"] for run in runs]
    assert losses[0] == losses[1] != losses[2]


def test_resume_is_exact(store, tiny, here, tmp_path):
    whole = pretrain(tiny, tmp_path / "whole")
    run = Pretraining(tiny, store)
    for _ in range(2):
        run.run_epoch()
    save(run, tmp_path / "halved")  # killed after two epochs …
    pretrain(tiny, tmp_path / "halved")  # … and started again
    a, b = (torch.load(p / "last.pt", weights_only=True) for p in (whole, tmp_path / "halved"))
    for name, value in a["model"].items():
        assert torch.equal(value, b["model"][name]), name
    assert [r["loss"] for r in a["history"]] == [r["loss"] for r in b["history"]]


def test_finished_run_holds_the_targets_weights(store, tiny, here, tmp_path):
    out = pretrain(tiny, tmp_path / "run")
    state = torch.load(out / "last.pt", weights_only=True)
    encoder, result = load_encoder(out)
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, state["model"][f"target.encoder.{name}"])
    assert make_config(PretrainConfig, result["settings"]) == tiny
    assert (result["run"], result["step"], result["method"]) == ("run", "pretrain", "sjepa")
    assert result["stages"]["pretrain"]["seconds"] > 0
    stamp = (out / "last.pt").stat().st_mtime_ns
    pretrain(tiny, out)  # finished: nothing to do
    assert (out / "last.pt").stat().st_mtime_ns == stamp
    assert not [p for p in out.iterdir() if p.name.startswith(".")]


def test_it_learns(store, tiny, here, tmp_path):
    config = dataclasses.replace(tiny, epochs=25)
    out = pretrain(config, tmp_path / "run")
    with (out / "history.csv").open() as file:
        history = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert [row["epoch"] for row in history] == list(range(1, 26))
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert history[-1]["entropy"] < 0.98 * math.log(32)


def test_test_clips_are_never_read(store, tiny):
    """Poison every test clip: a single read of one would make the loss NaN."""
    run = Pretraining(tiny, store)
    train, test = split(tiny.split, store)
    for i in test:
        for start in store.offsets[i]:
            if start >= 0:
                run.data.frames[start : start + store.lengths[i]] = math.nan
    for _ in range(2):
        assert math.isfinite(run.run_epoch()["loss"])
    assert set(run.train.tolist()) == set(train.tolist())


@pytest.mark.parametrize("empty", ["all", "weighted"])
def test_micro_batches_move_the_centre_once(store, tiny, empty):
    """In two halves as in one: the centre is a tenth of the mean target, not a fifth."""
    norms = []
    for parts in (1, 2):
        config = dataclasses.replace(tiny, accumulate=parts, empty_bodies=empty)
        run = Pretraining(config, store)
        run.training_step(run.train[:8])
        norms.append(run.model.target.center.norm().item())
    assert norms[1] == pytest.approx(norms[0], rel=0.1)


def test_weighted_empty_bodies_keep_the_objective(store, tiny):
    """One row for all absent bodies against a row for each: equal in expectation over masks."""
    def losses(empty):
        run = Pretraining(dataclasses.replace(tiny, empty_bodies=empty, batch_size=64), store)
        made = []
        for _ in range(12):
            x, weight = make_batch(run.data, run.train, run.config, run.generator)
            with torch.no_grad():
                made.append(run.model(*draw(x, run.config, run.generator), weight).loss)
        return torch.stack(made), len(x)

    (every, rows), (weighted, fewer) = losses("all"), losses("weighted")
    assert fewer < rows
    gap = (every.mean() - weighted.mean()).abs()
    assert gap < 5 * (every.var() / 12 + weighted.var() / 12).sqrt() + 1e-3


def test_bf16_stays_close_to_fp32(store, tiny):
    losses = {}
    for precision in ("fp32", "bf16"):
        run = Pretraining(dataclasses.replace(tiny, precision=precision), store)
        losses[precision] = run.training_step(run.train[:8])["loss"].item()
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.02)
    assert losses["bf16"] != losses["fp32"]


# ------------------------------------------------------------------ faults


def test_other_settings_in_the_same_folder_are_refused(tiny, here, tmp_path):
    pretrain(tiny, tmp_path / "run")
    with pytest.raises(SjepaError, match="holds a run with lr"):
        pretrain(dataclasses.replace(tiny, lr=5e-4), tmp_path / "run")


def test_checkpoint_of_another_shape_is_named(store, tiny):
    run = Pretraining(tiny, store)
    other = Pretraining(dataclasses.replace(tiny, dim=64), store)
    with pytest.raises(SjepaError, match="another shape"):
        other.load_state(run.state())


def test_checkpoint_of_other_data_is_refused(store, tiny):
    run = Pretraining(tiny, store)
    state = run.state() | {"store": {"frames.npy": "0"}}
    with pytest.raises(SjepaError, match="trained on another version"):
        run.load_state(state)


def test_checkpoint_of_another_device_goes_on_with_fresh_draws(store, tiny, capsys):
    """A GPU's generator says nothing to a CPU's: weights and counters go on, draws start anew."""
    run = Pretraining(tiny, store)
    run.run_epoch()
    state = run.state() | {"device": "cuda", "generator": torch.zeros(16, dtype=torch.uint8)}
    other = Pretraining(tiny, store)
    other.load_state(state)
    assert (other.epoch, other.step) == (1, run.step) and math.isfinite(other.run_epoch()["loss"])
    assert "made on cuda: crops, views and masks are drawn anew" in capsys.readouterr().out


def test_checkpoint_of_another_precision_is_refused(store, tiny):
    state = Pretraining(dataclasses.replace(tiny, precision="bf16"), store).state()
    with pytest.raises(SjepaError, match="computed in bf16, and would go on in fp32 here"):
        Pretraining(tiny, store).load_state(state)


@pytest.mark.parametrize("spoil", ["file", "read-only"])
def test_a_folder_that_cannot_be_written_is_said_at_the_start(tiny, here, tmp_path, spoil,
                                                               monkeypatch):
    out = tmp_path / "run"
    if spoil == "file":
        out.write_text("")
    else:
        monkeypatch.setattr(type(out), "touch", lambda self: (_ for _ in ()).throw(
            PermissionError(13, "Permission denied")))
    monkeypatch.setattr(Pretraining, "run_epoch", lambda self: pytest.fail("it began"))
    with pytest.raises(SjepaError, match="cannot write into .*run .*choose another out"):
        pretrain(tiny, out)


def test_a_closed_terminal_loses_no_checkpoint(tiny, here, tmp_path, monkeypatch):
    """The last line cannot be printed; what was trained is there all the same."""
    def closed(*_):
        raise BrokenPipeError

    monkeypatch.setattr(module, "_say", closed)
    with pytest.raises(BrokenPipeError):
        pretrain(dataclasses.replace(tiny, epochs=1), tmp_path / "run")
    assert load_encoder(tmp_path / "run")[1]["run"] == "run"


def test_a_neighbour_is_looked_up_among_other_training_subjects(store, tiny, here, tmp_path):
    """The reading is there when it is asked for, changes no weight, and never reads a test clip."""
    plain = pretrain(tiny, tmp_path / "plain")
    watched = pretrain(dataclasses.replace(tiny, knn_every=2), tmp_path / "watched")
    a, b = (torch.load(p / "last.pt", weights_only=True) for p in (plain, watched))
    assert all(torch.equal(value, b["model"][name]) for name, value in a["model"].items())
    readings = [row.get("knn") for row in b["history"]]
    assert readings[0] is readings[2] is None and 0 <= readings[1] <= 100
    header, *lines = (watched / "history.csv").read_text().splitlines()
    assert "knn" in header.split(",") and len(lines) == tiny.epochs


def test_switches_of_pytorch_are_put_back(tiny, here, tmp_path):
    before = torch.get_float32_matmul_precision(), torch._dynamo.config.recompile_limit
    pretrain(dataclasses.replace(tiny, precision="tf32", epochs=1), tmp_path / "run")
    assert before == (torch.get_float32_matmul_precision(), torch._dynamo.config.recompile_limit)


def test_weights_can_be_read_by_others(tiny, here, tmp_path):
    out = pretrain(dataclasses.replace(tiny, epochs=1), tmp_path / "run")
    modes = {path.name: path.stat().st_mode & 0o777 for path in out.iterdir()}
    assert len(set(modes.values())) == 1, modes


def test_no_gpu_is_said(store, tiny):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SjepaError, match="sees no GPU"):
        Pretraining(dataclasses.replace(tiny, device="cuda"), store)


def test_a_loss_that_is_not_finite_stops_the_run(store, tiny):
    run = Pretraining(tiny, store)
    with torch.no_grad():
        run.model.predictor.exit.bias.fill_(math.nan)
    with pytest.raises(SjepaError, match="the loss is nan in epoch 1"):
        run.run_epoch()


def test_a_failed_save_leaves_the_old_checkpoint(store, tiny, tmp_path, monkeypatch):
    run = Pretraining(tiny, store)
    run.run_epoch()
    save(run, tmp_path)
    before = (tmp_path / "last.pt").read_bytes()

    def full_disk(state, path):
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    run.run_epoch()
    with pytest.raises(OSError, match="no space"):
        save(run, tmp_path)
    assert (tmp_path / "last.pt").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_as_dict_round_trips(tiny):
    assert make_config(PretrainConfig, as_dict(tiny)) == tiny
    assert np.isfinite(tiny.lr)
