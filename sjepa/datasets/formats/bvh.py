"""BVH motion files (Biovision hierarchy), of any skeleton: text to joint positions.

A file is a tree of joints, then a line of numbers a frame: the channels' values, joints in the
order of the tree. Any skeleton becomes Bandai-Namco's by the names of its joints, so that one map
onto NTU-25 serves all: `UpperArm_L` is where the left upper arm begins, the shoulder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sjepa.datasets.layouts import LAYOUTS
from sjepa.datasets.text import TextFile, read_text
from sjepa.errors import SjepaError

_CHANNELS = {axis + kind for axis in "xyz" for kind in ("position", "rotation")}


@dataclass(frozen=True)
class Bvh:
    """One motion; J joints in the order of the file, parents first."""

    joints: tuple[str, ...]
    parents: tuple[int, ...]  #: index of each joint's parent, -1 for the root
    fps: float  #: frames a second
    positions: np.ndarray  #: `[T, J, 3]` float64, in the file's unit and axes


@dataclass
class _Joint:
    name: str
    parent: int
    offset: tuple[float, ...] = (0, 0, 0)
    channels: tuple[str, ...] = ()


def read_bvh(path: str | os.PathLike, ends: bool = False) -> Bvh:
    """Reads a BVH file and works out where its joints are.

    Position channels replace the OFFSET along their axis, on any joint; rotations multiply in the
    listed order, so that the last-listed acts first on the bone.

    Args:
        path: the file.
        ends: give End Sites too, as joints called `JOINT end`.

    Raises:
        SjepaError: the file cannot be read, or is no BVH: the sentence names the line.
    """
    text = read_text(path)
    rows = text.rows()
    heads = (k for k, (_, line) in enumerate(rows) if line.strip().upper() == "MOTION")
    start = next(heads, len(rows))
    joints = _hierarchy(text, rows[:start], ends)
    fps, values = _motion(text, rows[start + 1 :], sum(len(joint.channels) for joint in joints))
    names, parents = zip(*((joint.name, joint.parent) for joint in joints), strict=True)
    return Bvh(names, parents, fps, _positions(joints, values))


def _hierarchy(text: TextFile, rows: list[tuple[int, str]], ends: bool) -> list[_Joint]:
    """The joints, parents first; a brace is a line of its own wherever it stands."""
    joints: list[_Joint] = []
    named, opened = -1, []  # the joint named last, and those whose braces are open; End Site: -1
    for line, words in ((n, part.split()) for n, row in rows for part in re.split("([{}])", row)):
        key = words[0].upper() if words else ""
        inside = opened[-1] if opened else -1
        if key == "ROOT" and not joints or key == "JOINT" and inside >= 0:
            named = len(joints)
            joints.append(_Joint(" ".join(words[1:]), inside))
        elif key == "END" and inside >= 0:
            named = len(joints) if ends else -1
            joints += [_Joint(f"{joints[inside].name} end", inside)] * ends
        elif key == "{" and joints:
            opened.append(named)
        elif key == "}" and opened:
            opened.pop()
        elif key == "OFFSET" and opened:
            offset = text.numbers(line, words[1:], 3, "OFFSET and three numbers")
            if inside >= 0:  # that of an End Site may not be needed
                joints[inside].offset = tuple(offset)
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


def rotations(axes: str, degrees: np.ndarray) -> np.ndarray:
    """Product `[T, 3, 3]` of rotations about up to three axes such as `"zxy"`, in this order.

    `degrees` is `[T, len(axes)]`, right-handed. The last-listed acts first on a column vector.
    """
    from scipy.spatial.transform import Rotation  # here: most sets are read without it

    if not axes:
        return np.broadcast_to(np.eye(3), (len(degrees), 3, 3))
    return Rotation.from_euler(axes.upper(), degrees, degrees=True).as_matrix()


def _positions(joints: list[_Joint], values: np.ndarray) -> np.ndarray:
    """Forward kinematics: channel values `[T, columns]` → positions `[T, J, 3]`."""
    places = np.empty((len(values), len(joints), 3))
    turns: list[np.ndarray] = []  # [T, 3, 3] each: the axes of a joint, in those of the room
    rest = values
    for k, joint in enumerate(joints):
        mine, rest = np.split(rest, [len(joint.channels)], axis=1)
        local = np.tile(joint.offset, (len(values), 1))
        spins = [c for c, channel in enumerate(joint.channels) if channel.endswith("rotation")]
        for c in set(range(len(joint.channels))) - set(spins):
            local[:, "xyz".index(joint.channels[c][0])] = mine[:, c]
        turn = rotations("".join(joint.channels[c][0] for c in spins), mine[:, spins])
        if joint.parent >= 0:
            parent = turns[joint.parent]
            local = places[:, joint.parent] + (parent @ local[..., None])[..., 0]
            turn = parent @ turn
        places[:, k] = local
        turns.append(turn)
    return places


_LAYOUT = LAYOUTS["bandai21"]
#: The joints that the map onto NTU-25 reads; Spine and the collar bones are not among them.
NEEDED = tuple(joint for joint, column in zip(_LAYOUT.joints, _LAYOUT.to_ntu25.T, strict=True)
               if column.any())
_LIMBS = {"Shoulder": "Shoulder", "UpperArm": "Arm", "LowerArm": "ForeArm", "Hand": "Hand",
          "UpperLeg": "UpLeg", "LowerLeg": "Leg", "Foot": "Foot", "Toes": "ToeBase"}
_SIDES = {f"{ours}_{side[0]}": side + theirs for ours, theirs in _LIMBS.items()
          for side in ("Left", "Right")}


#: Joint of `bandai21` to that of files of one origin, without what precedes their `Hips`, and
#: metres a unit. The first whose joints are all there is taken: a CMU skeleton has most of Mixamo's
#: names. CMU's head begins two joints above the neck; Bandai-Namco's begins at the first of them.
CONVENTIONS: dict[str, tuple[Mapping[str, str], float]] = {
    "Bandai-Namco": ({joint: joint for joint in _LAYOUT.joints}, 0.01),
    "CMU": ({"Hips": "Hips", "Spine": "LowerBack", "Chest": "Spine1", "Neck": "Neck",
             "Head": "Neck1"} | _SIDES, 0.0254 / 0.45),
    "Mixamo": ({"Hips": "Hips", "Spine": "Spine", "Chest": "Spine1", "Neck": "Neck",
                "Head": "Head"} | _SIDES, 0.01),
}


def read_joints(path: Path, mapping: Mapping[str, str] | None = None,
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
    root = next((joint for joint in bvh.joints if joint.endswith("Hips")), "Hips")
    prefix = root.removesuffix("Hips")  # such as mixamorig: or Character1_
    places = {joint.removeprefix(prefix): k for k, joint in enumerate(bvh.joints)}
    places |= {joint: k for k, joint in enumerate(bvh.joints)}
    known = [each for each in CONVENTIONS.values() if set(each[0].values()) <= set(places)]
    if not known and not mapping:
        raise SjepaError(
            f"{path}: the joints are not named as those of {', '.join(CONVENTIONS)}; found "
            f"{', '.join(bvh.joints)}: pass mapping={{'Hips': a joint of the file, …}} for each of "
            f"{', '.join(NEEDED)}, a limb's name standing for the joint at which it begins")
    joints, metres = (mapping, 0.01) if mapping else known[0]
    if not set(NEEDED) <= set(joints) <= set(_LAYOUT.joints) or set(joints.values()) - set(places):
        raise SjepaError(f"{path}: the mapping has to take {', '.join(NEEDED)} to joints of the "
                         f"file: {', '.join(bvh.joints)}")
    positions = np.zeros((len(bvh.positions), len(_LAYOUT.joints), 3))
    for joint, name in joints.items():
        positions[:, _LAYOUT.joints.index(joint)] = bvh.positions[:, places[name]]
    return positions * (metres if unit is None else unit)
