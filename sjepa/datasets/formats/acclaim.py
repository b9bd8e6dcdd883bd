"""Acclaim motion capture: a skeleton (`.asf`) and its motions (`.amc`) to joint positions.

After some lines that begin with # or :, an AMC file lists the channels' values of each frame: its
number, then a bone a line. A bone is shown by the point at its END; the root is a point of its own.
The skeletons are read in `asf.py`.
"""

from __future__ import annotations

import os
import re

import numpy as np

from sjepa.datasets.formats.asf import Bone, Skeleton, read_asf
from sjepa.datasets.kinematics import rotations
from sjepa.datasets.text import MAX_FRAMES, TextFile, read_text

__all__ = ["Bone", "Skeleton", "joint_positions", "read_amc", "read_asf"]


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
