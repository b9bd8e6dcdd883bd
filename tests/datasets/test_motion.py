"""Your own motion: BVH by its joints' names, Kinect CSV, MediaPipe's landmarks. All generated."""

import json

import numpy as np
import pytest
from formats import damaged, fuzz, raw_samples, survives
from hypothesis import given
from hypothesis import strategies as st
from test_bvh import ALL, bvh_text
from test_kindergator import csv_text

from sjepa import read_motion, synthetic
from sjepa.datasets.formats.bvh import CONVENTIONS, NEEDED
from sjepa.datasets.formats.mediapipe import mediapipe_clip
from sjepa.datasets.layouts import LAYOUTS, center_on_spine, face_camera, standing_height
from sjepa.datasets.sources import bandai, kindergator
from sjepa.errors import SjepaError
from sjepa.skeleton import NTU_JOINTS

BANDAI, LANDMARKS = LAYOUTS["bandai21"], LAYOUTS["mediapipe33"]


@pytest.fixture(scope="module")
def person():
    """A generated person `[T, 25, 3]` in the camera's frame who throws, without sensor noise."""
    throw = synthetic.ACTIONS.index("throw")
    return synthetic.generate_clip(throw, 5, 1, noise=False)[:, 0].astype(np.float64)


def recorded(layout, person: np.ndarray) -> np.ndarray:
    """The person in another layout's joints: measured ones as they are, the others fitted."""
    matrix = layout.to_ntu25.astype(np.float64)
    x = np.zeros((len(person), len(layout.joints), 3))
    taken = matrix[layout.measured].argmax(1)
    x[:, taken] = person[:, layout.measured]
    free = np.setdiff1d(np.flatnonzero(matrix.any(0)), taken)
    rest = (person - np.einsum("kj,tjc->tkc", matrix, x)).transpose(1, 0, 2).reshape(25, -1)
    fitted = np.linalg.lstsq(matrix[:, free], rest, rcond=None)[0]
    x[:, free] = fitted.reshape(len(free), len(person), 3).transpose(1, 0, 2)
    return x


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


def centred(person: np.ndarray) -> np.ndarray:
    return center_on_spine(person.astype(np.float32)[:, None])


# --- BVH -----------------------------------------------------------------------------------------


def test_open_samples_read_as_the_sets_own_readers_have_them():
    for name, reader in (("bandai", bandai), ("kindergator", kindergator)):
        _, samples = raw_samples(name)
        for path in reader.files(samples):
            np.testing.assert_array_equal(read_motion(path), reader.read(path, None)[0].positions)


@pytest.mark.parametrize("prefix", ["", "mixamorig:", "Character1_"])
@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_person_survives_every_convention(tmp_path, person, name, prefix):
    known = CONVENTIONS[name]
    (tmp_path / "a.bvh").write_text(as_bvh(person, known.joints, known.metres, prefix))
    clip = read_motion(tmp_path / "a.bvh")
    assert clip.dtype == np.float32 and clip.shape == (len(person), 1, 25, 3)
    error = np.linalg.norm(clip - centred(person), axis=-1).mean((0, 1))
    assert error[BANDAI.measured].max() < 1e-4 and error.max() < 0.12


def test_a_cmu_skeleton_is_not_taken_for_mixamos(tmp_path, person):
    """It has all of Mixamo's names besides its own, in another unit and with a longer neck."""
    end = "End Site\n{\nOFFSET 0 1 0\n}\n"
    more = "".join(f"JOINT {name}\n{{\nOFFSET 9 9 9\nCHANNELS 0\n{end}}}\n"
                   for name in ("Spine", "Head"))
    cmu = CONVENTIONS["CMU"]
    (tmp_path / "a.bvh").write_text(as_bvh(person, cmu.joints, cmu.metres))
    (tmp_path / "b.bvh").write_text(as_bvh(person, cmu.joints, cmu.metres).replace(end, more, 1))
    np.testing.assert_array_equal(read_motion(tmp_path / "b.bvh"), read_motion(tmp_path / "a.bvh"))


def test_other_names_need_a_mapping_and_the_error_says_which(tmp_path, person):
    names = {joint: f"bone{k}" for k, joint in enumerate(NEEDED)}
    path = tmp_path / "a.bvh"
    path.write_text(as_bvh(person, names, 1.0))
    with pytest.raises(SjepaError, match="not named as those of Bandai-Namco, CMU, Mixamo; found "
                                         "bone0, .*pass mapping=.*Hips, Chest, Neck, Head, "):
        read_motion(path)
    clip = read_motion(path, mapping=names, unit=1)
    whole = CONVENTIONS["Bandai-Namco"].joints
    (tmp_path / "b.bvh").write_text(as_bvh(person, whole, 1.0))
    np.testing.assert_allclose(clip, read_motion(tmp_path / "b.bvh", unit=1), atol=1e-6)


@pytest.mark.parametrize("change, said", [
    (lambda names: {k: v for k, v in names.items() if k != "Head"}, "no joint for Head"),
    (lambda names: names | {"head": "bone3"}, "the unknown key head"),
    (lambda names: names | {"Head": "skull"}, "a joint that the file lacks: skull"),
])
def test_a_mapping_that_does_not_fit_is_named(tmp_path, person, change, said):
    names = {joint: f"bone{k}" for k, joint in enumerate(NEEDED)}
    (tmp_path / "a.bvh").write_text(as_bvh(person, names, 1.0))
    with pytest.raises(SjepaError, match=f"a.bvh: the mapping has {said}"):
        read_motion(tmp_path / "a.bvh", mapping=change(names), unit=1)


@pytest.mark.parametrize("metres", [1.0, 0.0254, 0.001])
def test_another_unit_is_noticed_and_can_be_said(tmp_path, person, metres):
    path = tmp_path / "a.bvh"
    path.write_text(as_bvh(person, CONVENTIONS["Mixamo"].joints, metres))
    if 0.3 <= 1.4 * 0.01 / metres <= 3:  # inches read as centimetres: still as tall as a toddler
        assert standing_height(read_motion(path)[:, 0]) < 0.8
    else:
        with pytest.raises(SjepaError, match="the unit is not metres: pass unit="):
            read_motion(path)
    assert 1.2 < standing_height(read_motion(path, unit=metres)[:, 0]) < 1.9


def test_motion_capture_faces_the_camera_when_it_is_asked_to(tmp_path, person):
    turned = person * (-1, 1, -1)
    (tmp_path / "a.bvh").write_text(as_bvh(turned, CONVENTIONS["Mixamo"].joints, 0.01))
    clip = read_motion(tmp_path / "a.bvh")
    assert clip[0, 0, 12, 0] > clip[0, 0, 16, 0]  # the left hip at the larger x: from behind
    faced = face_camera(clip)
    assert faced[0, 0, 12, 0] < faced[0, 0, 16, 0]
    np.testing.assert_allclose(standing_height(faced[:, 0]), standing_height(clip[:, 0]), rtol=1e-5)


# --- Kinect --------------------------------------------------------------------------------------


def test_kinect_files_need_no_name_on_the_owners_scheme(tmp_path, person):
    kinect = LAYOUTS["kinect20"]
    x = np.float32(recorded(kinect, person)).astype(np.float64)
    path = tmp_path / "POSE-p888_37-Jump-1466764773148.csv"
    path.write_text(csv_text(x))
    wanted = kindergator.read(path, None)[0].positions
    np.testing.assert_array_equal(read_motion(path), wanted)
    np.testing.assert_array_equal(read_motion(path.rename(tmp_path / "mine.csv")), wanted)
    error = np.linalg.norm(wanted - centred(person), axis=-1).mean((0, 1))
    assert error[kinect.measured].max() < 1e-4


# --- MediaPipe -----------------------------------------------------------------------------------


def test_a_person_survives_mediapipe(person):
    clip = mediapipe_clip(as_mediapipe(person))
    walk = person[:, :1] - person[:1, :1]  # from the hips in each frame: it is not in there
    error = np.linalg.norm(clip - centred(person - walk), axis=-1).mean((0, 1))
    assert error[LANDMARKS.measured].max() < 0.05 and error.max() < 0.12
    assert clip.dtype == np.float32 and clip.shape == (len(person), 1, 25, 3)


def test_mediapipes_axes_by_hand():
    """Facing the camera: left hand to the right of the picture, head up, left knee in front."""
    x = np.zeros((2, 33, 3))
    x[:, 0:11, 1], x[:, 25:29, 1] = -0.7, 0.5
    x[:, 11:17:2, 0], x[:, 12:17:2, 0] = 0.4, -0.4
    x[:, 11:17, 1] = -0.5
    x[:, 25, 2] = -0.3
    clip = dict(zip(NTU_JOINTS, mediapipe_clip(x)[0, 0], strict=True))
    assert clip["left wrist"][0] < clip["spine base"][0] < clip["right wrist"][0]
    assert clip["head"][1] > clip["spine base"][1] > clip["left ankle"][1]
    assert clip["left knee"][2] < clip["right knee"][2]  # nearer to the camera
    np.testing.assert_allclose(clip["spine mid"], 0, atol=1e-7)


def points(frame, *more):
    return [dict(zip(("x", "y", "z"), p, strict=True), **dict(more)) for p in frame.tolist()]


WRITERS = {
    "array.npy": lambda path, x: np.save(path, x),
    "visible.npy": lambda path, x: np.save(path, np.pad(x, ((0, 0), (0, 0), (0, 1)))),
    "plain.csv": lambda path, x: np.savetxt(path, x.reshape(len(x), -1), delimiter=","),
    "header.csv": lambda path, x: np.savetxt(path, np.pad(
        x, ((0, 0), (0, 0), (0, 1))).reshape(len(x), -1), delimiter="; ", header="x0;y0;z0;v0",
        comments=""),
    "lists.json": lambda path, x: path.write_text(json.dumps(x.tolist())),
    "dicts.json": lambda path, x: path.write_text(
        json.dumps([points(frame, ("visibility", 0.9)) for frame in x])),
    "results.json": lambda path, x: path.write_text(json.dumps(
        [{"landmarks": [], "worldLandmarks": []}]
        + [{"landmarks": [[]], "worldLandmarks": [points(frame)]} for frame in x])),
    "people.json": lambda path, x: path.write_text(json.dumps([[f] for f in x.tolist()] + [[]])),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_landmark_file_reads_the_same(tmp_path, person, name):
    x = as_mediapipe(person)
    WRITERS[name](tmp_path / name, x)
    np.testing.assert_allclose(read_motion(tmp_path / name), mediapipe_clip(x), atol=1e-6)


def image(x):
    return x + np.array([0.5, 0.5, 0])


@pytest.mark.parametrize("change, said", [
    (image, "these are landmarks of the image: save the world landmarks"),
    (lambda x: x[:, :32], r"expected landmarks \[T, 33, 3\], found \[\d+, 32, 3\]"),
    (lambda x: x[..., :2], "expected landmarks"),
    (lambda x: x[:0], "expected landmarks"),
    (lambda x: np.where(x == x.max(), np.nan, x), "is no number or more than 10 m away"),
    (lambda x: 1000 * x, "more than 10 m away"),
    (lambda x: x / 100, "the person would be 0.0"),
])
def test_bad_landmarks_in_words(tmp_path, person, change, said):
    np.save(tmp_path / "a.npy", change(as_mediapipe(person)))
    with pytest.raises(SjepaError, match=f"a.npy: .*{said}"):
        read_motion(tmp_path / "a.npy")


@pytest.mark.parametrize("name, text, said", [
    ("a.json", "{", "is no JSON"),
    ("a.json", '{"frames": []}', "expected a list of frames"),
    ("a.json", "[]", "nobody was found in any of its 0 frames"),
    ("a.json", "[[], {\"worldLandmarks\": []}]", "nobody was found in any of its 2 frames"),
    ("a.json", "[{\"pose\": 1}]", "frame 0: expected 33 landmarks"),
    ("a.json", "[[[1, 2, 3]]]", "frame 0: expected 33 landmarks"),
    ("a.json", "[7]", "frame 0: expected 33 landmarks"),
    ("a.json", json.dumps([[["a", 0, 0]] * 33]), "frame 0: expected 33 landmarks"),
    ("a.json", json.dumps([[[10**400, 0, 0]] * 33]), "frame 0: expected 33 landmarks"),
    ("a.csv", "", "expected 1 to 100000 frames"),
    ("a.csv", "x0,y0,z0\n", "expected 1 to 100000 frames"),
    ("a.csv", "1,2,3\n", "line 1: expected the numbers of 33 landmarks"),
    ("a.csv", "h\n" + ",".join(["0"] * 99) + "\n0,1\n", "line 3: expected 99 numbers"),
    ("a.csv", ",".join(["0"] * 98 + ["one"]), "line 1: expected 99 numbers, found 'one'"),
    ("a.npy", "text", "is no npy file of numbers"),
    ("a.npy", "", "is no npy file of numbers"),
    ("a.bvh", "text", "line 1: expected HIERARCHY"),
    ("a.txt", "text", "expected a .bvh, .csv, .json or .npy file"),
])
def test_bad_files_in_words(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(SjepaError, match=said) as caught:
        read_motion(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_files_that_are_not_there_and_settings_of_another_kind(tmp_path):
    for suffix in ("bvh", "csv", "json", "npy"):
        with pytest.raises(SjepaError, match=f"a.{suffix} cannot be read: No such file"):
            read_motion(tmp_path / f"a.{suffix}")
    with pytest.raises(SjepaError, match="mapping and unit are for BVH files"):
        read_motion(tmp_path / "a.npy", unit=1)


@pytest.mark.parametrize("name", ["dicts.json", "header.csv", "array.npy"])
@fuzz
@given(data=st.data())
def test_fuzz_a_clip_or_a_named_fault(tmp_path_factory, name, data):
    folder = tmp_path_factory.getbasetemp()
    x = np.random.default_rng(0).normal(0, 0.3, (2, 33, 3)).round(3)
    x[:, 23] = -x[:, 24]
    WRITERS[name](folder / name, x)
    raw = data.draw(damaged((folder / name).read_bytes()))
    survives(lambda path: read_motion(path)[:, 0], folder / name, raw)


# --- any clip ------------------------------------------------------------------------------------


def test_height_is_that_of_the_bones_whatever_the_pose(person):
    sit = synthetic.generate_performance(synthetic.ACTIONS.index("sit down"), 5)[:, 0]
    heights = [standing_height(clip) for clip in (person, person[:1], person + 9, sit)]
    assert max(heights) - min(heights) < 0.02 and 1.2 < heights[0] < 1.8
    unseen = np.concatenate([0 * person, person[:3]])
    assert standing_height(unseen) == pytest.approx(heights[0], abs=0.02)
    assert standing_height(0 * person) == 0


