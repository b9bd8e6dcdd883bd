"""Checkpoints of a pretraining: written whole or not at all, continued only by the same run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save_file

from .config import as_dict
from .device import describe, peak_bytes
from .errors import SjepaError

#: Settings that may differ when a run goes on: where and how it computes, not what.
FREE = {"out", "device", "checkpoint_every", "monitor_every", "compile", "accumulate"}


def save_atomically(write, path: Path) -> None:
    """`write(temporary path)`, then put the whole file in the place of `path`."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def save(run, out: Path) -> None:
    """Write the checkpoint `last.pt`; after the last epoch first the target's weights.

    Args:
        run: a `sjepa.pretrain.Pretraining`.
        out: its folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    if run.epoch == run.config.epochs:
        facts = {"config": as_dict(run.config), "hours": run.seconds / 3600,
                 "device": describe(run.device), "peak_bytes": peak_bytes(run.device),
                 "history": run.history}
        save_atomically(lambda p: p.write_text(json.dumps(facts)), out / "run.json")
        weights = run.model.target.encoder.state_dict()
        weights = {name: value.contiguous().cpu() for name, value in weights.items()}
        shape = {k: str(v) for k, v in run.model.encoder.shape.items()}
        save_atomically(lambda p: save_file(weights, p, shape), out / "target.safetensors")
    save_atomically(lambda p: torch.save(run.state(), p), out / "last.pt")


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
        config: the settings to go on with.
        out: the folder.
        ignore: names that may differ, besides those of place and pace.

    Raises:
        SjepaError: a setting differs.
    """
    old = as_dict(type(config)()) | old
    for name, value in as_dict(config).items():
        if name not in FREE | set(ignore) and old[name] != value:
            raise SjepaError(f"{out} holds a run with {name} = {old[name]}, not {value}: "
                             "choose another out, or delete the folder")
