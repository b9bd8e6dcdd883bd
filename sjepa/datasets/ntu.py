"""NTU RGB+D: clip names, and a strict reader and a writer of `.skeleton` text files.

The grammar, one record a line (Shahroudy et al. 2016; Liu et al. 2019; the owners' Matlab reader)::

    F                                      frames in the clip
    then F times:  B                       bodies in this frame, 0 to 6
        then B times:  10 fields           bodyID, seven of state, leanX, leanY, trackingState
                       25                  joints
                       25 lines, 12 fields x y z, depth x y, colour x y, quaternion, trackingState

A file is parsed at once; one that does not come out right is read again line by line, to name its
fault. A test says that the first way accepts nothing that the second refuses.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from sjepa.datasets.text import TextFormatError
from sjepa.errors import SjepaError

JOINTS = 25
MAX_BODIES = 6  # what a Kinect v2 tracks at most
MAX_FRAMES = 100_000  # an hour at 30 Hz; the longest NTU clip has 300 frames
MAX_METRES = 1000.0  # a Kinect sees 8 m; a kilometre is a broken number and overflows later
MAX_BYTES = 1 << 26  # 64 MiB, ten times a clip of 300 frames with six bodies
_ID_DIGITS = 20  # 64 bits
_TEXT = bytes(range(32, 127)) + b"\t\n"
_NUMBERS = b"0123456789+-.eEnaNinfINFty"  # NaN and infinity too
_NAME = re.compile(r"S([0-9]{3})C([0-9]{3})P([0-9]{3})R([0-9]{3})A([0-9]{3})(?:\.skeleton)?")


class SkeletonFormatError(TextFormatError):
    """A `.skeleton` file off the grammar: `FILE, line N: expected X, found Y`."""


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


class Rows(NamedTuple):
    """What a file says, in its order: K body ids, their frames, bodies a frame, K x 25 joints."""

    ids: list[bytes]
    frames: list[int]
    per_frame: list[int]
    joints: np.ndarray  # [K * 25, 3] float64
    states: list[bytes]  # K * 25


def read_skeleton(path: str | os.PathLike) -> SkeletonClip:
    """Reads one `.skeleton` file.

    Coordinates must be finite and below a kilometre. The fields that are not kept (pixels,
    orientations, hand states) only have to be there, in the characters of numbers: users report
    NaN in the owners' files. CRLF, tabs, blank lines at the end and a missing last line end are
    accepted.

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
        raw = file.read().replace(b"\r\n", b"\n")
    rows = read_at_once(raw)
    if rows is None:
        rows = read_by_line(os.fspath(path), raw)
    ids, frames = np.array(rows.ids), np.array(rows.frames, np.int64)
    xyz = rows.joints.reshape(-1, JOINTS, 3).astype(np.float32)
    states = np.array([b"012".index(state) for state in rows.states], np.int8).reshape(-1, JOINTS)
    bodies = {int(body): BodyTrack(frames[ids == body], xyz[ids == body], states[ids == body])
              for body in dict.fromkeys(rows.ids)}
    return SkeletonClip(Path(path).name.removesuffix(".skeleton"), len(rows.per_frame), bodies,
                        np.array(rows.per_frame, np.int64))


# --- reading ------------------------------------------------------------------------------------


def read_at_once(raw: bytes) -> Rows | None:
    """Reads a file without any fault; None for any other, and for a few odd ones."""
    if raw.translate(None, _NUMBERS + b" \t\n"):
        return None
    if raw.count(b"\n") > MAX_FRAMES + len(raw) // 20:  # more than bodies have would fill memory
        return None
    lines = [line.split() for line in raw.rstrip().split(b"\n")]
    ids, heads, joints, frames, per_frame = [], [], [], [], []
    at = 1
    try:
        ((declared,),) = lines[:1]
        while at < len(lines):
            (count,) = lines[at]
            at += 1
            if not (count.isdigit() and len(count) == 1 and int(count) <= MAX_BODIES):
                return None
            for _ in range(int(count)):
                if lines[at + 1] != [b"25"]:
                    return None
                heads.append(lines[at])
                joints += lines[at + 2 : at + 2 + JOINTS]
                ids.append(lines[at][0])
                at += 2 + JOINTS
            frames += [len(per_frame)] * int(count)
            per_frame.append(int(count))
            if len(set(ids[len(ids) - int(count) :])) < int(count):
                return None
        xyz = np.array([line[:3] for line in joints], np.float64).reshape(-1, 3)
    except (ValueError, IndexError):  # lines are not where the counts say, or no numbers
        return None
    whole = (declared.isdigit() and len(declared) < 7 and int(declared) == len(per_frame)
             and len(per_frame) <= MAX_FRAMES and at == len(lines)
             and len(joints) == JOINTS * len(ids) and set(map(len, heads)) <= {10}
             and set(map(len, joints)) <= {12}
             and all(body.isdigit() and len(body) <= _ID_DIGITS for body in set(ids))
             and len({int(body) for body in set(ids)}) == len(set(ids))
             and (np.abs(xyz) < MAX_METRES).all())
    states = [line[11] for line in joints] if whole else []
    whole = whole and set(states) <= {b"0", b"1", b"2"}
    return Rows(ids, frames, per_frame, xyz, states) if whole else None


def read_by_line(path: str, raw: bytes) -> Rows:
    """Reads line by line and stops at the first fault. Nothing is sized by a declared count.

    Raises:
        SkeletonFormatError: the first line that is off the grammar.
    """
    lines = _Lines(path, raw)
    ids, at, per_frame, joints = [], [], [], []
    frames = lines.integer(f"the number of frames, 0 to {MAX_FRAMES}", 0, MAX_FRAMES)
    for frame in range(frames):
        where = f"frame {frame + 1} of {frames}"
        count = lines.integer(f"the number of bodies, 0 to {MAX_BODIES}, in {where}", 0, MAX_BODIES)
        seen: set[int] = set()
        for _ in range(count):
            token = lines.fields(f"the 10 numbers of a body in {where}", 10)[0]
            if not (token.isdigit() and len(token) <= _ID_DIGITS):
                lines.fail(f"a body id in {where}", _quote(token))
            if int(token) in seen:
                lines.fail(f"every body once in {where}", f"{_quote(token)} again")
            lines.integer(f"the number of joints, {JOINTS}, in {where}", JOINTS, JOINTS)
            joints += [_joint(lines, k, where) for k in range(JOINTS)]
            seen.add(int(token))
            ids.append(b"%d" % int(token))
            at.append(frame)
        per_frame.append(count)
    lines.end("the end of the file after the last frame")
    xyz = np.array([line[:3] for line in joints], np.float64).reshape(-1, 3)
    return Rows(ids, at, per_frame, xyz, [line[3] for line in joints])


def _joint(lines: _Lines, joint: int, where: str) -> tuple[float, float, float, bytes]:
    """x, y, z and the tracking state of one joint line."""
    expected = f"the 12 numbers of joint {joint + 1} in {where}"
    tokens = lines.fields(expected, 12)
    xyz = []
    for token in tokens[:3]:
        try:
            xyz.append(float(token))
        except ValueError:
            lines.fail(expected, _quote(token))
        if not abs(xyz[-1]) < MAX_METRES:  # false for NaN too
            lines.fail(f"finite metres of joint {joint + 1} in {where}", _quote(token))
    if tokens[11] not in (b"0", b"1", b"2"):
        lines.fail(f"tracking state 0, 1 or 2 of joint {joint + 1} in {where}", _quote(tokens[11]))
    return (*xyz, tokens[11])


class _Lines:
    """The lines of a file one at a time; knows where it is and how to say what is wrong there."""

    def __init__(self, path: str, raw: bytes) -> None:
        self.path, self.line = path, 0
        self._rows = (row.removesuffix(b"\n") for row in io.BytesIO(raw))

    def fail(self, expected: str, found: str) -> NoReturn:
        raise SkeletonFormatError(self.path, self.line, expected, found)

    def next(self, expected: str, width: int) -> list[bytes]:
        """The `width` fields of the next line; `expected` is for the message."""
        self.line += 1
        row = next(self._rows, None)
        if row is None:
            self.fail(expected, "the end of the file")
        if strange := row.translate(None, _TEXT):
            self.fail(expected, f"byte 0x{strange[0]:02x}, which is not text")
        tokens = row.split()
        if len(tokens) != width:
            self.fail(expected, f"{len(tokens)} fields")
        return tokens

    def fields(self, expected: str, width: int) -> list[bytes]:
        """The next line, which must have `width` fields in the characters of numbers."""
        tokens = self.next(expected, width)
        for token in tokens:
            if token.translate(None, _NUMBERS):
                self.fail(expected, _quote(token))
        return tokens

    def integer(self, expected: str, low: int, high: int) -> int:
        """The next line, which must be one integer in low..high."""
        (token,) = self.next(expected, 1)
        if not (token.isdigit() and len(token) <= 9) or not low <= int(token) <= high:
            self.fail(expected, _quote(token))
        return int(token)

    def end(self, expected: str) -> None:
        """Only blank lines may follow."""
        for row in self._rows:
            self.line += 1
            if row.strip():
                self.fail(expected, _quote(row.split()[0]))


def _quote(token: bytes) -> str:
    text = token.decode("ascii", "backslashreplace")
    return repr(text if len(text) <= 40 else text[:37] + "...")


# --- writing ------------------------------------------------------------------------------------


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
