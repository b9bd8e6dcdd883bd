"""The bitmaps behind the fast NTU reader, and its numbers, against one character at a time."""

from __future__ import annotations

import itertools
import random
import re

import numpy as np
import pytest

from sjepa.datasets.sources.ntu_bits import (
    Bitmaps,
    all_numbers,
    classify,
    count_before,
    pad,
    take_first,
    window,
)
from sjepa.datasets.sources.ntu_decimals import read_triples

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?([eE]-?[0-9]+)?")


def maps_of(raw: bytes) -> Bitmaps:
    text = np.frombuffer(pad(raw), np.uint8)
    return classify(text, text == ord("\n"))


def bits(words: np.ndarray) -> np.ndarray:
    return np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 127, 128, 1000])
def test_every_character_is_in_its_class(length):
    raw = np.random.default_rng(length).integers(0, 256, length, np.uint8).tobytes()
    classes = [b" \n", b"0123456789", b".", b"-", b"eE"]
    for words, members in zip(maps_of(raw), classes, strict=True):
        assert bits(words)[:length].tolist() == [byte in members for byte in raw]


@pytest.mark.parametrize("before", ["", "3" * 30 + " " + "2" * 29 + " "])
def test_every_short_text_is_judged_as_token_by_token(before):
    """Five characters of any kinds, at the start and across the border of two words."""
    for characters in itertools.product("1.-e ", repeat=5):
        text = "".join(characters)
        wanted = all(map(NUMBER.fullmatch, text.split(" ")))
        assert all_numbers(maps_of((before + text + "\n").encode())) == wanted, text


@pytest.mark.parametrize("strange", "+x,/:\t\r\0\x7f\xff")
def test_other_characters_are_no_numbers(strange):
    assert not all_numbers(maps_of(f"1 2{strange} 3\n".encode("latin-1")))


def test_more_than_a_word_of_digits_is_left_to_the_careful_reader():
    assert all_numbers(maps_of(b"1" * 63 + b" "))
    assert not all_numbers(maps_of(b"1." + b"1" * 200 + b".1 "))


def test_counts_and_windows():
    rng = np.random.default_rng(0)
    truth = rng.random(64 * 20) < 0.2
    words = np.packbits(truth, bitorder="little").view("<u8")
    at = rng.integers(0, 64 * 19, 200)
    assert count_before(words, at).tolist() == [truth[:k].sum() for k in at]
    seen = window(words, at)
    for k, word in zip(at, seen, strict=True):
        np.testing.assert_array_equal(bits(word[None]), truth[k : k + 64])
    while True:
        places = [np.flatnonzero(bits(word[None]))[:1].tolist() or [64] for word in seen]
        assert take_first(seen).tolist() == [place for (place,) in places]
        if all(place == [64] for place in places):
            break


FORMS = ("{:.9g}", "{:.7g}", "{:.17g}", "{:.3e}", "{:.0f}", "{:.0f}.", "{:.14f}", "{:.2f}")


@pytest.mark.parametrize("scale", [1e-6, 1, 300])
def test_triples_are_read_as_float_reads_them(scale):
    rng = random.Random(0)
    numbers = [rng.choice(FORMS).format(rng.gauss(0, scale)) for _ in range(3 * 2000)]
    lines = [" ".join(numbers[k : k + 3]) + " 1\n" for k in range(0, len(numbers), 3)]
    raw = pad(("7" * 20 + "\n" + "".join(lines)).encode())
    text = np.frombuffer(raw, np.uint8)
    maps, begin = classify(text, text == ord("\n")), 21 + np.cumsum([0, *map(len, lines[:-1])])
    wanted = np.array([float(number) for number in numbers])
    got = read_triples(raw, text, maps, begin, below=np.abs(wanted).max() + 10)
    bits_wanted = wanted.astype(np.float32).view(np.int32).reshape(-1, 3)
    np.testing.assert_array_equal(got.view(np.int32), bits_wanted)
    if scale == 300:
        assert read_triples(raw, text, maps, begin, below=np.abs(wanted).max()) is None
