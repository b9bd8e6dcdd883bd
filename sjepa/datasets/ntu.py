"""NTU RGB+D: clip names, and a strict, fast reader and a writer of `.skeleton` text files.

The grammar, one record a line (Shahroudy et al. 2016; Liu et al. 2019; the owners' Matlab reader)::

    F                                      frames in the clip
    then F times:  B                       bodies in this frame, 0 to 6
        then B times:  10 fields           bodyID, seven of state, leanX, leanY, trackingState
                       25                  joints
                       25 lines, 12 fields x y z, depth x y, colour x y, quaternion, trackingState

The readers of the text itself are in `ntu_text.py`, fast, and `ntu_careful.py`, which names faults.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sjepa.datasets.sources.ntu_careful import SkeletonFormatError, read_careful
from sjepa.datasets.sources.ntu_text import (
    JOINTS,
    MAX_BODIES,
    MAX_FRAMES,
    MAX_METRES,
    Rows,
    read_regular,
)
from sjepa.errors import SjepaError

__all__ = [
    "BodyTrack", "ClipName", "SkeletonClip", "SkeletonFormatError",
    "parse_name", "read_skeleton", "write_skeleton",
]

MAX_BYTES = 1 << 26  # 64 MiB, ten times a clip of 300 frames with six bodies
_NAME = re.compile(r"S([0-9]{3})C([0-9]{3})P([0-9]{3})R([0-9]{3})A([0-9]{3})(?:\.skeleton)?")


@dataclass(frozen=True)
class ClipName:
    """What an NTU file name says; every number counts from 1, as in the name."""

    setup: int
    camera: int
    performer: int
    replication: int
    action: int

    def __str__(self) -> str:
        return (
            f"S{self.setup:03d}C{self.camera:03d}P{self.performer:03d}"
            f"R{self.replication:03d}A{self.action:03d}"
        )


def parse_name(path: str | os.PathLike) -> ClipName:
    """Reads `SsssCcccPpppRrrrAaaa[.skeleton]`, with or without folders before it.

    Raises:
        SjepaError: the name is off the scheme, or a number is 0.
    """
    found = _NAME.fullmatch(Path(path).name)
    numbers = [int(part) for part in found.groups()] if found else [0]
    if 0 in numbers:
        raise SjepaError(
            f"{Path(path).name!r} is not an NTU clip name: expected one like "
            "S001C002P003R001A013.skeleton, every number from 001"
        )
    return ClipName(*numbers)


@dataclass
class BodyTrack:
    """One Kinect body id through a clip.

    Attributes:
        frame_indices: `[n]` int64, the true frames (from 0) in which the id is listed, rising.
        joints: `[n, 25, 3]` float32, metres, camera space.
        tracking: `[n, 25]` int8, 0 not tracked, 1 inferred, 2 tracked.
    """

    frame_indices: np.ndarray
    joints: np.ndarray
    tracking: np.ndarray


@dataclass
class SkeletonClip:
    """One parsed file.

    Attributes:
        name: file name without `.skeleton`.
        frames: F, the number of frames.
        bodies: body id -> its track, in the order in which the ids first appear.
        bodies_per_frame: `[F]` int64.
    """

    name: str
    frames: int
    bodies: dict[int, BodyTrack]
    bodies_per_frame: np.ndarray


def read_skeleton(path: str | os.PathLike) -> SkeletonClip:
    """Reads one `.skeleton` file.

    Coordinates must be finite and below a kilometre. The fields that are not kept (pixels,
    orientations, hand states) only have to be there and to look like numbers: users report NaN in
    the owners' files. CRLF, tabs, blank lines at the end and a missing last line end are accepted.

    Args:
        path: the file.

    Returns:
        The clip; coordinates are the nearest float32 of the double that `float()` reads.

    Raises:
        SkeletonFormatError: the first line that is off the grammar, with what was expected there.
        OSError: the file cannot be opened.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            limit = f"a file of at most {MAX_BYTES >> 20} MiB"
            raise SkeletonFormatError(os.fspath(path), 1, limit, f"{size} bytes")
        raw = file.read()
    rows = read_regular(raw)
    if rows is None and b"\r\n" in raw:
        rows = read_regular(raw.replace(b"\r\n", b"\n"))
    if rows is None:
        rows = read_careful(os.fspath(path), raw)
    return _assemble(Path(path).name.removesuffix(".skeleton"), rows)


def _assemble(name: str, rows: Rows) -> SkeletonClip:
    """Sorts the bodies of all frames into tracks."""
    of_body: dict[int, list[int]] = {}
    for row, body in enumerate(rows.ids):
        of_body.setdefault(body, []).append(row)
    bodies = {}
    for body, listed in of_body.items():
        k = np.array(listed)
        bodies[body] = BodyTrack(rows.frames[k], rows.joints[k], rows.states[k])
    return SkeletonClip(name, len(rows.per_frame), bodies, rows.per_frame)


def write_skeleton(
    path: str | os.PathLike,
    bodies: np.ndarray,
    *,
    ids: np.ndarray | None = None,
    tracking: int = 2,
) -> None:
    """Writes a genuine `.skeleton` file: LF line ends, replaced in one step or not at all.

    Numbers have nine significant digits, which name every float32 without a tie: `read_skeleton`
    gives the same bits back. Pixels are those of a pinhole camera with a Kinect v2's focal lengths;
    hand states, lean and orientations are 0.

    Args:
        path: the file; its folder must exist.
        bodies: `[T, M, 25, 3]` float, metres; a body of zeros is not listed in that frame.
        ids: body ids, integers that broadcast to `[T, M]`; by default one id a slot.
        tracking: the tracking state of every joint.

    Raises:
        SjepaError: wrong shape, a coordinate that is not finite, more than six bodies.
    """
    x = np.asarray(bodies, np.float32)
    if x.ndim != 4 or x.shape[1] > MAX_BODIES or x.shape[2:] != (JOINTS, 3):
        raise SjepaError(f"bodies must be [T, M <= {MAX_BODIES}, {JOINTS}, 3], not {list(x.shape)}")
    if len(x) > MAX_FRAMES or not (np.abs(x) < MAX_METRES).all():
        raise SjepaError(f"bodies must be finite metres in at most {MAX_FRAMES} frames")
    ids = 72057594037931101 + np.arange(x.shape[1]) if ids is None else np.asarray(ids)
    ids = np.broadcast_to(ids, x.shape[:2])
    joint = "%.9g %.9g %.9g %.7g %.7g %.7g %.7g 0 0 0 0 " + f"{tracking:d}\n"
    rows = np.concatenate([x, _pixels(x)], axis=-1).reshape(*x.shape[:2], 7 * JOINTS)
    listed = (x != 0).any(axis=(2, 3))
    parts = [f"{len(x)}\n"]
    for frame, present in enumerate(listed):
        parts.append(f"{present.sum()}\n")
        for slot in np.flatnonzero(present):
            parts.append(f"{ids[frame, slot]} 0 0 0 0 0 0 0 0 2\n{JOINTS}\n")
            parts.append(joint * JOINTS % tuple(rows[frame, slot].tolist()))
    part = Path(path).with_name(f"{Path(path).name}.{os.getpid()}.part")
    try:
        part.write_bytes("".join(parts).encode("ascii"))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _pixels(x: np.ndarray) -> np.ndarray:
    """Depth (512 x 424) and colour (1920 x 1080) pixels `[..., 4]` of points `[..., 3]`."""
    slope = x[..., :2] / np.maximum(x[..., 2:], 0.1) * (1, -1)  # pixel rows count downwards
    return np.concatenate([365 * slope + (256, 212), 1060 * slope + (960, 540)], axis=-1)
