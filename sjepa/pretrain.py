"""Pretraining: one step, the loop, checkpoints; `python -m sjepa.pretrain --params FILE`."""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from tqdm import tqdm

from .command import main_with_errors
from .config import PretrainConfig, as_dict, load_params, make_config
from .datasets import load_store
from .datasets.splits import split
from .datasets.store import DeviceStore, Store
from .device import autocast, describe, peak_bytes, pick_device, pick_precision
from .diagnostics import monitors, warnings
from .encoder import patchify
from .errors import SjepaError
from .masking import motion_aware_mask
from .model import SJEPA, Pass
from .paths import RUNS
from .streams import to_stream
from .target import ema_momentum
from .views import base_rotation, fold_bodies, geometric_view, train_crop


def learning_rate(epoch: float, config: PretrainConfig) -> float:
    """Learning rate at a fractional epoch: linear from 0, then a half cosine to `lr_end`."""
    if epoch < config.warmup_epochs:
        return config.lr * epoch / config.warmup_epochs
    left = max(config.epochs - config.warmup_epochs, 1e-9)
    share = min((epoch - config.warmup_epochs) / left, 1.0)
    return config.lr_end + (config.lr - config.lr_end) * (1 + math.cos(math.pi * share)) / 2


def parameter_groups(model: SJEPA, weight_decay: float) -> list[dict]:
    """Weight decay on matrices and position tables, none on biases and norms (lineage)."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def make_batch(store: DeviceStore, index: torch.Tensor, config: PretrainConfig, generator):
    """Clips to network input: crop and resize, base rotation, bodies folded into the batch.

    Returns:
        `x` `[R, T, V, 3]` and the rows' weights `[R]` or None.
    """
    x = train_crop(store, index, config.frames, config.crop, generator=generator)
    x = base_rotation(x, config.base_rotation, generator)
    return fold_bodies(x, config.empty_bodies)


def forward(model: SJEPA, x: torch.Tensor, weight, config: PretrainConfig, generator) -> Pass:
    """View, mask and predict one batch of joints `x` `[R, T, V, 3]`.

    The mask is drawn from `x` itself; the networks see `config.stream` of the joints.
    """
    view = geometric_view(x, config.view_rotation, config.view_translation, config.view_flip,
                          generator)
    tokens = patchify(x, config.segment)
    keep, masked = motion_aware_mask(tokens, config.mask_ratio, config.mask_tau, generator)
    x, view = to_stream(x, config.stream), to_stream(view, config.stream)
    return model(x, view, keep, masked, weight)


class Pretraining:
    """One run: networks, optimiser, randomness and counters, all that a checkpoint must hold.

    Args:
        config: the settings.
        store: the clips; only the training part of `config.split` is ever read.
    """

    def __init__(self, config: PretrainConfig, store: Store):
        self.config, self.store = config, store
        self.device = pick_device(config.device)
        self.dtype = pick_precision(config.precision, self.device)
        self.data = store.to(self.device)
        self.train = torch.from_numpy(split(config.split, store)[0])
        torch.manual_seed(config.seed)
        self.model = SJEPA(config).to(self.device)
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, config.weight_decay), lr=config.lr, betas=(0.9, 0.95),
            fused=self.device.type == "cuda",
        )
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.dtype == torch.float16)
        self.batch = min(config.batch_size, len(self.train))
        self.steps_per_epoch = len(self.train) // self.batch  # the last, smaller batch is dropped
        self.steps = self.steps_per_epoch * config.epochs
        self.ema_start = config.ema_start
        if self.ema_start is None:  # the target's memory is then 5 % of the run, as in the paper
            self.ema_start = max(0.0, 1 - 20 / self.steps)
        self.epoch, self.step, self.seconds, self.history = 0, 0, 0.0, []

    def training_step(self, index: torch.Tensor) -> dict[str, torch.Tensor]:
        """One optimiser step on the clips `index`, then one step of the EMA and of the centre.

        Returns:
            The loss, and the collapse monitors on every `monitor_every`-th step.
        """
        config = self.config
        rate = learning_rate(self.step / self.steps_per_epoch, config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        x, weight = make_batch(self.data, index.to(self.device), config, self.generator)
        counts = torch.ones(len(x), device=self.device) if weight is None else weight
        total, targets = torch.zeros((), device=self.device), []
        for part in torch.arange(len(x), device=self.device).chunk(config.accumulate):
            stands_for = None if weight is None else weight[part]
            with autocast(self.device, self.dtype):
                made = forward(self.model, x[part], stands_for, config, self.generator)
            share = counts[part].sum() / counts.sum()
            self.scaler.scale(made.loss * share).backward()
            total += made.loss.detach() * share
            targets.append(made.target)
        if config.clip_grad is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_grad)
        readings = {"loss": total}
        if self.step % config.monitor_every == 0:
            readings |= monitors(made, self.model.target.center, config.tau_t, stands_for)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        momentum = ema_momentum(self.step, self.steps, self.ema_start, config.ema_end)
        self.model.target.update(self.model.encoder, momentum)
        self.model.target.update_center(torch.cat(targets), weight)
        self.step += 1
        return readings

    def run_epoch(self) -> dict[str, float]:
        """One pass over the training clips in a fresh order; returns the mean readings."""
        begun = time.perf_counter()
        order = torch.randperm(len(self.train), generator=self._order())
        sums: dict[str, list] = {}
        for batch in self.train[order].split(self.batch)[: self.steps_per_epoch]:
            for name, value in self.training_step(batch).items():
                sums.setdefault(name, []).append(value)
        row = {name: torch.stack(values).mean().item() for name, values in sums.items()}
        self.epoch += 1
        self.seconds += time.perf_counter() - begun
        rate = learning_rate(self.step / self.steps_per_epoch, self.config)
        momentum = ema_momentum(self.step, self.steps, self.ema_start, self.config.ema_end)
        row = {"epoch": self.epoch, **row, "lr": rate, "momentum": momentum}
        if not math.isfinite(row["loss"]):
            raise SjepaError(f"the loss is {row['loss']} in epoch {self.epoch}: "
                             "lower lr, set clip_grad to 3.0, or use precision fp32")
        self.history.append(row)
        return row

    def _order(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.config.seed * 100_003 + self.epoch)

    def state(self) -> dict:
        """All that is needed to go on to the bit where this run stands."""
        return {
            "config": as_dict(self.config), "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict(),
            "generator": self.generator.get_state(), "epoch": self.epoch, "step": self.step,
            "seconds": self.seconds, "history": self.history, "store": self.store.meta["sha256"],
        }

    def load_state(self, state: dict) -> None:
        """Continue from `state`.

        Raises:
            SjepaError: the checkpoint is of another shape, or of other data.
        """
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            raise SjepaError("the checkpoint is of another shape than the configuration: "
                             f"{str(error).splitlines()[1].strip()}") from error
        if state["store"] != self.store.meta["sha256"]:
            raise SjepaError(f"the checkpoint was trained on another version of {self.store.path}: "
                             "start a new run in another folder")
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.generator.set_state(state["generator"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.seconds, self.history = state["seconds"], state["history"]


def save_atomically(write, path: Path) -> None:
    """`write(temporary path)`, then put the whole file in the place of `path`."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def save(run: Pretraining, out: Path) -> None:
    """Write the checkpoint `last.pt`; after the last epoch first the target's weights."""
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


def run_folder(config: PretrainConfig) -> Path:
    """Where a run lives: `out`, or a name made of preset, split, seed and, if not joint, stream."""
    name = f"{config.preset}-{config.split.replace('/', '-')}-{config.seed}"
    if config.stream != "joint":
        name += f"-{config.stream}"
    return Path(config.out) if config.out else RUNS / name


def pretrain(config: PretrainConfig, out: str | Path | None = None) -> Path:
    """Pretrain, or continue where the folder's checkpoint stands, or return if it is finished.

    Args:
        config: the settings.
        out: folder of the run; None: `run_folder(config)`.

    Returns:
        The folder, with `target.safetensors`, `run.json` and `last.pt`.

    Raises:
        SjepaError: the folder holds a run with other settings or of other data.
    """
    out = Path(out) if out else run_folder(config)
    store = load_store(config.dataset)
    run = Pretraining(config, store)
    if (out / "last.pt").is_file():
        state = torch.load(out / "last.pt", map_location=run.device, weights_only=True)
        same_settings(state["config"], config, out)
        run.load_state(state)
    bar = tqdm(initial=run.epoch, total=config.epochs, desc="pretrain", unit="epoch", mininterval=5)
    while run.epoch < config.epochs:
        row = run.run_epoch()
        bar.update()
        if run.epoch % config.checkpoint_every == 0 or run.epoch == config.epochs:
            print(f"epoch {run.epoch}/{config.epochs}  loss {row['loss']:.4f}  "
                  f"entropy {row.get('entropy', math.nan):.3f}  "
                  f"rank {row.get('rank', math.nan):.1f}  {run.seconds:.0f} s", flush=True)
            for said in warnings(row, config.dim) if "entropy" in row else ():
                print(f"  warning: {said}", flush=True)
            save(run, out)
    bar.close()
    return out


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
    free = {"out", "device", "checkpoint_every", "monitor_every", *ignore}
    old = as_dict(type(config)()) | old
    for name, value in as_dict(config).items():
        if name not in free and old[name] != value:
            raise SjepaError(f"{out} holds a run with {name} = {old[name]}, not {value}: "
                             "choose another out, or delete the folder")


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sjepa.pretrain", description=__doc__)
    parser.add_argument("--params", required=True, help="YAML file of parameters")
    parser.add_argument("--resume", help="folder of a run to continue")
    args = parser.parse_args(argv)
    config = make_config(PretrainConfig, load_params(args.params))
    if args.resume and not (Path(args.resume) / "last.pt").is_file():
        raise SjepaError(f"nothing to resume: {args.resume} has no last.pt")
    print(pretrain(config, args.resume))


if __name__ == "__main__":
    main_with_errors(main)
