"""Your own motion: BVH by its joints' names, Kinect CSV, MediaPipe's landmarks. All generated."""

import json
import pickle

import numpy as np
import pytest
from formats import damaged, fuzz, raw_samples
from hypothesis import given
from hypothesis import strategies as st
from pku_files import people, skeleton_text
from test_acclaim import ARM, FRAME, amc_text, asf_text
from test_bvh import ALL, bvh_text
from test_kindergator import csv_text, trial
from test_npz import small
from test_pyskl import two_d

from sjepa import read_motion, synthetic
from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.formats import npz, pku, pyskl
from sjepa.datasets.formats.acclaim import joint_positions, read_amc, read_asf
from sjepa.datasets.formats.bvh import CONVENTIONS, NEEDED, read_bvh
from sjepa.datasets.formats.mediapipe import mediapipe_clip
from sjepa.datasets.layouts import LAYOUTS, center_on_spine, standing_height
from sjepa.datasets.sources import bandai, kindergator, nwucla
from sjepa.errors import SjepaError

BANDAI, LANDMARKS = LAYOUTS["bandai21"], LAYOUTS["mediapipe33"]


@pytest.fixture(scope="module")
def person():
    """A generated person `[T, 25, 3]` in the camera's frame who throws, without sensor noise."""
    throw = synthetic.ACTIONS.index("throw")
    return synthetic.generate_clip(throw, 5, 1, noise=False)[:, 0].astype(np.float64)


def recorded(layout, person: np.ndarray) -> np.ndarray:
    """The person in another layout's joints, as far as that goes."""
    return np.linalg.pinv(layout.to_ntu25.astype(np.float64)) @ person


def as_bvh(person: np.ndarray, names: dict[str, str], metres: float, prefix: str = "") -> str:
    """A BVH file of the person, joints named by a convention, with positions as channels."""
    x = recorded(BANDAI, person) / metres
    joints, values = [], []
    for k, above in enumerate(BANDAI.parents):
        name = names.get(BANDAI.joints[k], f"unused{k}")
        joints.append((prefix + name, above, (0, 0, 0), ALL[:3]))
        values.append(x[:, k] - (x[:, above] if above >= 0 else 0))
    return bvh_text(joints, np.concatenate(values, 1))


def as_mediapipe(person: np.ndarray) -> np.ndarray:
    """World landmarks of the person: x to the right of the picture, y down, from the hips."""
    x = recorded(LANDMARKS, person)
    return (x - x[:, 23:25].mean(1, keepdims=True)) * (-1, -1, 1)


def mapped(layout, x: np.ndarray) -> np.ndarray:
    return center_on_spine(layout.map(x)[:, None])


# --- BVH -----------------------------------------------------------------------------------------


def test_open_samples_read_as_the_sets_own_readers_have_them():
    for name, reader in (("bandai", bandai), ("kindergator", kindergator)):
        _, samples = raw_samples(name)
        for path in reader.files(samples):
            np.testing.assert_array_equal(read_motion(path), reader.read(path, None)[0].positions)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_person_survives_every_convention(tmp_path, person, name):
    prefix = "mixamorig:" if name == "Mixamo" else ""
    (tmp_path / "a.bvh").write_text(as_bvh(person, *CONVENTIONS[name], prefix))
    clip = read_motion(tmp_path / "a.bvh")
    assert clip.dtype == np.float32 and clip.shape == (len(person), 1, 25, 3)
    np.testing.assert_allclose(clip, mapped(BANDAI, recorded(BANDAI, person)), atol=1e-5)


def test_a_cmu_skeleton_is_not_taken_for_mixamos(tmp_path, person):
    """It has all of Mixamo's names besides its own, in another unit and with a longer neck."""
    end = "End Site\n{\nOFFSET 0 1 0\n}\n"
    more = "".join(f"JOINT {name}\n{{\nOFFSET 9 9 9\nCHANNELS 0\n{end}}}\n"
                   for name in ("Spine", "Head"))
    cmu = CONVENTIONS["CMU"]
    (tmp_path / "a.bvh").write_text(as_bvh(person, *cmu))
    (tmp_path / "b.bvh").write_text(as_bvh(person, *cmu).replace(end, more, 1))
    np.testing.assert_array_equal(read_motion(tmp_path / "b.bvh"), read_motion(tmp_path / "a.bvh"))


def test_other_names_need_a_mapping_and_the_error_says_which(tmp_path, person):
    names = {joint: f"bone{k}" for k, joint in enumerate(NEEDED)}
    path = tmp_path / "a.bvh"
    path.write_text(as_bvh(person, names, 1.0))
    with pytest.raises(SjepaError, match="not named as those of Bandai-Namco, CMU, Mixamo; found "
                                         "bone0, .*pass mapping=.*Hips, Chest, Neck, Head, "):
        read_motion(path)
    for change in ({"head": "bone3"}, {"Head": "skull"}):
        with pytest.raises(SjepaError, match="a.bvh: the mapping has to take Hips, "):
            read_motion(path, mapping=names | change, unit=1)
    clip = read_motion(path, mapping=names, unit=1)
    whole = CONVENTIONS["Bandai-Namco"][0]
    (tmp_path / "b.bvh").write_text(as_bvh(person, whole, 1.0))
    np.testing.assert_allclose(clip, read_motion(tmp_path / "b.bvh", unit=1), atol=1e-6)


@pytest.mark.parametrize("metres", [1.0, 0.001])
def test_another_unit_is_noticed_and_can_be_said(tmp_path, person, metres):
    path = tmp_path / "a.bvh"
    path.write_text(as_bvh(person, CONVENTIONS["Mixamo"][0], metres))
    with pytest.raises(SjepaError, match="the unit is not metres: pass unit="):
        read_motion(path)
    assert 1.2 < standing_height(read_motion(path, unit=metres)[:, 0]) < 1.9


# --- MediaPipe -----------------------------------------------------------------------------------


def test_landmarks_are_turned_and_mapped(person):
    x = as_mediapipe(person)
    clip = mediapipe_clip(x)
    assert clip.dtype == np.float32 and clip.shape == (len(person), 1, 25, 3)
    np.testing.assert_array_equal(clip, mapped(LANDMARKS, x * (-1, -1, 1)))


def points(frame, *more):
    return [dict(zip(("x", "y", "z"), p, strict=True), **dict(more)) for p in frame.tolist()]


WRITERS = {
    "visible.npy": lambda path, x: np.save(path, np.pad(x, ((0, 0), (0, 0), (0, 1)))),
    "plain.csv": lambda path, x: np.savetxt(path, x.reshape(len(x), -1), delimiter=","),
    "header.csv": lambda path, x: np.savetxt(path, np.pad(
        x, ((0, 0), (0, 0), (0, 1))).reshape(len(x), -1), delimiter=",", comments="",
        header=",".join(f"{axis}{k}" for k in range(33) for axis in "xyzv")),
    "dicts.json": lambda path, x: path.write_text(
        json.dumps([points(frame, ("visibility", 0.9)) for frame in x])),
    "results.json": lambda path, x: path.write_text(json.dumps(
        [{"landmarks": [], "worldLandmarks": []}]
        + [{"landmarks": [[]], "worldLandmarks": [points(frame)]} for frame in x])),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_landmark_file_reads_the_same(tmp_path, person, name):
    x = as_mediapipe(person)
    WRITERS[name](tmp_path / name, x)
    np.testing.assert_allclose(read_motion(tmp_path / name), mediapipe_clip(x), atol=1e-6)


@pytest.mark.parametrize("change, said", [
    (lambda x: x + np.array([0.5, 0.5, 0]), "these are landmarks of the image"),
    (lambda x: x[:, :32], r"expected landmarks \[T, 33, 3\], found \[\d+, 32, 3\]"),
    (lambda x: np.where(x == x.max(), np.nan, x), "is no number or more than 10 m away"),
    (lambda x: x / 100, "the person would be 0.0"),
])
def test_bad_landmarks_in_words(tmp_path, person, change, said):
    np.save(tmp_path / "a.npy", change(as_mediapipe(person)))
    with pytest.raises(SjepaError, match=f"a.npy: .*{said}"):
        read_motion(tmp_path / "a.npy")


@pytest.mark.parametrize("name, text, said", [
    ("a.json", "{", "holds no landmarks .* expected numpy.save of .* or a JSON list of frames"),
    ("a.json", "[[], {\"worldLandmarks\": []}]", "expected landmarks"),
    ("a.npy", "text", "holds no landmarks"),
    ("a.csv", "1,2,3\n", "holds no landmarks"),
    ("a.csv", "Timestamp,2,3\n", "line 1: expected the header Timestamp"),
    ("a.bvh", "text", "line 1: expected ROOT"),
    ("a.txt", "text", "expected a .bvh, .csv, .json or .npy file"),
])
def test_bad_files_in_words(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(SjepaError, match=said) as caught:
        read_motion(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    (tmp_path / name).unlink()
    with pytest.raises(SjepaError, match="cannot be read: No such file|expected a .bvh"):
        read_motion(tmp_path / name)
    if name != "a.bvh":
        with pytest.raises(SjepaError, match="mapping and unit are for BVH files|expected a .bvh"):
            read_motion(tmp_path / name, unit=1)


# --- damaged files of every kind ------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A folder of one small file of each kind."""
    folder = tmp_path_factory.mktemp("sound")
    x = np.random.default_rng(0).normal(0, 0.3, (2, 33, 3)).round(3)
    x[:, 23] = -x[:, 24]
    for name in ("dicts.json", "visible.npy"):
        WRITERS[name](folder / name, x)
    small(folder / "a_xsub.npz")
    (folder / "a.pkl").write_bytes(pickle.dumps({"split": {}, "annotations": [two_d(2)]}))
    for name, text in {"a.bvh": bvh_text([("a", -1, (0, 0, 0), ALL)], np.ones((3, 6))),
                       "a.asf": asf_text(ARM), "a.amc": amc_text([FRAME] * 2),
                       "kinect.csv": csv_text(trial(3)),
                       "a12_s03_e02_v02.json": json.dumps(
                           {"skeletons": x[:, :20].tolist(), "label": 10}),
                       "rows.txt": skeleton_text(people(4)),
                       "cuts.txt": "1,0,2,1\n12,1,3,2\n51, 2, 4, 1\n7,3,3,1\n"}.items():
        (folder / name).write_text(text)
    return folder


def acclaim_points(asf, amc):
    skeleton = read_asf(asf)
    return joint_positions(skeleton, read_amc(amc, skeleton))


def clips_of(source):
    return [list(source.read(unit)) for unit in source.units]


READERS = {  # of a damaged file, with sound ones where it needs them
    "a.bvh": lambda path, sound: read_bvh(path),
    "a.asf": lambda path, sound: acclaim_points(path, sound / "a.amc"),
    "a.amc": lambda path, sound: acclaim_points(sound / "a.asf", path),
    "dicts.json": lambda path, sound: read_motion(path),
    "kinect.csv": lambda path, sound: read_motion(path),
    "a12_s03_e02_v02.json": lambda path, sound: nwucla.read(path, None),
    "visible.npy": lambda path, sound: read_motion(path),
    "rows.txt": lambda path, sound: pku.read(
        pku.Video(1, "0001-L", path, sound / "cuts.txt"), PrepareConfig()),
    "cuts.txt": lambda path, sound: pku.read(
        pku.Video(1, "0001-L", sound / "rows.txt", path), PrepareConfig()),
    "a_xsub.npz": lambda path, sound: clips_of(npz.source(path, None)),
    "a.pkl": lambda path, sound: clips_of(pyskl.source(path, None)),
}


@pytest.mark.parametrize("name", READERS)
@fuzz
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_one_sentence(tmp_path_factory, sound, name, data):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data.draw(damaged((sound / name).read_bytes())))
    try:
        READERS[name](path, sound)
    except SjepaError as error:
        assert str(path.parent) in str(error) and "\n" not in str(error)


# --- any clip ------------------------------------------------------------------------------------


def test_height_is_that_of_the_bones_whatever_the_pose(person):
    sit = synthetic.generate_performance(synthetic.ACTIONS.index("sit down"), 5)[:, 0]
    heights = [standing_height(clip) for clip in (person, person[:1], person + 9, sit)]
    assert max(heights) - min(heights) < 0.02 and 1.2 < heights[0] < 1.8
    unseen = np.concatenate([0 * person, person[:3]])
    assert standing_height(unseen) == pytest.approx(heights[0], abs=0.02)
    assert standing_height(0 * person) == 0
