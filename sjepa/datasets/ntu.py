"""NTU RGB+D: clip names, and a strict reader and a writer of `.skeleton` text files.

The grammar, one record a line (Shahroudy et al. 2016; Liu et al. 2019; the owners' Matlab reader)::

    F                                      frames in the clip
    then F times:  B                       bodies in this frame, 0 to 6
        then B times:  10 fields           bodyID, seven of state, leanX, leanY, trackingState
                       25                  joints
                       25 lines, 12 fields x y z, depth x y, colour x y, quaternion, trackingState

The frame of counts is walked line by line; the joint lines between are then parsed at once, and
again one by one if something in them is off, to name the first fault.
"""

import os
import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NoReturn

import numpy as np

from sjepa.datasets.text import TextFormatError
from sjepa.errors import SjepaError
from sjepa.files import save_atomically

JOINTS = 25
MAX_BODIES = 6  # what a Kinect v2 tracks at most
MAX_FRAMES = 100_000  # an hour at 30 Hz; the longest NTU clip has 300 frames
MAX_METRES = 1000.0  # a Kinect sees 8 m; a kilometre is a broken number and overflows later
MAX_BYTES = 1 << 26  # 64 MiB, ten times a clip of 300 frames with six bodies
_HEAD, _FIELDS = 10, 12  # of a body and of a joint
_ID_DIGITS = 20  # 64 bits
_TEXT = bytes(range(32, 127)) + b"\t"
_NUMBERS = b"0123456789+-.eEnaNinfINFty"  # NaN and infinity too
_STATES = (b"0", b"1", b"2")
#: An NTU clip name, perhaps with its suffix.
NAME = re.compile(r"S([0-9]{3})C([0-9]{3})P([0-9]{3})R([0-9]{3})A([0-9]{3})(?:\.skeleton)?")


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


def parse_name(path: str | os.PathLike) -> ClipName:
    """Reads `SsssCcccPpppRrrrAaaa[.skeleton]`; a name off that scheme is a `SjepaError`."""
    found = NAME.fullmatch(Path(path).name)
    numbers = [int(part) for part in found.groups()] if found else [0]
    if 0 in numbers:
        raise SjepaError(f"{Path(path).name!r} is not an NTU clip name: expected one like "
                         "S001C002P003R001A013.skeleton, every number from 001")
    return ClipName(*numbers)


@dataclass
class BodyTrack:
    """One Kinect body id through a clip."""

    frame_indices: np.ndarray  # [n] int64, the frames (from 0) in which the id is listed, rising
    joints: np.ndarray  # [n, 25, 3] float32, metres, camera space
    tracking: np.ndarray  # [n, 25] int8, 0 not tracked, 1 inferred, 2 tracked


@dataclass
class SkeletonClip:
    """One parsed file."""

    name: str  # of the file without `.skeleton`
    frames: int
    bodies: dict[int, BodyTrack]  # by id, in the order in which the ids first appear
    bodies_per_frame: np.ndarray  # [frames] int64


def read_skeleton(path: str | os.PathLike) -> SkeletonClip:
    """Reads one `.skeleton` file; coordinates are the nearest float32 of what `float()` reads.

    They must be finite and below a kilometre. The fields that are not kept (pixels, orientations,
    hand states) only have to be there, in the characters of numbers: users report NaN in the
    owners' files. CRLF, tabs, blank lines at the end and a missing last line end are accepted; of
    anything else that is off the grammar a `SkeletonFormatError` names the first line.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                limit = f"a file of at most {MAX_BYTES >> 20} MiB"
                raise SkeletonFormatError(os.fspath(path), 1, limit, f"{size} bytes")
            raw = file.read().replace(b"\r\n", b"\n")
    except OSError as error:
        raise SjepaError(f"{path} cannot be read: {error.strerror}") from error
    lines = _Lines(os.fspath(path), raw)
    try:
        listed = lines.bodies()
    except SkeletonFormatError:
        lines.joints()  # an earlier fault, in the joints before, comes first
        raise
    xyz, states = lines.joints()
    per_frame = np.array([len(ids) for ids in listed], np.int64)
    ids = np.array([body for ids in listed for body in ids], object)
    frames = np.repeat(np.arange(len(per_frame)), per_frame)
    bodies = {body: BodyTrack(frames[ids == body], xyz[ids == body], states[ids == body])
              for body in dict.fromkeys(ids)}
    return SkeletonClip(Path(path).name.removesuffix(".skeleton"), len(per_frame), bodies,
                        per_frame)


class _Lines:
    """The lines of a file, and how far it is read. Nothing is sized by a declared count."""

    def __init__(self, path: str, raw: bytes) -> None:
        # More lines than bodies have would fill the memory: the rest stays one line, which is off.
        self.path, self.rows = path, raw.split(b"\n", MAX_FRAMES + len(raw) // 20)
        if not self.rows[-1]:
            self.rows.pop()
        self.plain = not raw.translate(None, _NUMBERS + b" \t\n")
        self.line = 0  # the last that was read; they count from 1
        self.blocks: list[tuple[int, str]] = []  # the line before each body's joints, and where

    def fail(self, expected: str, found: str | bytes) -> NoReturn:
        if isinstance(found, bytes):
            text = found.decode("ascii", "backslashreplace")
            found = repr(text if len(text) <= 40 else text[:37] + "...")
        raise SkeletonFormatError(self.path, self.line, expected, found)

    def fields(self, expected: str, width: int) -> list[bytes]:
        """The `width` fields of the next line, in the characters of numbers."""
        self.line += 1
        if self.line > len(self.rows):
            self.fail(expected, "the end of the file")
        row = self.rows[self.line - 1]
        if strange := row.translate(None, _TEXT):
            self.fail(expected, f"byte 0x{strange[0]:02x}, which is not text")
        tokens = row.split()
        if len(tokens) != width:
            self.fail(expected, f"{len(tokens)} fields")
        for token in tokens:
            if token.translate(None, _NUMBERS):
                self.fail(expected, token)
        return tokens

    def integer(self, what: str, high: int, low: int = 0) -> int:
        """The next line, which must be one integer in low..high, of at most nine digits."""
        (token,) = self.fields(what, 1)
        if not (token.isdigit() and len(token) <= 9) or not low <= int(token) <= high:
            self.fail(what, token)
        return int(token)

    def bodies(self) -> list[list[int]]:
        """Ids of the bodies of each frame; the joint lines are passed over."""
        frames = self.integer(f"the number of frames, 0 to {MAX_FRAMES}", MAX_FRAMES)
        listed: list[list[int]] = []
        for frame in range(frames):
            where = f"frame {frame + 1} of {frames}"
            count = self.integer(f"the number of bodies, 0 to {MAX_BODIES}, in {where}", MAX_BODIES)
            listed.append([])
            for _ in range(count):
                head = self.fields(f"the {_HEAD} numbers of a body in {where}", _HEAD)[0]
                if not head.isdigit() or len(head) > _ID_DIGITS:
                    self.fail(f"a body id in {where}", head)
                if int(head) in listed[-1]:
                    self.fail(f"every body once in {where}", f"{head.decode()} again")
                listed[-1].append(int(head))
                self.integer(f"the number of joints, {JOINTS}, in {where}", JOINTS, JOINTS)
                self.blocks.append((self.line, where))
                self.line += JOINTS
        for row in self.rows[self.line :]:
            self.line += 1
            if row.strip():
                self.fail("the end of the file after the last frame", row.split()[0])
        return listed

    def joints(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions `[K, 25, 3]` float32 and tracking states `[K, 25]` int8 of the K bodies."""
        tokens = [row.split() for first, _ in self.blocks
                  for row in self.rows[first : first + JOINTS]]
        flat = [*chain.from_iterable(tokens)]
        xyz, states = np.empty((0, 3)), flat[_FIELDS - 1 :: _FIELDS]
        try:
            whole = self.plain and {*map(len, tokens)} <= {_FIELDS} and {*states} <= {*_STATES}
            if whole:
                xyz = np.array([[*map(float, flat[k::_FIELDS])] for k in range(3)]).T
                whole = (np.abs(xyz) < MAX_METRES).all()
        except ValueError:
            whole = False
        if not whole or len(tokens) < JOINTS * len(self.blocks):
            for first, where in self.blocks:  # one of these names the fault
                self.line = first
                for joint in range(1, JOINTS + 1):
                    self.joint(joint, where)
        return (np.ascontiguousarray(xyz, np.float32).reshape(-1, JOINTS, 3),
                np.array(states, "S1").view(np.int8).reshape(-1, JOINTS) - ord("0"))

    def joint(self, joint: int, where: str) -> None:
        """Look at one joint line."""
        expected = f"the {_FIELDS} numbers of joint {joint} in {where}"
        tokens = self.fields(expected, _FIELDS)
        for token in tokens[:3]:
            try:
                value = float(token)
            except ValueError:
                self.fail(expected, token)
            if not abs(value) < MAX_METRES:  # false for NaN too
                self.fail(f"finite metres of joint {joint} in {where}", token)
        if tokens[-1] not in _STATES:
            self.fail(f"tracking state 0, 1 or 2 of joint {joint} in {where}", tokens[-1])


def write_skeleton(path: str | os.PathLike, bodies: np.ndarray,
                   ids: np.ndarray | None = None) -> None:
    """Writes a genuine `.skeleton` file of `bodies` `[T, M <= 6, 25, 3]`, finite metres.

    A body of zeros is not listed in a frame; `ids`, integers that broadcast to `[T, M]`, are one a
    slot by default. Numbers have nine significant digits, which name every float32 without a tie:
    `read_skeleton` gives the same bits back. Pixels are those of a pinhole camera with a Kinect
    v2's focal lengths; joints are tracked; hand states, lean and orientations are 0.
    """
    x = np.asarray(bodies, np.float32)
    if x.ndim != 4 or x.shape[1] > MAX_BODIES or x.shape[2:] != (JOINTS, 3):
        raise SjepaError(f"bodies must be [T, M <= {MAX_BODIES}, {JOINTS}, 3], not {list(x.shape)}")
    if len(x) > MAX_FRAMES or not (np.abs(x) < MAX_METRES).all():
        raise SjepaError(f"bodies must be finite metres in at most {MAX_FRAMES} frames")
    ids = 72057594037931101 + np.arange(x.shape[1]) if ids is None else np.asarray(ids)
    ids = np.broadcast_to(ids, x.shape[:2])
    joint = "%.9g %.9g %.9g %.7g %.7g %.7g %.7g 0 0 0 0 2\n"
    slope = x[..., :2] / np.maximum(x[..., 2:], 0.1) * (1, -1)  # pixel rows count downwards
    depth, colour = 365 * slope + (256, 212), 1060 * slope + (960, 540)  # 512 x 424, 1920 x 1080
    rows = np.concatenate([x, depth, colour], axis=-1).reshape(*x.shape[:2], 7 * JOINTS)
    parts = [f"{len(x)}\n"]
    for frame, present in enumerate((x != 0).any(axis=(2, 3))):
        parts.append(f"{present.sum()}\n")
        for slot in np.flatnonzero(present):
            parts.append(f"{ids[frame, slot]} 0 0 0 0 0 0 0 0 2\n{JOINTS}\n")
            parts.append(joint * JOINTS % tuple(rows[frame, slot].tolist()))
    save_atomically(lambda part: part.write_bytes("".join(parts).encode("ascii")), Path(path))
