"""How the cost of a pretraining step grows, and what each choice that makes it fast is worth.

    python tests/benchmarks/grow.py --json FILE

One setting at a time is changed, from the paper's model with few clips a step. Each row is the
median of a few steps after one untimed step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import torch  # noqa: E402
from generated import GeneratedStore  # noqa: E402
from step import Ours  # noqa: E402
from timing import CLOCKS, check_clock, load_now, timed, warm_up  # noqa: E402

from sjepa.checkpoint import commit, save_atomically, versions  # noqa: E402
from sjepa.config import PretrainConfig, make_config  # noqa: E402
from sjepa.device import describe  # noqa: E402
from sjepa.errors import main_with_errors  # noqa: E402
from sjepa.study import flops as costs  # noqa: E402

#: What grows, and the settings of each row.
GRID = {
    "tokens": [dict(frames=frames) for frames in (40, 80, 120, 160, 240)],
    "blocks of the encoder": [dict(depth=depth) for depth in (2, 4, 8, 16)],
    "clips a step": [dict(batch_size=clips) for clips in (4, 8, 16, 32)],
    "without": [
        dict(empty_bodies="all"), dict(precision="bf16"), dict(accumulate=2),
    ],
}


def measure(change: dict, base: dict, steps: int, clock: str) -> dict:
    """One row: seconds a step and what they mean, with the settings `change`."""
    config = make_config(PretrainConfig, base | change)
    ours = Ours(config, GeneratedStore(64))
    warm_up(ours, 1, ours.run.device)
    ours.rows = []
    seconds = [timed(ours, 1, ours.run.device, clock) for _ in range(steps)]
    speed = config.batch_size / statistics.median(seconds)
    rows = statistics.mean(ours.rows) / config.batch_size
    flops = rows * costs.row_flops(config)
    return {"change": change, "tokens": config.frames // config.segment * 25,
            "samples_per_s": speed, "rows_per_sample": rows, "gflop_per_sample": flops / 1e9,
            "tflops": flops * speed / 1e12, "step_seconds": seconds,
            "precision": str(ours.run.dtype).removeprefix("torch.")}


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--batch", type=int, default=8, help="clips a step where they do not grow")
    parser.add_argument("--steps", type=int, default=3, help="timed steps a row")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="as of step.py")
    parser.add_argument("--json", required=True, help="file of the result")
    args = parser.parse_args(argv)
    check_clock(args.clock, args.threads)
    if args.threads:
        torch.set_num_threads(args.threads)
    base = {"preset": args.preset, "batch_size": args.batch, "device": "cpu"}
    load = load_now()
    rows = [{"grows": what} | measure(change, base, args.steps, args.clock)
            for what, changes in GRID.items() for change in changes]
    made = {
        "rows": rows, "device": describe(torch.device("cpu")), "threads": torch.get_num_threads(),
        "clock": args.clock, "load_before": load, "preset": args.preset,
        "batch": args.batch, "steps": args.steps, "commit": commit()[0], "versions": versions(),
        "command": "python " + " ".join(sys.argv),
    }
    out = Path(args.json)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_atomically(lambda p: p.write_text(json.dumps(made, indent=1) + "\n"), out)
    for row in rows:
        print(f"{row['change']}: {row['samples_per_s']:.3g} samples/s, "
              f"{row['tflops']:.3g} TFLOP/s", flush=True)


if __name__ == "__main__":
    main_with_errors(main)
