"""The names of all clips of NTU RGB+D 60 and 120, and in words which of them a set lacks.

The owners publish which names to leave out and the counts that then come out. The names that stay
are public in the lineage's repositories; `lists/ntu_recordings.txt` holds them compactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from sjepa.datasets.sources.ntu_clips import ACTIONS, LISTS, SETUPS, missing

#: Where a clip's name SsssCcccPpppRrrrAaaa holds its numbers.
FIELDS = {"setup": slice(1, 4), "camera": slice(5, 8), "performer": slice(9, 12)}
#: Groups of absent clips that are told apart; names that are told at all.
MOST_GROUPS, MOST_NAMES = 10, 3


def published_names(name: str) -> list[str]:
    """Names of the usable clips of `ntu60` (56,578) or `ntu120` (113,945), in their order.

    Usable are all but those that the owners ask to leave out.
    """
    lines = (LISTS / "ntu_recordings.txt").read_text(encoding="utf-8").splitlines()
    left_out, names = missing(), []
    for setup, *performers in (line.split() for line in lines if not line.startswith("#")):
        number = int(setup[1:])
        if number > SETUPS[name]:
            break
        # the setups that NTU120 added recorded the actions that it added, and no other
        first = 1 if number <= SETUPS["ntu60"] else ACTIONS["ntu60"] + 1
        actions = range(first, first + 60)
        for camera, performer, rep, action in product((1, 2, 3), performers, (1, 2), actions):
            names.append(f"{setup}C{camera:03d}{performer}R{rep:03d}A{action:03d}")
    return [each for each in names if each not in left_out]


def missing_from(found: Iterable[str], name: str) -> list[str]:
    """What sets the clips `found` apart from the published ones, in words.

    Args:
        found: names of clips, in any order.
        name: `ntu60` or `ntu120`.

    Returns:
        Lines to print: how many published clips are not among `found` and, setup by setup, which;
        then the names that are no usable published clips. Empty if there is neither.
    """
    published, found = published_names(name), set(found)
    absent = [each for each in published if each not in found]
    words = []
    if absent:
        groups = _groups(absent, published)
        words.append(f"{name} lacks {len(absent):,} of {len(published):,} published clips:")
        words += [f"  {group}" for group in groups[:MOST_GROUPS]]
        if rest := groups[MOST_GROUPS:]:
            words.append(f"  and {len(rest)} more: {_clips(sum(len(g.absent) for g in rest))}")
    if strange := sorted(found.difference(published)):
        words.append(f"not among the usable published clips of {name}: {_some(strange)}")
    return words


@dataclass
class _Group:
    """Absent clips that have a place in common.

    Attributes:
        where: that place, «setup 7, camera 2».
        absent: names, in order.
        of: how many clips are published for this place.
    """

    where: str
    absent: list[str]
    of: int

    def __str__(self) -> str:
        if len(self.absent) == self.of:
            return f"{self.where}: all {_clips(self.of)}"
        if len(self.absent) <= MOST_NAMES:
            return f"{self.where}: {_some(self.absent)}"
        return f"{self.where}: {len(self.absent):,} of {_clips(self.of)}"


def _groups(absent: list[str], published: list[str]) -> list[_Group]:
    """The absent clips by setup; where a part of a setup is there, by camera or performer."""
    groups: list[_Group] = []
    run = range(0)  # wholly absent setups in a row: an archive that was not unpacked
    setups = _by("setup", published)
    for setup, gone in _by("setup", absent).items():
        if len(gone) < len(setups[setup]):
            groups += _parts(f"setup {setup}", gone, setups[setup])
        elif run and run.stop == setup:
            run, gone = range(run.start, setup + 1), groups[-1].absent + gone
            groups[-1] = _Group(f"setups {run[0]} to {run[-1]}", gone, len(gone))
        else:
            run = range(setup, setup + 1)
            groups.append(_Group(f"setup {setup}", gone, len(gone)))
    return groups


def _parts(where: str, absent: list[str], published: list[str]) -> list[_Group]:
    """A setup's absent clips by camera or, if that makes fewer groups, by performer."""
    cut = min(("camera", "performer"), key=lambda field: len(_by(field, absent)))
    there = _by(cut, published)
    return [_Group(f"{where}, {cut} {number}", gone, len(there[number]))
            for number, gone in _by(cut, absent).items()]


def _by(field: str, names: list[str]) -> dict[int, list[str]]:
    """Names by one of their numbers, ascending."""
    grouped: dict[int, list[str]] = {}
    for each in names:
        grouped.setdefault(int(each[FIELDS[field]]), []).append(each)
    return dict(sorted(grouped.items()))


def _clips(count: int) -> str:
    return f"{count:,} clip{'s'[: count != 1]}"


def _some(names: list[str]) -> str:
    rest = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {rest:,} more" if rest > 0 else "")
