"""The open sets' readers: each by a generated file, and by the owners' samples where they are."""

import re

import numpy as np
import pytest
from formats import raw_samples, refused
from sound import (
    KINDS,
    joints,
    literal,
    markers,
    numbered,
    people,
    put,
    read_set,
    rows,
    uiprmd_file,
    vicon,
    walk,
)
from test_splits import Stand

from sjepa import synthetic
from sjepa.datasets import spec
from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.formats.npz import read_conversion
from sjepa.datasets.layouts import LAYOUTS, center_on_spine
from sjepa.datasets.sources import (
    bandai,
    cmu14,
    gait,
    hdm05,
    islkinect,
    kindergator,
    msrdaily,
    sbu,
    uiprmd,
)
from sjepa.datasets.splits import split
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


def written(folder, name: str, place: str = ""):
    """The file of somebody in a set, where the owners have it, or at another place."""
    return put(folder / (place or KINDS[name].place), KINDS[name].text(people(name)))


def standing(x: np.ndarray, layout: str) -> np.ndarray:
    """What a clip holds of people `[T, (M,) J, 3]`."""
    return center_on_spine(LAYOUTS[layout].map(x if x.ndim == 4 else x[:, None]))


def told(name: str, clip) -> tuple:
    return (clip.name, spec(name).classes[clip.label], clip.subject, clip.view, clip.rep,
            clip.setup)


@pytest.mark.parametrize("name", KINDS)
def test_a_clip_comes_back_as_it_was(tmp_path, name):
    (clip,) = read_set(name, written(tmp_path / "deeper", name))
    assert clip.positions.dtype == np.float32 and told(name, clip) == KINDS[name].told
    np.testing.assert_allclose(clip.positions, standing(people(name), KINDS[name].layout),
                               atol=2e-6)


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
            with refused(said, tmp_path):
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


PEOPLE = OPEN | {"synthetic": (range(synthetic.SUBJECTS), range(3))}
PROTOCOLS = [f"{name}/{each}" for name in PEOPLE for each in spec(name).splits
             if name not in ("bandai", "cmu14")]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_one_is_on_both_sides_and_choosing_stays_within_training(protocol):
    name, _, rule = protocol.partition("/")
    grid = [(who, view) for who in PEOPLE[name][0] for view in PEOPLE[name][1]]
    stand = Stand(name, [who for who, _ in grid], views=np.array([view for _, view in grid]))
    train, test = split(protocol, stand)
    by_view = rule.startswith("xview") or protocol == "nwucla/val"
    column = stand.views if by_view else stand.subjects
    assert name != "synthetic" or len(train) + len(test) == len(stand)
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


@pytest.mark.parametrize("name, place, wanted", [
    ("kindergator", "POSE-p565_53-Throw-a-ball--1469183320067.csv", ("Throw-a-ball", 565)),
    ("kindergator", "POSE-p565_53-Throw-a-ball-as-far-as-you-can--1469183320067.csv",
     ("Throw-a-ball-as-far-as-you-can", 565)),
    ("sbu", "s07s02/08/003/skeleton_pos.txt", "naming scheme"),
])
def test_other_names(tmp_path, name, place, wanted):
    path = written(tmp_path, name, place)
    if isinstance(wanted, str):
        with refused(wanted, tmp_path):
            read_set(name, path)
    else:
        assert told(name, *read_set(name, path))[1:3] == wanted


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
    with refused(f"{path}: joint 9 is in no frame"):
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


def test_uiprmd_kinect_equals_the_literal_way(tmp_path):
    """Each offset is turned by all joints above it: about y, then x, then z of each."""
    layout = LAYOUTS["uiprmd22"]
    offsets = joints(frames=2, count=22) * 100
    angles = np.random.default_rng(1).uniform(-180, 180, (2, 22, 3)).round(5)
    path = uiprmd_file(tmp_path, "Kinect", "Positions", offsets)
    with refused("m10_s03_e02_angles_inc.txt.gz cannot be read"):
        uiprmd.read(path, None)
    uiprmd_file(tmp_path, "Kinect", "Angles", angles[:1])
    with refused("has 2 frames, its angles .* have 1: get both again"):
        uiprmd.read(path, None)
    uiprmd_file(tmp_path, "Kinect", "Angles", angles)

    wanted = np.array([literal(layout.parents, steps, [
        [(axis, each["xyz".index(axis)]) for axis in "yxz"] for each in degrees])
        for steps, degrees in zip(offsets, angles, strict=True)])
    (clip,) = uiprmd.read(path, None)
    np.testing.assert_allclose(
        clip.positions, standing(wanted * (-0.01, 0.01, -0.01), "uiprmd22"), atol=1e-5)
    assert told("uiprmd", clip) == (
        "m10_s03_e02_incorrect_kinect", "standing shoulder scaption, incorrect", 3, 1, 2, 0)


def test_uiprmd_vicon_is_resampled_repaired_and_mapped(tmp_path):
    whole = markers()
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
    with refused("101 frames, in which LKNE is missing beyond repair"):
        uiprmd.read_vicon(vicon(tmp_path, holes))


def test_uiprmd_files_of_both_systems_and_what_is_left_out(tmp_path):
    for system in ("Vicon", "Kinect"):
        for kind in ("Positions", "Angles"):
            uiprmd_file(tmp_path, system, kind, markers(4), "m05_s10_e01_{}_inc.txt.gz")
    kinect, of_vicon = uiprmd.SPEC.files(tmp_path)
    assert kinect.parts[-3:-1] == ("Kinect", "Positions")
    (left_out,) = uiprmd.read(of_vicon, None)
    assert left_out.name == "m05_s10_e01_positions_inc.txt" and "beyond repair" in left_out.why
    with refused("line 1: expected x,y,z of 22 points, found 117 fi"):
        uiprmd.read(kinect, None)
    (tmp_path / kinect.name).write_bytes(b"")
    for path in (tmp_path / kinect.name, tmp_path / "m11_s01_e01_positions.txt.gz"):
        with refused("naming scheme: .* Vicon/Positions/m01_s03_e04_posit"):
            uiprmd.read(path, None)
