"""The training loop: what a step does and in which order, resume to the bit, faults in words."""

import math
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from formats import full_disk, poison
from torch.testing import assert_close

from sjepa import checkpoint
from sjepa import pretrain as module
from sjepa.checkpoint import read_history, save
from sjepa.config import PretrainConfig, make_config
from sjepa.datasets.splits import split
from sjepa.device import peak_bytes
from sjepa.errors import SjepaError
from sjepa.inputs import draw, make_batch
from sjepa.pretrain import Pretraining, learning_rate, pretrain
from sjepa.protocols.encoders import load_encoder
from sjepa.target import ema_momentum


def test_paper_preset_is_the_paper():
    c = PretrainConfig()
    stated = dict(dim=256, depth=8, heads=8, frames=120, segment=4, predictor_depth=5,
                  mask_ratio=0.9, mask_tau=0.8, tau_p=0.1, tau_t=0.06, center_beta=0.9,
                  ema_start=0.9999, ema_end=1.0, epochs=1200, batch_size=256, lr=1e-3,
                  lr_end=5e-4, warmup_epochs=20, weight_decay=0.05, crop=0.5, base_rotation=0.3,
                  view_rotation=0.3, view_translation=0.1, view_flip=0.5, stream="joint",
                  mask="motion-aware", target="latent", mask_at="output", loss="cross-entropy",
                  empty_bodies="weighted", clip_grad=None, precision="auto")
    assert {name: getattr(c, name) for name in stated} == stated
    assert make_config(PretrainConfig, {"preset": "paper"}) == c


def test_learning_rate_schedule():
    c = PretrainConfig()
    quarter = 5e-4 + 5e-4 * (1 + 0.5**0.5) / 2
    for epoch, rate in ((0, 0), (10, 5e-4), (20, 1e-3), (315, quarter), (1200, 5e-4)):
        assert learning_rate(epoch, c) == pytest.approx(rate)


def test_one_step_by_hand(store, tiny):
    """The whole step from its parts, with AdamW, EMA and centre written out.

    Weights decay, biases and norms do not: by enough to be seen in one step.
    """
    config = replace(tiny, ema_start=0.9, weight_decay=0.9)
    run, mine = Pretraining(config, store), Pretraining(config, store)
    run.step = 5
    assert run.optimizer.defaults["betas"] == (0.9, 0.95)  # which a first step does not show
    index = run.train[:6]
    loss = run.training_step(index)["loss"]

    x, weight = make_batch(mine.data, index, config, mine.generator)
    made = mine.model(*draw(x, config, mine.generator), weight)
    made.loss.backward()
    rate = learning_rate(5 / mine.steps_per_epoch, config)
    with torch.no_grad():
        for p in mine.model.parameters():
            if p.requires_grad:
                m, v = 0.1 * p.grad, 0.05 * p.grad**2
                p.mul_(1 - rate * (0.9 if p.ndim > 1 else 0.0))
                p.sub_(rate * (m / 0.1) / ((v / 0.05).sqrt() + 1e-8))
        momentum = ema_momentum(5, mine.steps, 0.9)
        for t, p in zip(mine.model.target.encoder.parameters(), mine.model.encoder.parameters(),
                        strict=True):
            t.copy_(momentum * t + (1 - momentum) * p)
    w = torch.ones(len(x)) if weight is None else weight
    mine.model.target.center.copy_(0.1 * (w[:, None, None] * made.target).sum(0).mean(0) / w.sum())
    assert torch.equal(loss, made.loss.detach())
    assert_close(run.model.state_dict(), mine.model.state_dict(), atol=2e-6, rtol=1e-4)


def test_each_epoch_has_an_order_of_its_own(store, tiny):
    run, batches = Pretraining(tiny, store), []
    run.training_step = lambda index: (batches.append(index), {"loss": torch.zeros(())})[1]
    run.run_epoch()
    run.run_epoch()
    one, two = torch.cat(batches).chunk(2)
    assert not torch.equal(one, two) and len(one.unique()) == len(two.unique()) == len(one)


def test_same_seed_same_run_other_seed_other_run(store, tiny):
    runs = [Pretraining(replace(tiny, seed=s), store) for s in (0, 0, 1)]
    first, same, other = (run.model.encoder.embed.weight.clone() for run in runs)
    assert torch.equal(first, same) and not torch.equal(first, other)
    losses = [run.run_epoch()["loss"] for run in runs]
    assert losses[0] == losses[1] != losses[2]


def test_finished_run_holds_the_targets_weights(tiny, here, finished):
    state = torch.load(finished / "last.pt", weights_only=True)
    encoder, result = load_encoder(finished)
    assert_close({f"target.encoder.{name}": value for name, value in encoder.state_dict().items()},
                 {name: value for name, value in state["model"].items()
                  if name.startswith("target.encoder.")}, atol=0, rtol=0)
    assert make_config(PretrainConfig, result["settings"]) == tiny
    assert (result["run"], result["step"], result["method"]) == ("run", "pretrain", "sjepa")
    assert result["stages"]["pretrain"]["seconds"] > 0
    stamp = (finished / "last.pt").stat().st_mtime_ns
    pretrain(tiny, finished)  # nothing to do
    with pytest.raises(SjepaError, match="holds a run with lr"):
        pretrain(replace(tiny, lr=5e-4), finished)
    assert (finished / "last.pt").stat().st_mtime_ns == stamp
    assert not [p for p in finished.iterdir() if p.name.startswith(".")]
    modes = {path.name: path.stat().st_mode & 0o777 for path in finished.iterdir()}
    assert len(set(modes.values())) == 1, modes  # others may read the weights, too


def test_it_learns(tiny, here, tmp_path):
    history = read_history(pretrain(replace(tiny, epochs=25), tmp_path / "run"))
    assert [row["epoch"] for row in history] == list(range(1, 26))
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert history[-1]["entropy"] < 0.98 * math.log(32)


def test_test_clips_are_never_read(store, tiny):
    """Poison every test clip: a single read of one would make the loss NaN."""
    run = Pretraining(tiny, store)
    train, test = split(tiny.split, store)
    poison(run.data, test)
    for _ in range(2):
        assert math.isfinite(run.run_epoch()["loss"])
    assert set(run.train.tolist()) == set(train.tolist())


@pytest.mark.parametrize("made, changed, said", [
    ({"dim": 64}, {}, "another shape"),
    ({"precision": "bf16"}, {}, "computed in bf16, and would go on in fp32 here"),
    ({}, {"store": {"frames.npy": "0"}}, "trained on another version"),
])
def test_another_runs_checkpoint_is_refused(store, tiny, made, changed, said):
    state = Pretraining(replace(tiny, **made), store).state() | changed
    with pytest.raises(SjepaError, match=said):
        Pretraining(tiny, store).load_state(state)


def test_checkpoint_of_another_device_goes_on_with_fresh_draws(store, tiny, capsys):
    """A GPU's generator says nothing to a CPU's: weights and counters go on, draws start anew."""
    run = Pretraining(tiny, store)
    run.run_epoch()
    state = run.state() | {"device": "cuda", "generator": torch.zeros(16, dtype=torch.uint8)}
    other = Pretraining(tiny, store)
    other.load_state(state)
    assert (other.epoch, other.step) == (1, run.step) and math.isfinite(other.run_epoch()["loss"])
    assert "made on cuda: crops, views and masks are drawn anew" in capsys.readouterr().out


@pytest.mark.parametrize("asked, answer, said", [
    ("pathlib.Path.touch", Mock(side_effect=PermissionError(13, "Permission denied")),
     "cannot write into .*run .*choose another out"),
    ("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 20),
     "run: its disk has 1 MiB left, and its checkpoints will ")])
def test_what_is_known_to_fail_at_the_end_is_said_at_the_start(tiny, here, tmp_path, monkeypatch,
                                                               asked, answer, said):
    monkeypatch.setattr(asked, answer)
    monkeypatch.setattr(Pretraining, "run_epoch", lambda self: pytest.fail("it began"))
    with pytest.raises(SjepaError, match=said):
        pretrain(tiny, tmp_path / "run")


def test_a_closed_terminal_loses_no_checkpoint(tiny, here, tmp_path, monkeypatch):
    """The last line cannot be printed; what was trained is there all the same."""
    monkeypatch.setattr(module, "_say", Mock(side_effect=BrokenPipeError))
    with pytest.raises(BrokenPipeError):
        pretrain(replace(tiny, epochs=1), tmp_path / "run")
    assert load_encoder(tmp_path / "run")[1]["run"] == "run"


def test_a_neighbour_is_looked_up_among_other_training_subjects(tiny, here, finished, tmp_path):
    """The reading is there when it is asked for, changes no weight, and never reads a test clip."""
    watched = pretrain(replace(tiny, knn_every=2), tmp_path / "watched")
    a, b = (torch.load(p / "last.pt", weights_only=True) for p in (finished, watched))
    assert_close(a["model"], b["model"], atol=0, rtol=0)
    readings = [row.get("knn") for row in b["history"]]
    assert readings[0] is readings[2] is None and 0 <= readings[1] <= 100
    assert ["knn" in row for row in read_history(watched)] == [False, True, False, True]


def test_a_failed_save_leaves_the_old_checkpoint(store, tiny, tmp_path, monkeypatch):
    run = Pretraining(tiny, store)
    run.run_epoch()
    save(run, tmp_path)
    before = (tmp_path / "last.pt").read_bytes()

    def half(state, file):  # as torch says it
        file.write(b"half")
        try:
            full_disk()
        except OSError:
            raise RuntimeError("[enforce fail at inline_container.cc:672] .")  # noqa: B904

    monkeypatch.setattr(torch, "save", half)
    run.run_epoch()
    with pytest.raises(SjepaError, match="cannot write .*last.pt: No space left on device"):
        save(run, tmp_path)
    assert (tmp_path / "last.pt").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_copy_in_another_project_does_not_take_its_commit(tmp_path, monkeypatch):
    """`git` answers for the folder around the package, which may be somebody else's repository."""
    git = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run([*git, *command], check=True)
    (tmp_path / "inner").mkdir()
    told = {}
    for home in (tmp_path, tmp_path / "inner"):
        monkeypatch.setattr(checkpoint, "__file__", str(home / "sjepa" / "checkpoint.py"))
        told[home.name] = checkpoint.commit()
    assert told["inner"] == ("unknown", None) and told[tmp_path.name][1] is False


def test_peak_memory_follows_the_system(monkeypatch):
    """Kibibytes on Linux, bytes on macOS, and nothing on Windows, which lacks the module."""
    cpu = torch.device("cpu")
    linux = peak_bytes(cpu)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert 1000 < linux / peak_bytes(cpu) < 1100
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_bytes(cpu) is None
