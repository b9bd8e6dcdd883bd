"""How fast NTU's `.skeleton` files are read: ours beside a plain reader, in turn, in one run.

    python tests/benchmarks/prepare.py --clips 400 --workers 2 --json FILE

NTU RGB+D may not be passed on, so the files are made here: the grammar, the mean length, the share
of clips with two bodies and the number of digits are the real ones, the people are not. The plain
reader goes line by line and makes every field a Python float, as most public readers of the format
do. Each time is the median over the rounds, with the files in the system's cache for every reader;
the projection goes by whole stores and leaves out the disk that the files come from.
"""

import argparse
import gc
import os
import statistics
import tempfile
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from generated import TWO_BODIES
from timing import timed, write_record
from tqdm import tqdm

from sjepa.config import RESULTS
from sjepa.datasets import prepare_store
from sjepa.datasets.formats.mamp_cleaning import clip_from_skeleton
from sjepa.datasets.ntu import read_skeleton, write_skeleton
from sjepa.datasets.store import open_store
from sjepa.errors import main_with_errors

FRAMES = 80  # mean length of NTU's clips; the shortest have about 30 frames, the longest 300
ORIENTATION = "0.1825742 0.3651484 0.5477226 0.7302967"  # as many digits as the owners write
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
        text = paths[-1].read_text().replace(" 0 0 0 0 2\n", f" {ORIENTATION} 2\n")
        paths[-1].write_text(text, newline="\n")
    return paths


def read_plainly(path: Path) -> np.ndarray:
    """`[T, M, 25, 3]` float32, line by line; every field of a joint becomes a float."""
    frames = []
    with open(path) as file:
        for _ in range(int(file.readline())):
            bodies = []
            for _ in range(int(file.readline())):
                file.readline()
                joints = range(int(file.readline()))
                lines = [file.readline().split() for _ in joints]
                bodies.append([[float(field) for field in line][:3] for line in lines])
            frames.append(bodies)
    clip = np.zeros((len(frames), max(map(len, frames)), 25, 3), np.float32)
    for frame, bodies in zip(clip, frames, strict=True):
        frame[: len(bodies)] = bodies
    return clip


def prepare(path: Path) -> np.ndarray:
    """What `python -m sjepa.prepare` does with a file: read it, clean it as the lineage does."""
    return clip_from_skeleton(read_skeleton(path))


READERS = {"plain": read_plainly, "read": read_skeleton}


def _seconds(work: Callable) -> float:
    return timed(work, 1, torch.device("cpu"))


def _seconds_alone(read: Callable, paths: list[Path]) -> float:
    """All files, read by one process."""
    gc.freeze()  # the libraries' objects are no burden on a reader that makes many of its own
    read(paths[0])
    return _seconds(lambda: deque(map(read, paths), maxlen=0))  # nothing is kept


def measure(paths: list[Path], workers: int, rounds: int) -> dict[str, float]:
    """Median seconds a file of each reader; every one gets a process of its own each round."""
    times: dict[str, list[float]] = {name: [] for name in (*READERS, "pool", "store")}
    for _ in tqdm(range(rounds), "rounds"):
        for name, read in READERS.items():
            with ProcessPoolExecutor(1) as one:
                times[name].append(one.submit(_seconds_alone, read, paths).result())
        with ProcessPoolExecutor(workers, initializer=gc.freeze) as pool:
            for _ in range(2):  # at first the processes start, and read their first files
                took = _seconds(lambda: deque(pool.map(prepare, paths * 3, chunksize=16), 0)) / 3
            times["pool"].append(took)
        with tempfile.TemporaryDirectory() as out:  # to a whole, checksummed store
            times["store"].append(_seconds(lambda: open_store(
                prepare_store("ntu120", paths[0].parent, out, workers=workers))))  # noqa: B023
    return {name: statistics.median(each) / len(paths) for name, each in times.items()}


def report(seconds: dict[str, float], size: float, args: argparse.Namespace) -> dict:
    """The record: rates, ratios, and how long the whole sets would take at that rate."""
    rate = {name: round(1 / each, 1) for name, each in seconds.items()}
    ratio = {name: round(seconds["plain"] / each, 2) for name, each in seconds.items()}
    return {
        "clips_per_s": rate["pool"], "read_clips_per_s": rate["read"],
        "store_clips_per_s": rate["store"], "plain_clips_per_s": rate["plain"],
        "ratio": ratio["pool"], "ratio_store": ratio["store"], "ratio_one_core": ratio["read"],
        "projected_minutes": {name: round(files * seconds["store"] / 60, 2)
                              for name, files in FILES.items()},
        "clips": args.clips, "mean_clip_bytes": round(size), "workers": args.workers,
        "rounds": args.rounds, "cores": os.cpu_count()}


def main(argv: list[str] | None = None) -> None:
    """The command line: make files, time the readers, write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=RESULTS / "bench-prepare.json")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        paths = make_files(Path(folder), args.clips)
        for path in paths[:5]:  # the readers must agree, or their times mean nothing
            ours = [track.joints for track in read_skeleton(path).bodies.values()]
            np.testing.assert_array_equal(np.stack(ours, axis=1), read_plainly(path))
        seconds = measure(paths, args.workers, args.rounds)
        size = statistics.mean(path.stat().st_size for path in paths)
    record = report(seconds, size, args)
    write_record(args.json, record, torch.device("cpu"))
    print(f"{record['clips_per_s']} clips/s, {record['ratio']} times the plain reader")


if __name__ == "__main__":
    main_with_errors(main)
