"""Acclaim motion capture: a skeleton (`.asf`) and its motions (`.amc`) to joint positions.

A skeleton has sections, each headed by `:NAME`: `:units` (length, angle), `:root` (order of its
channels, position), `:bonedata` (each bone between `begin` and `end`: name, direction, length, the
`axis` that its angles refer to, and `dof`, its channels) and `:hierarchy` (a parent and its
children a line). A motion lists the channels' values of each frame: its number, then a bone a line.
A bone is shown by the point at its END; the root is a point of its own. What is wrong with a file
is a `SjepaError` that names the line, or what is not there.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sjepa.datasets.formats.kinematics import forward_kinematics, rotations
from sjepa.datasets.text import TextFile, read_text
from sjepa.errors import SjepaError

_INCH = 0.0254  # metres; lengths divided by the `length` of `:units` are inches


@dataclass(frozen=True)
class Bone:
    """A bone, or the root, which has no length."""

    reach: np.ndarray  #: `[3]` from its parent's end to its own end at rest, in the file's unit
    axes: np.ndarray  #: `[3, 3]` the frame in which its angles are given
    channels: tuple[str, ...]  #: in the order of the values; the first-listed rotation acts first


@dataclass(frozen=True)
class AsfSkeleton:
    """The root and its bones, parents first."""

    joints: tuple[str, ...]  #: their names
    parents: tuple[int, ...]  #: index of the bone that each hangs on, -1 for the root
    bones: tuple[Bone, ...]
    metres: float  #: the length of the file's unit


_Rows = list[tuple[int, list[str]]]  # line number and words of each line


def read_asf(path: str | os.PathLike) -> AsfSkeleton:
    """Reads a skeleton whose angles are degrees and whose root is not turned at rest.

    Raises:
        SjepaError: the file cannot be read, lacks something, or a line of it is off.
    """
    text = read_text(path)
    sections: dict[str, _Rows] = {"": []}
    for line, row in text.rows():
        word, *words = row.split()
        if word.startswith(":"):
            section = sections[word.lower()] = []
        elif word[0] not in "#(" and len(sections) > 1:  # comments, and more of a bone's limits
            section.append((line, [word, *words]))
    try:
        units = _fields(sections[":units"])
        (length,), (line, angle) = text.numbers(*units["length"], 1, "a length"), units["angle"]
        if length <= 0 or angle != ["deg"]:
            text.fail(line, "angle deg, and a length above 0", f"{' '.join(angle)} and {length:g}")
        return AsfSkeleton(*_bones(text, sections), _INCH / length)
    except KeyError as error:
        raise SjepaError(f"{path} lacks {error.args[0]!r}, or names it too late: expected an ASF "
                         "skeleton with :units, :root, :bonedata and :hierarchy") from error


def _fields(rows: _Rows) -> dict[str, tuple[int, list[str]]]:
    """Line number and values of each key."""
    return {key: (line, values) for line, (key, *values) in rows}


def _bones(text: TextFile, sections: dict[str, _Rows]) -> Iterator[tuple]:
    """Names, parents and bones, the root and then as the tree lists them."""
    root = _fields(sections[":root"])
    # Readers differ in what another orientation means, and no known file has one.
    if any(text.numbers(*root["orientation"], 3, "three angles")):
        text.fail(root["orientation"][0], "orientation 0 0 0", " ".join(root["orientation"][1]))
    position = np.array(text.numbers(*root["position"], 3, "the root's position"))
    channels = _channels(text, *root["order"], ["rx", "ry", "rz", "tx", "ty", "tz"])
    found: dict[str, dict] = {}
    block: _Rows = []
    for line, words in sections[":bonedata"]:
        if words == ["end"]:
            found[" ".join(_fields(block)["name"][1])], block = _fields(block), []
        elif words != ["begin"]:
            block.append((line, words))
    bones, places = [("root", -1, Bone(position, np.eye(3), channels))], {"root": 0}
    for _, (parent, *children) in sections[":hierarchy"]:
        for child in children:
            bones.append((child, places[parent], _bone(text, child, found.pop(child))))
            places[child] = len(places)
    return zip(*bones, strict=True)


def _channels(text: TextFile, line: int, words: list[str], known: list[str]) -> tuple[str, ...]:
    channels = tuple(word.lower() for word in words)
    if len(set(channels) & set(known)) != len(channels) or len(channels) < len(known) == 6:
        text.fail(line, f"channels of {' '.join(known)}", repr(" ".join(words)))
    return channels


def _bone(text: TextFile, name: str, fields: dict) -> Bone:
    direction = np.array(text.numbers(*fields["direction"], 3, f"direction of {name}"))
    (length,) = text.numbers(*fields["length"], 1, f"length of {name}")
    line, words = fields["axis"]
    angles, order = words[:-1], "".join(words[-1:]).lower()
    angles = text.numbers(line, angles, 3, f"axis of {name}, three angles and an order")
    if sorted(order) != ["x", "y", "z"] or not direction.any():
        text.fail(line, f"axis of {name} in an order such as XYZ, and a direction", order)
    axes = rotations(order[::-1], np.array([angles[::-1]]))[0]
    channels = _channels(text, *fields.get("dof", (line, [])), ["rx", "ry", "rz"])
    return Bone(direction / np.linalg.norm(direction) * length, axes, channels)


def read_amc(path: str | os.PathLike, skeleton: AsfSkeleton) -> np.ndarray:
    """Reads a motion of `skeleton`, in which every frame lists every bone that has channels.

    Returns:
        `[T, C]` float64, the channels of all bones in the order of `skeleton.bones`: degrees, and
        the root's position in the file's unit.

    Raises:
        SjepaError: the file cannot be read, a frame is not whole, or a line is off.
    """
    text = read_text(path)
    sizes = {name: len(bone.channels) for name, bone in
             zip(skeleton.joints, skeleton.bones, strict=True) if bone.channels}
    frames: list[dict[str, list[float]]] = []
    number = -1.0
    for line, row in text.rows():
        name, *words = row.split()
        if name.upper() == ":RADIANS":
            text.fail(line, "angles in degrees", name)
        if frames and name in sizes:
            frames[-1][name] = text.numbers(line, words, sizes[name], f"values of {name}")
        elif not words and name.isdecimal() and float(name) > number:
            number = float(name)
            frames.append({})
        elif name[0] not in "#:":
            text.fail(line, "a later frame's number, or a bone that has channels", repr(row))
    text.bound(len(frames), len(skeleton.bones))
    for number, frame in enumerate(frames, 1):
        if lost := sizes.keys() - frame.keys():
            raise SjepaError(f"{path}: frame {number} of {len(frames)} lacks {min(lost)}")
    if not frames:
        raise SjepaError(f"{path} has no frames: get it again")
    return np.array([sum((frame[name] for name in sizes), []) for frame in frames])


def joint_positions(skeleton: AsfSkeleton, motion: np.ndarray) -> np.ndarray:
    """Forward kinematics: `motion` as of `read_amc` → `[T, J, 3]` float64, metres.

    The J points are the root, and the end of each bone.
    """
    steps, turns, at = [], [], 0
    for bone, parent in zip(skeleton.bones, skeleton.parents, strict=True):
        values = dict(zip(bone.channels, motion[:, at : at + len(bone.channels)].T, strict=True))
        at += len(values)
        spins = [channel for channel in reversed(values) if channel[0] == "r"]
        angles = np.array([values[spin] for spin in spins]).reshape(len(spins), len(motion)).T
        spun = rotations("".join(spin[1] for spin in spins), angles)
        turns.append(bone.axes @ spun @ bone.axes.T)
        steps.append(turns[-1] @ bone.reach if parent >= 0 else
                     bone.reach + np.stack([values[c] for c in ("tx", "ty", "tz")], -1))
    return forward_kinematics(skeleton.parents, steps, turns) * skeleton.metres
