"""Finding PKU-MMD's files: two of one name make a video, wherever the archives were unpacked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from sjepa.datasets.sources.pku_text import COLUMNS
from sjepa.errors import SjepaError

SCHEMES = {
    1: re.compile(r"(?P<setup>\d{4})-(?P<view>[LMR])", re.ASCII),
    2: re.compile(r"A(?P<setup>\d\d)N(?P<subject>\d\d)-(?P<view>[LMR])", re.ASCII),
}
LIKE = {1: "0001-L", 2: "A01N01-L"}
_NO_VIDEO = re.compile(r"cross.*|read.?me.*|\..*", re.IGNORECASE)  # may lie beside the videos


@dataclass(frozen=True)
class Video:
    """A video's two files."""

    phase: int
    name: str
    skeleton: Path
    labels: Path


def text_folders(raw: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each folder below `raw`, itself first, with the names of its `.txt` files, in fixed order."""

    def give_up(error: OSError) -> NoReturn:
        raise SjepaError(f"{error.filename} cannot be listed: {error.strerror}") from error

    for folder, below, names in os.walk(raw, onerror=give_up):
        below.sort()
        yield Path(folder), sorted(name for name in names if name.lower().endswith(".txt"))


def _kind(folder: Path, raw: Path, names: list[str]) -> str:
    """`skeleton` or `label`: by the folder's own name, else by the first line that tells."""
    says = [kind for kind in ("skeleton", "label") if kind in folder.name.lower()]
    if len(says) == 1 and folder != raw:
        return says[0]
    for name in names:
        try:
            with (folder / name).open("rb") as file:
                line = file.readline(1 << 16)
        except OSError as error:
            raise SjepaError(f"{folder / name} cannot be read: {error.strerror}") from error
        if line.count(b",") == 3:
            return "label"
        if len(line.split()) == COLUMNS:
            return "skeleton"
    raise SjepaError(f"{folder} holds neither rows of {COLUMNS} numbers nor rows of four fields: "
                     "call the two folders «skeleton» and «label»")


def files(phase: int, raw: Path) -> list[Video]:
    """The videos of a phase below `raw`, sorted by name, wherever the archives were unpacked.

    The two folders of a phase hold the same names. The names tell the phases apart; the folder's
    name (`PKU_Skeleton_Renew`, `Train_Label_PKU_final`, `skeleton`, `label`, …), or the content
    where that says nothing, tells which of a video's files is which.

    Raises:
        SjepaError: no videos, one without labels or the reverse, two files of the same name, a
            name off the scheme among videos, a folder that cannot be read.
    """
    found: dict[str, dict[str, Path]] = {"skeleton": {}, "label": {}}
    for folder, names in text_folders(raw):
        mine = [name for name in names if SCHEMES[phase].fullmatch(name[:-4])]
        if not mine:
            continue
        other = [name for name in names if not _NO_VIDEO.fullmatch(name)
                 and not any(scheme.fullmatch(name[:-4]) for scheme in SCHEMES.values())]
        if other:
            raise SjepaError(f"{folder / other[0]} is off the owners' naming scheme: expected a "
                             f"name like {LIKE[phase]}.txt; take it out of the folder")
        of_kind = found[_kind(folder, raw, mine)]
        for name in mine:
            if name[:-4] in of_kind:
                first = of_kind[name[:-4]]
                raise SjepaError(f"{folder / name} and {first} are the same video: remove one")
            of_kind[name[:-4]] = folder / name
    skeletons, labels = found["skeleton"], found["label"]
    for have, lack, what in ((skeletons, labels, "labels"), (labels, skeletons, "a skeleton")):
        if alone := sorted(set(have) - set(lack)):
            raise SjepaError(f"{len(alone)} of {len(have)} videos have a file but not {what}, "
                             f"{have[alone[0]]} first: unpack both archives below {raw}")
    if not skeletons:
        raise SjepaError(f"{raw} holds no videos of PKU-MMD, phase {phase}: "
                         f"expected files like {LIKE[phase]}.txt")
    return [Video(phase, name, skeletons[name], labels[name]) for name in sorted(skeletons)]
