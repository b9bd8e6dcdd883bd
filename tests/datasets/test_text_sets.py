"""Open sets in text files of numbers, a row a joint or a frame. Every file here is generated."""

from __future__ import annotations

import numpy as np
import pytest
from formats import equals_conversion, raw_samples
from test_splits import Stand

from sjepa.datasets.layouts import LAYOUTS, center_on_spine
from sjepa.datasets.sources import kard
from sjepa.datasets.specs import spec
from sjepa.datasets.splits import split
from sjepa.datasets.text import TextFormatError
from sjepa.errors import SjepaError


def rows(x: np.ndarray) -> str:
    """A row a joint, `[T, J, 3]`."""
    return "".join(" ".join(map(repr, map(float, row))) + " \n" for row in x.reshape(-1, 3))


#: Set: its layout, a file's name, the metres `[T, bodies, J, 3]` → the file's text, and the clip's
#: name, class and numbers.
SETS = {
    "kard": ("openni15", "a07_s10_e02_realworld.txt", lambda x: rows(x[:, 0] * (-1000, 1000, 1000)),
             ("a07_s10_e02", "draw tick", 10, 2)),
}
READERS = {each.SPEC.name: each for each in (kard,)}


def people(name: str, frames: int = 3) -> np.ndarray:
    """Anybody's joints `[T, bodies, J, 3]` in metres."""
    layout = LAYOUTS[SETS[name][0]]
    x = np.random.default_rng(0).normal((0, 0, 3), 0.5, (frames, 1, len(layout.joints), 3))
    return x.round(4)


def written(folder, name: str, change=lambda text: text):
    """The file of these people."""
    path = folder / SETS[name][1]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(change(SETS[name][2](people(name))).encode())
    return path


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("name", SETS)
def test_a_clip_comes_back_as_it_was(tmp_path, name, ending):
    written(tmp_path, name, lambda text: text.replace("\n", ending))
    (path,) = spec(name).files(tmp_path)
    (clip,) = spec(name).read(path, None)
    layout, _, _, wanted = SETS[name]
    mapped = [LAYOUTS[layout].map(body) for body in np.moveaxis(people(name), 1, 0)]
    np.testing.assert_allclose(clip.positions, center_on_spine(np.stack(mapped, 1)), atol=2e-6)
    assert clip.positions.dtype == np.float32
    assert (clip.name, spec(name).classes[clip.label], clip.subject, clip.rep) == wanted
    assert clip.view == clip.setup == 0


FAULTS = {  # set, what is done to the file, the line that must be named, what was expected there
    "nothing": ("kard", lambda text: "", 1, "frames of 15 rows"),
    "a row gone": ("kard", lambda text: text.split("\n", 1)[1], 45, "frames of 15 rows"),
    "a number gone": ("kard", lambda text: text.replace(" ", "", 1), 1, "x y z"),
    "no number": ("kard", lambda text: text[:-3] + "x \n", 45, "x y z"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_with_their_line(tmp_path, fault):
    name, change, line, expected = FAULTS[fault]
    path = written(tmp_path, name, change)
    with pytest.raises(TextFormatError) as caught:
        spec(name).read(path, None)
    assert (caught.value.path, caught.value.line) == (str(path), line)
    assert expected in caught.value.expected


@pytest.mark.parametrize("name", SETS)
def test_a_name_off_the_scheme_is_refused(tmp_path, name):
    path = written(tmp_path, name)
    path.rename(path.with_stem(path.stem.replace("s", "s7", 1)))
    with pytest.raises(SjepaError, match="naming scheme"):
        spec(name).read(*spec(name).files(tmp_path), None)


@pytest.mark.parametrize("name", ["kard"])
def test_splits_keep_people_apart_and_recipes_are_chosen_on_training_people(name):
    stand = Stand(name, np.repeat(np.arange(1, 11), 2))
    train, test = ({*stand.subjects[side]} for side in split(f"{name}/xsub", stand))
    assert len(train) == len(test) == 5 and not train & test
    fit, look = ({*stand.subjects[side]} for side in split(f"{name}/val", stand))
    assert fit | look == train and not fit & look


@pytest.mark.parametrize("name", READERS)
def test_samples_equal_the_conversion(name):
    folder, samples = raw_samples(name)
    npz = folder / spec(name).converted
    with np.load(npz) as data:
        half = float(data["x_scale"]) / 2
    equals_conversion(npz, READERS[name], samples, SETS[name][0], half)
