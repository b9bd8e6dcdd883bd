"""What a run leaves behind: checkpoints that only the same run continues, and its `result.json`."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors.torch import save as to_bytes

from sjepa.config import as_dict
from sjepa.encoder import encoder_metadata
from sjepa.errors import SjepaError

#: Settings that say where and at what pace a run computes, not what.
FREE = {"out", "run", "device", "checkpoint_every", "monitor_every", "compile", "accumulate",
        "workers"}


def save_atomically(write, path: Path) -> None:
    """`write(temporary path)`, then put the whole file in the place of `path`."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def make_writable(folder: Path) -> None:
    """Make a run's folder and write into it, before hours are spent on what it shall hold.

    Raises:
        SjepaError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SjepaError(f"cannot write into {folder} ({error.strerror}): choose another out"
                         ) from error


def _git(*arguments: str) -> str | None:
    """What git says in the project's own repository; None without git or outside of it."""
    home = Path(__file__).resolve().parent.parent
    try:
        top = subprocess.run(["git", "-C", home, "rev-parse", "--show-toplevel"],
                             capture_output=True, text=True, check=True).stdout.strip()
        if Path(top).resolve() != home:
            return None  # a copy of the package inside somebody else's repository
        return subprocess.run(["git", "-C", home, *arguments], capture_output=True, text=True,
                              check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def commit() -> tuple[str, bool | None]:
    """The commit that runs, and whether code differs from it; `unknown`, None outside git.

    Code is what a run computes with: the package, the notebooks of the full runs and the pins.
    """
    named = _git("rev-parse", "--short", "HEAD")
    if not named:
        return "unknown", None
    changed = _git("status", "--porcelain", "--", "sjepa", "notebooks/full/*.ipynb",
                   "constraints.txt")
    return named, bool(changed)


def versions() -> dict[str, str]:
    """Versions of what a result depends on; a package that is not installed is named so."""
    found = {"python": platform.python_version()}
    for name in ("torch", "numpy", "sjepa"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


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
                 readings: list[dict] | None = None, **facts) -> Path:
    """Write `folder/result.json`, all that is ever published of a run.

    Args:
        folder: of the run; its last part is the run's name.
        step, settings: `pretrain` or a protocol; every setting, resolved.
        stages: `pretrain` and `evaluate` apart, each with `seconds`, `device`, `peak_bytes`.
        readings: one mapping a number: `split`, `protocol`, `method`, `metric`, `value`, `low`,
            `high`, `n`, `right`.
        facts: what else is known: `dataset`, `split`, `method`, `preset`, `seed`, `pretraining`
            (name and settings of the run behind it), `command`, `note`, `clips`.
    """
    named, changed = commit()
    result = {
        "run": folder.name, "step": step, **facts, "settings": settings,
        "hash": run_hash(step, settings, facts.get("pretraining")), "readings": readings or [],
        "stages": stages, "commit": named, "dirty": changed, "versions": versions(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "result.json"
    save_atomically(lambda partial: partial.write_text(json.dumps(result, indent=1) + "\n"), path)
    return path


def read_result(folder: str | Path) -> dict:
    """The result of a finished run.

    Raises:
        SjepaError: the folder holds none, or a damaged one.
    """
    path = Path(folder) / "result.json"
    if not path.is_file():
        raise SjepaError(f"{folder} holds no finished run (result.json): run it first, or give "
                         "another folder")
    try:
        result = json.loads(path.read_text())
        return {name: result[name] for name in ("run", "step", "settings", "stages")} | result
    except (ValueError, KeyError, TypeError) as error:
        raise SjepaError(f"{path} is damaged ({error}): run it again") from error


def save(run, out: Path) -> None:
    """Write the checkpoint `last.pt` of a `Pretraining`; at its end first weights and result."""
    out.mkdir(parents=True, exist_ok=True)
    if run.epoch == run.config.epochs:
        weights = run.model.target.encoder.state_dict()
        weights = {name: value.contiguous().cpu() for name, value in weights.items()}
        stated = encoder_metadata(run.model.encoder)
        # As bytes: a file that safetensors itself makes can be read by its owner alone.
        save_atomically(lambda p: p.write_bytes(to_bytes(weights, stated)),
                        out / "target.safetensors")
        write_result(out, "pretrain", **run.result())
    save_atomically(lambda p: torch.save(run.state(), p), out / "last.pt")


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


def resume(run, out: Path) -> None:
    """Continue `run` from the checkpoint in `out`, if there is one.

    Raises:
        SjepaError: the folder holds a run with other settings or of other data.
    """
    if not (out / "last.pt").is_file():
        return
    state = torch.load(out / "last.pt", map_location=run.device, weights_only=True)
    same_settings(state["config"], run.config, out)
    run.load_state(state)


def same_settings(old: dict, config, out: Path, ignore: tuple[str, ...] = ()) -> None:
    """Refuse to go on in a folder whose checkpoint was made with other settings.

    Args:
        old: the checkpoint's settings; one that it does not name had its default.
        config, out: the settings to go on with, and the folder.
        ignore: names that may differ, besides those of place and pace.

    Raises:
        SjepaError: a setting differs.
    """
    old = as_dict(type(config)()) | old
    for name, value in as_dict(config).items():
        if name not in FREE | set(ignore) and old[name] != value:
            raise SjepaError(f"{out} holds a run with {name} = {old[name]}, not {value}: "
                             "choose another out, or delete the folder")
