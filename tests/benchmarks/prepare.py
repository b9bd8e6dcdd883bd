"""How fast NTU's `.skeleton` files are read: ours beside a plain reader, in turn, in one run.

    python tests/benchmarks/prepare.py --clips 400 --workers 2 --json FILE

NTU RGB+D may not be passed on, so the files are made here: the grammar, the mean length, the share
of clips with two bodies and the number of digits are the real ones, the people are not. The plain
reader goes line by line and makes every field a Python float, as most public readers of the format
do; a second one converts x, y and z alone. Each time is the median over the rounds.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from sjepa.checkpoint import commit, save_atomically, versions
from sjepa.config import RESULTS
from sjepa.datasets import prepare_store, spec
from sjepa.datasets.formats.mamp_cleaning import clip_from_skeleton
from sjepa.datasets.formats.ntu_clips import published_names
from sjepa.datasets.ntu import read_skeleton, write_skeleton
from sjepa.datasets.store import open_store, write_store
from sjepa.device import describe
from sjepa.errors import SjepaError, main_with_errors

FRAMES = 80  # mean length of NTU's clips; the shortest have about 30 frames, the longest 300
TWO_BODIES = 0.18  # share of NTU60's clips, 11 of whose 60 actions take two people
FILES = {"ntu60": 56_880, "ntu120": 114_480}


def make_files(folder: Path, clips: int, seed: int = 0) -> list[Path]:
    """Random walks of random people as `.skeleton` files."""
    rng = np.random.default_rng(seed)
    paths = []
    for clip in tqdm(range(clips), "writing"):
        frames = int(np.clip(rng.gamma(6, FRAMES / 6), 30, 300))
        bodies = 1 + int(rng.random() < TWO_BODIES)
        pose = rng.normal(size=(1, bodies, 25, 3)) * (0.1, 0.5, 0.1) + (0.3, 0.1, 3)
        walk = rng.normal(size=(frames, bodies, 1, 3)).cumsum(0) * 0.02
        shake = rng.normal(size=(frames, bodies, 25, 3)) * 0.003
        paths.append(folder / f"S001C001P001R{clip // 120 + 1:03d}A{clip % 120 + 1:03d}.skeleton")
        write_skeleton(paths[-1], pose + walk + shake)
        paths[-1].write_text(_with_orientations(paths[-1].read_text(), rng), newline="\n")
    return paths


def _with_orientations(text: str, rng: np.random.Generator) -> str:
    """Random unit quaternions of seven digits for the zeros that `write_skeleton` writes."""
    lines = text.split("\n")
    joints = [at for at, line in enumerate(lines) if line.count(" ") == 11]
    turns = rng.normal(size=(len(joints), 4))
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    for at, turn in zip(joints, turns.tolist(), strict=True):
        fields = " ".join(f"{number:.7g}" for number in turn)
        lines[at] = lines[at].removesuffix("0 0 0 0 2") + fields + " 2"
    return "\n".join(lines)


def read_plainly(path: Path, fields: int) -> np.ndarray:
    """`[T, M, 25, 3]` float32, line by line; the first `fields` of a joint become floats."""
    frames = []
    with open(path) as file:
        for _ in range(int(file.readline())):
            bodies = []
            for _ in range(int(file.readline())):
                file.readline()
                joints = range(int(file.readline()))
                lines = [file.readline().split() for _ in joints]
                bodies.append([[float(field) for field in line[:fields]][:3] for line in lines])
            frames.append(bodies)
    clip = np.zeros((len(frames), max(map(len, frames)), 25, 3), np.float32)
    for frame, bodies in zip(clip, frames, strict=True):
        frame[: len(bodies)] = bodies
    return clip


def prepare(path: Path) -> np.ndarray:
    """What `python -m sjepa.prepare` does with a file: read it, clean it as the lineage does."""
    return clip_from_skeleton(read_skeleton(path))


READERS = {
    "plain": partial(read_plainly, fields=12),
    "plain_xyz": partial(read_plainly, fields=3),
    "read": read_skeleton,
}


def _check(paths: list[Path]) -> None:
    """The readers must agree, or their times mean nothing.

    Raises:
        SjepaError: they do not.
    """
    for path in paths:
        ours = np.stack([track.joints for track in read_skeleton(path).bodies.values()], axis=1)
        if not np.array_equal(ours, READERS["plain"](path)):
            raise SjepaError(f"{path.name}: the plain reader and ours differ, so do not time them")


def _seconds(read: Callable, paths: list[Path]) -> float:
    """A file, read by one process."""
    gc.freeze()  # the libraries' objects are no burden on a reader that makes many of its own
    read(paths[0])
    begin = time.perf_counter()
    for path in paths:
        read(path)
    return (time.perf_counter() - begin) / len(paths)


def _seconds_in_pool(pool: ProcessPoolExecutor, paths: list[Path]) -> float:
    """A file, prepared by all processes of a pool, and sent back."""
    begin = time.perf_counter()
    for _ in pool.map(prepare, paths, chunksize=16):
        pass
    return (time.perf_counter() - begin) / len(paths)


def _seconds_to_store(folder: Path, workers: int) -> float:
    """A file, from the owners' folder to a whole, checksummed store."""
    with tempfile.TemporaryDirectory() as out:
        begin = time.perf_counter()
        store = open_store(prepare_store("ntu120", folder, out, workers=workers))
        return (time.perf_counter() - begin) / len(store)


def _seconds_to_open(clips: int) -> float:
    """A store with as many clips as NTU120 has, each of one frame: the index is what counts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ntu120"
        one = np.ones((1, 25, 3), np.float32)
        write_store(path, [one] * clips, [0] * clips, names=published_names("ntu120")[:clips])
        begin = time.perf_counter()
        open_store(path).clip(clips - 1)
        return time.perf_counter() - begin


def measure(paths: list[Path], workers: int, rounds: int) -> dict[str, float]:
    """Median seconds a file of each reader; every one gets a process of its own each round."""
    times: dict[str, list[float]] = {name: [] for name in (*READERS, "pool", "store")}
    for _ in tqdm(range(rounds), "rounds"):
        for name, read in READERS.items():
            with ProcessPoolExecutor(1) as one:
                times[name].append(one.submit(_seconds, read, paths).result())
        with ProcessPoolExecutor(workers, initializer=gc.freeze) as pool:
            _seconds_in_pool(pool, paths)  # the processes start, and read their first files
            times["pool"].append(_seconds_in_pool(pool, paths * 3))
        times["store"].append(_seconds_to_store(paths[0].parent, workers))
    return {name: statistics.median(each) for name, each in times.items()}


def main(argv: list[str] | None = None) -> None:
    """The command line: make files, time the readers, write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=RESULTS / "bench-prepare.json")
    args = parser.parse_args(argv)
    if min(args.clips, args.workers, args.rounds) < 1:
        raise SjepaError("--clips, --workers and --rounds count from 1")
    with tempfile.TemporaryDirectory() as folder:
        paths = make_files(Path(folder), args.clips)
        _check(paths[:5])
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # not on Windows
        seconds = measure(paths, args.workers, args.rounds)
        size = statistics.mean(path.stat().st_size for path in paths)
    record = report(seconds, size, args) | {"load_before": load}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    save_atomically(lambda path: path.write_text(json.dumps(record, indent=1) + "\n"), args.json)
    print(json.dumps(record, indent=1))


def report(seconds: dict[str, float], size: float, args: argparse.Namespace) -> dict:
    """The record: rates, ratios, and how long the whole sets would take at that rate."""
    clips_per_s, stored = 1 / seconds["pool"], 1 / seconds["store"]
    return {
        "id": "bench-prepare",
        "clips_per_s": round(clips_per_s, 1),
        "clips_per_s_per_core": round(clips_per_s / args.workers, 1),
        "mb_per_s": round(size * clips_per_s / 1e6, 1),
        "read_clips_per_s": round(1 / seconds["read"], 1),
        "store_clips_per_s": round(stored, 1),
        "plain_clips_per_s": round(1 / seconds["plain"], 1),
        "plain_mb_per_s": round(size / seconds["plain"] / 1e6, 1),
        "plain_xyz_clips_per_s": round(1 / seconds["plain_xyz"], 1),
        "ratio": round(seconds["plain"] / seconds["pool"], 2),
        "ratio_store": round(seconds["plain"] / seconds["store"], 2),
        "ratio_one_core": round(seconds["plain"] / seconds["read"], 2),
        "ratio_xyz_only": round(seconds["plain_xyz"] / seconds["pool"], 2),
        "ratio_one_core_xyz_only": round(seconds["plain_xyz"] / seconds["read"], 2),
        "projected_minutes": {
            name: round(files / stored / 60, 2) for name, files in FILES.items()
        },
        "open_seconds": round(_seconds_to_open(spec("ntu120").clips), 3),
        "clips": args.clips,
        "mean_clip_bytes": round(size),
        "workers": args.workers,
        "rounds": args.rounds,
        "device": describe(torch.device("cpu")),
        "cores": os.cpu_count(),
        "commit": commit()[0],
        "versions": versions(),
        "command": f"python {' '.join(sys.argv)}",
        "note": "Generated files of NTU's grammar and size, in the system's file cache for every "
        "reader. clips_per_s: all workers, reading and the lineage's cleaning, clips sent back; "
        "read_*: read_skeleton on one core; plain_*: line by line on one core, all fields to "
        "floats or, with xyz, three; store_*: the whole of prepare_store, one file to one clip. "
        "ratio: clips_per_s over the plain reader's. The projection goes by store_clips_per_s and "
        "the number of files, and leaves out the disk that the files come from. open_seconds: a "
        "store with as many clips as NTU120, opened and its last clip read.",
    }


if __name__ == "__main__":
    main_with_errors(main)
