"""Sets of exercises, walks and signs: WMFT. Every file here is generated."""

from __future__ import annotations

import numpy as np
import pytest
from formats import equals_conversion, raw_samples
from test_splits import Stand

from sjepa.datasets import spec
from sjepa.datasets.layouts import LAYOUTS, center_on_spine
from sjepa.datasets.sources import wmft
from sjepa.datasets.splits import split
from sjepa.errors import SjepaError

#: Each set's layout in its conversion, and the views of a subject.
SETS = {"wmft": ("ntu25", (0,))}


def joints(frames: int = 5, count: int = 25, seed: int = 0) -> np.ndarray:
    """`[T, J, 3]` metres with as few digits as text has."""
    return np.random.default_rng(seed).normal((0, 0, 3), 0.5, (frames, count, 3)).round(6)


def standing(x: np.ndarray, layout: str = "ntu25") -> np.ndarray:
    return center_on_spine(LAYOUTS[layout].map(x)[:, None])


def told(clip) -> tuple:
    return clip.name, clip.label, clip.subject, clip.view, clip.rep, clip.setup


@pytest.mark.parametrize("name", SETS)
def test_lists_and_samples_equal_the_conversion(name):
    folder, samples = raw_samples(name)
    of, npz = spec(name), folder / spec(name).converted
    with np.load(npz) as data:
        assert tuple(data["class_names"]) == of.classes
        assert set(data["train_subjects"]) == set(data["subjects"][of.splits["xsub"].trains(
            Stand(name, data["subjects"]))])
        half = float(data["x_scale"]) / 2
    equals_conversion(npz, of, samples, SETS[name][0], half)


@pytest.mark.parametrize("protocol", [f"{name}/{each}" for name in SETS
                                      for each in spec(name).splits])
def test_no_one_is_on_both_sides_and_choosing_stays_within_training(protocol):
    name, _, rule = protocol.partition("/")
    people = range(1, 25) if name == "wmft" else range(1, 11)
    grid = [(who, view) for who in people for view in SETS[name][1]]
    stand = Stand(name, [who for who, _ in grid], views=np.array([view for _, view in grid]))
    train, test = split(protocol, stand)
    column = stand.views if rule.startswith("xview") else stand.subjects
    assert not set(column[train]) & set(column[test])
    if rule == "val":
        allowed = set.intersection(*(set(split(f"{name}/{each}", stand)[0]) for each in
                                     spec(name).splits if each == "xsub"))
        assert {*train, *test} <= allowed


# --- WMFT ---------------------------------------------------------------------------------------


def test_wmft_clip_comes_back_as_it_was(tmp_path):
    path = tmp_path / "S17_moderate_task09.bin"
    joints().astype("<f4").tofile(path)
    assert wmft.files(tmp_path) == [path]
    (clip,) = wmft.read(path, None)
    np.testing.assert_array_equal(clip.positions, standing(joints().astype("f4")))
    assert told(clip) == ("S17_moderate_task09", 8, 17, 0, 2, 0)


@pytest.mark.parametrize("change, said", [
    (lambda x: x.ravel()[:-1], "has 1,496 bytes, expected a multiple of 300"),
    (lambda x: x[:0], "has 0 bytes"),
    (lambda x: np.where(np.arange(5)[:, None, None] == 2, np.nan, x), "frame 3: expected finite"),
    (lambda x: x * 0, "actor 1 is in no frame"),
])
def test_wmft_faults_are_named(tmp_path, change, said):
    path = tmp_path / "S01_mild_task15.bin"
    change(joints()).astype("<f4").tofile(path)
    with pytest.raises(SjepaError, match=said) as caught:
        wmft.read(path, None)
    assert str(path) in str(caught.value)
