"""Joint layouts and their maps onto NTU-25."""

from __future__ import annotations

import numpy as np
import pytest
from formats import raw_samples

from sjepa.datasets.layouts import LAYOUTS
from sjepa.errors import SjepaError
from sjepa.skeleton import NTU25, NTU_JOINTS

FILES = {
    "hdm31": "hdm05_11.npz", "bandai21": "bandai_int16.npz", "kinect20": "kindergator_int16.npz",
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_moved_body_stays_a_moved_body(layout):
    """Rows sum to 1, so that a rigid motion before the map is one after it."""
    assert layout.to_ntu25.shape == (25, len(layout.joints)) and layout.measured.shape == (25,)
    np.testing.assert_allclose(layout.to_ntu25.sum(1), 1, atol=1e-6)
    x = np.random.default_rng(0).normal(size=(4, len(layout.joints), 3))
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    moved = layout.map(x @ turn.T + 2)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved, layout.map(x) @ turn.T + 2, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_left_and_right_are_mapped_alike(layout):
    """Swapping the source's sides swaps NTU's sides: no joint of one arm comes from the other."""
    def mirrored(joint):
        for left, right in (("left ", "right "), ("_L", "_R")):
            if left in joint or right in joint:
                return joint.replace(*(left, right) if left in joint else (right, left))
        if joint[0] in "lr" and "lr"["rl".index(joint[0])] + joint[1:] in layout.joints:
            return "lr"["rl".index(joint[0])] + joint[1:]
        return joint

    swap = [layout.joints.index(mirrored(joint)) for joint in layout.joints]
    assert swap != sorted(swap)
    flipped = layout.to_ntu25[list(NTU25.flip_permutation)]
    np.testing.assert_array_equal(layout.to_ntu25[:, swap], flipped)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_measured_joints_are_joints_and_the_others_are_not(layout):
    single = (layout.to_ntu25 == 1).sum(1) == 1
    assert single[layout.measured].all()
    sources = layout.to_ntu25[layout.measured].argmax(1)
    assert len(set(sources.tolist())) == layout.measured.sum()  # each stands for one joint
    counts = {"ntu25": 25, "kinect20": 20, "hdm31": 25, "bandai21": 17, "mediapipe33": 16}
    assert layout.measured.sum() == counts[layout.name]


STANDS_FOR = {  # what the joints of one side and of the middle are called: hdm31, bandai21
    "spine base": ("root", "Hips"), "spine mid": ("upperback", "Chest"),
    "spine shoulder": ("thorax", "Neck"), "neck": ("lowerneck", None), "head": ("head", None),
    "left shoulder": ("lclavicle", "UpperArm_L"), "left elbow": ("lhumerus", "LowerArm_L"),
    "left wrist": ("lradius", "Hand_L"), "left hand": ("lhand", None),
    "left hip": ("lhipjoint", "UpperLeg_L"), "left knee": ("lfemur", "LowerLeg_L"),
    "left ankle": ("ltibia", "Foot_L"), "left foot": ("lfoot", "Toes_L"),
    "left hand tip": ("lfingers", None), "left thumb": ("lthumb", None),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_measured_joints_come_from_the_joint_of_that_place(layout):
    for k, name in enumerate(NTU_JOINTS):
        if layout.name in ("ntu25", "kinect20"):
            wanted = name if layout.measured[k] else None
        elif layout.name == "mediapipe33":
            wanted = name.replace("foot", "toe") if layout.measured[k] else None
        elif name in STANDS_FOR:
            wanted = STANDS_FOR[name][layout.name == "bandai21"]
        else:
            continue  # the right side, which is mapped like the left
        assert layout.measured[k] == (wanted is not None)
        if wanted:
            np.testing.assert_array_equal(layout.to_ntu25[k], np.array(layout.joints) == wanted)


def test_bandai_derives_hands_and_head_by_hand():
    """Along the axes: hand past the wrist by 0.3 and tip by 0.7 of the forearm, head by 1.5."""
    layout = LAYOUTS["bandai21"]
    x = np.zeros((1, 21, 3))
    for joint, place in (("LowerArm_L", 1), ("Hand_L", 3), ("Neck", 10), ("Head", 12)):
        x[0, layout.joints.index(joint), 0] = place
    got = dict(zip(NTU_JOINTS, layout.map(x)[0, :, 0].tolist(), strict=True))
    wanted = {"left wrist": 3, "left hand": 3.6, "left thumb": 3.6, "left hand tip": 4.4,
              "neck": 11, "head": 15}
    assert {name: got[name] for name in wanted} == pytest.approx(wanted)


def test_mediapipe_derives_trunk_and_hands_by_hand():
    """Along the axes: the middle of hips, shoulders and ears; palm and tips by the knuckles."""
    layout = LAYOUTS["mediapipe33"]
    x = np.zeros((1, 33, 3))
    places = {23: 1, 24: 3, 11: 10, 12: 14, 7: 20, 8: 22, 15: 4, 17: 6, 19: 10, 21: 5, 31: 7}
    for landmark, place in places.items():  # by the numbers of the landmarker's documentation
        x[0, landmark, 0] = place
    got = dict(zip(NTU_JOINTS, layout.map(x)[0, :, 0].tolist(), strict=True))
    wanted = {"spine base": 2, "spine mid": 7, "spine shoulder": 12, "neck": 12 + 0.33 * 9,
              "head": 21, "left shoulder": 10, "right shoulder": 14, "left wrist": 4,
              "left hand": 6, "left hand tip": 10, "left thumb": 5, "left foot": 7}
    assert {name: got[name] for name in wanted} == pytest.approx(wanted, rel=1e-5)


def test_order_finds_a_skeleton_again_however_it_is_listed():
    layout = LAYOUTS["bandai21"]
    shuffle = np.random.default_rng(1).permutation(21)
    place = np.argsort(shuffle)
    joints = [layout.joints[k] for k in shuffle]
    parents = [place[layout.parents[k]] if layout.parents[k] >= 0 else -1 for k in shuffle]
    assert [joints[k] for k in layout.order(joints, parents, "a")] == list(layout.joints)


@pytest.mark.parametrize("change, said", [
    (dict(joints=("Pelvis",)), "parent of 'Hips' is: none, it is the root; found: no such joint"),
    (dict(parents=(-1, 0, 0)), "parent of 'Chest' is: Spine; found: Hips"),
    (dict(extra="Tail"), "parent of 'Tail' is: no such joint; found: Hips"),
])
def test_order_names_the_difference_to_another_skeleton(change, said):
    layout, extra = LAYOUTS["bandai21"], change.get("extra")
    joints = [*change.get("joints", ()), *layout.joints[len(change.get("joints", ())) :]]
    parents = [*change.get("parents", ()), *layout.parents[len(change.get("parents", ())) :]]
    said = f"a.bvh: expected the skeleton bandai21, in which the {said}"
    with pytest.raises(SjepaError, match=said):
        layout.order(joints + [extra] * bool(extra), parents + [0] * bool(extra), "a.bvh")


@pytest.mark.parametrize("name", FILES)
def test_layouts_equal_those_of_the_converted_sets(name):
    folder, _ = raw_samples("bandai")
    layout = LAYOUTS[name]
    with np.load(folder / FILES[name]) as data:
        np.testing.assert_array_equal(layout.to_ntu25, data["to_ntu25"])
        np.testing.assert_array_equal(layout.measured, data["ntu25_measured"])
        np.testing.assert_array_equal(layout.parents, data["parents"])
        if name != "kinect20":  # ours are called as NTU's, the file's as Kinect's
            assert list(layout.joints) == data["joint_names"].tolist()
