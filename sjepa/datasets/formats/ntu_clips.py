"""NTU RGB+D's folders and lists: from `.skeleton` files to clips, and which clips there should be.

The owners list 302 and 535 clips with missing or incomplete skeletons and ask to leave them out
(github.com/shahroudy/NTURGB-D); the list of 535 contains the 302. The names that stay are public in
the lineage's repositories; `lists/ntu_recordings.txt` holds them compactly.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from sjepa.datasets.formats.mamp_cleaning import clip_from_skeleton
from sjepa.datasets.ntu import NAME, parse_name, read_skeleton
from sjepa.datasets.store import Clip, LeftOut
from sjepa.datasets.text import find_files, read_list
from sjepa.errors import SjepaError

ACTIONS = {"ntu60": 60, "ntu120": 120}
SETUPS = {"ntu60": 17, "ntu120": 32}


def classes(name: str) -> tuple[str, ...]:
    """Class names of `ntu60` or `ntu120`, in the order of the labels."""
    return tuple(row[1] for row in read_list("ntu_classes.tsv")[: ACTIONS[name]])


@cache
def missing() -> frozenset[str]:
    """Names of the clips that the owners ask to leave out."""
    return frozenset(row[0] for row in read_list("ntu_missing.txt"))


def files(raw: Path, name: str) -> list[Path]:
    """The set's files below `raw`, by name; those of NTU120 alone are passed over for NTU60.

    Raises:
        SjepaError: as `sjepa.datasets.text.find_files`.
    """
    found = find_files(raw, "*.skeleton", NAME, "S001C002P003R001A013.skeleton")
    return [path for path in found if parse_name(path).action <= ACTIONS[name]
            and parse_name(path).setup <= SETUPS[name]]


def numbers(name: str) -> dict[str, int]:
    """A clip's label, subject, view, rep and setup, which its name says."""
    said = parse_name(name)
    return {"label": said.action - 1, "subject": said.performer, "view": said.camera,
            "rep": said.replication, "setup": said.setup}


def read(path: Path, copied: bool = False) -> list[Clip | LeftOut]:
    """The clip of one `.skeleton` file, or why the published pipeline has none.

    With `copied`, a clip of one person has its body twice, as in the lineage's NTU120.

    Raises:
        SkeletonFormatError: the file breaks the grammar.
    """
    name, said = path.stem, numbers(path.name)
    if name in missing():
        return [LeftOut(name, "on the owners' list of missing or incomplete skeletons")]
    skeleton = read_skeleton(path)
    try:
        clip = clip_from_skeleton(skeleton)
    except SjepaError as error:  # nobody in it, or nobody for long enough
        return [LeftOut(name, str(error))]
    if copied and clip.shape[1] == 1:
        clip = np.repeat(clip, 2, axis=1)
    return [Clip(clip, name=name, **said)]


def published_names(name: str) -> list[str]:
    """Names of the usable clips of `ntu60` (56,578) or `ntu120` (113,945), in their order."""
    names = []
    for row in read_list("ntu_recordings.txt"):
        setup, *performers = row[0].split()
        number = int(setup[1:])
        if number > SETUPS[name]:
            break
        # the setups that NTU120 added recorded the actions that it added, and no other
        first = 1 if number <= SETUPS["ntu60"] else ACTIONS["ntu60"] + 1
        actions = range(first, first + 60)
        for camera, performer, rep, action in product((1, 2, 3), performers, (1, 2), actions):
            names.append(f"{setup}C{camera:03d}{performer}R{rep:03d}A{action:03d}")
    return [each for each in names if each not in missing()]


def lacks(found: Iterable[str], name: str) -> list[str]:
    """What sets clips of the names `found` apart from the published ones, as lines to print."""
    published, found, words = published_names(name), set(found), []
    if absent := [each for each in published if each not in found]:
        setups = Counter(int(each[1:4]) for each in absent)
        words.append(f"{name} lacks {len(absent):,} of {len(published):,} published clips, "
                     f"{absent[0]} first; by setup: "
                     + ", ".join(f"{setup} ({count:,})" for setup, count in setups.items()))
    if strange := sorted(found.difference(published)):
        rest = f" and {len(strange) - 3:,} more" if len(strange) > 3 else ""
        words.append(f"not among the usable published clips of {name}: "
                     f"{', '.join(strange[:3])}{rest}")
    return words
