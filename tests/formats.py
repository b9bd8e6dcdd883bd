"""What the tests of the owners' formats share: damaged files, and the open sets where they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from sjepa.config import ROOT, data_dir

fuzz = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))

def swap(old: str, new: str):
    """A change of a text: the first `old` becomes `new`."""
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


TOKENS = [b"", b"nan", b"1e999", b"9" * 30, b"{", b"}", b"-1", b"1.5", b"end", b"\x00", b"\xff"]


@st.composite
def damaged(draw, raw: bytes) -> bytes:
    """One to four of: a byte changed, a token replaced, a line gone or moved, a cut."""
    for _ in range(draw(st.integers(1, 4))):
        rows = raw.split(b"\n")
        line, at = draw(st.integers(0, len(rows) - 1)), draw(st.integers(0, len(raw)))
        kind = draw(st.sampled_from(["byte", "token", "delete", "move", "cut"]))
        if kind in ("byte", "cut"):
            rest = bytes([draw(st.integers(0, 255))]) + raw[at + 1 :]
            raw = raw[:at] + rest * (kind == "byte")
            continue
        row = rows.pop(line)
        if kind == "token":
            words = row.split(b" ")
            words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(TOKENS))
            row = b" ".join(words)
        if kind != "delete":
            rows.insert(draw(st.integers(0, len(rows))) if kind == "move" else line, row)
        raw = b"\n".join(rows)
    return raw


def open_folder(what: str) -> Path:
    """The folder of the open sets that has `what` in it; skips without."""
    for place in (data_dir(), ROOT.parent / "shared" / "data"):
        if (place / what).exists():
            return place
    pytest.skip(f"the open sets are not here: set SJEPA_DATA to the folder that has {what}")


def raw_samples(name: str) -> tuple[Path, Path]:
    """The folder of the open sets, and the one of raw samples of set `name`; skips without."""
    place = open_folder(f"raw-samples/{name}")
    return place, place / "raw-samples" / name
