"""One pretraining step on NTU60's mix of one and two bodies: `sjepa`'s and the plain one, in turn.

    python tests/benchmarks/step.py --preset paper --batch 8 --steps 6 --json FILE

The clips are generated (lengths and share of second bodies as in NTU60), so no data is needed.
Rounds of both steps alternate and the medians over the rounds are reported: what else the machine
does in the meantime then falls on both. Under `torchrun` the batch is shared by all processes.
"""

import argparse
import os
import statistics
import time
from itertools import count

import numpy as np
import torch
from generated import TWO_BODIES, GeneratedStore
from plain import Clips, PlainStep
from timing import add_pace, product_rate, profiled, set_pace, take_turns, warm_up, write_record

from sjepa.config import PretrainConfig, make_config
from sjepa.datasets.splits import SPLITS
from sjepa.device import describe, pick_device, rank, team, world
from sjepa.errors import main_with_errors
from sjepa.inputs import body_rows
from sjepa.pretrain import Pretraining
from sjepa.study import flops as costs
from sjepa.study.experiments import config_of, experiments

PLAIN_STEPS = 4  # of each plain batch, a round


class Ours:
    """`sjepa`'s step on random batches; `rows` notes how many bodies each computed."""

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


def plain_step(config: PretrainConfig, store: GeneratedStore, device, batch: int):
    """The plain step behind its DataLoader, as a function without arguments."""
    workers = min(8, os.cpu_count() - 1) if device.type == "cuda" else 0
    loader = torch.utils.data.DataLoader(
        Clips(store, np.arange(len(store)), config), batch, shuffle=True, drop_last=True,
        num_workers=workers, pin_memory=device.type == "cuda", persistent_workers=workers > 0)
    step, batches = PlainStep(config, device), (each for _ in count() for each in loader)
    return lambda: step(*next(batches))


def paper_runs(samples_per_s: float) -> dict[str, float]:
    """Hours of each of the paper's pretrainings at this speed."""
    configs = [config_of(each.name) for each in experiments("paper").values()
               if each.step == "pretrain"]
    return {config.split: round(costs.hours(SPLITS[config.split].counts[0], config.epochs,
                                            samples_per_s, config.batch_size), 2)
            for config in configs}


def work(ours: Ours, speed: float) -> dict:
    """What `speed` samples a second mean in bodies and operations, by the rows that were noted."""
    config = ours.run.config
    rows = statistics.mean(ours.rows) / ours.run.batch
    flops = rows * costs.row_flops(config)
    return {"samples_per_s": speed, "bodies_per_s": (1 + TWO_BODIES) * speed,
            "rows_per_sample": rows, "gflop_per_sample": flops / 1e9,
            "tflops": flops * speed / 1e12,
            "precision": str(ours.run.dtype).removeprefix("torch.")}


def kept_up(ours: Ours, tflops: float, plain: float | None, clock: str) -> dict:
    """The share of its peak that a device keeps up in a step, and on a CPU in the plain one.

    A CPU's peak is measured; the plain step is held against that of float32, with both body slots.
    """
    device, dtype, usual = ours.run.device, ours.run.dtype, None
    peak = costs.peak_flops(describe(device), dtype) or product_rate(device, dtype, clock)
    if plain and device.type == "cpu":
        flops = 2 * costs.row_flops(ours.run.config) * plain
        usual = flops / product_rate(device, torch.float32, clock)
    return {"mfu": tflops * 1e12 / peak / world(), "plain_mfu": usual}


def measure(args, config: PretrainConfig) -> dict:
    """Both steps, in turn."""
    if args.attention == "efficient":
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_cudnn_sdp(False)
    store = GeneratedStore(args.clips)
    ours = Ours(config, store)
    run, device = ours.run, ours.run.device
    begun = time.perf_counter()
    peak = warm_up(*((ours.compile_all, 1) if run.compiled else (ours, 2)), device)
    warming = time.perf_counter() - begun
    # Of several batches the best counts: on a CPU more clips at once are slower.
    batches = [min(args.batch, 32)] if device.type == "cuda" else [1, 2, 4]
    plain = {batch: plain_step(config, store, device, batch) for batch in batches
             if not args.no_plain and world() == 1}
    for step in plain.values():
        warm_up(step, 1, device)
    ours.rows.clear()
    turns = {"ours": (ours, args.steps // args.rounds)}
    turns |= {batch: (step, PLAIN_STEPS) for batch, step in plain.items()}
    seconds = take_turns(turns, args.rounds, device, args.clock)
    speed = run.batch / statistics.median(seconds["ours"])
    speeds = {batch: batch / statistics.median(seconds[batch]) for batch in plain}
    best = max(speeds, key=speeds.get, default=None)
    made = work(ours, speed)
    made |= kept_up(ours, made["tflops"], speeds.get(best), args.clock) | {
        "plain_samples_per_s": speeds.get(best), "ratio": speed / speeds[best] if plain else None,
        "plain_batch": best, "plain_step_seconds": seconds.get(best),
        "hours": paper_runs(speed) if config.preset == "paper" else None,
        "compile": config.compile, "warm_up_seconds": round(warming, 1),
        "peak_bytes": peak, "step_seconds": seconds["ours"], "processes": world(),
        "clock": args.clock, "preset": config.preset, "batch": args.batch,
        "accumulate": config.accumulate, "clips": args.clips, "rounds": args.rounds}
    if args.profile:
        named = {"ours": ours} | ({"plain": plain[best]} if plain else {})
        made["profile"] = {name: profiled(step, device) for name, step in named.items()}
    return made


def parse(argv: list[str] | None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--batch", type=int, default=8, help="clips a step, over all processes")
    parser.add_argument("--steps", type=int, default=6, help="timed steps of ours, in all rounds")
    parser.add_argument("--rounds", type=int, default=3, help="turns of ours and plain")
    parser.add_argument("--profile", action="store_true", help="add both steps' operators")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--compile", default="auto")
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--attention", choices=("any", "efficient"), default="any",
                        help="efficient: the one fused kernel that a T4 has, too")
    parser.add_argument("--clips", type=int, default=2048, help="40091 is NTU60 cross-subject")
    parser.add_argument("--no-plain", action="store_true", help="ours alone")
    add_pace(parser)
    args = parser.parse_args(argv)
    args.rounds = min(args.rounds, args.steps)
    set_pace(args.clock, args.threads, args.device)
    return args


def main(argv: list[str] | None = None) -> None:
    """Measure, and write the record."""
    args = parse(argv)
    config = make_config(PretrainConfig, {
        "preset": args.preset, "batch_size": args.batch, "device": args.device,
        "precision": args.precision, "compile": args.compile, "accumulate": args.accumulate})
    with team(config.device):
        made = measure(args, config)
        if rank() > 0:
            return
        write_record(args.json, made, pick_device(config.device))
    beside = f", ratio {made['ratio']:.3g}" if made["ratio"] else ""
    print(f"{made['samples_per_s']:.3g} samples/s{beside} ({args.json})")


if __name__ == "__main__":
    main_with_errors(main)
