"""The text of regular `.skeleton` files (grammar: `ntu.py`), all lines at once.

Two thirds of the text, pixels and orientations, are not kept: they are checked, with bitmaps of
the characters, and passed over. A file with the slightest oddity is left to `ntu_careful.py`: this
reader accepts nothing that the careful one refuses, both give the same bits, and a test says so.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from sjepa.datasets.sources.ntu_bits import all_numbers, classify, count_before, pad
from sjepa.datasets.sources.ntu_decimals import load, read_triples

JOINTS = 25
MAX_BODIES = 6  # what a Kinect v2 tracks at most
MAX_FRAMES = 100_000  # an hour at 30 Hz; the longest NTU clip has 300 frames
MAX_METRES = 1000.0  # a Kinect sees 8 m; a kilometre is a broken number and overflows later
MAX_LINE = 1000  # bytes; a genuine joint line has about 110
MAX_ID = 20  # digits of a body id: 64 bits
_BODY_LINES = 2 + JOINTS


class Rows(NamedTuple):
    """What a file says about its F frames and the K bodies in them, in file order.

    Attributes:
        ids: K body ids.
        frames: `[K]` int64, the frame of each, from 0.
        per_frame: `[F]` int64, number of bodies.
        joints: `[K, 25, 3]` float32, metres.
        states: `[K, 25]` int8, tracking states.
    """

    ids: list[int]
    frames: np.ndarray
    per_frame: np.ndarray
    joints: np.ndarray
    states: np.ndarray


def read_regular(raw: bytes) -> Rows | None:
    """Reads a file of plain numbers with single spaces between them; None for any other file."""
    _hold_memory()
    raw = pad(raw if raw.endswith(b"\n") else raw + b"\n")
    text = np.frombuffer(raw, np.uint8)
    ends = text == ord("\n")
    maps = classify(text, ends)
    # The lines of a body have over 20 bytes; the places of too many lines would fill the memory.
    if not all_numbers(maps) or np.count_nonzero(ends) > MAX_FRAMES + len(raw) // 20:
        return None
    stop = np.flatnonzero(ends)
    start = np.concatenate(([0], stop[:-1] + 1))
    if (stop - start).max() > MAX_LINE - 2:
        return None
    width = count_before(maps.blank, stop + 1)  # blanks up to each line end
    width[1:] -= width[:-1].copy()  # blanks of each line: as many as it has fields
    layout = _lay_out(raw, text, start, stop, width)
    if layout is None:
        return None
    ids, frames, per_frame, bodies = layout
    lines = (bodies[:, None] + np.arange(2, _BODY_LINES)).ravel()
    xyz, end = read_triples(raw, text, maps, start[lines], MAX_METRES), stop[lines]
    states = text.take(end - 1) - ord("0")  # other characters wrap round to more than 2
    if xyz is None or (states > 2).any() or (text.take(end - 2) != ord(" ")).any():
        return None
    joints, states = xyz.reshape(-1, JOINTS, 3), states.view(np.int8).reshape(-1, JOINTS)
    return Rows(ids, frames, per_frame, joints, states)


@cache
def _hold_memory() -> None:
    """Lets this process keep up to 32 MiB that it frees, where malloc is glibc's.

    glibc hands the memory of one file back to the system, which gives it out again page by page
    for the next: a third of the reading time. How much glibc may hold follows from the largest
    block that was freed (mallopt(3), M_MMAP_THRESHOLD). Elsewhere this does nothing.
    """
    np.empty(1 << 24, np.uint8)


def _lay_out(
    raw: bytes, text: np.ndarray, start: np.ndarray, stop: np.ndarray, width: np.ndarray
) -> tuple[list[int], np.ndarray, np.ndarray, np.ndarray] | None:
    """Finds the bodies in the lines, by what the lines with counts say.

    Args:
        raw, text: the file.
        start, stop, width: `[L]`, where each line begins and ends, and its number of fields.

    Returns:
        Body ids, their frames, the bodies of each frame, and the lines of the bodies, from 0;
        None if the lines are not where the counts say.
    """
    bodies = np.flatnonzero(width == 10)
    declared = raw[: stop[0]]
    if len(declared) > 6 or not declared.isdigit() or (bodies[-1:] + 1 >= len(stop)).any():
        return None
    single = width == 1
    single[0] = single[bodies + 1] = False
    heads = np.flatnonzero(single)  # the number of bodies of each frame
    count = (text[start[heads]] - ord("0")).astype(np.int64)
    if (stop[heads] - start[heads] != 1).any() or (count > MAX_BODIES).any():
        return None
    frames = np.repeat(np.arange(len(heads)), count)
    total = 1 + len(heads) + _BODY_LINES * len(bodies)
    if int(declared) != len(heads) or len(frames) != len(bodies) or len(stop) != total:
        return None
    before = np.cumsum(count) - count
    behind = start[bodies + 1]
    in_place = (
        (heads == np.arange(1, 1 + len(heads)) + _BODY_LINES * before).all(),
        (bodies == frames + np.arange(2, 2 + _BODY_LINES * len(bodies), _BODY_LINES)).all(),
        (stop[bodies + 1] - behind == 2).all(),
        (load(raw, behind, 2).view("S2") == b"25").all(),
        np.count_nonzero(width == 12) == JOINTS * len(bodies),  # all lines that are left
    )
    ids = _read_ids(raw, start[bodies].tolist())
    if not all(in_place) or ids is None:
        return None
    if (count > 1).any() and len(set(zip(ids, frames.tolist(), strict=True))) < len(ids):
        return None
    return ids, frames, count, bodies


def _read_ids(raw: bytes, begin: list[int]) -> list[int] | None:
    """The body ids at the places `begin`, of which many are the same; None if one is no id."""
    found = [raw[at : at + MAX_ID + 1] for at in begin]
    ids = {}
    for text in set(found):
        token = text.partition(b" ")[0]
        if not token.isdigit() or len(token) > MAX_ID:
            return None
        ids[text] = int(token)
    return [ids[text] for text in found]
