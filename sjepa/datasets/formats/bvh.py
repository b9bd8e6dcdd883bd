"""BVH motion files (Biovision hierarchy), of any skeleton: text to joint positions.

The grammar, blanks and line ends free but for the frames, keywords in any case::

    HIERARCHY
    ROOT name { OFFSET x y z  CHANNELS n channel…  then JOINTs (likewise) or End Site { OFFSET … } }
    MOTION
    Frames: T
    Frame Time: seconds
    then T lines: the channels' values, joints in the order of the hierarchy

Any skeleton becomes Bandai-Namco's by the names of its joints: one map onto NTU-25 serves all.
Those names say what a joint is: `UpperArm_L` is where the left upper arm begins, the shoulder.
Programs that write BVH have their own names; those of three are known here.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NoReturn

import numpy as np

from sjepa.datasets.layouts import LAYOUTS
from sjepa.datasets.text import MAX_FRAMES, TextFile, read_text
from sjepa.errors import SjepaError

MAX_JOINTS = 1000
_CHANNEL = re.compile(r"([xyz])(position|rotation)", re.IGNORECASE)


@dataclass(frozen=True)
class Bvh:
    """One motion.

    Attributes:
        joints: J names in the order of the file; End Sites are none.
        parents: index of each joint's parent, -1 for the root; parents come first.
        fps: frames a second.
        positions: `[T, J, 3]` float64, in the file's unit and axes.
    """

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    fps: float
    positions: np.ndarray


@dataclass(frozen=True)
class _Joint:
    name: str
    parent: int
    offset: list[float]
    channels: list[tuple[str, str]]  # (axis, "position" or "rotation")


def read_bvh(path: str | os.PathLike) -> Bvh:
    """Reads a BVH file and works out where its joints are.

    Position channels replace the OFFSET along their axis, on any joint; rotations multiply in the
    listed order, so that the last-listed acts first on the bone.

    Raises:
        SjepaError: the file cannot be read; `TextFormatError` for the first line that is off the
            grammar, with what was expected there.
    """
    text = read_text(path)
    heads = (k for k, line in enumerate(text.lines) if line.strip().upper() == "MOTION")
    start = next(heads, len(text.lines))
    joints = _Hierarchy(text, start).read()
    if start == len(text.lines):
        text.fail(start, "MOTION", "the end of the file")
    columns = sum(len(joint.channels) for joint in joints)
    fps, values = _motion(text, start, columns)
    names, parents = tuple(j.name for j in joints), tuple(j.parent for j in joints)
    return Bvh(names, parents, fps, _positions(joints, values))


class _Hierarchy:
    """Walks the lines before MOTION; a brace is a line of its own wherever it stands."""

    def __init__(self, text: TextFile, stop: int) -> None:
        parts = ((n, part.split()) for n, line in enumerate(text.lines[:stop], 1)
                 for part in re.split(r"([{}])", line))
        self.rows = ((n, words) for n, words in parts if words)
        end = ["MOTION"] if stop < len(text.lines) else ["the end of the file"]
        self.text, self.line, self.end = text, 1, (min(stop + 1, len(text.lines)), end)

    def next(self) -> list[str]:
        """The words of the next line; at the end, what stands there, which no rule expects."""
        self.line, words = next(self.rows, self.end)
        return words

    def fail(self, expected: str, words: list[str]) -> NoReturn:
        self.text.fail(self.line, expected, repr(" ".join(words[:8])))

    def want(self, expected: str, key: str, longer: bool = False) -> list[str]:
        """The words after `key` in the next line, which must begin with it."""
        words = self.next()
        if words[0].upper() != key or longer != (len(words) > 1):
            self.fail(expected, words)
        return words[1:]

    def read(self) -> list[_Joint]:
        """All joints, parents first."""
        self.want("HIERARCHY", "HIERARCHY")
        joints = [self.joint(self.want("ROOT and a name", "ROOT", longer=True), -1, [])]
        open_joints = [0]
        while open_joints:
            expected = f"JOINT and a name, End Site, or }} to end {joints[open_joints[-1]].name}"
            words = self.next()
            if words == ["}"]:
                open_joints.pop()
            elif words[0].upper() == "JOINT" and len(words) > 1:
                joints.append(self.joint(words[1:], open_joints[-1], joints))
                open_joints.append(len(joints) - 1)
            elif [word.upper() for word in words[:2]] == ["END", "SITE"]:
                self.want("{ of the End Site", "{")
                self.offset("the End Site")
                self.want("} of the End Site", "}")
            else:
                self.fail(expected, words)
        if (words := self.next()) is not self.end[1]:
            self.fail("MOTION after the only ROOT", words)
        return joints

    def joint(self, words: list[str], parent: int, before: list[_Joint]) -> _Joint:
        """A joint up to its CHANNELS."""
        name = " ".join(words)
        if name in {joint.name for joint in before} or len(before) == MAX_JOINTS:
            self.fail(f"at most {MAX_JOINTS} joints, each with a name of its own", words)
        self.want(f"{{ of {name}", "{")
        offset = self.offset(name)
        expected = f"CHANNELS of {name}: their number, 0 to 6, and each one's name once"
        count, *listed = self.want(expected, "CHANNELS", longer=True)
        channels = [match and match[0].lower() for match in map(_CHANNEL.fullmatch, listed)]
        if count != str(len(listed)) or None in channels or len(set(channels)) != len(channels):
            self.fail(expected, [count, *listed])
        return _Joint(name, parent, offset, [(channel[0], channel[1:]) for channel in channels])

    def offset(self, name: str) -> list[float]:
        expected = f"OFFSET of {name} and three numbers"
        words = self.want(expected, "OFFSET", longer=True)
        return self.text.numbers(self.line, words, 3, expected)


def _motion(text: TextFile, start: int, columns: int) -> tuple[float, np.ndarray]:
    """Frames a second, and the channels' values `[T, columns]`; `start` is the line of MOTION."""
    lines = enumerate(text.lines[start + 1 :], start + 2)
    filled = ((n, line) for n, line in lines if line.strip())
    rows = list(islice(filled, MAX_FRAMES + 3))  # one more than there may be

    def head(at: int, pattern: str, expected: str) -> tuple[int, str]:
        line, found = rows[at] if at < len(rows) else (len(text.lines), "the end of the file")
        match = re.fullmatch(rf"\s*{pattern}\s*", found, re.IGNORECASE)
        if match is None:
            text.fail(line, expected, repr(found))
        return line, match[1]

    expected = f"Frames: and their number, 1 to {MAX_FRAMES}"
    line, count = head(0, r"Frames\s*:\s*([0-9]{1,6})", expected)
    if not 1 <= int(count) <= MAX_FRAMES:
        text.fail(line, expected, count)
    expected = "Frame Time: and the seconds from frame to frame"
    line, time = head(1, r"Frame\s+Time\s*:\s*(\S+)", expected)
    (seconds,) = text.numbers(line, [time], 1, expected)
    if seconds < 1e-6:
        text.fail(line, expected, time)
    if columns == 0:
        text.fail(start + 1, "at least one channel in the hierarchy", "none")
    frames, rows = int(count), rows[2:]
    if len(rows) < frames:
        text.fail(len(text.lines), f"{frames} frames", f"the end of the file after {len(rows)}")
    if len(rows) > frames:
        text.fail(rows[frames][0], f"the end of the file after {frames} frames", "another line")
    return 1 / seconds, text.table(rows, columns, f"the {columns} numbers of a frame")


def rotations(axes: str, degrees: np.ndarray) -> np.ndarray:
    """Product of rotations about up to three single axes, in the listed order.

    Applied to a column vector, the last-listed rotation acts first.

    Args:
        axes: such as `"zxy"`.
        degrees: `[T, len(axes)]` angles, right-handed.

    Returns:
        `[T, 3, 3]` float64.
    """
    from scipy.spatial.transform import Rotation  # here: most sets are read without it

    if not axes:
        return np.broadcast_to(np.eye(3), (len(degrees), 3, 3))
    return Rotation.from_euler(axes.upper(), degrees, degrees=True).as_matrix()


def _positions(joints: list[_Joint], values: np.ndarray) -> np.ndarray:
    """Forward kinematics: channel values `[T, columns]` → positions `[T, J, 3]`."""
    places = np.empty((len(values), len(joints), 3))
    frames: list[np.ndarray] = []  # [T, 3, 3] each: the axes of a joint, in those of the room
    column = 0
    for k, joint in enumerate(joints):
        local = np.tile(joint.offset, (len(values), 1))
        axes, columns = "", []
        for axis, kind in joint.channels:
            if kind == "position":
                local[:, "xyz".index(axis)] = values[:, column]
            else:
                axes, columns = axes + axis, [*columns, column]
            column += 1
        turn = rotations(axes, values[:, columns])
        if joint.parent < 0:
            places[:, k] = local
        else:
            parent = frames[joint.parent]
            places[:, k] = places[:, joint.parent] + (parent @ local[..., None])[..., 0]
            turn = parent @ turn
        frames.append(turn)
    return places


# --- joints by their names -----------------------------------------------------------------------

_LAYOUT = LAYOUTS["bandai21"]
#: The joints that the map onto NTU-25 reads; Spine and the collar bones are not among them.
NEEDED = tuple(joint for joint, column in zip(_LAYOUT.joints, _LAYOUT.to_ntu25.T, strict=True)
               if column.any())
_LIMBS = {"Shoulder": "Shoulder", "UpperArm": "Arm", "LowerArm": "ForeArm", "Hand": "Hand",
          "UpperLeg": "UpLeg", "LowerLeg": "Leg", "Foot": "Foot", "Toes": "ToeBase"}
_SIDES = {f"{ours}_{side[0]}": side + theirs for ours, theirs in _LIMBS.items()
          for side in ("Left", "Right")}


@dataclass(frozen=True)
class Convention:
    """How files of one origin name their joints.

    Attributes:
        joints: joint of `bandai21` to the file's, without what stands before the file's `Hips`.
        metres: a unit of the file.
    """

    joints: dict[str, str]
    metres: float


#: The first whose joints are all there is taken: a CMU skeleton has most of Mixamo's names. CMU's
#: head begins two joints above the neck; the first of them is where Bandai-Namco's begins.
CONVENTIONS = {
    "Bandai-Namco": Convention({joint: joint for joint in _LAYOUT.joints}, 0.01),
    "CMU": Convention({"Hips": "Hips", "Spine": "LowerBack", "Chest": "Spine1", "Neck": "Neck",
                       "Head": "Neck1"} | _SIDES, 0.0254 / 0.45),
    "Mixamo": Convention({"Hips": "Hips", "Spine": "Spine", "Chest": "Spine1", "Neck": "Neck",
                          "Head": "Head"} | _SIDES, 0.01),
}


def read_joints(path: Path, mapping: dict[str, str] | None = None,
                unit: float | None = None) -> np.ndarray:
    """Positions `[T, 21, 3]` float64 in metres, joints as in `LAYOUTS["bandai21"]`.

    Args:
        path: a BVH file, y up.
        mapping: joint of `bandai21` to the file's joint, at least for each of `NEEDED`; None: the
            names are those of one of `CONVENTIONS`. What is not named is zero and not read.
        unit: metres a unit of the file; None: as the convention has it, else centimetres.

    Raises:
        SjepaError: no BVH file, joints of no known convention, or a mapping that does not fit.
    """
    bvh = read_bvh(path)
    known = Convention(mapping, 0.01) if mapping else _recognised(bvh, path)
    places = _places(bvh)
    lost = [joint for joint in NEEDED if joint not in known.joints]
    odd = sorted(set(known.joints) - set(_LAYOUT.joints))
    absent = [joint for joint in known.joints.values() if joint not in places]
    for what, names in (("no joint for", lost), ("the unknown key", odd),
                        ("a joint that the file lacks:", absent)):
        if names:
            raise SjepaError(f"{path}: the mapping has {what} {', '.join(names)}; it takes "
                             f"{', '.join(NEEDED)} to joints of the file: {', '.join(bvh.joints)}")
    positions = np.zeros((len(bvh.positions), len(_LAYOUT.joints), 3))
    for joint, name in known.joints.items():
        positions[:, _LAYOUT.joints.index(joint)] = bvh.positions[:, places[name]]
    return positions * (known.metres if unit is None else unit)


def _places(bvh: Bvh) -> dict[str, int]:
    """Where each joint stands, by its name and by what is left of it without the file's prefix."""
    root = next((joint for joint in bvh.joints if joint.endswith("Hips")), "Hips")
    prefix = root.removesuffix("Hips")  # such as mixamorig: or Character1_
    short = {joint.removeprefix(prefix): k for k, joint in enumerate(bvh.joints)}
    return short | {joint: k for k, joint in enumerate(bvh.joints)}


def _recognised(bvh: Bvh, path: Path) -> Convention:
    places = _places(bvh)
    for convention in CONVENTIONS.values():
        if set(convention.joints.values()) <= set(places):
            return convention
    raise SjepaError(
        f"{path}: the joints are not named as those of {', '.join(CONVENTIONS)}; found "
        f"{', '.join(bvh.joints)}: pass mapping={{'Hips': a joint of the file, …}} for each of "
        f"{', '.join(NEEDED)}, a limb's name standing for the joint at which it begins")
