"""Joint layouts and their maps onto NTU-25."""

import numpy as np
import pytest
from formats import refused

from sjepa import synthetic
from sjepa.datasets.layouts import LAYOUTS, face_camera
from sjepa.skeleton import NTU_JOINTS


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_moved_body_stays_a_moved_body(layout):
    """A rigid motion before the map is one after it; a measured joint stands for one joint."""
    x = np.random.default_rng(0).normal(size=(4, len(layout.joints), 3))
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    moved = layout.map(x @ turn.T + 2)
    assert moved.shape == (4, 25, 3) and moved.dtype == np.float32
    np.testing.assert_allclose(moved, layout.map(x) @ turn.T + 2, atol=1e-5)
    single = np.array([(row == 1).sum() == 1 and (row != 0).sum() == 1 for row in layout.to_ntu25])
    assert single[layout.measured].all() and len(layout.joints) == int(layout.name[-2:])
    names = [joint for joint, real in zip(NTU_JOINTS, layout.measured, strict=True) if real]
    assert layout.name != "kinect20" or set(names) == set(layout.joints)


BY_HAND = {  # where source joints lie along the axes, and where NTU's then must lie
    "hdm31": ({"thorax": 2, "lclavicle": 3, "rhumerus": 4, "rtibia": 6, "lfingers": 7},
              {"spine shoulder": 2, "left shoulder": 3, "right elbow": 4, "right ankle": 6,
               "left hand tip": 7}),
    # Hand past the wrist by 0.3 and tip by 0.7 of the forearm, head by 1.5 of the neck.
    "bandai21": ({"LowerArm_L": 1, "Hand_L": 3, "LowerArm_R": 5, "Neck": 10, "Head": 12},
                 {"left wrist": 3, "left hand": 3.6, "left thumb": 3.6, "left hand tip": 4.4,
                  "right elbow": 5, "right hand": -1.5, "neck": 11, "head": 15}),
    # By the documentation's numbers: middles of hips, shoulders, ears; hands by the knuckles.
    "mediapipe33": ({23: 1, 24: 3, 11: 10, 12: 14, 7: 20, 8: 22, 15: 4, 17: 6, 19: 10, 21: 5,
                     31: 7, 14: 9},
                    {"spine base": 2, "spine mid": 7, "spine shoulder": 12, "neck": 14.97,
                     "head": 21, "left shoulder": 10, "right shoulder": 14, "left wrist": 4,
                     "left hand": 6, "left hand tip": 10, "left thumb": 5, "left foot": 7,
                     "right elbow": 9}),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_maps_by_hand(name):
    layout, (places, wanted) = LAYOUTS[name], BY_HAND[name]
    x = np.zeros((1, len(layout.joints), 3))
    for joint, place in places.items():
        x[0, joint if isinstance(joint, int) else layout.joints.index(joint), 0] = place
    got = dict(zip(NTU_JOINTS, layout.map(x)[0, :, 0].tolist(), strict=True))
    assert {joint: got[joint] for joint in wanted} == pytest.approx(wanted, rel=1e-5)


def test_order_finds_a_skeleton_again_and_names_the_difference_to_another():
    layout, shuffle = LAYOUTS["bandai21"], np.random.default_rng(1).permutation(21)
    place, (root, *parents) = np.argsort(shuffle), layout.parents
    joints = [layout.joints[k] for k in shuffle]
    moved = [place[layout.parents[k]] if layout.parents[k] >= 0 else -1 for k in shuffle]
    assert [joints[k] for k in layout.order(joints, moved, "a")] == list(layout.joints)
    for names, ties, said in (
        (layout.joints, [root, 0, 0, *parents[2:]], "Chest on Hips, Chest on Spine"),
        ([*layout.joints, "Tail"], [*layout.parents, 0], "Tail on Hips"),
    ):
        with refused(f"a.bvh has another skeleton than bandai21: {said}"):
            layout.order(names, ties, "a.bvh")


@pytest.mark.parametrize("angle", [0.0, 0.7, np.pi / 2, np.pi, -2.0])
def test_everybody_faces_us_however_the_room_was_turned(angle):
    two = synthetic.generate_clip(synthetic.ACTIONS.index("push"), 4, 1, noise=False)
    cos, sin = np.cos(angle), np.sin(angle)
    faced = face_camera(two @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], np.float32))
    assert faced.dtype == np.float32
    np.testing.assert_allclose(faced, face_camera(two), atol=1e-5)
    left, right = faced[0, 0, 12], faced[0, 0, 16]  # hips: the left one on our right, as deep
    assert left[0] < right[0] and abs(left[2] - right[2]) < 1e-6
    spans = [np.linalg.norm(clip[:, 0] - clip[:, 1], axis=-1) for clip in (faced, two)]
    np.testing.assert_allclose(*spans, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 25, 3), (4, 1, 17, 3)])
def test_face_camera_takes_clips_of_25_joints_only(shape):
    with refused(r"expected a clip \[T, M, 25, 3\] to turn, found \[4, "):
        face_camera(np.zeros(shape, np.float32))


def test_face_camera_turns_to_where_body_1_is_first_seen():
    clip = np.random.default_rng(0).normal(size=(5, 2, 25, 3))
    clip[0, 0] = 0  # body 2 alone is in the first frame
    faced = face_camera(clip)
    left, right = (faced[1, 0, NTU_JOINTS.index(f"{side} hip")] for side in ("left", "right"))
    assert right[0] > left[0] and abs(right[2] - left[2]) < 1e-9
    np.testing.assert_allclose(np.linalg.norm(faced, axis=-1), np.linalg.norm(clip, axis=-1))
    np.testing.assert_array_equal(faced[..., 1], clip[..., 1])
