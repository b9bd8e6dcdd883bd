"""Nothing is lost: checkpoints that are damaged, runs that are stopped, memory that is short."""

import math
import signal
import threading
from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch
from formats import another_at_work
from torch.testing import assert_close

from sjepa.checkpoint import keep, kept, save, signals_held
from sjepa.device import computing
from sjepa.errors import SjepaError
from sjepa.model import SJEPA
from sjepa.pretrain import Pretraining, pretrain

pytestmark = pytest.mark.usefixtures("here")


def states(epochs=(1, 2)):
    return [{"config": {}, "epoch": epoch, "model": {"w": torch.full((64,), float(epoch))}}
            for epoch in epochs]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, capsys, damage):
    for state in states():
        keep(state, tmp_path)
    last = tmp_path / "last.pt"
    raw = bytearray(last.read_bytes())
    at = raw.index(torch.full((1,), 2.0).numpy().tobytes())
    raw[at] ^= 1  # of a weight: torch reads that without a word
    assert kept(tmp_path)["epoch"] == 2
    if damage == "gone":  # a kill between the two moves
        last.unlink()
    else:
        last.write_bytes({"cut": raw[:-200], "flip": raw, "empty": b""}[damage])
    assert kept(tmp_path)["epoch"] == 1
    said = capsys.readouterr().err
    assert damage == "gone" or "last.pt is damaged" in said and "previous.pt, epoch 1" in said
    keep(states((3,))[0], tmp_path)  # the damaged one never takes the place of the whole one
    assert torch.load(tmp_path / "previous.pt")["epoch"] == 1
    if damage != "gone":
        (tmp_path / "previous.pt").unlink()
        last.write_bytes(raw)
        with pytest.raises(SjepaError, match="last.pt is damaged .* none before it"):
            kept(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_first_and_the_run_goes_on_to_the_bit(tiny, finished, tmp_path, monkeypatch,
                                                             number):
    """Struck in the middle of an epoch; then the same command once more."""
    step, struck = Pretraining.training_step, []

    def strike(run, index):
        if run.step == 8 and not struck:
            struck.append(signal.raise_signal(number))
        return step(run, index)

    former = signal.signal(number, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        monkeypatch.setattr(Pretraining, "training_step", strike)
        with pytest.raises(KeyboardInterrupt):
            pretrain(tiny, tmp_path / "run")
    finally:
        signal.signal(number, former)
    state = kept(tmp_path / "run")
    assert state["step"] == 9 and len(state["readings"]["loss"]) == 9 % (9 // state["epoch"])
    pretrain(tiny, tmp_path / "run")
    a, b = kept(finished), kept(tmp_path / "run")
    assert_close(a["model"], b["model"], atol=0, rtol=0)
    assert [{**r, "clips_per_s": 0} for r in a["history"]] == [
        {**r, "clips_per_s": 0} for r in b["history"]]


def test_signals_are_held_only_in_the_block():
    former = signal.getsignal(signal.SIGTERM)
    with signals_held() as caught:
        assert signal.getsignal(signal.SIGTERM) != former and not caught
    assert signal.getsignal(signal.SIGTERM) == former
    worker = threading.Thread(target=lambda: signals_held().__enter__())
    worker.start()
    worker.join()  # another thread may not ask for signals, and gets none
    assert signal.getsignal(signal.SIGTERM) == former


def test_two_processes_never_train_in_one_folder(tiny, tmp_path):
    (tmp_path / "run").mkdir()
    with (another_at_work(tmp_path / "run" / "last.pt"),
          pytest.raises(SjepaError, match="another process is at work on .*last.pt")):
        pretrain(tiny, tmp_path / "run")
    pretrain(replace(tiny, epochs=1), tmp_path / "run")  # its lock died with it


def test_precision_may_be_said_by_another_name(store, tiny, tmp_path):
    """`auto` and what it is resolved to are one; another is refused."""
    run = Pretraining(replace(tiny, precision="auto", epochs=1), store)
    run.run_epoch()
    save(run, tmp_path)
    pretrain(replace(tiny, precision="fp32", epochs=1), tmp_path)
    with pytest.raises(SjepaError, match="set precision = fp32, or start a new run"):
        pretrain(replace(tiny, precision="bf16", epochs=1), tmp_path)


def test_a_loss_that_is_not_finite_names_step_clips_and_checkpoint(tiny, tmp_path, monkeypatch):
    step = Pretraining.training_step

    def broken(run, index):
        readings = step(run, index)
        if run.step == run.steps_per_epoch + 2:
            readings["loss"] = torch.tensor(math.nan)
        return readings

    monkeypatch.setattr(Pretraining, "training_step", broken)
    with pytest.raises(SjepaError, match="loss is nan in epoch 2, step 2 of .*, clips S.* …: "
                                         "lower lr.*a checkpoint, if there is one, is of before"):
        pretrain(tiny, tmp_path)
    assert kept(tmp_path)["epoch"] == 1


def test_weights_that_are_not_finite_are_not_kept(store, tiny, tmp_path):
    run = Pretraining(tiny, store)
    save(run, tmp_path)
    with torch.no_grad():
        run.model.encoder.norm.weight[0] = math.inf
    with pytest.raises(SjepaError, match="encoder.norm.weight is not finite any more"):
        save(run, tmp_path)
    assert kept(tmp_path)["model"]["encoder.norm.weight"].isfinite().all()


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")])
def test_short_memory_says_what_fits(tiny, tmp_path, monkeypatch, error):
    forward = SJEPA.forward

    def short(model, x, *rest):
        if len(x) > 3:
            raise error
        return forward(model, x, *rest)

    monkeypatch.setattr(SJEPA, "forward", short)
    config = replace(tiny, batch_size=8, empty_bodies="drop")
    with pytest.raises(SjepaError, match=r"of 8 clips with accumulate = 1 does not fit .*: "
                                         r"accumulate = [48] fits, [12] clips? at once"):
        pretrain(config, tmp_path)
    monkeypatch.setattr(SJEPA, "forward", Mock(side_effect=RuntimeError("another fault")))
    with pytest.raises(RuntimeError, match="another fault"):
        pretrain(config, tmp_path)
    with pytest.raises(SjepaError, match="does not suffice"), computing(torch.device("cpu")):
        raise error
