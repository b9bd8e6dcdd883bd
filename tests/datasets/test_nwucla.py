"""NW-UCLA's JSON clips. Every file here is generated."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from formats import equals_conversion, raw_samples

from sjepa.datasets.layouts import LAYOUTS, center_on_spine
from sjepa.datasets.sources import nwucla
from sjepa.errors import SjepaError

read = partial(nwucla.SPEC.read, options=None)
NAME = "a12_s03_e02_v02.json"


def clip(frames: int = 4) -> np.ndarray:
    return np.random.default_rng(0).normal((0, 0, 3), 0.5, (frames, 20, 3)).round(5)


def write(path, skeletons, label=10):
    data = {"file_name": path.stem, "skeletons": skeletons, "label": label}
    path.write_text(json.dumps(data))
    return path


def test_a_clip_comes_back_as_it_was(tmp_path):
    x = clip().astype(np.float32)
    (item,) = read(write(tmp_path / NAME, clip().tolist()))
    np.testing.assert_array_equal(
        item.positions, center_on_spine(LAYOUTS["kinect20"].map(x)[:, None]))
    assert (item.name, item.label, item.subject) == (NAME[:-5], 9, 3)
    assert (item.view, item.rep, item.setup) == (2, 2, 0)


@pytest.mark.parametrize("text, said", [
    ("\x00\x01", "is no NW-UCLA clip"), ("[]", "is no NW-UCLA clip"),
    ('{"skeletons": []}', "KeyError.*label"), ("[" * 100_000, "is no NW-UCLA clip"),
    ('{"label": 10, "skeletons": [[[1, 2], [3]]]}', "is no NW-UCLA clip"),
    (json.dumps({"label": 10, "skeletons": [[["1", "2", "3"]] * 20]}), "of numbers, found"),
])
def test_other_text_is_no_clip(tmp_path, text, said):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(SjepaError, match=said) as caught:
        read(tmp_path / NAME)
    assert str(tmp_path / NAME) in str(caught.value)


@pytest.mark.parametrize("label, said", [
    ("ten", "label ten, expected 10"), (9, "label 9, expected 10, which the name says")])
def test_the_label_is_that_of_the_name(tmp_path, label, said):
    with pytest.raises(SjepaError, match=said):
        read(write(tmp_path / NAME, clip().tolist(), label))


def test_files_are_the_clips_and_no_other_json(tmp_path):
    for folder, name in (("b", NAME), ("a", "a01_s01_e00_v03.json"), ("a", "store.json")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).touch()
    assert [path.name for path in nwucla.SPEC.files(tmp_path)] == ["a01_s01_e00_v03.json", NAME]
    for name, said in ((NAME, "have the same name"), ("a07_s01_e00_v01.json", "a name like a01_s")):
        (tmp_path / "a" / name).touch()
        with pytest.raises(SjepaError, match=said):
            nwucla.SPEC.files(tmp_path)
        (tmp_path / "a" / name).unlink()


def test_samples_equal_the_conversion():
    folder, samples = raw_samples("nwucla")
    equals_conversion(folder / "nwucla.npz", nwucla.SPEC, samples, "kinect20", half=0)
