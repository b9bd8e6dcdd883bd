"""WMFT, ISL-Kinect, pathological gait and UI-PRMD. Every file here is generated."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from formats import equals_conversion, raw_samples
from test_bvh import turned
from test_splits import Stand

from sjepa.datasets import spec
from sjepa.datasets.layouts import LAYOUTS, center_on_spine
from sjepa.datasets.sources import gait, islkinect, uiprmd, wmft
from sjepa.datasets.splits import split
from sjepa.datasets.text import TextFormatError
from sjepa.errors import SjepaError
from sjepa.skeleton import NTU_JOINTS

#: Each set's layout in its conversion, and the views of a subject.
SETS = {"wmft": ("ntu25", (0,)), "islkinect": ("kinect20", (1, 2, 3)), "gait": ("ntu25", (1, 3, 5)),
        "uiprmd": ("ntu25", (1, 2))}


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
    assert wmft.SPEC.files(tmp_path) == [path]
    (clip,) = wmft.SPEC.read(path, None)
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
        wmft.SPEC.read(path, None)
    assert str(path) in str(caught.value)


# --- ISL-Kinect ---------------------------------------------------------------------------------


def test_islkinect_signers_are_numbered_and_joints_put_in_order(tmp_path):
    x = joints(count=20)
    order = [islkinect.KINECT20.joints.index(joint) for joint in islkinect.JOINTS]
    for name in ("born__Zoe_7", "born_Ann_1", "no_Max_4"):
        np.savetxt(tmp_path / f"{name}.txt", x[:, order].reshape(5, 60), "%.6f")
    units = islkinect.SPEC.files(tmp_path)
    clips = [islkinect.SPEC.read(unit, None)[0] for unit in units]
    for clip in clips:
        np.testing.assert_allclose(clip.positions, standing(x, "kinect20"), atol=1e-6)
    assert {told(clip) for clip in clips} == {
        ("born_s03_e07", 3, 3, 3, 7, 0), ("born_s01_e01", 3, 1, 1, 1, 0),
        ("no_s02_e04", 20, 2, 2, 4, 0)}


def test_islkinect_faults_are_named_with_their_line(tmp_path):
    path = tmp_path / "yes_Ann_9.txt"
    np.savetxt(path, joints(count=20).reshape(5, 60))
    text = path.read_text()
    for bad, line in ((text.replace("\n", " 1\n", 1), 1), (text.rsplit(" ", 1)[0], 5)):
        path.write_text(bad)
        with pytest.raises(TextFormatError, match="x y z of 20 joints") as caught:
            islkinect.read_clip(path)
        assert (caught.value.path, caught.value.line) == (str(path), line)
    path.rename(tmp_path / "maybe_Ann_9.txt")
    with pytest.raises(SjepaError, match="expected a name like bye_NAME_1.txt"):
        islkinect.SPEC.files(tmp_path)


# --- pathological gait --------------------------------------------------------------------------


def walk(path, x: np.ndarray, change=lambda rows: rows):
    """A walk in the owners' axes and columns; `change` may spoil its rows `[T, 101]`."""
    numbered = np.insert(x[..., [0, 2, 1]] * (1, -1, 1), 0, np.arange(25)[:, None].T, axis=2)
    rows = np.hstack([np.arange(len(x))[:, None] / 30, numbered.reshape(len(x), 100)])
    np.savetxt(path, change(rows), delimiter="\t")
    return path


def test_gait_comes_back_y_up_and_without_the_frames_that_hold_memory(tmp_path):
    x = joints(frames=9) * 0.3 + (0, 1, 1)
    name = tmp_path / "human10_stiff_legged20_SkeletonData5.csv"
    walk(name.with_name("human10_lurch1_SkeletonData2.csv"), x)  # a sensor that is not read
    assert gait.SPEC.files(tmp_path) == [] and gait.SPEC.files(walk(name, x).parent) == [name]
    (clip,) = gait.SPEC.read(name, None)
    np.testing.assert_allclose(clip.positions, standing(x), atol=1e-6)
    assert told(clip) == ("human10_stiff_legged20_sensor5", 2, 10, 5, 20, 0)

    def spoilt(rows):
        joint = rows[:, 1:].reshape(9, 25, 4)
        joint[8, :, 1:] = 6.9e-310
        joint[7, 23, 1] = 3.6e80
        joint[3, 4, 2] = np.nan
        joint[4, 2, 1:] = 0
        return rows

    got = gait.read_clip(walk(name, x, spoilt))
    assert len(got) == 7
    np.testing.assert_allclose(got[[0, 1, 2, 5, 6]], x[[0, 1, 2, 5, 6]], atol=1e-9)
    np.testing.assert_allclose(got[3:5], [x[2] + (x[5] - x[2]) * k / 3 for k in (1, 2)], atol=1e-9)


@pytest.mark.parametrize("change, line, said", [
    (lambda rows: rows[:, :-1], 1, "x y z of 25 joints, found 100 fields"),
    (lambda rows: rows * np.where(np.arange(9)[:, None] == 4, 2, 1), 5, "joints 0 to 24"),
    (lambda rows: np.where(np.arange(101) % 4 == 1, rows, 1e-9), 1, "a frame with positions"),
])
def test_gait_faults_are_named_with_their_line(tmp_path, change, line, said):
    path = walk(tmp_path / "human1_lurch1_SkeletonData1.csv", joints(frames=9), change)
    with pytest.raises(TextFormatError, match=said) as caught:
        gait.read_clip(path)
    assert (caught.value.path, caught.value.line) == (str(path), line)


# --- UI-PRMD ------------------------------------------------------------------------------------


def recording(folder, system: str, kind: str, rows: np.ndarray, name="m10_s03_e02_{}_inc.txt.gz"):
    """A file of points `[T, N, 3]`, where and as the owners have it."""
    path = folder / "Incorrect Segmented Movements" / system / kind / name.format(kind.lower())
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as file:
        np.savetxt(file, rows.reshape(len(rows), -1), "%.9f", delimiter=",")
    return path


def test_uiprmd_kinect_equals_the_literal_way(tmp_path):
    """Each offset is turned by all joints above it: about y, then x, then z of each."""
    layout = LAYOUTS["uiprmd22"]
    offsets = joints(frames=2, count=22) * 100
    angles = np.random.default_rng(1).uniform(-180, 180, (2, 22, 3))
    path = recording(tmp_path, "Kinect", "Positions", offsets)
    with pytest.raises(SjepaError, match="m10_s03_e02_angles_inc.txt.gz cannot be read"):
        uiprmd.SPEC.read(path, None)
    recording(tmp_path, "Kinect", "Angles", angles[:1])
    with pytest.raises(SjepaError, match="has 2 frames, its angles .* have 1: get both again"):
        uiprmd.SPEC.read(path, None)
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
    (clip,) = uiprmd.SPEC.read(path, None)
    np.testing.assert_allclose(
        clip.positions, standing(wanted * (-0.01, 0.01, -0.01), "uiprmd22"), atol=1e-5)
    assert told(clip) == ("m10_s03_e02_incorrect_kinect", 19, 3, 1, 2, 0)


def marked(frames: int = 101) -> np.ndarray:
    """Markers `[T, 39, 3]` in metres, y up, facing −z, that go ahead at 0.5 m a second."""
    x = np.random.default_rng(0).normal((0, 1, 0), 0.3, (39, 3))
    for marker, place in (("LASI", (-0.12, 1, -0.1)), ("RASI", (0.12, 1, -0.1)),
                          ("LPSI", (-0.04, 1, 0.1)), ("RPSI", (0.04, 1, 0.1))):
        x[uiprmd.MARKERS.index(marker)] = place
    return x + np.arange(frames)[:, None, None] * (0, 0, -0.005)


def vicon(folder, x: np.ndarray):
    """The file of these markers; a missing one is 0 0 0 there too."""
    return recording(folder, "Vicon", "Positions", x[..., [2, 0, 1]] * (-1000, -1000, 1000))


def test_uiprmd_vicon_is_resampled_repaired_and_mapped(tmp_path):
    whole = marked()
    (clip,) = uiprmd.SPEC.read(vicon(tmp_path, whole), None)
    assert told(clip) == ("m10_s03_e02_incorrect_vicon", 19, 3, 2, 2, 0)
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
    x = marked(4)
    for system in ("Vicon", "Kinect"):
        recording(tmp_path, system, "Positions", x, "m05_s10_e01_{}_inc.txt.gz")
        recording(tmp_path, system, "Angles", x, "m05_s10_e01_{}_inc.txt.gz")
    kinect, vicon_ = uiprmd.SPEC.files(tmp_path)
    assert kinect.parts[-3:-1] == ("Kinect", "Positions")
    (left_out,) = uiprmd.SPEC.read(vicon_, None)
    assert left_out.name == "m05_s10_e01_incorrect_vicon" and "beyond repair" in left_out.why
    with pytest.raises(TextFormatError, match="line 1: expected x,y,z of 22 points, found 117 fi"):
        uiprmd.SPEC.read(kinect, None)
    kinect.write_bytes(kinect.read_bytes()[:-20])
    with pytest.raises(SjepaError, match="is no whole gzip file"):
        uiprmd.SPEC.read(kinect, None)
    (tmp_path / kinect.name).write_bytes(b"")
    with pytest.raises(SjepaError, match="should lie in Kinect/Positions or Vicon/Positions"):
        uiprmd.SPEC.read(tmp_path / kinect.name, None)
