"""Pretraining: one step and the loop; `python -m sjepa.pretrain --params FILE`.

The same under `torchrun --nproc_per_node=8 -m sjepa.pretrain …` on several GPUs or machines.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from tqdm import tqdm

from sjepa import parallel
from sjepa.checkpoint import resume, save
from sjepa.config import RUNS, PretrainConfig, as_dict, load_params, make_config
from sjepa.datasets import load_store
from sjepa.datasets.splits import split
from sjepa.datasets.store import Store
from sjepa.device import autocast, compile_modules, pick_device, pick_precision
from sjepa.diagnostics import warnings
from sjepa.encoder import Block
from sjepa.errors import SjepaError, main_with_errors
from sjepa.inputs import draw, make_batch, pad_rows
from sjepa.model import TARGETS, Step


def learning_rate(epoch: float, config: PretrainConfig) -> float:
    """Learning rate at a fractional epoch: linear from 0, then a half cosine to `lr_end`."""
    if epoch < config.warmup_epochs:
        return config.lr * epoch / config.warmup_epochs
    left = max(config.epochs - config.warmup_epochs, 1e-9)
    share = min((epoch - config.warmup_epochs) / left, 1.0)
    return config.lr_end + (config.lr - config.lr_end) * (1 + math.cos(math.pi * share)) / 2


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict]:
    """Weight decay on matrices and position tables, none on biases and norms (lineage)."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


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
        self.skeleton = self.data.skeleton
        self.model = TARGETS[config.target](config, self.skeleton).to(self.device)
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, config.weight_decay), lr=config.lr, betas=(0.9, 0.95),
            fused=self.device.type == "cuda",
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.batch = min(config.batch_size, len(self.train))
        self.parts = parallel.world() * config.accumulate
        if self.batch < self.parts:
            raise SjepaError(f"{self.batch} clips a step cannot be shared by {parallel.world()} "
                             f"processes in {config.accumulate} micro-batches each")
        # Rows vary from batch to batch by about a root; so coarse a grid leaves few shapes.
        self.multiple = self.parts * max(1, round(self.batch**0.5 / self.parts))
        blocks = (module for module in self.model.modules() if isinstance(module, Block))
        self.compiled = compile_modules(blocks, config.compile, self.device)
        if self.compiled and hasattr(self.model, "cross_entropy"):
            self.model.cross_entropy = torch.compile(self.model.cross_entropy, dynamic=False)
        self.network = parallel.shared(self.model)
        self.steps_per_epoch = len(self.train) // self.batch  # the last, smaller batch is dropped
        self.steps = self.steps_per_epoch * config.epochs
        self.after: dict[str, float] = {}  # readings of the last step's end
        self.epoch, self.step, self.seconds, self.history = 0, 0, 0.0, []

    def micro_batches(self, index: torch.Tensor) -> list[tuple]:
        """Draw the batch of the clips `index` and take this process's part of it.

        Returns:
            For each of `accumulate` parts: the model's inputs, its rows' weights `[R]` or None,
            and its share of the loss of the whole batch.
        """
        x, weight = make_batch(self.data, index, self.config, self.generator)
        rows = draw(x, self.config, self.generator, self.skeleton)
        if self.compiled:  # every new number of rows is compiled anew: allow few
            rows, weight = pad_rows(rows, weight, self.multiple)
        counts = torch.ones(len(x), device=self.device) if weight is None else weight
        first, parts = parallel.rank() * self.config.accumulate, []
        for part in range(first, first + self.config.accumulate):
            # Every n-th row, so that no part is left with nothing but padding.
            *inputs, count = (each[part :: self.parts] for each in (*rows, counts))
            parts.append((inputs, None if weight is None else count, count.sum() / counts.sum()))
        return parts

    def training_step(self, index: torch.Tensor) -> dict[str, torch.Tensor]:
        """One optimiser step on the clips `index`, then one step of the EMA and of the centre.

        The host never waits for the device, except where `diagnostics.monitors` are read.

        Returns:
            The loss, and the collapse monitors on every `monitor_every`-th step.
        """
        config, model = self.config, self.model
        rate = learning_rate(self.step / self.steps_per_epoch, config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        parts = self.micro_batches(index)
        loss, means = torch.zeros((), device=self.device), []
        if self.compiled:  # not for each part: their gradients lie in the same graphs' memory
            torch.compiler.cudagraph_mark_step_begin()
        for number, (inputs, weight, share) in enumerate(parts, 1):
            with parallel.averaging(self.network, now=number == len(parts)):
                with autocast(self.device, self.dtype):
                    made = self.network(*inputs, weight)
                # Gradients are averaged over the processes, and each has its share of one sum.
                self.scaler.scale(made.loss * share * parallel.world()).backward()
            loss += made.loss.detach() * share
            means.append(made.target.float().mean(1, keepdim=True))
        if config.clip_grad is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_grad)
        readings = {"loss": parallel.summed(loss)}
        if self.step % config.monitor_every == 0 and parallel.rank() == 0:
            (x, *_), weight, _ = parts[-1]
            with autocast(self.device, self.dtype):
                readings |= model.monitors(made, x, weight)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        _, weights, shares = zip(*parts, strict=True)
        weight = None if weights[0] is None else torch.cat(weights)
        self.after = model.after_step(
            Step(self.step, self.steps, torch.cat(means), weight, sum(shares)))
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
        row = {"epoch": self.epoch, **row, "lr": rate, **self.after}
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
        self.generator.set_state(state["generator"].cpu())
        self.epoch, self.step = state["epoch"], state["step"]
        self.seconds, self.history = state["seconds"], state["history"]


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
    with parallel.team(config.device):
        with parallel.first_alone():
            store = load_store(config.dataset)
        run = Pretraining(config, store)
        resume(run, out)
        _loop(run, out)
    return out


def _loop(run: Pretraining, out: Path) -> None:
    config, first = run.config, parallel.rank() == 0
    bar = tqdm(initial=run.epoch, total=config.epochs, desc="pretrain", unit="epoch", mininterval=5,
               disable=not first)
    while run.epoch < config.epochs:
        row = run.run_epoch()
        bar.update()
        due = run.epoch % config.checkpoint_every == 0 or run.epoch == config.epochs
        if due and first:
            # An epoch may be too short for a reading; reconstructions have no entropy.
            read = [f"  {name} {row[name]:.4g}" for name in ("entropy", "rank") if name in row]
            print(f"epoch {run.epoch}/{config.epochs}  loss {row['loss']:.4f}", *read,
                  f"  {run.seconds:.0f} s", sep="", flush=True)
            for said in warnings(row, config.dim):
                print(f"  warning: {said}", flush=True)
            save(run, out)
    bar.close()


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sjepa.pretrain", description=__doc__)
    parser.add_argument("--params", required=True, help="YAML file of parameters")
    parser.add_argument("--resume", help="folder of a run to continue")
    args = parser.parse_args(argv)
    config = make_config(PretrainConfig, load_params(args.params))
    if args.resume and not (Path(args.resume) / "last.pt").is_file():
        raise SjepaError(f"nothing to resume: {args.resume} has no last.pt")
    with parallel.team(config.device):
        out = pretrain(config, args.resume)
        if parallel.rank() == 0:
            print(out)


if __name__ == "__main__":
    main_with_errors(main)
