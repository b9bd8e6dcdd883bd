"""Your own motion: BVH of any origin, Kinects, MediaPipe, pictures, arrays. All generated."""

import json
import re
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import yaml
from dialects import (
    AT,
    CAMEL,
    KINECTS,
    LANDMARKS,
    MEDIAPIPE,
    PICTURES,
    POSE,
    as_azure,
    as_mediapipe,
    called,
    in_picture,
    points,
    recorded,
    table,
    wide,
)
from formats import raw_samples, refused
from sound import ALL, bvh_text, put
from wild import KINDS, wild_bvh

from sjepa import read_motion, synthetic
from sjepa.datasets.anatomy import ARM, LEG, NEEDED, SIDES, side_of
from sjepa.datasets.formats.mediapipe import mediapipe_clip
from sjepa.datasets.layouts import COCO17, UPRIGHT, center_on_spine, standing_height
from sjepa.datasets.motion import MotionWarning, open_motion
from sjepa.datasets.ntu import write_skeleton
from sjepa.datasets.sources import bandai, hdm05, kindergator, nwucla
from sjepa.skeleton import NTU_JOINTS

LIMBS = [AT(f"{side} {part}") for side in SIDES for part in (*ARM, *LEG)]
FEET = [AT(f"{side} foot") for side in SIDES]
TRUNK = [AT(joint) for joint in ("spine base", "spine mid", "spine shoulder", "neck", "head")]


@pytest.fixture(scope="module")
def person():
    """A generated person `[T, 25, 3]` who throws, on the floor, without sensor noise."""
    throw = synthetic.ACTIONS.index("throw")
    x = synthetic.generate_clip(throw, 5, 1, noise=False)[:40, 0].astype(np.float64)
    return x - x[..., 1].min() * np.array((0, 1, 0))


@pytest.fixture(scope="module")
def bvh(person, tmp_path_factory):
    """Writes the BVH file of the person, or of `x`, in a kind; each once."""
    made = {}

    def write(kind: str = "mixamo", x=person, **changes):
        key = (kind, id(x), *changes.items())
        if key not in made:
            joints, how = KINDS[kind]
            made[key] = put(tmp_path_factory.mktemp("bvh") / "a.bvh",
                            wild_bvh(x, joints, **how | changes))
        return made[key]
    return write


def off(clip: np.ndarray, person: np.ndarray) -> np.ndarray:
    """How far each joint is off in the worst frame, `[25]` metres, hips on hips at the start."""
    hips = [AT("left hip"), AT("right hip")]
    a, b = (x - x[:1, hips].mean(1, keepdims=True) for x in (clip[:, 0].astype(float), person))
    return np.linalg.norm(a - b, axis=-1).max(0)


def quiet(path, **options):
    """A clip whose reading guesses nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_motion(path, **options)


def test_open_samples_read_as_the_sets_own_readers_have_them():
    for name, reader in (("bandai", bandai), ("kindergator", kindergator), ("nwucla", nwucla)):
        _, samples = raw_samples(name)
        for path in reader.SPEC.files(samples):
            np.testing.assert_allclose(quiet(path), reader.SPEC.read(path, None)[0].positions,
                                       atol=1e-6)
    _, samples = raw_samples("hdm05")
    for path in hdm05.SPEC.files(samples):
        wanted = hdm05.SPEC.read(path, None)[0].positions
        np.testing.assert_array_equal(quiet(path)[:: hdm05.EVERY], wanted)


def test_wild_samples_of_one_motion_agree():
    """Two skeletons of other names and sizes, and the first one with z up."""
    _, samples = raw_samples("bvh-wild")
    plain = quiet(samples / "cmu_02_04_daz.bvh")
    with pytest.warns(MotionWarning, match="z is up"):
        turned = read_motion(samples / "cmu_02_04_daz_zup.bvh")
    np.testing.assert_allclose(turned, plain, atol=1e-5)
    other = quiet(samples / "cmu_02_04_iclone.bvh")
    for clip in (plain, other):
        assert 1.4 < standing_height(clip[:, 0]) < 1.8
        upright = clip[:, 0, AT("head"), 1] - clip[:, 0, AT("left ankle"), 1]
        assert (upright > 0.7).all()


@pytest.mark.parametrize("name", KINDS)
def test_a_person_survives_every_kind_of_bvh_and_what_is_guessed_is_said(bvh, person, name):
    """Limbs within 2 cm, which is what rigid shoulders cost; derived and chosen joints within 6."""
    how, motion = KINDS[name][1], open_motion(bvh(name))
    assert motion.clip.dtype == np.float32 and motion.clip.shape == (len(person), 1, 25, 3)
    error = off(motion.clip, person)
    assert error[LIMBS].max() < 0.02 and error[FEET + TRUNK].max() < 0.06
    assert f"{how.get('up', 'y')} is up" in motion.facts
    unit = {0.01: "centimetres", 0.001: "millimetres", 1.0: "metres", 0.0254: "inches"}
    if how["unit"] in unit:
        assert f"the unit is {unit[how['unit']]}" in motion.facts
    assert set(NEEDED) - {"head"} <= set(motion.source)
    said = " ".join(motion.guesses)
    assert ("z is up" in said) == (how.get("up") == "z")
    assert ("left-handed" in said) == bool(how.get("mirror"))
    assert ("names do not say" in said) == name.startswith("numbers")
    assert ("toes are not in the file" in said) == (
        "no toes" in name or name.startswith("kinect"))
    assert ("the unit is" in said) == (how["unit"] not in (1, 0.01, 0.001))


def test_the_side_of_a_name():
    for name in ("LeftArm", "lShldr", "L_Hip", "hand.L", "thigh_l", "Bip01 L Thigh", "LThigh",
                 "lhipjoint", "HipLeft", "leftupleg", "handleft", "mixamorig:LeftUpLeg", "左腕"):
        assert side_of(name) == "left", name
    for name in ("Hips", "LowerBack", "lowerback", "root", "ribs", "Reference", "lumbar", "bone_3",
                 "clavicle", "Rokoko:Hips"):
        assert side_of(name) == "", name


def test_who_lies_on_the_floor_stays_lying(bvh, person):
    """y is up in the skeleton's own pose, and the body lies along z, low above the floor."""
    lying = person @ np.array(UPRIGHT["-z"], float)  # the head towards +z or -z
    lying += np.array((0, 0.1 - lying[..., 1].min(), 3))
    x = np.concatenate([np.repeat(person[:1], 2, 0), lying])  # who stands gives the own pose
    path = bvh(x=x)
    motion = open_motion(path)
    assert "y is up" in motion.facts and "the person lies along" in " ".join(motion.guesses)
    assert off(motion.clip, x)[LIMBS].max() < 0.02
    assert np.ptp(open_motion(path, up="z").clip[5, 0, :, 1]) > 1


def test_other_trees_need_a_mapping_which_the_error_prints(tmp_path, person):
    names = {joint: f"bone{k}" for k, joint in enumerate(NEEDED)}
    joints = [("origin", -1, (0, 0, 0), ALL[:3])] + [
        (names[joint], 0, (0, 0, 0), ALL[:3]) for joint in NEEDED]
    values = np.concatenate([np.zeros((len(person), 3))] + [
        100 * person[:, AT(joint)] for joint in NEEDED], 1)
    path = tmp_path / "a.bvh"
    path.write_text(bvh_text(joints, values))
    with refused(r"joints origin\(bone0 bone1 .*pass mapping=.*head: \?, left shoulder: \?"):
        read_motion(path)
    for change, said in (({"skull": "bone3"}, "no joint of NTU-25 is 'skull'"),
                         ({"head": "skull"}, "the file has no joint 'skull'; .* bone12"),
                         ({"left knee": names["right knee"]}, "'bone.*' stands for two joints")):
        with refused(f"a.bvh: the mapping does not fit: {said}"):
            read_motion(path, mapping=names | change)
    (tmp_path / "names.yaml").write_text(yaml.safe_dump(names))
    with pytest.warns(MotionWarning, match="the toes are not in the file"):
        clip = read_motion(path, mapping=tmp_path / "names.yaml")
    assert off(clip, person)[[*LIMBS, AT("head")]].max() < 1e-4
    assert off(clip, person).max() < 0.08  # toes, hands and spine are derived


def test_an_unknown_unit_is_scaled_and_said_or_can_be_given(bvh, person):
    path = bvh(unit=4.0)
    with pytest.warns(MotionWarning, match="in no known unit .* pass unit="):
        assert standing_height(read_motion(path)[:, 0]) == pytest.approx(1.45, abs=0.01)
    assert off(quiet(path, unit=4.0), person)[LIMBS].max() < 0.02
    with refused("the unit is not metres: pass unit="):
        read_motion(path, unit=0.1)


def mapped(layout, x: np.ndarray) -> np.ndarray:
    return center_on_spine(layout.map(x)[:, None])


@pytest.mark.parametrize("name", LANDMARKS)
def test_every_kind_of_landmark_file_reads_the_same(tmp_path, person, name):
    x = as_mediapipe(person)
    LANDMARKS[name](tmp_path / name, x)
    clip = quiet(tmp_path / name)
    assert clip.dtype == np.float32
    np.testing.assert_allclose(clip, mapped(MEDIAPIPE, x * (-1, -1, 1)), atol=1e-6)


def test_landmarks_of_several_cameras_have_places_in_a_room(tmp_path, person):
    """In millimetres and z up; the joints are MediaPipe's all the same."""
    x = recorded(MEDIAPIPE, person)
    wide("{j}_{a}", joints=POSE)(tmp_path / "a.csv", 1000 * x @ np.array(UPRIGHT["z"]))
    with pytest.warns(MotionWarning, match="z is up"):
        clip = read_motion(tmp_path / "a.csv")
    np.testing.assert_allclose(clip, mapped(MEDIAPIPE, x), atol=1e-5)


def test_a_header_of_several_lines_is_read_as_one(tmp_path, person):
    """As OptiTrack writes it: bones, with rotations beside positions; a mapping names them."""
    names = dict(zip(NTU_JOINTS, (f"Skeleton 1:Bone{k} Position" for k in range(25)), strict=True))
    head = [["Format Version", "1.23", "Length Units", "Meters"], [],
            ["", "Name", *(f"Skeleton 1:Bone{k // 7}" for k in range(175))],
            ["", "", *(["Rotation"] * 4 + ["Position"] * 3) * 25],
            ["Frame", "Time (Seconds)", *["X", "Y", "Z", "W", "X", "Y", "Z"] * 25]]
    rows = np.concatenate([np.zeros((len(person), 25, 4)), person], -1).reshape(len(person), -1)
    table(tmp_path / "a.csv", *head, *([t, t / 9, *row] for t, row in enumerate(rows)))
    with refused("no known layout: Skeleton 1:Bone0 Position, .* mapping="):
        read_motion(tmp_path / "a.csv")
    assert off(quiet(tmp_path / "a.csv", mapping=names), person).max() < 1e-5


def test_frames_without_anybody_are_left_out_and_said(tmp_path, person):
    x = as_mediapipe(person)
    frames = [{"landmarks": [[]], "worldLandmarks": [points(frame)]} for frame in x]
    (tmp_path / "a.json").write_text(json.dumps([{"worldLandmarks": []}, *frames, {}]))
    with pytest.warns(MotionWarning, match="2 frames without anybody were left out"):
        clip = read_motion(tmp_path / "a.json")
    np.testing.assert_allclose(clip, mediapipe_clip(x), atol=1e-6)
    holes = x.copy()
    holes[5] = 0
    holes[9, 15] = np.nan
    wide("{a}{j}")(tmp_path / "a.csv", holes)
    with pytest.warns(MotionWarning, match="1 frames without .*1 positions .* filled in time"):
        clip = read_motion(tmp_path / "a.csv")
    np.testing.assert_allclose(np.delete(mediapipe_clip(x), 5, 0), clip, atol=0.05)


@pytest.mark.parametrize("change, said", [
    (lambda x: x + np.array([0.5, 0.5, 0]), "landmarks of the image.* save pose_world_landmarks"),
    (lambda x: x[:, :32], "no human proportions|of no known layout"),
    (lambda x: x[:, :31], "its 31 joints are of no known layout: 0, 1, .*pass mapping="),
    (lambda x: np.where(x == x.max(), 20, x), "is no number or more than 10 m away"),
    (lambda x: x / 100, "the person would be 0.0"),
])
def test_bad_landmarks_in_words(tmp_path, person, change, said):
    np.save(tmp_path / "a.npy", change(as_mediapipe(person)))
    with refused(f"a.npy: .*({said})"):
        read_motion(tmp_path / "a.npy")


@pytest.mark.parametrize("name", KINECTS)
def test_kinects_with_25_and_32_joints(tmp_path, person, name):
    KINECTS[name](tmp_path / name, as_azure(person) if "k4a" in name else person)
    error = off(quiet(tmp_path / name), person)
    assert error[LIMBS + FEET].max() < 1e-3
    assert error.max() < (0.06 if name.startswith("k4a") else 1e-3)


def test_two_people_take_the_slots_of_those_who_are_seen_most(tmp_path, person):
    other = person[:30] + np.array((1, 0, 0.5))
    frames = [{"people": [{"keypoints": frame.tolist()}]} for frame in person]
    for t, frame in enumerate(other):
        frames[t]["people"].insert(t % 2, {"keypoints": frame.tolist()})  # in no order
    frames[3]["people"].append({"keypoints": (person[3] + 2).tolist()})
    (tmp_path / "a.json").write_text(json.dumps(frames))
    with pytest.warns(MotionWarning, match="1 people beyond the second were left out"):
        clip = read_motion(tmp_path / "a.json")
    wanted = np.stack([person, np.pad(other, ((0, 10), (0, 0), (0, 0)))], 1)
    assert clip.shape == (40, 2, 25, 3) and not clip[30:, 1].any()
    np.testing.assert_allclose(clip, center_on_spine(wanted.astype(np.float32)), atol=1e-5)


def test_joints_in_another_order_are_refused_by_their_proportions(tmp_path, person):
    """A table of numbers does not say which joint is which: Kinect v1, from the head down."""
    order = np.random.default_rng(0).permutation(20)
    x = person[:, :20][:, order]
    np.savetxt(tmp_path / "a.txt", x.reshape(len(x), -1))
    with refused("as in kinect20, the body has no human proportions"):
        read_motion(tmp_path / "a.txt")
    wide("{j}_{a}", joints=[f"p{k}" for k in order])(tmp_path / "a.csv", x)
    mapping = {NTU_JOINTS[k]: f"p{k}" for k in range(20) if k != 2}
    assert off(quiet(tmp_path / "a.csv", mapping=mapping), person)[LIMBS + FEET].max() < 1e-3


@pytest.mark.parametrize("name", PICTURES)
def test_joints_in_a_picture_are_a_planar_clip_and_said_to_be(tmp_path, person, name):
    PICTURES[name](tmp_path / name, in_picture(person))
    with pytest.warns(MotionWarning, match="COCO-17, 2D.* no encoder that comes with"):
        clip = read_motion(tmp_path / name)
    assert clip.shape == (len(person), 1, 17, 3) and clip[..., 2] == pytest.approx(0.8)
    left, right = (COCO17.joints.index(f"{side} wrist") for side in SIDES)
    trunk = clip[:, 0, [5, 6], :2].mean(1) - clip[:, 0, [11, 12], :2].mean(1)
    assert np.median(np.linalg.norm(trunk, axis=-1)) == pytest.approx(0.5) and trunk[0, 1] > 0
    wanted = person[:, AT("left wrist"), :2] - person[:, AT("right wrist"), :2]
    scale = 0.5 / np.median(np.linalg.norm(
        person[:, [4, 8], :2].mean(1) - person[:, [12, 16], :2].mean(1), axis=-1))
    np.testing.assert_allclose(clip[:, 0, left, :2] - clip[:, 0, right, :2],
                               wanted * scale * (-1, 1), atol=1e-4)


def test_a_clip_is_chosen_by_number_or_name(tmp_path, person):
    x = np.zeros((3, 300, 150), np.float32)
    for k in range(3):
        x[k, : 10 + k, :75] = person[: 10 + k].reshape(-1, 75)
    np.savez(tmp_path / "a.npz", x_train=x[:2], x_test=x[2:], y_train=[0, 1], y_test=[1])
    assert [len(quiet(tmp_path / "a.npz", clip=k)) for k in (0, 1, 2)] == [10, 11, 12]
    assert len(quiet(tmp_path / "a.npz", clip="test_000000")) == 12
    for clip, said in ((None, ""), (3, "; there is no 3"), ("x", "; there is no 'x'")):
        with refused("a.npz holds 3 clips, train_000000 to test_000000: pass clip=, a name or a "
                     f"number from 0 to 2{said}$"):
            read_motion(tmp_path / "a.npz", clip=clip)
    np.savez(tmp_path / "b.npz", poses=person, label=[3])
    assert off(quiet(tmp_path / "b.npz"), person).max() < 1e-5
    names = {joint: str(k) for k, joint in enumerate(NTU_JOINTS)}
    np.savez(tmp_path / "c.npz", poses=person[..., [0, 2, 1]] * (100, -100, 100))
    clip = quiet(tmp_path / "c.npz", mapping=names, unit=0.01, up="z")
    assert off(clip, person).max() < 1e-5


MANY = {
    "N, T, M, J, 3": lambda x: x[:, :, None],
    "N, T, J * 3": lambda x: x.reshape(3, -1, 75),
    "N, 3, T, J, M": lambda x: x.transpose(0, 3, 1, 2)[..., None],
}


@pytest.mark.parametrize("name", ["a.npy", "data.npz", "x_train.npz"])
@pytest.mark.parametrize("shape", MANY)
def test_a_clip_of_an_array_of_many(tmp_path, person, shape, name):
    x = MANY[shape](np.stack([person, person[::-1], person * (1, 1, 0.9)]))
    np.save(tmp_path / name, x) if name == "a.npy" else np.savez(
        tmp_path / name, **{name[:-4]: x})
    assert off(quiet(tmp_path / name, clip=np.int64(1)), person[::-1]).max() < 1e-5
    for clip in (None, 3):
        with refused(f"{name} holds 3 clips, .* number from 0 to 2"):
            read_motion(tmp_path / name, clip=clip)


@pytest.mark.parametrize("change, said", [
    (lambda x: np.stack([x, x]), r"40 people in 2 frames: expected .*save x.swapaxes\(0, 1\)"),
    (lambda x: np.stack([x] * 9)[:, :10], "10 people in 9 frames"),
    (lambda x: x.transpose(0, 2, 1), r"ST-GCN's \[3, T, J, M\] .* found \[40, 3, 25\]"),
    (lambda x: x[:0], r"expected joints .* found \[0, 25, 3\]"),
    (lambda x: x.astype(str), r"expected joints .* found \[40, 25, 3\]"),
])
def test_other_arrays_are_refused(tmp_path, person, change, said):
    np.save(tmp_path / "a.npy", change(person))
    np.savez(tmp_path / "a.npz", x=change(person))
    for name in ("a.npy", "a.npz"):
        with refused(f"{name}: .*{said}"):
            read_motion(tmp_path / name)


def test_ntus_own_files_are_read_too(tmp_path, person):
    path = tmp_path / "mine.skeleton"
    write_skeleton(path, person[:, None].astype(np.float32))
    assert off(quiet(path), person).max() < 1e-4
    with refused("axes and unit are known, leave out mapping=, unit="):
        read_motion(path, unit=0.01)


@pytest.mark.parametrize("option, said", [
    *(({"unit": unit}, "unit is .*: expected metres a unit of the file, a number above 0")
      for unit in (-1, 0, np.nan, np.inf, "cm")),
    ({"up": "w"}, "up is 'w': expected one of y, -y, z"), ({"up": ["z"]}, "up is .* expected one"),
    ({"mapping": ["head"]}, "mapping is of type list: expected a dict"),
    *(({"clip": clip}, "holds one clip: leave out clip=; there is no") for clip in (1, "b")),
    *(({"path": path}, "path is of type .*: give that of a motion file") for path in (None, 3)),
    ({"path": f"{'a' * 300}.npy"}, "cannot be read: File name too long"),
])
def test_bad_options_in_words(tmp_path, bvh, person, option, said):
    np.save(tmp_path / "a.npy", person)
    for path in (bvh(), tmp_path / "a.npy"):
        quiet(path, clip=0)
        with refused(said):
            read_motion(**{"path": path} | option)


def test_lines_of_two_people_in_turn_are_refused(tmp_path, person):
    """Who was lost and found again has another number and is read."""
    for name, who in (("found.csv", [1] * 20 + [2] * 20), ("two.csv", [1, 2] * 20)):
        wide("{j}_{a}", ("body",), joints=CAMEL, numbers=who)(tmp_path / name, person)
    assert off(quiet(tmp_path / "found.csv"), person).max() < 1e-5
    with refused("two.csv: its lines are of several people in turn"):
        read_motion(tmp_path / "two.csv")


@pytest.mark.parametrize("name", called("", ()))
def test_frames_stand_in_the_order_that_the_file_states(tmp_path, person, name):
    order, path = np.random.default_rng(0).permutation(40).tolist(), tmp_path / name
    called("frame", order)[name](path, person[order])
    assert off(quiet(path), person).max() < 1e-5
    if name == "keys.json":
        return
    called("image", order)[name](path, person)  # a picture's name or number says no order
    assert off(quiet(path), person).max() < 1e-5
    called("frame", [0, *range(39)])[name](path, person)
    with refused("frame 0 stands twice|once in frame 0, found it again"):
        read_motion(path)
    called("timestamp", [*range(20), *range(100, 120)][::-1])[name](path, person)
    with refused("timestamp .* comes after a later one: sort the frames"):
        read_motion(path)


def test_what_was_understood_is_drawn_in_words(bvh):
    with pytest.warns(MotionWarning):
        read_motion(bvh("rigify, z up"), show=True)
    figure = plt.gcf()
    words = " ".join(text.get_text() for ax in figure.axes for text in ax.texts)
    for said in ("left elbow ← forearm.L", "left thumb (derived)", "z is up", "metres", "guessed"):
        assert said in words
    plt.close(figure)


@pytest.mark.parametrize("name", ["a.md", "a"])
def test_files_of_no_kind(tmp_path, name):
    (tmp_path / name).write_text("text")
    with refused(f"{re.escape(str(tmp_path / name))}: expected one of .bvh, .csv, "):
        read_motion(tmp_path / name)


def test_height_is_that_of_the_bones_whatever_the_pose(person):
    sit = synthetic.generate_performance(synthetic.ACTIONS.index("sit down"), 5)[:, 0]
    heights = [standing_height(clip) for clip in (person, person[:1], person + 9, sit)]
    assert max(heights) - min(heights) < 0.02 and 1.2 < heights[0] < 1.8
    unseen = np.concatenate([0 * person, person[:3]])
    assert standing_height(unseen) == pytest.approx(heights[0], abs=0.02)
    assert standing_height(0 * person) == 0
