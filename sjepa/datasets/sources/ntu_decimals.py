"""Decimal numbers of many lines at once, eight digits at a time, to the bits of `float()`.

Nearly all coordinates have one digit before the point: -1.2345. Its digits are an integer N, d of
them stand behind the point: N / 10^d. With N below 10^15 both are exact doubles, and one division
rounds once, to the nearest double, as `float()` does (Clinger 1990).
"""

from __future__ import annotations

import numpy as np

from sjepa.datasets.sources.ntu_bits import Bitmaps, take_first, window

_MOST = 14  # digits behind the point
_TENS = np.array([float(10**k) for k in range(_MOST + 1)])
#: Masks for eight digits in a word, one a byte: they keep the values of the last k.
_KEEP = [0x0F0F0F0F0F0F0F0F << 8 * (8 - k) & 0xFFFFFFFFFFFFFFFF for k in range(9)]
_HIGH = np.array([_KEEP[max(k - 8, 0)] for k in range(_MOST + 1)], np.uint64)
_LOW = np.array([_KEEP[min(k, 8)] for k in range(_MOST + 1)], np.uint64)


def read_triples(
    raw: bytes, text: np.ndarray, maps: Bitmaps, begin: np.ndarray, below: float
) -> np.ndarray | None:
    """The first three numbers of lines of numbers with a blank after each, of four and more.

    Args:
        raw, text, maps: the padded text, as bytes, as `[n]` uint8, as bitmaps.
        begin: `[K]` int64, where the lines begin.
        below: bound of the numbers' size, 10 or more: short numbers are not compared.

    Returns:
        `[K, 3]` float32, rounded from the doubles of `float()`; None if a number reaches the
        bound, or if three of them take more than 64 characters.
    """
    ends = window(maps.blank | maps.exponent, begin)
    stop = np.stack([take_first(ends) for _ in range(3)])  # uint8, counted from `begin`
    if (stop > 63).any():
        return None
    start = np.zeros_like(stop)
    start[1:] = stop[:2] + 1
    first = begin + start
    minus = text.take(first) == ord("-")
    first += minus  # now the digit before the point
    digits = stop - start - 2 - minus  # those behind the point
    stop = begin + stop
    easy = (text.take(first + 1) == ord(".")) & (digits <= _MOST) & (text.take(stop) == ord(" "))
    digits = (digits * easy).astype(np.intp)
    scale = _TENS.take(digits)
    whole = text.take(first) - ord("0")
    value = (whole * scale + _read_digits(raw, stop, digits)) / scale
    value = np.where(minus, -value, value)
    for line in np.flatnonzero(~easy.all(axis=0)):
        fields = raw[begin[line] : raw.index(b"\n", begin[line])].split(b" ", 3)[:3]
        value[:, line] = [float(field) for field in fields]
        if not (np.abs(value[:, line]) < below).all():
            return None
    return np.ascontiguousarray(value.T, np.float32)


def load(raw: bytes, at: np.ndarray, size: int) -> np.ndarray:
    """`size` bytes from each place `at` on."""
    places = max(len(raw) - size + 1, 0)
    return np.ndarray(places, f"V{size}", raw, strides=(1,))[at]


def _read_digits(raw: bytes, stop: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The integers that the `count` digits (0 to 14) before the places `stop` make."""
    words = load(raw, stop - 16, 16).view("<u8").reshape(*stop.shape, 2)
    high, low = words[..., 0] & _HIGH.take(count), words[..., 1] & _LOW.take(count)
    return 10**8 * _eight(high) + _eight(low)


def _eight(digits: np.ndarray) -> np.ndarray:
    """Eight digits, one a byte, as an integer: pairs, then fours, then all (Lemire 2021)."""
    pairs = digits * (10 << 8 | 1) >> 8 & 0x00FF00FF00FF00FF
    fours = pairs * (100 << 16 | 1) >> 16 & 0x0000FFFF0000FFFF
    return (fours * (10_000 << 32 | 1) >> 32).view(np.int64)
