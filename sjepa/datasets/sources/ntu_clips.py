"""From the owners' folder of NTU `.skeleton` files to clips: NTU RGB+D 60 and 120.

The owners list 302 and 535 clips with missing or incomplete skeletons and ask to leave them out
(github.com/shahroudy/NTURGB-D); the list of 535 contains the 302.
"""

from __future__ import annotations

import re
from functools import cache, partial
from pathlib import Path

import numpy as np

from sjepa.datasets.building import Job
from sjepa.datasets.items import Item, LeftOut
from sjepa.datasets.ntu import parse_name, read_skeleton
from sjepa.datasets.sources.mamp_cleaning import clip_from_skeleton
from sjepa.datasets.text import find_files
from sjepa.errors import SjepaError

LISTS = Path(__file__).parents[1] / "lists"
ACTIONS = {"ntu60": 60, "ntu120": 120}
SETUPS = {"ntu60": 17, "ntu120": 32}
_NAME = re.compile(r"S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}", re.ASCII)


def classes(name: str) -> list[str]:
    """Class names of `ntu60` or `ntu120`, in the order of the labels."""
    lines = (LISTS / "ntu_classes.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[1] for line in lines[: ACTIONS[name]]]


@cache
def missing() -> frozenset[str]:
    """Names of the clips that the owners ask to leave out."""
    return frozenset((LISTS / "ntu_missing.txt").read_text().split())


def files(name: str, raw: Path) -> list[Path]:
    """The set's files below `raw`, by name; those of NTU120 alone are passed over for NTU60.

    Raises:
        SjepaError: a folder that cannot be read, a name that is off the scheme, or one that stands
            in two folders.
    """
    found = find_files(raw, "*.skeleton", _NAME, "S001C002P003R001A013.skeleton")
    said = {path: parse_name(path) for path in found}
    return [path for path in found
            if said[path].action <= ACTIONS[name] and said[path].setup <= SETUPS[name]]


def read(path: Path, copied: bool = False) -> list[Item | LeftOut]:
    """The clip of one file, or why the published pipeline has none.

    Args:
        path: a `.skeleton` file.
        copied: a clip of one person gets its body a second time, as the lineage's NTU120 has it.

    Raises:
        SkeletonFormatError: the file breaks the grammar.
    """
    said = parse_name(path)
    if str(said) in missing():
        return [LeftOut(str(said), "on the owners' list of missing or incomplete skeletons")]
    skeleton = read_skeleton(path)
    try:
        clip = clip_from_skeleton(skeleton)
    except SjepaError as error:  # nobody in it, or nobody for long enough
        return [LeftOut(str(said), str(error))]
    if copied and clip.shape[1] == 1:
        clip = np.repeat(clip, 2, axis=1)
    return [Item(clip, said.action - 1, str(said), said.performer, said.camera, said.replication,
                 said.setup)]


def jobs(name: str, raw: Path, second_body: str = "lineage") -> list[Job]:
    """A job a file; `second_body` is that of `PrepareConfig`."""
    copied = second_body == "copied" or (second_body == "lineage" and name == "ntu120")
    return [Job(partial(read, path, copied), (path,)) for path in files(name, raw)]
