"""One pretraining step on NTU60's mix of one and two bodies: `sjepa`'s and the plain one, in turn.

    python tests/benchmarks/step.py --preset paper --batch 8 --steps 6 --json FILE

The clips are generated (lengths and share of second bodies as in NTU60), so no data is needed.
Rounds of both steps alternate and the medians over the rounds are reported: what else the machine
does in the meantime then falls on both. Under `torchrun` the batch is shared by all processes.
With `--grow`: how the cost of our step grows, and what each choice that makes it fast is worth.
"""

import argparse
import os
import statistics
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import torch
from generated import TWO_BODIES, generated_store
from plain import Clips, PlainStep
from timing import CLOCKS, product_rate, profiled, take_turns, timed, warm_up, write_record

from sjepa.config import PretrainConfig, make_config
from sjepa.datasets.splits import SPLITS
from sjepa.datasets.store import Store
from sjepa.device import describe, pick_device, rank, team, world
from sjepa.errors import SjepaError, main_with_errors
from sjepa.inputs import body_rows
from sjepa.pretrain import Pretraining
from sjepa.study import flops as costs
from sjepa.study.experiments import config_of, experiments

PLAIN_STEPS = 4  # of each plain batch, a round
#: What grows, and the one setting that each row changes.
GRID = {
    "tokens": [dict(frames=frames) for frames in (40, 80, 120, 160, 240)],
    "blocks of the encoder": [dict(depth=depth) for depth in (2, 4, 8, 16)],
    "clips a step": [dict(batch_size=clips) for clips in (4, 8, 16, 32)],
    "without": [dict(empty_bodies="all"), dict(precision="bf16"), dict(accumulate=2)],
}


class Ours:
    """`sjepa`'s step on random batches; `rows` notes how many bodies each computed."""

    def __init__(self, config: PretrainConfig, store: Store):
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


def plain_step(config: PretrainConfig, store: Store, device, batch: int):
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
    store = generated_store(args.clips)
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


def grow(args, base: PretrainConfig) -> dict:
    """A row for each change: the steps' seconds after one untimed step, and what they mean."""
    rows = []
    for what, change in ((what, change) for what, changes in GRID.items() for change in changes):
        ours = Ours(replace(base, **change), generated_store(64))
        config, device = ours.run.config, ours.run.device
        warm_up(ours, 1, device)
        ours.rows.clear()
        seconds = [timed(ours, 1, device, args.clock) for _ in range(args.steps)]
        rows.append(work(ours, config.batch_size / statistics.median(seconds)) | {
            "grows": what, "change": change, "step_seconds": seconds,
            "tokens": config.frames // config.segment * 25})
    return {"rows": rows, "clock": args.clock, "batch": args.batch, "preset": args.preset,
            "steps": args.steps}


def parse(argv: list[str] | None):
    """The command line; refuses a clock that would count seconds twice, or none of a GPU's."""
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
    parser.add_argument("--grow", action="store_true", help="ours alone, by size and by choice")
    parser.add_argument("--threads", type=int, default=None, help="of the CPU")
    parser.add_argument("--clock", choices=CLOCKS, default="wall",
                        help="process: waiting for other work is left out; one thread of a CPU")
    parser.add_argument("--json", required=True, type=Path, help="file of the result")
    args = parser.parse_args(argv)
    args.rounds = min(args.rounds, args.steps)
    if args.clock == "process" and (args.threads, args.device) != (1, "cpu"):
        raise SjepaError("--clock process counts the seconds of one thread: "
                         "add --device cpu --threads 1")
    if args.threads:
        torch.set_num_threads(args.threads)
    return args


def main(argv: list[str] | None = None) -> None:
    """Measure, and write the record."""
    args = parse(argv)
    config = make_config(PretrainConfig, {
        "preset": args.preset, "batch_size": args.batch, "device": args.device,
        "precision": args.precision, "compile": args.compile, "accumulate": args.accumulate})
    with team(config.device):
        made = grow(args, config) if args.grow else measure(args, config)
        if rank() > 0:
            return
        write_record(args.json, made, pick_device(config.device))
    for row in made.get("rows", [made]):
        beside = f", ratio {row['ratio']:.3g}" if row.get("ratio") else ""
        print(f"{row.get('change', '')} {row['samples_per_s']:.3g} samples/s{beside}".strip())


if __name__ == "__main__":
    main_with_errors(main)
