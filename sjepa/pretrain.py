"""Pretraining: one step and the loop; `python -m sjepa.pretrain --params FILE`.

The same under `torchrun --nproc_per_node=8 -m sjepa.pretrain …` on several GPUs or machines.
"""

import math
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from sjepa import checkpoint
from sjepa import device as devices
from sjepa.config import RUNS, PretrainConfig, command_line, command_params, make_config
from sjepa.datasets import load_store
from sjepa.datasets.splits import draw_weights, split
from sjepa.datasets.store import Store
from sjepa.diagnostics import mean_reading, warnings
from sjepa.encoder import Block
from sjepa.errors import SjepaError, main_with_errors
from sjepa.files import alone
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

    Of the clips in `store` only the training part of `config.split` is ever read.
    """

    def __init__(self, config: PretrainConfig, store: Store):
        self.config, self.store = config, store
        self.device = devices.pick_device(config.device)
        self.precision = devices.pick_precision(config.precision, self.device)
        self.dtype = devices.DTYPES[self.precision]
        self.data = store.to(self.device)
        train = split(config.split, store)[0]
        self.train = torch.from_numpy(train)
        self.weights = draw_weights(config.split, store, train, config.set_power)
        torch.manual_seed(config.seed)
        self.model = TARGETS[config.target](config, self.data.skeleton).to(self.device)
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, config.weight_decay), lr=config.lr, betas=(0.9, 0.95),
            fused=self.device.type == "cuda",
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.batch = min(config.batch_size, len(self.train))
        self.parts = devices.world() * config.accumulate
        if self.batch < self.parts:
            raise SjepaError(f"a step has {self.batch} clips, too few for {devices.world()} "
                             f"process(es) with accumulate = {config.accumulate} parts each")
        # Rows vary from batch to batch by about a root; so coarse a grid leaves few shapes.
        self.multiple = self.parts * max(1, round(self.batch**0.5 / self.parts))
        self.steps_per_epoch = len(self.train) // self.batch  # the last, smaller batch is dropped
        self.steps = self.steps_per_epoch * config.epochs
        blocks = (module for module in self.model.modules() if isinstance(module, Block))
        self.compiled = devices.compile_modules(blocks, config.compile, self.device, self.steps)
        if self.compiled and hasattr(self.model, "cross_entropy"):
            self.model.cross_entropy = torch.compile(self.model.cross_entropy, dynamic=False)
        self.network = self.model
        if devices.world() > 1:  # its gradients are averaged over the processes
            self.network = DistributedDataParallel(self.model, gradient_as_bucket_view=True)
        self.after: dict[str, float] = {}  # readings of the last step's end
        self.epoch, self.step, self.seconds, self.history = 0, 0, 0.0, []
        self.readings: dict[str, list[torch.Tensor]] = {}  # of the steps of this epoch

    def micro_batches(self, index: torch.Tensor) -> list[tuple]:
        """Draw the batch of the clips `index` and take this process's part of it.

        Returns:
            For each of `accumulate` parts: the model's inputs, its rows' weights `[R]` or None,
            and its share of the loss of the whole batch.
        """
        x, weight = make_batch(self.data, index, self.config, self.generator)
        rows = draw(x, self.config, self.generator, self.data.skeleton)
        if self.compiled:  # every new number of rows is compiled anew: allow few
            rows, weight = pad_rows(rows, weight, self.multiple)
        counts = torch.ones(len(x), device=self.device) if weight is None else weight
        first, parts = devices.rank() * self.config.accumulate, []
        for part in range(first, first + self.config.accumulate):
            # Every n-th row, so that no part is left with nothing but padding.
            *inputs, count = (each[part :: self.parts] for each in (*rows, counts))
            parts.append((inputs, None if weight is None else count, count.sum() / counts.sum()))
        return parts

    def training_step(self, index: torch.Tensor) -> dict[str, torch.Tensor]:
        """One optimiser step on the clips `index`, then one step of the EMA and of the centre.

        The host never waits for the device.

        Returns:
            The loss, and every `monitor_every` steps the monitors, read off rank 0's last part.
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
            waits = devices.world() > 1 and number < len(parts)  # to be averaged with the last
            with self.network.no_sync() if waits else nullcontext():
                with devices.autocast(self.device, self.dtype):
                    made = self.network(*inputs, weight)
                # Gradients are averaged over the processes, and each has its share of one sum.
                self.scaler.scale(made.loss * share * devices.world()).backward()
            loss += made.loss.detach() * share
            means.append(made.target.float().mean(1, keepdim=True))
        if config.clip_grad is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_grad)
        readings = {"loss": devices.summed(loss)}
        if self.step % config.monitor_every == 0 and devices.rank() == 0:
            (x, *_), weight, _ = parts[-1]
            with devices.autocast(self.device, self.dtype):
                readings |= model.monitors(made, x, weight)
        # A step that fp16 skips moves no weight; the averages after it move on all the same.
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        _, weights, shares = zip(*parts, strict=True)
        weight = None if weights[0] is None else torch.cat(weights)
        self.after = model.after_step(
            Step(self.step, self.steps, torch.cat(means), weight, sum(shares)))
        self.step += 1
        return readings

    def run_epoch(self, stopped: Callable[[], bool] = lambda: False) -> dict[str, float] | None:
        """The rest of an epoch: as many clips as there are in training, drawn afresh.

        Each clip comes once, in a new order; or, where sets are weighted, as chance has it. Before
        each step `stopped` is asked whether to leave.

        Returns:
            The mean readings; None if it was left, from where `run_epoch` goes on.

        Raises:
            SjepaError: the loss is not finite.
        """
        begun, before, count = time.perf_counter(), self.step, len(self.train)
        draws = torch.Generator().manual_seed(self.config.seed * 100_003 + self.epoch)
        if self.weights is None:
            order = torch.randperm(count, generator=draws)
        else:
            weights = torch.from_numpy(self.weights)
            order = torch.multinomial(weights, count, replacement=True, generator=draws)
        batches = self.train[order].split(self.batch)[: self.steps_per_epoch]
        losses = self.readings.setdefault("loss", [])
        for batch in batches[len(losses) :]:
            if stopped():
                break
            for name, value in self.training_step(batch).items():
                self.readings.setdefault(name, []).append(value)
        if losses:
            checkpoint.check_losses(torch.stack(losses), batches, self.store.names, self.epoch + 1)
        self.seconds += (seconds := time.perf_counter() - begun)
        if len(losses) < len(batches):
            return None
        row = {name: mean_reading(values) for name, values in self.readings.items()}
        self.epoch, self.readings = self.epoch + 1, {}
        row = {"epoch": self.epoch, **row, **self.after,
               "lr": learning_rate(self.step / self.steps_per_epoch, self.config),
               "clips_per_s": (self.step - before) * self.batch / seconds}
        self.history.append(row)
        return row

    def state(self) -> dict:
        """All that is needed to go on to the bit where this run stands."""
        return {
            "config": asdict(self.config), "device": self.device.type,
            "precision": self.precision, "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict(),
            "generator": self.generator.get_state(), "epoch": self.epoch, "step": self.step,
            "seconds": self.seconds, "history": self.history, "store": self.store.meta["sha256"],
            "readings": {name: torch.stack(values) for name, values in self.readings.items()
                         if values},
        }

    def load_state(self, state: dict) -> None:
        """Continue from `state`: to the bit on the same kind of device, else with fresh draws.

        Raises:
            SjepaError: the checkpoint is of another shape, of other data, or of another precision.
        """
        if state["precision"] != self.precision:
            raise SjepaError(f"the checkpoint was computed in {state['precision']}, and would "
                             f"go on in {self.precision} here: set precision = "
                             f"{state['precision']}, or start a new run in another folder")
        if state["store"] != self.store.meta["sha256"]:
            raise SjepaError(f"the checkpoint was trained on another version of {self.store.path}: "
                             "start a new run in another folder")
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            raise SjepaError("the checkpoint is of another shape than the configuration: "
                             f"{str(error).splitlines()[1].strip()}") from error
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.seconds, self.history = state["seconds"], state["history"]
        self.readings = {name: list(values.to(self.device))
                         for name, values in state["readings"].items()}
        if state["device"] == self.device.type:
            self.generator.set_state(state["generator"].cpu())
        else:  # the state of a GPU's generator says nothing to a CPU's
            print(f"the checkpoint was made on {state['device']}: crops, views and masks are drawn "
                  "anew from here on", flush=True)
            self.generator.manual_seed(self.config.seed * 100_003 + self.step)

    def result(self) -> dict:
        """What `write_result` publishes of the run."""
        config = self.config
        return {
            "settings": asdict(config) | {"precision": self.precision},
            "stages": {"pretrain": {
                "seconds": round(self.seconds, 2), "device": devices.describe(self.device),
                "processes": devices.world(), "peak_bytes": devices.peak_bytes(self.device)}},
            "dataset": config.dataset, "split": config.split, "preset": config.preset,
            "method": "sjepa" if config.target == "latent" else config.target,
            "seed": config.seed, "note": self.store.meta.get("note", ""),
            "clips": {"train": len(self.train), "store": len(self.store)},
        }


def run_folder(config: PretrainConfig) -> Path:
    """Where a run lives: `out`, or a name made of preset, split, seed and, if not joint, stream."""
    stream = "" if config.stream == "joint" else f"-{config.stream}"
    name = f"{config.preset}-{config.split.replace('/', '-')}-{config.seed}{stream}"
    return Path(config.out) if config.out else RUNS / name


def pretrain(config: PretrainConfig, out: str | Path | None = None) -> Path:
    """Pretrain, or continue where the folder's checkpoint stands, or return if it is finished.

    Returns:
        The folder (`out`, or else `run_folder(config)`), with `target.safetensors`,
        `result.json`, `history.csv` and `last.pt`.

    Raises:
        SjepaError: the folder cannot be written, or holds a run with other settings or data.
    """
    out = Path(out) if out else run_folder(config)
    with devices.team(config.device), devices.computing(devices.pick_device(config.device)):
        run = Pretraining(config, load_store(config.dataset))
        if devices.rank() == 0:
            checkpoint.make_ready(out, run.model)
        with alone(out / "last.pt", wait=False) if devices.rank() == 0 else nullcontext():
            if state := checkpoint.kept(out):  # its precision is compared below, as resolved
                checkpoint.same_settings(state["config"], config, out, ("precision",))
                run.load_state(state)
            with devices.many_shapes(run.compiled):
                _loop(run, out)
    return out


def _loop(run: Pretraining, out: Path) -> None:
    config, first = run.config, devices.rank() == 0
    bar = tqdm(initial=run.epoch, total=config.epochs, desc="pretrain", unit="epoch", mininterval=5,
               disable=not first)
    with bar, checkpoint.signals_held() as caught:
        while run.epoch < config.epochs:
            # A signal to one process stops all of them after the same step.
            row = _advance(run, lambda: bool(devices.summed(torch.tensor(len(caught)))))
            if row is None:
                if first:
                    checkpoint.save(run, out)
                    print(f"stopped after step {run.step} of {run.steps}: {out / 'last.pt'} is "
                          "where the same command goes on", file=sys.stderr, flush=True)
                return
            if config.knn_every and run.epoch % config.knn_every == 0:
                # From the room above, and only where it is asked for: the method judges nothing.
                from sjepa.protocols.knn import held_out_accuracy

                row |= held_out_accuracy(run)
            due = run.epoch % config.checkpoint_every == 0 or run.epoch == config.epochs
            if first:  # saved before anything is said: a closed terminal loses nothing
                checkpoint.save_history(run.history, out)
                if due:
                    checkpoint.save(run, out)
                    _say(run, row)
            bar.update()


def _advance(run: Pretraining, stopped: Callable[[], bool]) -> dict[str, float] | None:
    """`run_epoch`; where memory is short, say what would fit."""
    config, world = run.config, devices.world()

    def attempt(rows: int) -> None:
        run.config = replace(config, accumulate=-(-run.batch // (rows * world)))
        run.parts = world * run.config.accumulate
        run.optimizer.zero_grad(set_to_none=True)
        inputs, weight, _ = run.micro_batches(run.train[: run.batch])[0]
        with devices.autocast(run.device, run.dtype):
            loss = run.model(*inputs, weight).loss
        loss.backward()

    return devices.or_what_fits(
        lambda: run.run_epoch(stopped),
        f"a step of {run.batch} clips with accumulate = {config.accumulate}",
        run.batch // run.parts, attempt, lambda rows: f"accumulate = {run.config.accumulate} fits, "
        f"{rows} clips at once in the same step", run.device)


def _say(run: Pretraining, row: dict[str, float]) -> None:
    """A line about the epoch, and what its monitors warn of."""
    # An epoch may be too short for a reading; reconstructions have no entropy.
    read = [f"  {name} {row[name]:.4g}" for name in ("entropy", "rank", "knn") if name in row]
    print(f"epoch {run.epoch}/{run.config.epochs}  loss {row['loss']:.4f}", *read,
          f"  {run.seconds:.0f} s", sep="", flush=True)
    for warning in warnings(row, run.config.dim):
        print(f"  warning: {warning}", flush=True)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = command_line("python -m sjepa.pretrain", __doc__, PretrainConfig)
    parser.add_argument("--resume", help="folder of a run to continue")
    args = parser.parse_args(argv)
    config = make_config(PretrainConfig, command_params(args))
    if args.resume and not [*Path(args.resume).glob("*.pt")]:
        raise SjepaError(f"nothing to resume: {args.resume} has no checkpoint")
    with devices.team(config.device):
        out = pretrain(config, args.resume)
        if devices.rank() == 0:
            print(out)


if __name__ == "__main__":
    main_with_errors(main)
