"""BVH motion files (Biovision hierarchy), of any skeleton: text to joint positions.

A file is a tree of joints, then a line of numbers a frame: the channels' values, joints in the
order of the tree. What the joints are in a person is found by `sjepa.datasets.anatomy`.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sjepa.datasets.formats.kinematics import forward_kinematics, rotations
from sjepa.datasets.text import TextFile, read_text

_STILL = 0.01  # degrees
_CHANNELS = {axis + kind for axis in "xyz" for kind in ("position", "rotation")}


@dataclass(frozen=True)
class Bvh:
    """One motion; J joints in the order of the file, parents first."""

    joints: tuple[str, ...]
    parents: tuple[int, ...]  #: index of each joint's parent, -1 for the root
    fps: float  #: frames a second
    positions: np.ndarray  #: `[T, J, 3]` float64, in the file's unit and axes
    #: `[J, 3]`: the pose of the OFFSETs, after those rotations that are the same in all frames
    rest: np.ndarray


@dataclass
class _Joint:
    name: str
    parent: int
    offset: tuple[float, ...] = (0, 0, 0)
    channels: tuple[str, ...] = ()
    end: bool = False  # an End Site


def read_bvh(path: str | os.PathLike, ends: bool = False) -> Bvh:
    """Reads a BVH file and works out where its joints are, with `ends` also its End Sites.

    Position channels replace the OFFSET along their axis, on any joint; rotations multiply in the
    listed order, so that the last-listed acts first on the bone. End Sites are called `JOINT end`.
    What is wrong with a file is a `SjepaError` that names the line.
    """
    text = read_text(path)
    rows = text.rows()
    heads = (k for k, (_, line) in enumerate(rows) if line.strip().upper() == "MOTION")
    start = next(heads, len(rows))
    joints = _hierarchy(text, rows[:start])
    fps, values = _motion(text, rows[start + 1 :], sum(len(joint.channels) for joint in joints))
    text.bound(len(values), len(joints))
    kept = [k for k, joint in enumerate(joints) if ends or not joint.end]
    places = {k: place for place, k in enumerate(kept)} | {-1: -1}
    return Bvh(
        tuple(joints[k].name for k in kept), tuple(places[joints[k].parent] for k in kept), fps,
        _positions(joints, values)[:, kept], _positions(joints, _rest(joints, values))[0, kept])


def _hierarchy(text: TextFile, rows: list[tuple[int, str]]) -> list[_Joint]:
    """The joints, parents first; a brace is a line of its own wherever it stands."""
    joints: list[_Joint] = []
    named, opened = -1, []  # the joint named last, and those whose braces are open
    for line, words in ((n, part.split()) for n, row in rows for part in re.split("([{}])", row)):
        key = words[0].upper() if words else ""
        at = opened[-1] if opened else -1
        inside = -1 if at >= 0 and joints[at].end else at  # in an End Site is nothing more
        if key == "ROOT" and not joints or key == "JOINT" and inside >= 0:
            named = len(joints)
            joints.append(_Joint(" ".join(words[1:]), inside))
        elif key == "END" and inside >= 0:
            named = len(joints)
            joints.append(_Joint(f"{joints[inside].name} end", inside, end=True))
        elif key == "{" and joints:
            opened.append(named)
        elif key == "}" and opened:
            opened.pop()
        elif key == "OFFSET" and opened:
            joints[at].offset = tuple(text.numbers(line, words[1:], 3, "OFFSET and three numbers"))
        elif key == "CHANNELS" and inside >= 0:
            channels = tuple(word.lower() for word in words[2:])
            if words[1:2] != [str(len(channels))] or len(_CHANNELS & {*channels}) != len(channels):
                text.fail(line, "CHANNELS, their number and each one's name once", " ".join(words))
            joints[inside].channels = channels
        elif key not in ("", "HIERARCHY"):
            text.fail(line, "ROOT, JOINT, End Site, OFFSET, CHANNELS or a brace", " ".join(words))
    if opened or not joints:
        text.fail(len(text.lines), "HIERARCHY, a whole ROOT and MOTION", "the end of the file")
    return joints


def _motion(text: TextFile, rows: list[tuple[int, str]], columns: int) -> tuple[float, np.ndarray]:
    """Frames a second, and the channels' values `[T, columns]`, of the rows after MOTION."""
    heads = []
    for head, (line, row) in zip(("Frames:", "Frame Time:"), rows, strict=False):
        expected = f"{head} and a number above 0"
        (value,) = text.numbers(line, row.split(":")[1:], 1, expected)
        if value <= 0:
            text.fail(line, expected, row)
        heads.append(value)
    if len(heads) < 2 or len(rows) != 2 + heads[0]:
        text.fail(len(text.lines), "Frames:, Frame Time: and as many lines as frames",
                  f"{len(rows)} lines after MOTION")
    return 1 / heads[1], text.table(rows[2:], columns, f"the {columns} numbers of a frame")


def _columns(joints: list[_Joint]) -> Iterator[tuple[_Joint, dict[int, str], dict[int, str]]]:
    """Each joint with the axes of its positions and of its rotations, by column of the values."""
    at = 0
    for joint in joints:
        named = dict(enumerate(joint.channels, at))
        at += len(named)
        yield joint, *({column: name[0] for column, name in named.items() if name.endswith(kind)}
                       for kind in ("position", "rotation"))


def _rest(joints: list[_Joint], values: np.ndarray) -> np.ndarray:
    """Channel values `[1, columns]`: medians, and 0 for rotations of joints that ever turn."""
    rest = np.median(values, axis=0, keepdims=True)
    for _, _, spins in _columns(joints):
        if (np.ptp(values[:, list(spins)], axis=0) > _STILL).any():
            rest[:, list(spins)] = 0
    return rest


def _positions(joints: list[_Joint], values: np.ndarray) -> np.ndarray:
    """Channel values `[T, columns]` → positions `[T, J, 3]`."""
    steps, turns = [], []
    for joint, moves, spins in _columns(joints):
        steps.append(np.tile(joint.offset, (len(values), 1)))
        steps[-1][:, ["xyz".index(axis) for axis in moves.values()]] = values[:, list(moves)]
        turns.append(rotations("".join(spins.values()), values[:, list(spins)]))
    return forward_kinematics([joint.parent for joint in joints], steps, turns)
