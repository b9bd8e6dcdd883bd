"""The open sets' readers: each by a generated file, and by the owners' samples where they are."""

import gzip
import json
import re
from dataclasses import dataclass
from dataclasses import field as fields
from pathlib import Path

import numpy as np
import pytest
from formats import raw_samples, swap
from test_bvh import turned
from test_splits import Stand

from sjepa.datasets import spec
from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.formats.npz import read_conversion
from sjepa.datasets.layouts import LAYOUTS, center_on_spine
from sjepa.datasets.sources import (
    bandai,
    cmu14,
    florence,
    gait,
    hdm05,
    islkinect,
    kindergator,
    msrdaily,
    sbu,
    uiprmd,
)
from sjepa.datasets.splits import split
from sjepa.datasets.text import TextFormatError
from sjepa.errors import SjepaError
from sjepa.skeleton import NTU_JOINTS

#: Each open set, and the subjects and views in it.
OPEN = {
    "bandai": ((-1,), (1, 2)), "cmu14": (range(1, 15), (0,)), "florence": (range(1, 11), (0,)),
    "gait": (range(1, 11), (1, 3, 5)), "hdm05": (range(5), (0,)),
    "islkinect": (range(1, 11), (1, 2, 3)), "kard": (range(1, 11), (0,)),
    "kindergator": ((*kindergator.TRAIN, 577, 601, 650, 846, 888, 106, 290, 342, 595, 723), (0,)),
    "msrdaily": (range(1, 11), (0,)), "nwucla": (range(1, 11), (1, 2, 3)),
    "sbu": (range(21), (0,)), "uiprmd": (range(1, 11), (1, 2)), "wmft": (range(1, 25), (0,)),
}


def rows(x: np.ndarray, between: str = " ") -> str:
    """A line of text for each of the numbers `[..., columns]`; nine digits name every float32."""
    table = x.reshape(-1, x.shape[-1])
    return "".join(between.join(f"{value:.9g}" for value in row) + "\n" for row in table)


def ordered(x: np.ndarray, layout: str, names) -> np.ndarray:
    """Joints `[..., J, 3]` of a layout in a file's order."""
    return x[..., [LAYOUTS[layout].joints.index(name) for name in names], :]


def flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


def numbered(x: np.ndarray) -> np.ndarray:
    """Before each joint of `[T, J, 3]` its frame's number and its own, both from 1."""
    places = np.moveaxis(np.indices(x.shape[:2]), 0, -1) + 1
    return np.concatenate([places, x], axis=-1)


def in_picture(x: np.ndarray) -> np.ndarray:
    """SBU's rows of `[T, 2, 15, 3]`: a number and shares of the picture, from its upper right."""
    shares = (ordered(x, "openni15", florence.JOINTS) - (1.28, 0.96, 0)) / (-2.56, -1.92, 1.28)
    return np.concatenate([np.arange(len(x))[:, None] + 566, flat(shares)], axis=1)


HEADER = ",".join(["Timestamp", *(joint + axis for joint in kindergator.JOINTS for axis in "XYZ"),
                   "User-ID,Action,"])


def csv_text(x: np.ndarray) -> str:
    """Kinder-Gator's file of `[T, 20, 3]`."""
    lines = (",".join([f"{50621269 + 32 * k}.5", *map(repr, frame.ravel().tolist()), "888,Jump,"])
             for k, frame in enumerate(x))
    return "\n".join([HEADER, *lines]) + "\n"


def walk(x: np.ndarray, change=lambda table: table) -> str:
    """Gait's file of `[T, 25, 3]`, in the owners' axes; `change` may spoil its table `[T, 101]`."""
    joints = np.insert(x[..., [0, 2, 1]] * (1, -1, 1), 0, np.arange(25)[:, None].T, axis=2)
    return rows(change(np.hstack([np.arange(len(x))[:, None] / 30, flat(joints)])), "\t")


def joints(frames: int = 5, count: int = 25, seed: int = 0, bodies: int = 0) -> np.ndarray:
    """`[T, (bodies,) J, 3]` metres with as few digits as text has."""
    shape = (frames, bodies, count, 3) if bodies else (frames, count, 3)
    return np.random.default_rng(seed).normal((0, 0, 3), 0.4, shape).round(5)


@dataclass
class Kind:
    """How a set's files are made and called, and what is read off the name."""

    layout: str
    place: str
    text: object  # of metres in the layout's order
    told: tuple  # name, class, subject, view, rep, setup
    more: dict = fields(default_factory=dict)  # for `joints`


KINDS = {
    "kard": Kind("openni15", "a07_s10_e02_realworld.txt", lambda x: rows(x * (-1000, 1000, 1000)),
                 ("a07_s10_e02", "draw tick", 10, 0, 2, 0)),
    "florence": Kind("openni15", "a09_s9_id191.txt",
                     lambda x: rows(ordered(x, "openni15", florence.JOINTS) * 1000),
                     ("a09_s09_id191", "bow", 9, 0, 191, 0)),
    "msrdaily": Kind("kinect20", "a13_s08_e02_skeleton_proj.txt", lambda x: rows(numbered(x)),
                     ("a13_s08_e02", "walk", 8, 0, 2, 0)),
    "sbu": Kind("openni15", "s02s01/08/003/skeleton_pos.txt", lambda x: rows(in_picture(x), ","),
                ("s02s01_a08_e003", "punch", 3, 0, 3, 0), {"bodies": 2}),
    "kindergator": Kind("kinect20", "POSE-p888_37-Jump-1466764773148.csv", csv_text,
                        ("POSE-p888_37-Jump-1466764773148", "Jump", 888, 0, 0, 0)),
    "nwucla": Kind("kinect20", "a12_s03_e04_v02.json",
                   lambda x: json.dumps({"skeletons": x.tolist(), "label": 10}),
                   ("a12_s03_e04_v02", "carry", 3, 2, 4, 0)),
    "wmft": Kind("ntu25", "S17_moderate_task09.bin", lambda x: x.astype("<f4").tobytes(),
                 ("S17_moderate_task09", "lift pencil", 17, 0, 2, 0)),
    "islkinect": Kind("kinect20", "born__Zoe_7.txt",
                      lambda x: rows(flat(ordered(x, "kinect20", islkinect.JOINTS)), ","),
                      ("born_s01_e07", "born", 1, 3, 7, 0)),
    "gait": Kind("ntu25", "human10_stiff_legged20_SkeletonData5.csv", walk,
                 ("human10_stiff_legged20_sensor5", "stiff_legged", 10, 5, 20, 0)),
}


def people(name: str) -> np.ndarray:
    """Somebody's joints, in metres, in the layout of a set."""
    kind = KINDS[name]
    x = joints(count=len(LAYOUTS[kind.layout].joints), **kind.more)
    return x * 0.5 + (0, 1, 1) if name == "gait" else x  # no joint is two metres from the hips


def written(folder: Path, name: str, change=lambda text: text, place: str = "") -> Path:
    """The file of these people, changed."""
    path = folder / (place or KINDS[name].place)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = KINDS[name].text(people(name))
    path.write_bytes(change(text) if isinstance(text, bytes) else change(text).encode())
    return path


def read(folder: Path, name: str):
    """The clip of the one file in a folder."""
    (unit,) = spec(name).files(folder)
    (clip,) = spec(name).read(unit, None)
    return clip


def standing(x: np.ndarray, layout: str) -> np.ndarray:
    """What a clip holds of people `[T, (M,) J, 3]`."""
    return center_on_spine(LAYOUTS[layout].map(x if x.ndim == 4 else x[:, None]))


def told(name: str, clip) -> tuple:
    return (clip.name, spec(name).classes[clip.label], clip.subject, clip.view, clip.rep,
            clip.setup)


@pytest.mark.parametrize("name", KINDS)
def test_a_clip_comes_back_as_it_was(tmp_path, name):
    written(tmp_path / "deeper", name)
    clip = read(tmp_path, name)
    assert clip.positions.dtype == np.float32 and told(name, clip) == KINDS[name].told
    np.testing.assert_allclose(clip.positions, standing(people(name), KINDS[name].layout),
                               atol=2e-6)


@pytest.mark.parametrize("name, change", [
    *((name, lambda text: text.replace("\n", "\r\n")) for name in KINDS
      if name not in ("wmft", "nwucla")),
    ("kindergator", lambda text: "\ufeff" + text.replace("\n", "\r\n", 3)),
    ("kindergator", lambda text: text.replace(",888,Jump,", "")),  # 61 fields are a full row
    ("kindergator", lambda text: text.replace(",User-ID,Action,", "")),
    ("kindergator", lambda text: text.replace(",", ", ")),
    ("kindergator", lambda text: text + "50621500.1,0.5,0.25\n"),  # a row that was cut
    ("kindergator", lambda text: text.replace("\n506", "\n,\n506", 2) + "\n\n\n"),
])
def test_other_spellings_read_the_same(tmp_path, name, change):
    plain = read(written(tmp_path / "a", name).parents[KINDS[name].place.count("/")], name)
    written(tmp_path / "b", name, change)
    np.testing.assert_array_equal(read(tmp_path / "b", name).positions, plain.positions)


def cell(row: int, column: int, value: str):
    """A change of one field of a table of commas."""
    def change(text: str) -> str:
        lines = [line.split(",") for line in text.split("\n")]
        lines[row - 1][column] = value
        return "\n".join(map(",".join, lines))

    return change


def spoilt(change):
    """A change of gait's table."""
    return lambda text: walk(people("gait"), change)


FAULTS = [  # set, what is done to the file, the line that must be named, what is said
    ("kard", lambda text: "", 1, "15 rows a frame"),
    ("kard", lambda text: text.split("\n", 1)[1], 75, "15 rows a frame"),
    ("kard", swap(" ", ""), 1, "x y z"),
    ("florence", lambda text: text[:-1] + "x\n", 75, "x y z"),
    ("msrdaily", swap("\n2 7 ", "\n2 8 "), 27, "joint 7"),
    ("msrdaily", lambda text: re.sub(r"\n1 3 \S+", "\n1 3 inf", text), 3, "joint 3, its x, y, z"),
    ("msrdaily", swap("\n1 4 ", " nan\n1 4 "), 3, "frame, joint, x, y, z"),
    ("sbu", swap("567,", ","), 2, "90 coordinates"),
    ("sbu", lambda text: text.split(",", 46)[0] + "\n", 1, "90 coordinates"),
    ("kindergator", lambda text: text.split("\n", 1)[1], 1, "with Timestamp"),
    ("kindergator", swap("HeadX,HeadY", "HeadY,HeadX"), 1, "with HeadX"),
    ("kindergator", lambda text: HEADER + "\n", 2, "1 to 100000 rows of 61 fields"),
    ("kindergator", swap("888,Jump,", "888,Jump,,"), 2, "61 to 64 fields"),
    ("kindergator", cell(3, 7, "NaN"), 3, "60 coordinates"),
    ("kindergator", cell(6, 30, ""), 6, "60 coordinates"),
    ("islkinect", swap("\n", ",1\n"), 1, "x y z of 20 joints"),
    ("islkinect", lambda text: text.rsplit(",", 1)[0], 5, "x y z of 20 joints"),
    ("gait", spoilt(lambda rows: rows[:, :-1]), 1, "x y z of 25 joints, found 100 fields"),
    ("gait", spoilt(lambda rows: rows * np.where(np.arange(5)[:, None] == 4, 2, 1)), 5,
     "joints 0 to 24"),
    ("gait", spoilt(lambda rows: np.where(np.arange(101) % 4 == 1, rows, 1e-9)), 1,
     "a frame with positions"),
    ("wmft", lambda raw: raw[:-4], 0, "has 1,496 bytes, expected a multiple of 300"),
    ("wmft", lambda raw: b"", 0, "has 0 bytes"),
    ("wmft", lambda raw: raw[:600] + b"\0\0\xc0\x7f" + raw[604:], 0, "frame 3: expected finite"),
    ("wmft", lambda raw: bytes(len(raw)), 0, "actor 1 is in no frame"),
    ("nwucla", lambda text: "\x00\x01", 0, "is damaged .* get it again"),
    ("nwucla", lambda text: "[]", 0, "is no NW-UCLA clip"),
    ("nwucla", lambda text: '{"skeletons": []}', 0, "KeyError.*label"),
    ("nwucla", lambda text: '{"label": 10, "skeletons": [[[1, 2], [3]]]}', 0, "is no NW-UCLA clip"),
    ("nwucla", lambda text: json.dumps({"label": 10, "skeletons": [[["1", "2", "3"]] * 20]}), 0,
     "of numbers, finite and in metres, found .* of <U1"),
    ("nwucla", swap('"label": 10', '"label": 9'), 0, "label 9, expected 10, which the name says"),
    ("nwucla", swap('"label": 10', '"label": "ten"'), 0, "label ten, expected 10"),
]


@pytest.mark.parametrize("name, change, line, said", FAULTS)
def test_faults_are_named(tmp_path, name, change, line, said):
    path = written(tmp_path, name, change)
    with pytest.raises(SjepaError, match=said) as caught:
        read(tmp_path, name)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    if line:
        assert (caught.value.path, caught.value.line) == (str(path), line)
        assert len(caught.value.found) <= 60


FILES = {name: spec(name).files for name in OPEN if name not in ("uiprmd", "sbu")}


def files_of(name: str) -> ClipFiles:
    return getattr(FILES[name], "__self__", islkinect.FILES)


@pytest.mark.parametrize("name", FILES)
def test_files_are_found_by_their_names(tmp_path, name):
    like = files_of(name).like
    for folder, other in (("b", like), ("a", "notes.md"), ("a", "store.json")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / other).touch()
    (found,) = FILES[name](tmp_path)
    assert found in (tmp_path / "b" / like, (tmp_path / "b" / like, 1))
    for wrong, said in ((like, "have the same name: remove one"),
                        (re.sub("[0-9]", "9999", like, count=1), f"expected a name like {like}")):
        (tmp_path / "a" / wrong).touch()
        if name != "islkinect" or wrong == like:  # its pattern ends in one digit
            with pytest.raises(SjepaError, match=said):
                FILES[name](tmp_path)
        (tmp_path / "a" / wrong).unlink()


@pytest.mark.parametrize("name", OPEN)
def test_lists_and_samples_equal_the_conversion(name):
    """Each of the owners' samples is the clip of the conversion that has its labels.

    And its name, where the conversion has the owners' names. A mapped joint errs by its weights'
    share of half a step of the rounding, and so does the origin.
    """
    folder, samples = raw_samples(name)
    of, npz = spec(name), folder / spec(name).converted
    with np.load(npz) as data:
        assert (tuple(data["class_names"]) or cmu14.CLASSES) == of.classes
        named, weights = "clip_names" in data, np.abs(data["to_ntu25"]).sum(1)
        half = float(data["x_scale"]) / 2 if "x_scale" in data else 0.0
        for words, mine in (("style_names", bandai.STYLES), ("subject_names", hdm05.ACTORS),
                            ("pair_names", sbu.PAIRS)):
            assert words not in data or data[words].tolist() == mine
        if name in FILES:
            layout = LAYOUTS[files_of(name).layout]
            np.testing.assert_array_equal(layout.to_ntu25, data["to_ntu25"])
            np.testing.assert_array_equal(layout.measured, data["ntu25_measured"])
            if layout.name != "ntu25":  # whose tips of the hands hang elsewhere there
                np.testing.assert_array_equal(layout.parents, data["parents"])
            if layout.name not in ("kinect20", "ntu25"):  # ours are NTU's names, those Kinect's
                assert list(layout.joints) == data["joint_names"].tolist()
        if name == "cmu14":
            trials = [f"{who:02d}_{k:02d}" for who, those in cmu14.TRIALS.items() for k in those]
            assert data["clip_names"].tolist() == trials
        if name == "kindergator":
            assert tuple(data["coarse_names"][data["coarse_of_class"]]) == of.coarse
            assert data["joint_names"].tolist() == list(kindergator.JOINTS)
            np.testing.assert_array_equal(np.isin(data["subjects"], kindergator.CHILDREN),
                                          data["is_child"])
        if "xsub" in of.splits and "train_subjects" in data:
            people = data["subjects"]
            assert {*data["train_subjects"]} == {
                *people[of.splits["xsub"].trains(Stand(name, people))]}

    def labels(each):
        return each.label, each.subject, each.view, each.rep, each.setup, named and each.name

    clips, units = read_conversion(npz), of.files(samples)
    assert units
    for unit in units:
        (clip,) = of.read(unit, PrepareConfig())
        (row,) = [k for k, each in enumerate(clips) if labels(each) == labels(clip)]
        error = np.abs(clip.positions - clips[row].positions).max((0, 1, 3))
        assert (error <= half * (weights + weights[1]) + 2e-6).all()


PROTOCOLS = [f"{name}/{each}" for name in OPEN for each in spec(name).splits
             if name not in ("bandai", "cmu14")]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_one_is_on_both_sides_and_choosing_stays_within_training(protocol):
    name, _, rule = protocol.partition("/")
    grid = [(who, view) for who in OPEN[name][0] for view in OPEN[name][1]]
    stand = Stand(name, [who for who, _ in grid], views=np.array([view for _, view in grid]))
    train, test = split(protocol, stand)
    by_view = rule.startswith("xview") or protocol == "nwucla/val"
    column = stand.views if by_view else stand.subjects
    assert not set(column[train]) & set(column[test])
    if rule == "val":
        allowed = split(f"{name}/{'xview' if name == 'nwucla' else 'xsub'}", stand)[0]
        assert {*train, *test} <= {*allowed}
        assert name == "islkinect" or {*train, *test} == {*allowed}


@pytest.mark.parametrize("name", ["kindergator", "sbu"])
def test_folds_test_everybody_once(name):
    stand = Stand(name, OPEN[name][0])
    sides = [split(f"{name}/fold{k}", stand) for k in range(1, 6)]
    assert sorted(k for _, test in sides for k in test) == list(range(len(stand)))
    assert all(len(train) + len(test) == len(stand) for train, test in sides)
    if name == "sbu":
        with np.load(raw_samples("sbu")[0] / "sbu_int16.npz") as data:
            for k, (_, test) in enumerate(sides, 1):
                assert {*test} == {*data["subjects"][data["fold"] == k]}


@pytest.mark.parametrize("label", ["Throw-a-ball", "Throw-a-ball-as-far-as-you-can"])
def test_kindergators_longer_names(tmp_path, label):
    written(tmp_path, "kindergator", place=f"POSE-p565_53-{label}--1469183320067.csv")
    assert told("kindergator", read(tmp_path, "kindergator"))[1:3] == (label, 565)


def test_kindergators_coarse_classes_join_what_differs_in_side_way_or_effort():
    classes, coarse = kindergator.CLASSES, kindergator.COARSE
    assert len({*classes}) == len(coarse) == 58 and len({*coarse}) == 42
    for name, wide in zip(classes, coarse, strict=True):
        assert name.startswith(wide.removesuffix("-the-side").split("-your-")[0])
    groups = [{classes[k] for k in range(58) if coarse[k] == each} for each in {*coarse}]
    assert {"Bow"} in groups and {"Raise-your-hand", "Raise-your-other-hand"} in groups


def test_islkinect_signers_are_numbered_by_their_names(tmp_path):
    for name in ("born__Zoe_7", "born_Ann_1", "no_Max_4"):
        written(tmp_path, "islkinect", place=f"{name}.txt")
    clips = [islkinect.read(unit, None)[0] for unit in islkinect.files(tmp_path)]
    assert {told("islkinect", clip) for clip in clips} == {
        ("born_s03_e07", "born", 3, 3, 7, 0), ("born_s01_e01", "born", 1, 1, 1, 0),
        ("no_s02_e04", "no", 2, 2, 4, 0)}


def test_msrdaily_joints_that_were_not_seen_lie_between_their_neighbours_in_time(tmp_path):
    x = people("msrdaily")
    text = rows(numbered(x)).split("\n")
    for frame, joint, words in ((0, 4, "0 0 0"), (2, 4, "nan nan nan"), (3, 4, "nan 1.5 NaN"),
                                (4, 7, "0.000 0.000 0.000")):
        text[20 * frame + joint] = f"{frame + 1} {joint + 1} {words}"
    path = tmp_path / KINDS["msrdaily"].place
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


def test_gaits_frames_that_hold_memory_are_cut_or_filled(tmp_path):
    x = joints(frames=9) * 0.5 + (0, 1, 1)

    def memory(table):
        joint = table[:, 1:].reshape(9, 25, 4)
        joint[8, :, 1:] = 6.9e-310
        joint[7, 23, 1] = 3.6e80
        joint[3, 4, 2] = np.nan
        joint[4, 2, 1:] = 0
        return table

    path = tmp_path / "human1_lurch1_SkeletonData2.csv"
    path.write_text(walk(x, memory))
    assert gait.SPEC.files(tmp_path) == []  # a sensor that is not read
    got = gait.read_clip(path)
    assert len(got) == 7
    np.testing.assert_allclose(got[[0, 1, 2, 5, 6]], x[[0, 1, 2, 5, 6]], atol=1e-8)
    np.testing.assert_allclose(got[3:5], [x[2] + (x[5] - x[2]) * k / 3 for k in (1, 2)], atol=1e-8)


def recording(folder, system: str, kind: str, x: np.ndarray, name="m10_s03_e02_{}_inc.txt.gz"):
    """A file of points `[T, N, 3]`, where and as the owners have it."""
    path = folder / "Incorrect Segmented Movements" / system / kind / name.format(kind.lower())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(rows(flat(x), ",").encode()))
    return path


def test_uiprmd_kinect_equals_the_literal_way(tmp_path):
    """Each offset is turned by all joints above it: about y, then x, then z of each."""
    layout = LAYOUTS["uiprmd22"]
    offsets = joints(frames=2, count=22) * 100
    angles = np.random.default_rng(1).uniform(-180, 180, (2, 22, 3)).round(5)
    path = recording(tmp_path, "Kinect", "Positions", offsets)
    with pytest.raises(SjepaError, match="m10_s03_e02_angles_inc.txt.gz cannot be read"):
        uiprmd.read(path, None)
    recording(tmp_path, "Kinect", "Angles", angles[:1])
    with pytest.raises(SjepaError, match="has 2 frames, its angles .* have 1: get both again"):
        uiprmd.read(path, None)
    recording(tmp_path, "Kinect", "Angles", angles)

    def place(frame: int, joint: int) -> np.ndarray:
        v, above = offsets[frame, joint], layout.parents[joint]
        start, at = 0.0 if above < 0 else place(frame, above), above
        while at >= 0:
            for axis in "yxz":
                v = turned(v, axis, angles[frame, at]["xyz".index(axis)])
            at = layout.parents[at]
        return start + v

    wanted = np.array([[place(frame, joint) for joint in range(22)] for frame in range(2)])
    (clip,) = uiprmd.read(path, None)
    np.testing.assert_allclose(
        clip.positions, standing(wanted * (-0.01, 0.01, -0.01), "uiprmd22"), atol=1e-5)
    assert told("uiprmd", clip) == (
        "m10_s03_e02_incorrect_kinect", "standing shoulder scaption, incorrect", 3, 1, 2, 0)


def marked(frames: int = 101) -> np.ndarray:
    """Markers `[T, 39, 3]` in metres, y up, facing −z, that go ahead at 0.5 m a second."""
    x = np.random.default_rng(0).normal((0, 1, 0), 0.3, (39, 3)).round(4)
    for marker, place in (("LASI", (-0.12, 1, -0.1)), ("RASI", (0.12, 1, -0.1)),
                          ("LPSI", (-0.04, 1, 0.1)), ("RPSI", (0.04, 1, 0.1))):
        x[uiprmd.MARKERS.index(marker)] = place
    return x + np.arange(frames)[:, None, None] * (0, 0, -0.005)


def vicon(folder, x: np.ndarray):
    """The file of these markers; a missing one is 0 0 0 there too."""
    return recording(folder, "Vicon", "Positions", x[..., [2, 0, 1]] * (-1000, -1000, 1000))


def test_uiprmd_vicon_is_resampled_repaired_and_mapped(tmp_path):
    whole = marked()
    (clip,) = uiprmd.read(vicon(tmp_path, whole), None)
    assert told("uiprmd", clip)[::3] == ("m10_s03_e02_incorrect_vicon", 2)
    assert clip.positions.shape == (31, 1, 25, 3)  # of one second and the frame at its end
    got = dict(zip(NTU_JOINTS, np.moveaxis(uiprmd.read_vicon(vicon(tmp_path, whole)), 1, 0),
                   strict=True))
    at = dict(zip(uiprmd.MARKERS, whole[0], strict=True))
    for joint, wanted in (
        ("left knee", at["LKNE"]), ("right foot", at["RTOE"]), ("spine base", (0, 1, 0)),
        ("left hip", (-0.36 * 0.24, 1 - 0.30 * 0.24, -0.1 + 0.22 * 0.24)),
        ("right hand tip", 2 * at["RFIN"] - (at["RWRA"] + at["RWRB"]) / 2),
    ):
        np.testing.assert_allclose(got[joint][0], wanted, atol=1e-6)
        np.testing.assert_allclose(got[joint][30], wanted + np.array((0, 0, -0.5)), atol=1e-6)
    holes = whole.copy()
    for marker, gap in (("LTOE", slice(20, 45)), ("C7", slice(0, 90)), ("RWRA", slice(30, 100)),
                        ("RBAK", slice(None))):
        holes[gap, uiprmd.MARKERS.index(marker)] = 0
    again = uiprmd.read_vicon(vicon(tmp_path, holes))
    np.testing.assert_allclose(again, np.stack([*got.values()], 1), atol=1e-6)
    holes[:, uiprmd.MARKERS.index("LKNE")] = 0
    with pytest.raises(SjepaError, match="101 frames, in which LKNE is missing beyond repair"):
        uiprmd.read_vicon(vicon(tmp_path, holes))


def test_uiprmd_files_of_both_systems_and_what_is_left_out(tmp_path):
    for system in ("Vicon", "Kinect"):
        for kind in ("Positions", "Angles"):
            recording(tmp_path, system, kind, marked(4), "m05_s10_e01_{}_inc.txt.gz")
    kinect, of_vicon = uiprmd.SPEC.files(tmp_path)
    assert kinect.parts[-3:-1] == ("Kinect", "Positions")
    (left_out,) = uiprmd.read(of_vicon, None)
    assert left_out.name == "m05_s10_e01_positions_inc.txt" and "beyond repair" in left_out.why
    with pytest.raises(TextFormatError, match="line 1: expected x,y,z of 22 points, found 117 fi"):
        uiprmd.read(kinect, None)
    kinect.write_bytes(kinect.read_bytes()[:-20])
    with pytest.raises(SjepaError, match="is no whole gzip file"):
        uiprmd.read(kinect, None)
    (tmp_path / kinect.name).write_bytes(b"")
    for path in (tmp_path / kinect.name, tmp_path / "m11_s01_e01_positions.txt.gz"):
        with pytest.raises(SjepaError, match="naming scheme: .* Vicon/Positions/m01_s03_e04_posit"):
            uiprmd.read(path, None)


def test_sbus_paths_off_the_scheme_are_refused(tmp_path):
    written(tmp_path, "sbu", place="s07s02/08/003/skeleton_pos.txt")
    with pytest.raises(SjepaError, match="naming scheme"):
        read(tmp_path, "sbu")
