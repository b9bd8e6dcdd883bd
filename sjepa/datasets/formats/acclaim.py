"""Acclaim motion capture: a skeleton (`.asf`) and its motions (`.amc`) to joint positions.

A skeleton has sections, each headed by `:NAME`: `:units` (length, angle), `:root` (order of its
channels, position), `:bonedata` (each bone between `begin` and `end`: name, direction, length, the
`axis` that its angles refer to, and `dof`, its channels) and `:hierarchy` (a parent and its
children a line). Lines that begin with # are comments.

After some lines that begin with # or :, an AMC file lists the channels' values of each frame: its
number, then a bone a line. A bone is shown by the point at its END; the root is a point of its own.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

import numpy as np

from sjepa.datasets.formats.bvh import rotations
from sjepa.datasets.text import MAX_FRAMES, TextFile, read_text

MAX_BYTES = 1 << 20  # 1 MiB; a skeleton of 30 bones has 7 kB
_INCH = 0.0254  # metres; lengths divided by the `length` of `:units` are inches


@dataclass(frozen=True)
class Bone:
    """A bone, or the root, which has no length.

    Attributes:
        name: as in both files.
        parent: index of the bone it hangs on, -1 for the root.
        reach: `[3]` from its parent's end to its own end at rest, in the file's unit.
        axes: `[3, 3]` the frame in which its angles are given.
        channels: in the order of the values, the first-listed rotation acts first.
    """

    name: str
    parent: int
    reach: np.ndarray
    axes: np.ndarray
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Skeleton:
    """The root and its bones, parents first; `metres` is the length of the file's unit."""

    bones: tuple[Bone, ...]
    metres: float

    @property
    def joints(self) -> tuple[str, ...]:
        return tuple(bone.name for bone in self.bones)

    @property
    def parents(self) -> tuple[int, ...]:
        return tuple(bone.parent for bone in self.bones)


_Rows = list[tuple[int, list[str]]]  # line number and words


def read_asf(path: str | os.PathLike) -> Skeleton:
    """Reads a skeleton whose angles are degrees and whose root is not turned at rest.

    Raises:
        SjepaError: the file cannot be read; `TextFormatError` for the line that is off the grammar.
    """
    text = read_text(path, MAX_BYTES)
    sections = _sections(text)
    units = _fields(text, sections["units"], "length", "angle")
    (length,) = text.numbers(*units["length"], 1, "the unit of length, positive")
    if length < 1e-6:
        text.fail(units["length"][0], "the unit of length, positive", str(length))
    if units["angle"][1] != ["deg"]:
        text.fail(units["angle"][0], "angle deg", repr(" ".join(units["angle"][1])))
    bones = {"root": _root(text, sections["root"])}
    block: _Rows = []
    for line, words in sections["bonedata"]:
        if words == ["end"] and block:
            bone = _bone(text, block)
            if bone.name in bones:
                text.fail(block[0][0], "a name of its own for each bone", bone.name)
            bones[bone.name], block = bone, []
        elif words != ["begin"] and not words[0].startswith("("):  # those are more of the limits
            block.append((line, words))
    return Skeleton(_in_order(text, bones, sections["hierarchy"]), _INCH / length)


def _sections(text: TextFile) -> dict[str, _Rows]:
    sections: dict[str, _Rows] = {}
    rows: _Rows = []  # what stands before the first section belongs to none
    for line, words in text.words():
        if words[0].startswith(":"):
            rows = sections.setdefault(words[0][1:].lower(), [])
        elif not words[0].startswith("#"):
            rows.append((line, words))
    for name in ("units", "root", "bonedata", "hierarchy"):
        if not sections.get(name):
            text.fail(len(text.lines), f"a section :{name}", "the end of the file")
    return sections


def _fields(text: TextFile, rows: _Rows, *needed: str) -> dict[str, tuple[int, list[str]]]:
    """Line number and values of each key; those that are needed are there."""
    fields = {key.lower(): (line, values) for line, (key, *values) in rows}
    for key in needed:
        if key not in fields:
            text.fail(rows[0][0], f"a line of {', '.join(needed)} each", f"none of {key}")
    return fields


def _root(text: TextFile, rows: _Rows) -> Bone:
    fields = _fields(text, rows, "order", "position", "orientation")
    position = text.numbers(*fields["position"], 3, "the root's position, three numbers")
    # Readers differ in what another orientation means, and no known file has one.
    line, expected = fields["orientation"][0], "the root's orientation, 0 0 0"
    if any(text.numbers(*fields["orientation"], 3, expected)):
        text.fail(line, expected, repr(" ".join(fields["orientation"][1])))
    order = tuple(word.lower() for word in fields["order"][1])
    if sorted(order) != ["rx", "ry", "rz", "tx", "ty", "tz"]:
        text.fail(fields["order"][0], "the root's order, of TX TY TZ RX RY RZ", " ".join(order))
    return Bone("root", -1, np.array(position), np.eye(3), order)


def _bone(text: TextFile, rows: _Rows) -> Bone:
    """A bone whose parent is not known yet."""
    fields = _fields(text, rows, "name", "direction", "length", "axis")
    name = " ".join(fields["name"][1])
    expected = f"direction of {name}, three numbers and not all 0"
    direction = np.array(text.numbers(*fields["direction"], 3, expected))
    if np.linalg.norm(direction) < 1e-6:
        text.fail(fields["direction"][0], expected, "0 0 0")
    (length,) = text.numbers(*fields["length"], 1, f"length of {name}")
    expected = f"axis of {name}, three angles and an order such as XYZ"
    line, (*angles, order) = fields["axis"][0], fields["axis"][1] or ["nothing"]
    if sorted(order.lower()) != ["x", "y", "z"]:
        text.fail(line, expected, repr(order))
    angles = text.numbers(line, angles, 3, expected)
    axes = rotations(order.lower()[::-1], np.array([angles[::-1]]))[0]
    line, words = fields.get("dof", (line, []))
    channels = tuple(word.lower() for word in words)
    if not set(channels) <= {"rx", "ry", "rz"} or len(set(channels)) != len(channels):
        text.fail(line, f"dof of {name}, each of rx ry rz at most once", " ".join(words))
    return Bone(name, -1, direction / np.linalg.norm(direction) * length, axes, channels)


def _in_order(text: TextFile, bones: dict[str, Bone], rows: _Rows) -> tuple[Bone, ...]:
    """The bones with their parents, as the tree lists them, parents first."""
    ordered = {"root": bones["root"]}
    for line, (parent, *children) in rows:
        if parent in ("begin", "end") and not children:
            continue
        for child in children or [parent]:
            if parent not in ordered or child not in bones or child in ordered:
                text.fail(line, "bones of :bonedata, each once, below one that is listed already",
                          f"{parent} {child}")
            ordered[child] = replace(bones[child], parent=list(ordered).index(parent))
    if lost := sorted(set(bones) - set(ordered)):
        text.fail(rows[0][0], "a way from the root to every bone", f"none to {lost[0]}")
    return tuple(ordered.values())


def read_amc(path: str | os.PathLike, skeleton: Skeleton) -> np.ndarray:
    """Reads a motion of `skeleton`.

    Every frame must list every bone that has channels, once, in any order.

    Returns:
        `[T, C]` float64, the channels of all bones in the order of `skeleton.bones`: degrees, and
        the root's position in the file's unit.

    Raises:
        SjepaError: the file cannot be read; `TextFormatError` for the line that is off the grammar.
    """
    text = read_text(path)
    moving = [bone for bone in skeleton.bones if bone.channels]
    stops = np.cumsum([len(bone.channels) for bone in moving]).tolist()
    places = {bone.name: (stop - len(bone.channels), stop)
              for bone, stop in zip(moving, stops, strict=True)}
    frames: list[list[float]] = []
    waiting: set[str] = set()  # bones that the frame has not listed yet
    last = None
    for line, words in text.words():
        name, *values = words
        if name[0] in "#:" and not frames:
            if name.upper() == ":RADIANS":
                text.fail(line, "angles in degrees", name)
        elif not values:
            if waiting:
                text.fail(line, f"{min(waiting)} in frame {last}", repr(name))
            if len(frames) == MAX_FRAMES:
                text.fail(line, f"at most {MAX_FRAMES} frames", "another one")
            last = _frame_number(text, line, name, last)
            frames.append([0.0] * stops[-1])
            waiting = set(places)
        elif name in waiting:
            begin, stop = places[name]
            expected = f"the {stop - begin} values of {name} in frame {last}"
            frames[-1][begin:stop] = text.numbers(line, values, stop - begin, expected)
            waiting.remove(name)
        else:
            text.fail(line, "a frame's number, or its next bone that has channels", repr(name))
    if waiting or not frames:
        expected = f"{min(waiting)} in frame {last}" if waiting else "the number of a frame"
        text.fail(len(text.lines), expected, "the end of the file")
    return np.array(frames)


def _frame_number(text: TextFile, line: int, word: str, last: int | None) -> int:
    """The number of the frame that begins, which follows upon `last`."""
    expected = "the number of a frame" if last is None else f"frame number {last + 1}"
    if not re.fullmatch("[0-9]{1,9}", word) or last not in (None, int(word) - 1):
        text.fail(line, expected, repr(word))
    return int(word)


def joint_positions(skeleton: Skeleton, motion: np.ndarray) -> np.ndarray:
    """Forward kinematics.

    Args:
        skeleton: of J bones, the root counted.
        motion: `[T, C]` as `read_amc` gives it.

    Returns:
        `[T, J, 3]` float64, metres: the root, and the end of each bone.
    """
    places = np.empty((len(motion), len(skeleton.bones), 3))
    frames: list[np.ndarray] = []  # [T, 3, 3] each
    column = 0
    for k, bone in enumerate(skeleton.bones):
        values = motion[:, column : column + len(bone.channels)]
        column += len(bone.channels)
        spins = [c for c, channel in enumerate(bone.channels) if channel[0] == "r"][::-1]
        axes = "".join(bone.channels[c][1] for c in spins)
        turn = bone.axes @ rotations(axes, values[:, spins]) @ bone.axes.T
        if bone.parent < 0:
            shifts = [bone.channels.index(channel) for channel in ("tx", "ty", "tz")]
            places[:, k] = bone.reach + values[:, shifts]
        else:
            turn = frames[bone.parent] @ turn
            places[:, k] = places[:, bone.parent] + turn @ bone.reach
        frames.append(turn)
    return places * skeleton.metres
