"""What a run leaves behind: checkpoints that only the same run continues, and its `result.json`."""

import csv
import hashlib
import json
import math
import os
import platform
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as to_bytes

from sjepa.encoder import encoder_metadata
from sjepa.errors import SjepaError
from sjepa.files import make_writable, read_json, save_atomically

#: What helps where numbers grow out of bounds.
LOWER = "lower lr, use precision fp32, or set clip_grad to 3.0 in pretraining"
#: Settings that say where and at what pace a run computes, not what.
FREE = {"out", "run", "device", "checkpoint_every", "monitor_every", "compile", "accumulate",
        "workers"}


def commit() -> tuple[str, bool | None]:
    """The commit that runs, and whether code differs from it; `unknown`, None outside git.

    Code is what a run computes with: the package, the notebooks of the full runs and the pins.
    """
    home = Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", home, *arguments], capture_output=True, text=True,
                              check=True).stdout.strip()

    try:
        top, named = git("rev-parse", "--show-toplevel", "--short", "HEAD").splitlines()
        if Path(top).resolve() != home:  # a copy of the package inside somebody else's repository
            return "unknown", None
        return named, bool(git("status", "--porcelain", "--", "sjepa", "notebooks/full/*.ipynb",
                               "constraints.txt"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown", None


def versions() -> dict[str, str]:
    """Versions of what a result depends on besides the commit."""
    return {"python": platform.python_version(), "torch": str(torch.__version__),
            "numpy": np.__version__}


def what_counts(settings: dict) -> dict:
    """Settings without those that say where and at what pace a run computes."""
    return {name: value for name, value in sorted(settings.items()) if name not in FREE}


def settings_hash(settings: dict) -> str:
    """Twelve hex digits that name a set of settings."""
    text = json.dumps(what_counts(settings), sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def run_hash(step: str, settings: dict, pretraining: dict | None = None) -> str:
    """What tells runs of one name apart: the hash of step, settings, and settings behind it."""
    behind = settings_hash((pretraining or {}).get("settings", {}))
    return settings_hash(settings | {"step": step, "behind": behind})


def write_result(folder: Path, step: str, settings: dict, stages: dict[str, dict],
                 readings: list[dict] | None = None, **facts) -> None:
    """Write `folder/result.json`, all that is ever published of a run.

    Args:
        folder: of the run; its last part is the run's name.
        step, settings: `pretrain` or a protocol; every setting, resolved.
        stages: `pretrain` and `evaluate` apart, each with `seconds`, `device`, `peak_bytes`.
        readings: one mapping a number: `split`, `protocol`, `method`, `metric`, `value`, `low`,
            `high`, `n`, `right`.
        facts: what else is known: `dataset`, `split`, `method`, `preset`, `seed`, `pretraining`
            (name and settings of the run behind it), `note`, `clips`.
    """
    named, changed = commit()
    result = {
        "run": folder.name, "step": step, **facts, "settings": settings,
        "hash": run_hash(step, settings, facts.get("pretraining")), "readings": readings or [],
        "stages": stages, "commit": named, "dirty": changed, "versions": versions(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    save_atomically(lambda path: path.write_text(json.dumps(result, indent=1) + "\n"),
                    folder / "result.json")


def read_result(folder: str | Path) -> dict:
    """The result of a finished run.

    Raises:
        SjepaError: the folder holds none, or a damaged one.
    """
    path = Path(folder) / "result.json"
    if not path.is_file():
        raise SjepaError(f"{folder} holds no finished run (result.json): run it first, or give "
                         "another folder")
    result = read_json(path)
    try:
        return {name: result[name] for name in ("run", "step", "settings", "stages")} | result
    except (KeyError, TypeError) as error:
        raise SjepaError(f"{path} is damaged ({error}): run it again") from error


def check_weights(model: torch.nn.Module, folder: Path) -> None:
    """Refuse to keep weights that are not finite: the checkpoints in `folder` are better."""
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            raise SjepaError(f"{name} is not finite any more: {LOWER}; a checkpoint, if there "
                             f"is one in {folder}, is of before")


def check_losses(losses: torch.Tensor, batches: Sequence[torch.Tensor], names: np.ndarray,
                 epoch: int) -> None:
    """Refuse to go on from losses `[S]` of an epoch's steps that are not finite.

    Raises:
        SjepaError: it names the first such step, and of the clips in its batch three by `names`.
    """
    for step, (loss, batch) in enumerate(zip(losses.tolist(), batches, strict=False), 1):
        if not math.isfinite(loss):
            raise SjepaError(f"the loss is {loss} in epoch {epoch}, step {step} of {len(batches)}, "
                             f"clips {', '.join(names[batch.numpy()[:3]])} …: {LOWER}; a "
                             "checkpoint, if there is one, is of before")


def make_ready(folder: Path, model: torch.nn.Module) -> None:
    """Make a run's folder; there must be room for two checkpoints and one that is written.

    Raises:
        SjepaError: it cannot be written, or its disk is too full.
    """
    weights = sum(each.numel() for each in model.parameters())
    make_writable(folder, 3 * 12 * weights)  # 4 bytes each, and 8 of AdamW's averages


def keep(state: dict, folder: Path) -> None:
    """Write a checkpoint, `last.pt`; the one before it stays as `previous.pt`.

    Raises:
        SjepaError: it cannot be written; those that were there stay.
    """
    last = folder / "last.pt"

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            try:
                torch.save(state, file)
            except RuntimeError as error:  # behind which torch hides that the disk is full
                raise error.__context__ or error from None
        if last.exists():
            os.replace(last, folder / "previous.pt")

    save_atomically(write, last)


def kept(folder: Path) -> dict | None:
    """The newest whole checkpoint in a folder, on the CPU; None if there is none.

    Raises:
        SjepaError: there is none that is whole.
    """
    fault = None
    for path in filter(Path.is_file, (folder / "last.pt", folder / "previous.pt")):
        try:
            state = _read_state(path)
        except SjepaError as error:
            fault = fault or error
            continue
        if fault:
            print(f"warning: {fault}; going on from {path}, epoch {state['epoch']}",
                  file=sys.stderr, flush=True)
            # Out of the way, or the next checkpoint would put it in the place of the whole one.
            (folder / "last.pt").replace(folder / "damaged.pt")
        return state
    if fault:
        raise SjepaError(f"{fault}, and there is none before it: delete {folder} to start anew")
    return None


def _read_state(path: Path) -> dict:
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not compare the checksums
            if archive.testzip() or any(each.compress_type for each in archive.infolist()):
                raise ValueError("a part of it has another checksum than when it was written")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not {"config", "epoch", "model"} <= state.keys():
            raise ValueError("it holds something else")
    except PermissionError as error:
        raise SjepaError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # damaged files raise anything
        why = " ".join(str(error).split())[:100]
        raise SjepaError(f"{path} is damaged ({why or type(error).__name__})") from error
    return state


@contextmanager
def signals_held() -> Iterator[list[int]]:
    """SIGTERM, SIGHUP and Ctrl-C in the block are only noted, in the list that it is given.

    A loop looks there after each step, saves and leaves the block, which then ends the process as
    the signal would have. A second signal ends it at once.
    """
    caught: list[int] = []
    former = {}

    def note(number, _) -> None:
        caught.append(number)
        restore()
        os.write(2, f"\n{signal.Signals(number).name}: saving after this step; a second one ends "
                    "at once\n".encode())

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():  # others get no signals
        for name in ("SIGTERM", "SIGHUP", "SIGINT"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number and signal.getsignal(number) not in (None, signal.SIG_IGN):
                former[number] = signal.signal(number, note)
    try:
        yield caught
    finally:
        restore()
    if caught:
        signal.raise_signal(caught[0])
        sys.exit(128 + caught[0])  # where somebody's handler did not end it


def save(run, out: Path) -> None:
    """Write the checkpoint `last.pt` of a `Pretraining`; at its end first weights and result."""
    check_weights(run.model, out)
    if run.epoch == run.config.epochs:
        weights = run.model.target.encoder.state_dict()
        weights = {name: value.contiguous().cpu() for name, value in weights.items()}
        # As bytes: a file that safetensors itself makes can be read by its owner alone.
        packed = to_bytes(weights, encoder_metadata(run.model.encoder))
        save_atomically(lambda p: p.write_bytes(packed), out / "target.safetensors")
        write_result(out, "pretrain", weights=hashlib.sha256(packed).hexdigest(), **run.result())
    keep(run.state(), out)


def save_history(history: list[dict[str, float]], out: Path) -> None:
    """Write `history.csv`, a line an epoch, to be watched while the run goes on."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    lines = [",".join(f"{row[name]:.6g}" if name in row else "" for name in columns)
             for row in history]
    text = "\n".join([",".join(columns), *lines, ""])
    save_atomically(lambda path: path.write_text(text), out / "history.csv")


def read_history(folder: str | Path) -> list[dict[str, float]]:
    """The readings of a run, a mapping an epoch; a reading that was not taken is left out."""
    with (Path(folder) / "history.csv").open() as file:
        return [{name: float(cell) for name, cell in row.items() if cell}
                for row in csv.DictReader(file)]


def same_settings(old: dict, config, out: Path, ignore: tuple[str, ...]) -> None:
    """Refuse to go on as `config` says in a folder whose checkpoint has the settings `old`.

    One that `old` does not name had its default; those of place and pace and `ignore` may differ.

    Raises:
        SjepaError: another setting differs.
    """
    old = asdict(type(config)()) | old
    for name, value in asdict(config).items():
        if name not in FREE | set(ignore) and old[name] != value:
            raise SjepaError(f"{out} holds a run with {name} = {old[name]}, not {value}: "
                             "choose another out, or delete the folder")
