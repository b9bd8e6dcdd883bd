"""How the cost of a pretraining step grows, and what each choice that makes it fast is worth.

    python tests/benchmarks/grow.py --json FILE

One setting at a time is changed, from the paper's model with few clips a step. Each row is the
median of a few steps after one untimed step.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
from pathlib import Path
from unittest import mock

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import torch  # noqa: E402
from generated import GeneratedStore  # noqa: E402
from step import Ours  # noqa: E402
from timing import (  # noqa: E402
    CLOCKS,
    check_clock,
    load_now,
    timed,
    usual_memory,
    warm_up,
)

from sjepa.checkpoint import save_atomically  # noqa: E402
from sjepa.config import PretrainConfig, make_config  # noqa: E402
from sjepa.device import describe  # noqa: E402
from sjepa.errors import main_with_errors  # noqa: E402
from sjepa.study import flops as costs  # noqa: E402
from sjepa.study.records import commit, versions  # noqa: E402

#: What grows, and the settings of each row.
GRID = {
    "tokens": [dict(frames=frames) for frames in (40, 80, 120, 160, 240)],
    "blocks of the encoder": [dict(depth=depth) for depth in (2, 4, 8, 16)],
    "clips a step": [dict(batch_size=clips) for clips in (4, 8, 16, 32)],
    "without": [
        dict(empty_bodies="all"), dict(precision="fp32"), dict(attention="fused"),
        dict(memory="returned"), dict(accumulate=2),
    ],
}


@contextlib.contextmanager
def undone(change: dict):
    """Take back what is no setting: memory that is kept, attention in blocks."""
    with contextlib.ExitStack() as stack:
        if change.get("attention") == "fused":
            stack.enter_context(mock.patch.object(attention, "blocks_pay", return_value=False))
        if change.get("memory") == "returned":
            stack.enter_context(usual_memory(torch.device("cpu")))
        yield


def measure(change: dict, base: dict, steps: int, clock: str) -> dict:
    """One row: seconds a step and what they mean, with the settings `change`."""
    params = base | {k: v for k, v in change.items() if k not in ("attention", "memory")}
    config = make_config(PretrainConfig, params)
    ours = Ours(config, GeneratedStore(64))
    with undone(change):
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
        "batch": args.batch, "steps": args.steps, "commit": commit(), "versions": versions(),
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
