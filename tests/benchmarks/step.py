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
import time
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from plain import Clips, PlainStep  # noqa: E402

from sjepa import costs, parallel  # noqa: E402
from sjepa.checkpoint import save_atomically  # noqa: E402
from sjepa.command import main_with_errors  # noqa: E402
from sjepa.config import PretrainConfig, load_params, make_config  # noqa: E402
from sjepa.datasets.splits import SPLITS  # noqa: E402
from sjepa.datasets.store import DeviceStore  # noqa: E402
from sjepa.device import describe, peak_bytes  # noqa: E402
from sjepa.paths import ROOT  # noqa: E402
from sjepa.pretrain import Pretraining  # noqa: E402
from sjepa.records import commit, versions  # noqa: E402
from sjepa.views import body_rows  # noqa: E402

TWO_BODIES = 0.18  # of NTU60's clips
NTU60 = 40_091, 1  # training clips of its cross-subject protocol, one epoch


class GeneratedStore:
    """Waving stick figures in memory, as many, as long and as often in pairs as NTU60's clips."""

    path, meta, classes = Path("generated"), {"name": "synthetic", "lists": {}, "sha256": {}}, [""]

    def __init__(self, clips: int, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.lengths = rng.integers(40, 128, clips)  # 84 frames on average
        pairs = rng.permutation(clips) < round(TWO_BODIES * clips)
        taken = np.stack((self.lengths, self.lengths * pairs), 1)
        ends = taken.cumsum().reshape(-1, 2)
        self.offsets = np.where(taken > 0, ends - taken, -1)
        self.labels, self.subjects = np.zeros(clips, int), np.zeros(clips, int)
        self.subjects[-1] = 1  # a split has a test side
        pace = rng.uniform(0.05, 0.3, (25, 3)).astype(np.float32)
        at = np.arange(ends[-1, -1], dtype=np.float32)[:, None, None]
        self.frames = 0.1 * np.sin(at * pace) + rng.normal(0, 0.4, (25, 3)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.lengths)

    def clip(self, index: int) -> np.ndarray:
        """Clip `index`, `[T, 2, 25, 3]`."""
        length = self.lengths[index]
        clip = np.zeros((length, 2, 25, 3), np.float32)
        for body, start in enumerate(self.offsets[index]):
            if start >= 0:
                clip[:, body] = self.frames[start : start + length]
        return clip

    def to(self, device) -> DeviceStore:
        """The whole store as tensors on `device`."""
        arrays = (self.frames, self.offsets, self.lengths, self.labels)
        return DeviceStore(*(torch.from_numpy(np.asarray(a)).to(device) for a in arrays))


class Ours:
    """`sjepa`'s step on random batches."""

    def __init__(self, config: PretrainConfig, store: GeneratedStore):
        self.run = Pretraining(config, store)
        self.order = torch.Generator().manual_seed(1)
        self.rows = []

    def __call__(self) -> None:
        index = torch.randint(len(self.run.train), (self.run.batch,), generator=self.order)
        index = self.run.train[index]
        self.rows.append(len(body_rows(self.run.data.present[index],
                                       self.run.config.empty_bodies)[0]))
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


def timed(step, count: int, device: torch.device) -> float:
    """Seconds a step, over `count` steps; the device is waited for at both ends."""
    begun = _now(device)
    for _ in range(count):
        step()
    return (_now(device) - begun) / count


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def warm_up(step, count: int, device: torch.device) -> int:
    """Take `count` steps untimed; returns the peak memory of them (on a GPU), or so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    timed(step, count, device)
    return peak_bytes(device)


def profiled(step, device: torch.device) -> list[dict]:
    """Where one step's time goes: operators by the time they take themselves, the largest first."""
    with torch.profiler.profile() as profile:
        timed(step, 1, device)
    kind = "device" if device.type == "cuda" else "cpu"
    rows = [{"op": e.key, "calls": e.count,
             "ms": round(getattr(e, f"self_{kind}_time_total") / 1000, 3)}
            for e in profile.key_averages()]
    return sorted((r for r in rows if r["ms"] > 0), key=lambda r: -r["ms"])[:40]


def paper_runs(samples_per_s: float) -> dict[str, float]:
    """Hours of each of the paper's pretrainings at this speed."""
    made = {}
    for path in sorted((ROOT / "notebooks/full/params").glob("*-pretrain.yaml")):
        config = make_config(PretrainConfig, load_params(path))
        counts = SPLITS[config.split].counts if config.split in SPLITS else None
        if config.preset == "paper" and counts:
            spent = costs.hours(counts[0], config.epochs, samples_per_s, config.batch_size)
            made[config.split] = round(spent, 2)
    return made


def measure(args, config: PretrainConfig) -> dict:
    """Both steps, in turn."""
    store = GeneratedStore(args.clips)
    ours = Ours(config, store)
    device, run = ours.run.device, ours.run
    peak = warm_up(ours, 10 if run.compiled else 2, device)
    plain = None
    if not args.no_plain and parallel.world() == 1:
        plain_batch = args.plain_batch or min(args.batch, 32)
        plain = Plain(config, store, device, plain_batch)
        plain_peak = warm_up(plain, 1, device)
    each = max(1, args.steps // args.rounds)
    ours.rows, seconds, plain_seconds = [], [], []
    for _ in range(args.rounds):
        seconds.append(timed(ours, each, device))
        if plain:
            plain_seconds.append(timed(plain, max(1, each // args.plain_share), device))
    speed = args.batch / statistics.median(seconds)
    rows = statistics.mean(ours.rows) / args.batch  # a sample
    flops = rows * speed * costs.row_flops(config)
    peak_flops = costs.peak_flops(describe(device), run.dtype)
    if args.profile:
        tables = {"ours": profiled(ours, device)} | (
            {"plain": profiled(plain, device)} if plain else {})
        save_atomically(lambda p: p.write_text(json.dumps(tables, indent=1)), Path(args.profile))
    made = {"samples_per_s": speed, "plain_samples_per_s": None, "ratio": None}
    if plain:
        plain_speed = plain_batch / statistics.median(plain_seconds)
        made = {"samples_per_s": speed, "plain_samples_per_s": plain_speed,
                "ratio": speed / plain_speed, "plain_batch": plain_batch,
                "plain_peak_bytes": plain_peak, "plain_step_seconds": plain_seconds}
    return made | {
        "bodies_per_s": (1 + TWO_BODIES) * speed, "rows_per_sample": rows,
        "gflop_per_sample": flops / speed / 1e9, "tflops": flops / 1e12,
        "mfu": flops / peak_flops / parallel.world() if peak_flops else None,
        "peak_bytes": peak, "step_seconds": seconds,
        "epoch_seconds": costs.hours(*NTU60, speed) * 3600,
        "hours": paper_runs(speed) if config.preset == "paper" else None,
        "device": describe(device), "processes": parallel.world(),
        "threads": torch.get_num_threads(), "preset": config.preset, "batch": args.batch,
        "precision": str(run.dtype).removeprefix("torch."),
        "compile": config.compile if run.compiled else "none",
        "empty_bodies": config.empty_bodies, "accumulate": config.accumulate, "clips": args.clips,
        "steps": each * args.rounds, "rounds": args.rounds, "commit": commit(),
        "versions": versions(), "command": "python " + " ".join(sys.argv),
    }


def parse(argv: list[str] | None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--batch", type=int, default=8, help="clips a step, over all processes")
    parser.add_argument("--steps", type=int, default=6, help="timed steps of ours, in all rounds")
    parser.add_argument("--rounds", type=int, default=3, help="turns of ours and plain")
    parser.add_argument("--json", required=True, help="file of the result")
    parser.add_argument("--profile", help="file for the costliest operators of both steps")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--compile", nargs="?", const="default", default="auto")
    parser.add_argument("--no-compile", dest="compile", action="store_const", const="none")
    parser.add_argument("--empty-bodies", default=None)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--threads", type=int, default=None, help="of the CPU")
    parser.add_argument("--clips", type=int, default=2048, help="40091 is NTU60 cross-subject")
    parser.add_argument("--no-plain", action="store_true", help="ours alone")
    parser.add_argument("--plain-batch", type=int, help="default: the batch, at most 32")
    parser.add_argument("--plain-share", type=int, default=4, help="one plain step for so many")
    args = parser.parse_args(argv)
    args.rounds = min(args.rounds, args.steps)
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
    with parallel.team(config.device):
        made = measure(args, config)
        if parallel.rank() > 0:
            return
    out = Path(args.json)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_atomically(lambda p: p.write_text(json.dumps(made, indent=1) + "\n"), out)
    beside = f", plain {made['plain_samples_per_s']:.3g}, ratio {made['ratio']:.3g}" if made[
        "ratio"] else ""
    print(f"{made['samples_per_s']:.3g} samples/s{beside} ({made['device']}, {out})")


if __name__ == "__main__":
    main_with_errors(main)
