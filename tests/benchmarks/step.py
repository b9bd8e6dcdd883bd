"""One pretraining step on NTU60's mix of one and two bodies: `sjepa`'s and the plain one, in turn.

    python tests/benchmarks/step.py --preset paper --batch 8 --steps 6 --json FILE

The clips are generated (lengths and share of second bodies as in NTU60), so no data is needed.
Rounds of both steps alternate and the medians over the rounds are reported: what else the machine
does in the meantime then falls on both. Under `torchrun` the batch is shared by all processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from generated import TWO_BODIES, GeneratedStore  # noqa: E402
from plain import Clips, PlainStep  # noqa: E402
from timing import (  # noqa: E402
    CLOCKS,
    Turns,
    check_clock,
    load_now,
    product_rate,
    profiled,
    warm_up,
)

from sjepa.checkpoint import commit, save_atomically, versions  # noqa: E402
from sjepa.config import PretrainConfig, make_config  # noqa: E402
from sjepa.datasets.splits import SPLITS  # noqa: E402
from sjepa.device import describe, pick_device, rank, team, world  # noqa: E402
from sjepa.errors import main_with_errors  # noqa: E402
from sjepa.inputs import body_rows  # noqa: E402
from sjepa.pretrain import Pretraining  # noqa: E402
from sjepa.study import flops as costs  # noqa: E402
from sjepa.study.experiments import config_of, experiments  # noqa: E402

NTU60 = 40_091, 1  # training clips of its cross-subject protocol, one epoch


class Ours:
    """`sjepa`'s step on random batches."""

    def __init__(self, config: PretrainConfig, store: GeneratedStore):
        self.run = Pretraining(config, store)
        self.order = torch.Generator().manual_seed(1)
        self.rows = []

    def draw(self) -> tuple[torch.Tensor, int]:
        """A random batch, and its rows."""
        index = torch.randint(len(self.run.train), (self.run.batch,), generator=self.order)
        index = self.run.train[index]
        return index, len(body_rows(self.run.data.present[index], self.run.config.empty_bodies)[0])

    def __call__(self) -> None:
        index, rows = self.draw()
        self.rows.append(rows)
        self.run.training_step(index)

    def compile_all(self, draws: int = 2000) -> None:
        """A step for every number of rows that occurs in so many batches: each is compiled once."""
        batches = (self.draw() for _ in range(draws))
        shapes = {rows + -rows % self.run.multiple: index for index, rows in batches}
        for index in shapes.values():
            self.run.training_step(index)


class Plain:
    """The plain step behind its DataLoader."""

    def __init__(self, config: PretrainConfig, store: GeneratedStore, device, batch: int):
        clips = Clips(store, np.arange(len(store)), config)
        workers = min(8, os.cpu_count() - 1) if device.type == "cuda" else 0
        self.loader = torch.utils.data.DataLoader(
            clips, batch, shuffle=True, drop_last=True, num_workers=workers,
            pin_memory=device.type == "cuda", persistent_workers=workers > 0,
        )
        self.step, self.batches = PlainStep(config, device), iter(())

    def __call__(self) -> None:
        try:
            clips, views = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            clips, views = next(self.batches)
        self.step(clips, views)


def paper_runs(samples_per_s: float) -> dict[str, float]:
    """Hours of each of the paper's pretrainings at this speed."""
    made = {}
    for each in experiments("paper").values():
        if each.step == "pretrain":
            config = config_of(each.name)
            counts = SPLITS[config.split].counts
            spent = costs.hours(counts[0], config.epochs, samples_per_s, config.batch_size)
            made[config.split] = round(spent, 2)
    return made


def measure(args, config: PretrainConfig) -> dict:
    """Both steps, in turn."""
    if args.attention == "efficient":
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_cudnn_sdp(False)
    store = GeneratedStore(args.clips)
    ours = Ours(config, store)
    device, run = ours.run.device, ours.run
    peak = warm_up(*((ours.compile_all, 1) if run.compiled else (ours, 2)), device)
    plain = {}
    if not args.no_plain and world() == 1:
        plain = {batch: Plain(config, store, device, batch) for batch in args.plain_batch}
    plain_peak = [warm_up(step, 1, device) for step in plain.values()]
    turns, each, load = Turns(ours, plain, args.clock), args.steps // args.rounds, load_now()
    ours.rows = []
    for _ in range(args.rounds):
        turns.take(each, args.plain_steps)
    speed, made = turns.speeds("ours")[run.batch], turns.beside()
    if args.profile:
        made["profile"] = {"ours": profiled(ours, device)}
        if plain:
            made["profile"]["plain"] = profiled(plain[made["plain_batch"]], device)
    if device.type == "cuda":  # on a CPU all share one process, in which ours ran first
        made["plain_peak_bytes"] = max(plain_peak, default=None)
    rows = statistics.mean(ours.rows) / args.batch
    return {"samples_per_s": speed} | made | work(speed, rows, config, run) | kept_up(
        rows * speed, made["plain_samples_per_s"], config, run, args.clock
    ) | {
        "peak_bytes": peak, "step_seconds": turns.seconds["ours", run.batch],
        "device": describe(device), "processes": world(),
        "threads": torch.get_num_threads(), "clock": args.clock, "load_before": load,
        "preset": config.preset, "batch": args.batch,
        "precision": str(run.dtype).removeprefix("torch."),
        "compile": config.compile if run.compiled else "none", "attention": args.attention,
        "empty_bodies": config.empty_bodies, "accumulate": config.accumulate, "clips": args.clips,
        "steps": each * args.rounds, "rounds": args.rounds, "commit": commit()[0],
        "versions": versions(), "command": "python " + " ".join(sys.argv),
    }


def work(speed: float, rows: float, config: PretrainConfig, run: Pretraining) -> dict:
    """What the speed means in operations and in hours; `rows` bodies are computed a sample."""
    flops = rows * costs.row_flops(config)
    return {
        "bodies_per_s": (1 + TWO_BODIES) * speed, "rows_per_sample": rows,
        "gflop_per_sample": flops / 1e9, "tflops": flops * speed / 1e12,
        "epoch_seconds": costs.hours(*NTU60, speed) * 3600,
        "hours": paper_runs(speed) if config.preset == "paper" else None,
    }


def kept_up(rows_per_s: float, plain: float | None, config: PretrainConfig, run: Pretraining,
            clock: str) -> dict:
    """The share of its peak that a device keeps up in a step, and on a CPU in the plain one.

    A CPU's peak is measured; the plain step is held against that of float32, with both body slots.
    """
    sheet = costs.peak_flops(describe(run.device), run.dtype)
    peak = sheet or product_rate(run.device, run.dtype, clock)
    flops, usual = costs.row_flops(config), None
    if plain and run.device.type == "cpu":
        usual = 2 * flops * plain / product_rate(run.device, torch.float32, clock)
    return {"mfu": rows_per_s * flops / peak / world(), "plain_mfu": usual,
            "peak_tflops": peak / 1e12, "peak_is": "data sheet" if sheet else "one large product"}


def parse(argv: list[str] | None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--batch", type=int, default=8, help="clips a step, over all processes")
    parser.add_argument("--steps", type=int, default=6, help="timed steps of ours, in all rounds")
    parser.add_argument("--rounds", type=int, default=3, help="turns of ours and plain")
    parser.add_argument("--json", required=True, help="file of the result")
    parser.add_argument("--profile", action="store_true", help="add both steps' operators")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--compile", nargs="?", const="default", default="auto")
    parser.add_argument("--no-compile", dest="compile", action="store_const", const="none")
    parser.add_argument("--empty-bodies", default=None)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--attention", choices=("any", "efficient"), default="any",
                        help="efficient: the one fused kernel that a T4 has, too")
    parser.add_argument("--threads", type=int, default=None, help="of the CPU")
    parser.add_argument("--clock", choices=CLOCKS, default="wall",
                        help="process: waiting for other work is left out; one thread of a CPU")
    parser.add_argument("--clips", type=int, default=2048, help="40091 is NTU60 cross-subject")
    parser.add_argument("--no-plain", action="store_true", help="ours alone")
    parser.add_argument("--plain-batch", type=int, nargs="+", help="the best of them counts; "
                        "default: 1 2 4 on a CPU, where more is slower, and 32 on a GPU")
    parser.add_argument("--plain-steps", type=int, default=4, help="of each plain batch, a round")
    args = parser.parse_args(argv)
    args.rounds = min(args.rounds, args.steps)
    check_clock(args.clock, args.threads, args.device)
    if args.plain_batch is None:
        gpu = pick_device(args.device).type == "cuda"
        args.plain_batch = [min(args.batch, 32)] if gpu else [1, 2, 4]
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    params = {"preset": args.preset, "batch_size": args.batch, "device": args.device,
              "precision": args.precision, "compile": args.compile, "accumulate": args.accumulate}
    if args.empty_bodies:
        params["empty_bodies"] = args.empty_bodies
    config = make_config(PretrainConfig, params)
    with team(config.device):
        made = measure(args, config)
        if rank() > 0:
            return
    out = Path(args.json)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_atomically(lambda p: p.write_text(json.dumps(made, indent=1) + "\n"), out)
    beside = f", plain {made['plain_samples_per_s']:.3g}, ratio {made['ratio']:.3g}" if made[
        "ratio"] else ""
    print(f"{made['samples_per_s']:.3g} samples/s{beside} ({made['device']}, {out})")


if __name__ == "__main__":
    main_with_errors(main)
