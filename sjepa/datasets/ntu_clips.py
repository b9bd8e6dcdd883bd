"""From the owners' folder of NTU `.skeleton` files to clips: NTU RGB+D 60 and 120.

The owners list 302 and 535 clips with missing or incomplete skeletons and ask to leave them out
(github.com/shahroudy/NTURGB-D); the list of 535 contains the 302.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import SjepaError
from .lineage import clip_from_skeleton
from .ntu import parse_name, read_skeleton
from .store import StoreWriter

LISTS = Path(__file__).parent / "lists"
ACTIONS = {"ntu60": 60, "ntu120": 120}
SETUPS = {"ntu60": 17, "ntu120": 32}


def classes(name: str) -> list[str]:
    """Class names of `ntu60` or `ntu120`, in the order of the labels."""
    lines = (LISTS / "ntu_classes.tsv").read_text().splitlines()
    return [line.split("\t")[1] for line in lines[: ACTIONS[name]]]


@cache
def missing() -> frozenset[str]:
    """Names of the clips that the owners ask to leave out."""
    return frozenset((LISTS / "ntu_missing.txt").read_text().split())


def clip_files(name: str, raw: Path) -> list[Path]:
    """The set's usable files below `raw`, by name.

    Raises:
        SjepaError: a name that is off the scheme, or one that stands in two folders.
    """
    found: dict[str, Path] = {}
    for path in sorted(raw.rglob("*.skeleton")):
        clip = parse_name(path)
        if clip.action > ACTIONS[name] or clip.setup > SETUPS[name] or str(clip) in missing():
            continue
        if str(clip) in found:
            raise SjepaError(f"{path} and {found[str(clip)]} have the same name: remove one")
        found[str(clip)] = path
    return list(found.values())


def _read(path: Path) -> np.ndarray | str:
    """A clip `[T, M, 25, 3]`, or why the published pipeline has none."""
    skeleton = read_skeleton(path)
    try:
        return clip_from_skeleton(skeleton)
    except SjepaError as error:
        return str(error)


def fill(name: str, writer: StoreWriter, raw: Path) -> None:
    """Read all files in parallel and add their clips in the order of their names.

    Clips in which the published pipeline finds no body are left out and named on stderr.

    Raises:
        SkeletonFormatError: a file that breaks the grammar.
    """
    files = clip_files(name, raw)
    with ProcessPoolExecutor() as pool:
        read = pool.map(_read, files, chunksize=32)
        for path, clip in zip(files, tqdm(read, name, len(files), unit="clip"), strict=True):
            if isinstance(clip, str):
                print(f"left out: {clip}", file=sys.stderr)
                continue
            said = parse_name(path)
            writer.add(clip, label=said.action - 1, name=str(said), subject=said.performer,
                       view=said.camera, rep=said.replication, setup=said.setup)
