"""The text of `.skeleton` files (grammar: `ntu.py`), line by line: slow, and names each fault."""

from __future__ import annotations

import io
from typing import NoReturn

import numpy as np

from sjepa.datasets.sources.ntu_text import (
    JOINTS,
    MAX_BODIES,
    MAX_FRAMES,
    MAX_ID,
    MAX_LINE,
    MAX_METRES,
    Rows,
)
from sjepa.datasets.text import TextFormatError

_TEXT = bytes(range(32, 127)) + b"\t"


class SkeletonFormatError(TextFormatError):
    """A `.skeleton` file off the grammar: `FILE, line N: expected X, found Y`."""


def read_careful(path: str, raw: bytes) -> Rows:
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
            if not _is_count(token, MAX_ID):
                lines.fail(f"a body id in {where}", _quote(token))
            if int(token) in seen:
                lines.fail(f"every body once in {where}", f"{_quote(token)} again")
            lines.integer(f"the number of joints, {JOINTS}, in {where}", JOINTS, JOINTS)
            joints += [_joint(lines, k, where) for k in range(JOINTS)]
            seen.add(int(token))
            ids.append(int(token))
            at.append(frame)
        per_frame.append(count)
    lines.end("the end of the file after the last frame")
    table = np.array(joints, np.float64).reshape(-1, JOINTS, 4)
    xyz, states = table[..., :3].astype(np.float32), table[..., 3].astype(np.int8)
    return Rows(ids, np.array(at, np.int64), np.array(per_frame, np.int64), xyz, states)


def _joint(lines: _Lines, joint: int, where: str) -> tuple[float, ...]:
    """x, y, z and the tracking state of one joint line."""
    expected = f"the 12 numbers of joint {joint + 1} in {where}"
    tokens = lines.fields(expected, 12)
    xyz = [float(token) for token in tokens[:3]]
    for token, value in zip(tokens, xyz, strict=False):
        if not abs(value) < MAX_METRES:  # false for NaN too
            lines.fail(f"finite metres of joint {joint + 1} in {where}", _quote(token))
    if tokens[11] not in (b"0", b"1", b"2"):
        lines.fail(f"tracking state 0, 1 or 2 of joint {joint + 1} in {where}", _quote(tokens[11]))
    return (*xyz, int(tokens[11]))


class _Lines:
    """The lines of a file one at a time; knows where it is and how to say what is wrong there."""

    def __init__(self, path: str, raw: bytes) -> None:
        self.path, self.line, self._rows, self._size = path, 0, io.BytesIO(raw), len(raw)

    def fail(self, expected: str, found: str) -> NoReturn:
        raise SkeletonFormatError(self.path, self.line, expected, found)

    def next(self, expected: str, width: int | None = None) -> list[bytes]:
        """The fields, `width` of them, of the next line; `expected` is for the message."""
        self.line += 1
        row = self._rows.readline(MAX_LINE + 1)
        if not row:
            self.fail(expected, "the end of the file")
        if len(row) > MAX_LINE:
            self.fail(expected, f"a line of more than {MAX_LINE} bytes")
        row = row.removesuffix(b"\n").removesuffix(b"\r")
        if strange := row.translate(None, _TEXT):
            self.fail(expected, f"byte 0x{strange[0]:02x}, which is not text")
        tokens = row.split()
        if width is not None and len(tokens) != width:
            self.fail(expected, f"{len(tokens)} fields")
        return tokens

    def fields(self, expected: str, width: int) -> list[bytes]:
        """The next line, which must have `width` fields that are all numbers (NaN included)."""
        tokens = self.next(expected, width)
        for token in tokens:
            if _number(token) is None:
                self.fail(expected, _quote(token))
        return tokens

    def integer(self, expected: str, low: int, high: int) -> int:
        """The next line, which must be one integer in low..high."""
        (token,) = self.next(expected, 1)
        if not _is_count(token, 9) or not low <= int(token) <= high:
            self.fail(expected, _quote(token))
        return int(token)

    def end(self, expected: str) -> None:
        """Only blank lines may follow."""
        while self._rows.tell() < self._size:
            if tokens := self.next(expected):
                self.fail(expected, _quote(tokens[0]))


def _quote(token: bytes) -> str:
    text = token.decode("ascii")
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _number(token: bytes) -> float | None:
    try:
        return None if b"_" in token else float(token)  # float() takes 1_000, the grammar does not
    except ValueError:
        return None


def _is_count(token: bytes, digits: int) -> bool:
    return token.isdigit() and len(token) <= digits
