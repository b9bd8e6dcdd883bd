"""Open sets in text files of numbers, a row a joint or a frame. Every file here is generated."""

from __future__ import annotations

import re

import numpy as np
import pytest
from formats import equals_conversion, raw_samples, swap
from test_splits import Stand

from sjepa.datasets.layouts import LAYOUTS, center_on_spine
from sjepa.datasets.sources import florence, msrdaily, sbu
from sjepa.datasets.specs import spec
from sjepa.datasets.splits import split
from sjepa.datasets.text import TextFormatError
from sjepa.errors import SjepaError


def rows(x: np.ndarray, between: str = " ") -> str:
    """A line of text for each of the numbers `[..., columns]`."""
    table = x.reshape(-1, x.shape[-1])
    return "".join(between.join(f"{value:.9g}" for value in row) + "\n" for row in table)


def in_florence(x: np.ndarray) -> np.ndarray:
    """Joints `[…, 15, 3]` of `openni15` in Florence's and SBU's order."""
    joints = LAYOUTS["openni15"].joints
    return x[..., [joints.index(joint) for joint in florence.JOINTS], :]


def numbered(x: np.ndarray) -> np.ndarray:
    """Before each joint of `[T, J, 3]` its frame's number and its own, both from 1."""
    places = np.moveaxis(np.indices(x.shape[:2]), 0, -1) + 1
    return np.concatenate([places, x], axis=-1)


def in_picture(x: np.ndarray) -> np.ndarray:
    """SBU's rows of `[T, 2, 15, 3]`: a number and shares of the picture, from its upper right."""
    shares = (in_florence(x) - (1.28, 0.96, 0)) / (-2.56, -1.92, 1.28)
    return np.concatenate([np.arange(len(x))[:, None] + 566, shares.reshape(len(x), -1)], axis=1)


#: Set: its layout, a file's name, the metres `[T, bodies, J, 3]` → the file's text, and the clip's
#: name, class and numbers.
SETS = {
    "kard": ("openni15", "a07_s10_e02_realworld.txt", lambda x: rows(x[:, 0] * (-1000, 1000, 1000)),
             ("a07_s10_e02", "draw tick", 10, 2)),
    "florence": ("openni15", "a09_s9_id191.txt", lambda x: rows(in_florence(x[:, 0]) * 1000),
                 ("a09_s09_id191", "bow", 9, 191)),
    "msrdaily": ("kinect20", "a13_s08_e02_skeleton_proj.txt", lambda x: rows(numbered(x[:, 0])),
                 ("a13_s08_e02", "walk", 8, 2)),
    "sbu": ("openni15", "s02s01/08/003/skeleton_pos.txt", lambda x: rows(in_picture(x), ","),
            ("s02s01_a08_e003", "punch", 3, 3)),
}
READERS = ("kard", "florence", "msrdaily", "sbu")


def people(name: str, frames: int = 3) -> np.ndarray:
    """Anybody's joints `[T, bodies, J, 3]` in metres."""
    shape = frames, 1 + (name == "sbu"), len(LAYOUTS[SETS[name][0]].joints), 3
    return np.random.default_rng(0).normal((0, 0, 3), 0.5, shape).round(4)


def written(folder, name: str, change=lambda text: text, place: str = ""):
    """The file of these people."""
    path = folder / (place or SETS[name][1])
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
    "nothing": ("kard", lambda text: "", 1, "15 rows a frame"),
    "a row gone": ("kard", lambda text: text.split("\n", 1)[1], 45, "15 rows a frame"),
    "a number gone": ("kard", lambda text: text.replace(" ", "", 1), 1, "x y z"),
    "no number": ("florence", lambda text: text[:-1] + "x\n", 45, "x y z"),
    "another joint": ("msrdaily", swap("\n2 7 ", "\n2 8 "), 27, "joint 7"),
    "infinite": ("msrdaily", lambda text: re.sub(r"\n1 3 \S+", "\n1 3 inf", text), 3,
                 "joint 3, its x, y, z in metres"),
    "a number more": ("msrdaily", swap("\n1 4 ", " nan\n1 4 "), 3, "frame, joint, x, y, z"),
    "a field gone": ("sbu", swap("567,", ","), 2, "90 coordinates"),
    "one person": ("sbu", lambda text: text.split(",", 46)[0] + "\n", 1, "90 coordinates"),
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
    written(tmp_path, name, place=SETS[name][1].replace("s", "s7", 1))
    with pytest.raises(SjepaError, match="naming scheme"):
        spec(name).read(*spec(name).files(tmp_path), None)


@pytest.mark.parametrize("name", ["kard", "msrdaily"])
def test_splits_keep_people_apart_and_recipes_are_chosen_on_training_people(name):
    stand = Stand(name, np.repeat(np.arange(1, 11), 2))
    train, test = ({*stand.subjects[side]} for side in split(f"{name}/xsub", stand))
    assert len(train) == len(test) == 5 and not train & test
    fit, look = ({*stand.subjects[side]} for side in split(f"{name}/val", stand))
    assert fit | look == train and not fit & look


def test_joints_that_were_not_seen_lie_between_their_neighbours_in_time(tmp_path):
    x = people("msrdaily", 5)[:, 0]
    text = rows(numbered(x)).split("\n")
    for frame, joint, words in ((0, 4, "0 0 0"), (2, 4, "nan nan nan"), (3, 4, "nan 1.5 NaN"),
                                (4, 7, "0.000 0.000 0.000")):
        text[20 * frame + joint] = f"{frame + 1} {joint + 1} {words}"
    path = tmp_path / SETS["msrdaily"][1]
    path.write_text("\n".join(text))
    x[0, 4], x[4, 7] = x[1, 4], x[3, 7]  # the ends stay where they are
    x[2, 4], x[3, 4] = (x[1, 4] * 2 + x[4, 4]) / 3, (x[1, 4] + x[4, 4] * 2) / 3
    x[3, 4, 1] = 1.5  # a nan is one of its coordinate alone
    x[2, 4, 1] = (x[1, 4, 1] + 1.5) / 2
    np.testing.assert_allclose(msrdaily.read_clip(path), x, atol=1e-9)
    path.write_text("".join(f"1 {joint} 1 {joint} {'nan' if joint == 9 else 3}\n"
                            for joint in range(1, 21)))
    with pytest.raises(SjepaError, match=f"{path}: joint 9 is in no frame"):
        msrdaily.read_clip(path)


def test_the_folds_of_sbu_test_every_pair_once():
    stand = Stand("sbu", np.arange(21))
    sides = [split(f"sbu/fold{k}", stand) for k in range(1, 6)]
    assert sorted(k for _, test in sides for k in test) == list(range(21))
    assert all(sorted([*train, *test]) == list(range(21)) for train, test in sides)
    with np.load(raw_samples("sbu")[0] / "sbu_int16.npz") as data:
        assert data["pair_names"].tolist() == sbu.PAIRS
        for k, (_, test) in enumerate(sides, 1):
            assert {*test} == {*data["subjects"][data["fold"] == k]}


@pytest.mark.parametrize("name", READERS)
def test_samples_equal_the_conversion(name):
    folder, samples = raw_samples(name)
    npz = folder / spec(name).converted
    with np.load(npz) as data:
        half = float(data["x_scale"]) / 2
    equals_conversion(npz, spec(name), samples, SETS[name][0], half)
