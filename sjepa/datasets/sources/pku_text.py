"""The text of PKU-MMD's files: skeleton rows, label rows, split lists.

Grammar (the owners' README; Liu et al. 2017)::

    skeleton  a row a frame: 150 numbers, blank-separated: x y z of the 25 joints of body 1, then of
              body 2; an absent body is 75 zeros; metres, camera space, joints in NTU order
    labels    a row an instance: action, start frame, end frame, confidence, comma-separated
    split     four lines: a header, the training videos, a header, the validation videos; names
              without `.txt`, comma-separated

CRLF, tabs, blank lines at the end and a missing last line end are legal. A blank line between rows
is not: frames are counted in rows, and public readers disagree on whether it counts. A file that is
cut inside its last number cannot be told from a whole one.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sjepa.datasets.text import MAX_BYTES, MAX_FRAMES, TextFile, read_text, to_number

COLUMNS = 150  # 2 bodies x 25 joints x 3
MAX_METRES = 1000.0  # as for NTU: a Kinect sees 8 m; a kilometre is a broken number
_NUMERIC = b"0123456789+-.eE \t\r\n"


def _rows(file: TextFile, expected: str) -> list[tuple[int, str]]:
    """Line number, from 1, and text of each row; blank lines may only follow the last."""
    last = max((at for at, line in enumerate(file.lines, 1) if line.strip()), default=0)
    if not last:
        file.fail(1, expected, "the end of the file")
    rows = list(enumerate(file.lines[:last], 1))
    for at, line in rows:
        if not line.strip():
            file.fail(at, expected, "a blank line")
    return rows


def read_rows(path: Path) -> np.ndarray:
    """All frames of a video: `[T, 150]` float64, metres.

    Raises:
        SjepaError: the file cannot be read or is absurdly large; `TextFormatError` for the first
            row that is not 150 finite numbers below a kilometre.
    """
    values = _read_regular(path)
    return _read_careful(path) if values is None else values


def _read_regular(path: Path) -> np.ndarray | None:
    """Reads a file of plain rows from its bytes, twice as fast; None for any other."""
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
    except OSError:
        return None
    if raw.translate(None, _NUMERIC):
        return None
    raw = raw.replace(b"\r\n", b"\n") if b"\r" in raw else raw
    rows = raw.rstrip()
    frames = rows.count(b"\n") + 1
    if not rows or b"\r" in raw or frames > MAX_FRAMES:
        return None
    try:
        values = np.loadtxt(io.BytesIO(rows), np.float64, comments=None, ndmin=2)
    except ValueError:
        return None
    whole = values.shape == (frames, COLUMNS) and (np.abs(values) < MAX_METRES).all()
    return values if whole else None


def _read_careful(path: Path) -> np.ndarray:
    """Reads the odd but legal files, and names the first fault of the others."""
    file, expected = read_text(path), f"{COLUMNS} numbers, x y z of 25 joints of two bodies"
    rows = _rows(file, expected)
    if len(rows) > MAX_FRAMES:
        file.fail(MAX_FRAMES + 1, f"at most {MAX_FRAMES} frames", "another one")
    values = file.table(rows, COLUMNS, expected)
    far = np.abs(values) >= MAX_METRES
    if far.any():
        row, column = np.argwhere(far)[0]
        at, text = rows[row]
        file.fail(at, f"metres, each below {MAX_METRES:g}", repr(text.split()[column]))
    return values


def read_labels(path: Path, label_of: Mapping[int, int]) -> list[tuple[int, int, int]]:
    """The instances of a video, in the order of the file.

    Args:
        path: the label file.
        label_of: action id, from 1, to label, from 0; other ids are faults.

    Returns:
        Label, start frame and end frame of each, frames as in the file. The confidence only has
        to be a number.

    Raises:
        SjepaError: as `read_rows`, for rows that are not `action, start, end, confidence`.
    """
    file, expected = read_text(path), "an instance: action, start frame, end frame, confidence"
    actions = f"one of {len(label_of)} action ids, {min(label_of)} to {max(label_of)}"
    found = []
    for at, text in _rows(file, expected):
        fields = [field.strip() for field in text.split(",")]
        if len(fields) != 4 or math.isnan(to_number(fields[3])):
            file.fail(at, expected, repr(text))
        for field in fields[:3]:
            if not (field.isascii() and field.isdigit() and len(field) <= 9):
                file.fail(at, f"{expected}, as whole numbers from 0", repr(field))
        action, start, end = map(int, fields[:3])
        if action not in label_of:
            file.fail(at, actions, repr(fields[0]))
        found.append((label_of[action], start, end))
    return found


def read_split(path: Path, scheme: re.Pattern, like: str) -> tuple[list[str], list[str]]:
    """The training and the validation videos that a split file lists.

    Args:
        path: the split file.
        scheme: what the names of videos match as a whole.
        like: such a name, for the message.

    Raises:
        SjepaError: as `read_rows`, for another number of lines, or names off the scheme.
    """
    file, expected = read_text(path), "four lines: header, training videos, header, validation ones"
    rows = _rows(file, expected)
    if len(rows) != 4:
        at = min(len(rows), 4) + 1
        file.fail(at, expected, repr(rows[4][1]) if at == 5 else "the end of the file")
    lists = []
    for at, text in rows:
        names = [name for name in (part.strip() for part in text.split(",")) if name]
        off = [name for name in names if not scheme.fullmatch(name)]
        if at % 2 == 1 and names and not off:
            file.fail(at, "a header such as «Training videos:»", repr(text))
        if at % 2 == 0:
            if off or not names:
                file.fail(at, f"names of videos like {like}", repr((off or [text])[0]))
            lists.append(names)
    return lists[0], lists[1]
