"""The published clips of NTU RGB+D 60 and 120, by name, and what a set lacks of them, in words."""

import hashlib
from collections import Counter
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from sjepa.datasets.formats.ntu_clips import lacks, missing, published_names
from sjepa.datasets.ntu import ClipName, parse_name
from sjepa.datasets.splits import SPLITS


@cache
def clips(name: str) -> list[ClipName]:
    return [parse_name(each) for each in published_names(name)]


@pytest.mark.parametrize("name", [name for name in SPLITS if name.startswith("ntu")])
def test_the_rules_make_the_official_splits_of_the_published_names(name):
    of = clips(name.split("/")[0])
    store = SimpleNamespace(subjects=np.array([clip.performer for clip in of]),
                            views=np.array([clip.camera for clip in of]),
                            setups=np.array([clip.setup for clip in of]))
    trains = SPLITS[name].trains(store)
    assert (trains.sum(), (~trains).sum()) == SPLITS[name].counts


@pytest.mark.parametrize("name, usable, recorded, performers, actions", [
    ("ntu60", 56_578, 56_880, 40, 60),
    ("ntu120", 113_945, 114_480, 106, 120),
])
def test_as_many_as_the_owners_count(name, usable, recorded, performers, actions):
    of = clips(name)
    assert len(of) == len(set(of)) == usable
    assert {clip.performer for clip in of} == set(range(1, performers + 1))
    assert {clip.action for clip in of} == set(range(1, actions + 1))
    recordings = Counter(str(clip)[:16] for clip in of)
    assert len(recordings) * 60 == recorded
    # what a recording lacks of its 60 actions stands on the owners' list, name by name
    left_out = Counter(each[:16] for each in missing() if each[:16] in recordings)
    assert {each: 60 - count for each, count in recordings.items() if count < 60} == left_out
    assert left_out.total() == recorded - usable


def test_no_performer_was_exchanged_for_another_of_the_same_side():
    """No count would tell; the digest is that of the names checked against public lists."""
    names = "\n".join(published_names("ntu120"))
    assert hashlib.sha256(names.encode()).hexdigest()[:16] == "d3370d949a1377de"


def test_what_is_gone_is_told_by_its_setup():
    words = lacks([str(c) for c in clips("ntu60") if c.setup != 7 or c.camera != 2], "ntu60")
    assert words == ["ntu60 lacks 1,429 of 56,578 published clips, S007C002P001R001A001 first; "
                     "by setup: 7 (1,429)"]
    assert lacks(published_names("ntu60"), "ntu60") == []


def test_names_that_are_not_published_are_told():
    left_out = min(missing())  # published, but not to be used
    strange = ["S018C001P008R001A061", "notes", left_out, "S001C001P009R001A001"]
    found = published_names("ntu60") + strange
    assert lacks(found, "ntu60") == [
        "not among the usable published clips of ntu60: S001C001P009R001A001, "
        f"{left_out}, S018C001P008R001A061 and 1 more"]
    assert lacks(found[1:], "ntu60")[0] == (
        f"ntu60 lacks 1 of 56,578 published clips, {found[0]} first; by setup: 1 (1)")
