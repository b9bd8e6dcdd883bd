"""How the cost of a pretraining step grows, and what each choice that makes it fast is worth.

    python tests/benchmarks/grow.py --json FILE

One setting at a time is changed, from the paper's model with few clips a step. Each row is the
median of a few steps after one untimed step.
"""

import argparse
import statistics

import torch
from generated import GeneratedStore
from step import Ours, work
from timing import add_pace, set_pace, timed, warm_up, write_record

from sjepa.config import PretrainConfig, make_config
from sjepa.errors import main_with_errors

BASE = {"preset": "paper", "batch_size": 8, "device": "cpu"}
STEPS = 3

#: What grows, and the settings of each row.
GRID = {
    "tokens": [dict(frames=frames) for frames in (40, 80, 120, 160, 240)],
    "blocks of the encoder": [dict(depth=depth) for depth in (2, 4, 8, 16)],
    "clips a step": [dict(batch_size=clips) for clips in (4, 8, 16, 32)],
    "without": [dict(empty_bodies="all"), dict(precision="bf16"), dict(accumulate=2)],
}


def measure(change: dict, clock: str) -> dict:
    """One row: seconds a step and what they mean, with the settings `change`."""
    config = make_config(PretrainConfig, BASE | change)
    ours = Ours(config, GeneratedStore(64))
    device = ours.run.device
    warm_up(ours, 1, device)
    ours.rows.clear()
    seconds = [timed(ours, 1, device, clock) for _ in range(STEPS)]
    return {"change": change, "tokens": config.frames // config.segment * 25,
            "step_seconds": seconds} | work(ours, config.batch_size / statistics.median(seconds))


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_pace(parser)
    args = parser.parse_args(argv)
    set_pace(args.clock, args.threads)
    rows = [{"grows": what} | measure(change, args.clock)
            for what, changes in GRID.items() for change in changes]
    write_record(args.json, {"rows": rows, "clock": args.clock, "batch": BASE["batch_size"],
                             "preset": BASE["preset"], "steps": STEPS}, torch.device("cpu"))
    for row in rows:
        print(f"{row['change']}: {row['samples_per_s']:.3g} samples/s")


if __name__ == "__main__":
    main_with_errors(main)
