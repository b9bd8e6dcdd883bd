"""The text of `.skeleton` files (grammar: `ntu.py`), read by two readers that share the work.

`_read_regular` reads all lines at once with numpy and gives up at the slightest oddity;
`_read_careful` walks line by line, reads the odd but legal files, and names the first fault of the
others. On regular files both give the same bits, and a test says so.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from sjepa.errors import SjepaError

JOINTS = 25
MAX_BODIES = 6  # what a Kinect v2 tracks at most
MAX_FRAMES = 100_000  # an hour at 30 Hz; the longest NTU clip has 300 frames
MAX_METRES = 1000.0  # a Kinect sees 8 m; a kilometre is a broken number and overflows later
MAX_BYTES = 1 << 26  # 64 MiB, ten times a clip of 300 frames with six bodies
MAX_LINE = 1000  # bytes; a genuine joint line has about 110
_NUMERIC = b"0123456789+-.eE \t\r\n"
_TEXT = bytes(range(32, 127)) + b"\t"
_WIDTH = 15  # characters of a number that are read at once: integers below 10^15 are exact doubles
_BLOCK = 4000  # numbers that are read at once: larger blocks spend half their time on page faults


class SkeletonFormatError(SjepaError):
    """A `.skeleton` file off the grammar: `FILE, line N: expected X, found Y`.

    Attributes:
        path: the file, as the caller gave it.
        line: line number, counted from 1.
        expected: what the grammar wants there.
        found: what is there.
    """

    def __init__(self, path: str, line: int, expected: str, found: str) -> None:
        super().__init__(path, line, expected, found)  # all four, so that it survives pickling
        self.path, self.line, self.expected, self.found = path, line, expected, found

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: expected {self.expected}, found {self.found}"


@dataclass
class _Record:
    """What both readers collect besides the joints: one entry a body and frame, in file order."""

    ids: list[int]
    frames: list[int]
    per_frame: list[int]  # one entry a frame: its number of bodies


def _number(token: bytes) -> float | None:
    try:
        return None if b"_" in token else float(token)  # float() takes 1_000, the grammar does not
    except ValueError:
        return None


def _is_count(token: bytes, digits: int) -> bool:
    return token.isdigit() and len(token) <= digits


# --- all lines at once --------------------------------------------------------------------------


def _read_regular(raw: bytes) -> tuple[_Record, np.ndarray, np.ndarray] | None:
    """Reads a file of plain numbers with single separators at once; None for any other file."""
    if raw.translate(None, _NUMERIC):
        return None
    raw = raw.replace(b"\r\n", b"\n") if b"\r" in raw else raw
    raw = raw if raw.endswith(b"\n") else raw + b"\n"
    text = np.frombuffer(raw, np.uint8)
    blank = text <= 32
    if b"\r" in raw or blank[0] or (blank[1:] & blank[:-1]).any():
        return None
    stops = np.flatnonzero(blank)  # every field ends at exactly one separator
    last = np.flatnonzero(text[stops] == 10)  # number of the last field of each line
    first = np.concatenate(([0], last[:-1] + 1))
    other = np.flatnonzero(last - first != 11)  # the lines that are not joint lines: few
    begins = np.concatenate(([0], stops[last[:-1]] + 1))[other]
    spans = zip(begins.tolist(), stops[first[other]].tolist(), strict=True)
    heads = [raw[begin:stop] for begin, stop in spans]
    walked = _walk_heads(heads, (last - first + 1)[other].tolist(), other.tolist(), len(last))
    if walked is None:
        return None
    record, lines = walked
    fields = first[(np.array(lines, np.int64)[:, None] + np.arange(JOINTS)).ravel()]
    xyz = _read_decimals(raw, stops, (fields[:, None] + np.arange(3)).ravel())
    end = stops[fields + 11]
    states = text[end - 1] - np.uint8(48)  # other characters wrap round to more than 2
    single = end - stops[fields + 10] == 2
    if xyz is None or not (np.abs(xyz) < MAX_METRES).all() or not (single & (states <= 2)).all():
        return None
    return record, xyz.reshape(-1, JOINTS, 3), states.reshape(-1, JOINTS)


def _walk_heads(
    heads: list[bytes], widths: list[int], at: list[int], total: int
) -> tuple[_Record, list[int]] | None:
    """Follows the counts through the lines that are not joint lines.

    Args:
        heads: first field of each such line; widths: its number of fields; at: its line, from 0.
        total: number of lines in the file.

    Returns:
        The record, and the line of the first joint of each of its bodies; None if the lines are
        not where the counts say.
    """
    if widths[:1] != [1] or at[0] or not _is_count(heads[0], 6) or int(heads[0]) > MAX_FRAMES:
        return None
    record, lines = _Record([], [], []), []
    heads, widths, at = heads + [b""], widths + [0], at + [total]  # a guard at the end
    head = line = 1
    for frame in range(int(heads[0])):
        count = heads[head]
        if at[head] != line or widths[head] != 1 or len(count) != 1 or not b"0" <= count <= b"6":
            return None
        head, line, listed = head + 1, line + 1, len(record.ids)
        for _ in range(int(count)):
            if widths[head : head + 2] != [10, 1] or at[head : head + 2] != [line, line + 1]:
                return None
            if heads[head + 1] != b"25" or not _is_count(heads[head], 20):
                return None
            record.ids.append(int(heads[head]))
            record.frames.append(frame)
            lines.append(line + 2)
            head, line = head + 2, line + 2 + JOINTS
        if len(set(record.ids[listed:])) != int(count):
            return None
        record.per_frame.append(int(count))
    return (record, lines) if at[head] == line == total else None


def _read_decimals(raw: bytes, stops: np.ndarray, fields: np.ndarray) -> np.ndarray | None:
    """Reads the numbers that end before `stops[k]`, k in `fields`; None if one is no number."""
    padded = np.frombuffer(bytes(_WIDTH) + raw, np.uint8)
    values = []
    for at in range(0, len(fields), _BLOCK):
        block = fields[at : at + _BLOCK]
        start, stop = stops[block - 1] + 1, stops[block]
        value, plain = _decimals(padded, start, stop)
        for k in np.flatnonzero(~plain):
            number = _number(raw[start[k] : stop[k]])
            if number is None:
                return None
            value[k] = number
        values.append(value)
    return np.concatenate(values) if values else np.zeros(0)


def _decimals(
    padded: np.ndarray, start: np.ndarray, stop: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Reads numbers of the form -12.345 together, to the bits of `float()`.

    The digits of such a number are an integer N, d of them stand behind the point: N / 10^d.
    N < 10^15 and 10^d are exact doubles, and one division rounds once, to the nearest double, as
    `float()` does (Clinger 1990).

    Args:
        padded: `_WIDTH` bytes of padding, then the file.
        start, stop: `[n]`, where the numbers lie in the file.

    Returns:
        Values `[n]` float64, and `[n]` bool: false where the number has another form (1e-5, or
        sixteen digits) and the value means nothing.
    """
    ends = np.lib.stride_tricks.sliding_window_view(padded, _WIDTH)[stop]  # bytes before each stop
    inside = np.arange(_WIDTH, 0, -1) <= (stop - start)[:, None]
    place = np.arange(_WIDTH - 1, -1, -1.0)  # characters that follow in the number
    digit = ends - np.uint8(48)  # other characters wrap round to 10 and more
    is_digit = (digit < 10) & inside
    is_point = ((ends == 46) & inside).astype(np.float32)
    read = (digit * is_digit).astype(np.float64) @ 10.0**place  # the point counts as a digit 0
    scale = 10.0 ** (is_point @ place.astype(np.float32)).astype(np.float64)
    ones = np.ones(_WIDTH, np.float32)  # a product counts faster than a sum over so short an axis
    points, digits = is_point @ ones, is_digit.astype(np.float32) @ ones
    whole = np.where(points == 1, np.floor(read / (10 * scale)), 0)
    value = (read - 9 * whole * scale) / scale  # take that digit 0 out again
    negative = padded[start + _WIDTH] == 45
    plain = (digits + points + negative == stop - start) & (points <= 1) & (digits > 0)
    return np.where(negative, -value, value), plain


# --- line by line -------------------------------------------------------------------------------


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


def _read_careful(path: str, raw: bytes) -> tuple[_Record, np.ndarray, np.ndarray]:
    """Reads line by line and stops at the first fault. Nothing is sized by a declared count."""
    lines, record, joints = _Lines(path, raw), _Record([], [], []), []
    frames = lines.integer(f"the number of frames, 0 to {MAX_FRAMES}", 0, MAX_FRAMES)
    for frame in range(frames):
        where = f"frame {frame + 1} of {frames}"
        count = lines.integer(f"the number of bodies, 0 to {MAX_BODIES}, in {where}", 0, MAX_BODIES)
        seen: set[int] = set()
        for _ in range(count):
            token = lines.fields(f"the 10 numbers of a body in {where}", 10)[0]
            if not _is_count(token, 20):
                lines.fail(f"a body id in {where}", _quote(token))
            if int(token) in seen:
                lines.fail(f"every body once in {where}", f"{_quote(token)} again")
            lines.integer(f"the number of joints, {JOINTS}, in {where}", JOINTS, JOINTS)
            joints += [_careful_joint(lines, k, where) for k in range(JOINTS)]
            seen.add(int(token))
            record.ids.append(int(token))
            record.frames.append(frame)
        record.per_frame.append(count)
    lines.end("the end of the file after the last frame")
    table = np.array(joints, np.float64).reshape(-1, JOINTS, 4)
    return record, table[..., :3], table[..., 3]


def _careful_joint(lines: _Lines, joint: int, where: str) -> tuple[float, ...]:
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
