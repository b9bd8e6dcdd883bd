"""Kinder-Gator's CSV files. Every file here is generated."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from formats import equals_conversion, raw_samples

from sjepa.datasets.layouts import LAYOUTS, center_on_spine
from sjepa.datasets.sources import kindergator
from sjepa.datasets.sources.kindergator import CLASSES, COARSE, JOINTS
from sjepa.datasets.text import TextFormatError

read = partial(kindergator.SPEC.read, options=None)
NAME = "POSE-p888_37-Jump-1466764773148.csv"
HEADER = ",".join(["Timestamp", *(j + axis for j in JOINTS for axis in "XYZ"), "User-ID,Action,"])


def trial(frames: int = 5, seed: int = 0) -> np.ndarray:
    """`[T, 20, 3]` positions with the seven digits that the files have."""
    x = np.random.default_rng(seed).normal((0, 0, 3), 0.5, (frames, 20, 3))
    return np.array([float(f"{v:.7g}") for v in x.ravel()]).reshape(x.shape)


def csv_text(x: np.ndarray) -> str:
    rows = (",".join([f"{50621269 + 32 * k}.5", *map(repr, frame.ravel().tolist()), "888,Jump,"])
            for k, frame in enumerate(x))
    return "\n".join([HEADER, *rows]) + "\n"


def write(path, text: str):
    path.write_bytes(text.encode())
    return path


def test_a_trial_comes_back_as_it_was(tmp_path):
    x = trial()
    path = write(tmp_path / NAME, csv_text(x))
    np.testing.assert_array_equal(kindergator.read_clip(path), x)
    (item,) = read(path)
    wanted = center_on_spine(LAYOUTS["kinect20"].map(x)[:, None])
    np.testing.assert_array_equal(item.positions, wanted)
    assert item.positions.dtype == np.float32 and item.positions.shape == (5, 1, 25, 3)
    assert (item.name, CLASSES[item.label], item.subject) == (NAME[:-4], "Jump", 888)
    assert (item.view, item.rep, item.setup) == (0, 0, 0)


@pytest.mark.parametrize("change", [
    lambda text: "\ufeff" + text.replace("\n", "\r\n", 3),
    lambda text: text.replace(",888,Jump,", ""),  # 61 fields are a full row
    lambda text: text.replace(",User-ID,Action,", ""),
    lambda text: text.replace(",", ", "),
    lambda text: text.rstrip() + "\n\n\n",
    lambda text: text + "50621500.1,0.5,0.25\n",  # a row that was cut
    lambda text: text.replace("\n506", "\n,\n506", 2),
])
def test_legal_spellings_and_short_rows_read_the_same(tmp_path, change):
    text = csv_text(trial())
    assert change(text) != text
    got = kindergator.read_clip(write(tmp_path / NAME, change(text)))
    np.testing.assert_array_equal(got, trial())


def cell(row: int, column: int, value: str):
    def change(text: str) -> str:
        lines = [line.split(",") for line in text.split("\n")]
        lines[row - 1][column] = value
        return "\n".join(map(",".join, lines))

    return change


FAULTS = {  # what is done to the file, the line that must be named, part of what was expected there
    "no header": (lambda text: text.split("\n", 1)[1], 1, "with Timestamp"),
    "columns swapped": (lambda text: text.replace("HeadX,HeadY", "HeadY,HeadX"), 1, "with HeadX"),
    "header alone": (lambda text: HEADER + "\n", 2, "1 to 100000 rows of 61 fields"),
    "long row": (lambda text: text.replace("888,Jump,", "888,Jump,,", 2), 2, "61 to 64 fields"),
    "NaN": (cell(3, 7, "NaN"), 3, "60 coordinates"),
    "empty field": (cell(6, 30, ""), 6, "60 coordinates"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_with_their_line(tmp_path, fault):
    change, line, expected = FAULTS[fault]
    path = write(tmp_path / NAME, change(csv_text(trial())))
    with pytest.raises(TextFormatError) as caught:
        read(path)
    assert expected in caught.value.expected and len(caught.value.found) <= 60
    assert (caught.value.path, caught.value.line) == (str(path), line)


@pytest.mark.parametrize("label", ["Throw-a-ball", "Throw-a-ball-as-far-as-you-can"])
def test_names(tmp_path, label):
    path = write(tmp_path / f"POSE-p565_53-{label}--1469183320067.csv", csv_text(trial()))
    (item,) = read(path)
    assert (item.subject, CLASSES[item.label]) == (565, label)


def test_coarse_classes_join_what_differs_in_side_way_or_effort():
    assert len(set(CLASSES)) == len(CLASSES) == len(COARSE) == 58 and len(set(COARSE)) == 42
    for name, coarse in zip(CLASSES, COARSE, strict=True):
        assert name.startswith(coarse.removesuffix("-the-side").split("-your-")[0])
    groups = [{CLASSES[k] for k in range(58) if COARSE[k] == each} for each in set(COARSE)]
    assert {"Bow"} in groups and {"Raise-your-hand", "Raise-your-other-hand"} in groups


def test_lists_and_samples_equal_the_conversion():
    folder, samples = raw_samples("kindergator")
    npz = folder / "kindergator_int16.npz"
    with np.load(npz) as data:
        assert tuple(data["class_names"]) == CLASSES
        assert tuple(data["coarse_names"][data["coarse_of_class"]]) == COARSE
        assert data["joint_names"].tolist() == list(JOINTS)
        children = np.isin(data["subjects"], kindergator.CHILDREN)
        np.testing.assert_array_equal(children, data["is_child"])
        half = float(data["x_scale"]) / 2
    equals_conversion(npz, kindergator.SPEC, samples, "kinect20", half)
