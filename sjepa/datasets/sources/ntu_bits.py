"""The characters of a text as bitmaps, 64 characters a machine word, and what they tell.

Bit k of a bitmap says whether character k is of its class, so one operation on words treats 64
characters (Langdale and Lemire 2019, «Parsing gigabytes of JSON per second», parse JSON so).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_FULL = (1 << 64) - 1


class Bitmaps(NamedTuple):
    """One bitmap a class, `[n / 64]` uint64; the classes are disjoint."""

    blank: np.ndarray  # space or line end
    digit: np.ndarray
    point: np.ndarray
    minus: np.ndarray
    exponent: np.ndarray  # e or E


def pad(raw: bytes) -> bytes:
    """The text and 65 to 128 digits: whole words, and one more behind each place in the text."""
    return raw + b"0" * (128 - len(raw) % 64)


def classify(text: np.ndarray, ends: np.ndarray) -> Bitmaps:
    """The bitmaps of a padded text `[n]` uint8, whose line ends `[n]` bool are known."""
    packed = (np.packbits(mask, bitorder="little") for mask in _masks(text, ends))
    return Bitmaps(*(bitmap.view("<u8") for bitmap in packed))


def _masks(text: np.ndarray, ends: np.ndarray) -> Iterator[np.ndarray]:
    """One at a time, so that they take the same memory."""
    yield (text == ord(" ")) | ends
    yield text - ord("0") < 10  # other characters wrap round to more
    yield text == ord(".")
    yield text == ord("-")
    yield text | 32 == ord("e")


def all_numbers(maps: Bitmaps) -> bool:
    """Whether the text is decimal numbers with one blank after each: 1, -2.5, 5. or 1e-3.

    False also where a number has a plus, no digit before its point, or 64 digits.
    """
    blank, digit, point, minus, exponent = maps
    known = blank | digit | point | minus | exponent
    if (known != _FULL).any() or (digit[:-2] == _FULL).any():
        return False
    after_digit, after_point = _after(digit), _after(point)
    after_number = after_digit | after_point
    wrong = (blank | exponent) & ~after_number  # the first character comes after nothing
    wrong |= minus & (after_number | _after(minus))
    wrong |= point & ~after_digit
    wrong |= _run_ends(digit, after_point & digit) & point  # a second one
    if exponent.any():
        power = _after(exponent)
        sign = power & minus
        power ^= sign | _after(sign)  # where the digits of an exponent begin
        wrong |= _run_ends(digit, power & digit) & (point | exponent)
    return not wrong.any()


def _after(words: np.ndarray) -> np.ndarray:
    """The characters behind those of a bitmap."""
    moved = words << 1
    moved[1:] |= words[:-1] >> 63
    return moved


def _run_ends(runs: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The characters behind those runs of ones whose first one is in `first`.

    Adding the first one of a run carries through it. No word of `runs` may be full, so that a
    carry ends in the next word at the latest.
    """
    total = runs + first
    total[1:] += (total < runs)[:-1]
    return total & ~runs


def count_before(words: np.ndarray, at: np.ndarray) -> np.ndarray:
    """How many characters of a bitmap stand before each place `at` (int64)."""
    until = np.bitwise_count(words).cumsum(dtype=np.int64)  # to the end of each word
    word = at >> 6
    return until[word] - np.bitwise_count(words[word] >> (at & 63).view(np.uint64))


def window(words: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The bits of 64 characters from each place `at` (int64) on, the first one lowest."""
    word, bit = at >> 6, (at & 63).view(np.uint64)
    return words[word] >> bit | words[word + 1] << 1 << (63 - bit)


def take_first(words: np.ndarray) -> np.ndarray:
    """Number of the lowest bit of each word, 64 if there is none; takes it out of the word."""
    below = words - 1
    first = np.bitwise_count(~words & below)
    words &= below
    return first
