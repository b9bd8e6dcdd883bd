"""Joint layouts: names, bones, left/right pairs, and the way from other layouts onto NTU-25.

The reference layout is the 25 joints of Kinect v2 as NTU RGB+D stores them, counted from 0 here
(the owners count from 1). Positions are metres in the camera frame: y up, z away from the camera,
and a person who faces the camera has the left hand at the smaller x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NTU_JOINTS = (
    "spine base", "spine mid", "neck", "head",
    "left shoulder", "left elbow", "left wrist", "left hand",
    "right shoulder", "right elbow", "right wrist", "right hand",
    "left hip", "left knee", "left ankle", "left foot",
    "right hip", "right knee", "right ankle", "right foot",
    "spine shoulder", "left hand tip", "left thumb", "right hand tip", "right thumb",
)

#: Joint 20 (spine shoulder) is the hub. Arms and neck hang on it, and it hangs on the spine.
NTU_PARENTS = (
    -1, 0, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 7, 7, 11, 11,
)

#: The owners' bone list runs thumb and tip in a row (22-23-8 and 24-25-12, counted from 1);
#: bone features of the lineage use exactly these (child, parent) pairs.
NTU_BONES = (
    (0, 1), (1, 20), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8), (10, 9),
    (11, 10), (12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18),
    (21, 22), (22, 7), (23, 24), (24, 11),
)

NTU_FLIP_PAIRS = (
    (4, 8), (5, 9), (6, 10), (7, 11), (12, 16), (13, 17), (14, 18), (15, 19), (21, 23), (22, 24),
)

#: Joint chains drawn as one line each, by body part.
NTU_CHAINS = {
    "torso": ((0, 1, 20, 2, 3), (4, 20, 8), (12, 0, 16)),
    "left arm": ((4, 5, 6, 7, 21), (7, 22)),
    "right arm": ((8, 9, 10, 11, 23), (11, 24)),
    "left leg": ((12, 13, 14, 15),),
    "right leg": ((16, 17, 18, 19),),
}

SPINE_BASE, SPINE_MID, SPINE_SHOULDER = 0, 1, 20


def flip_permutation() -> tuple[int, ...]:
    """Joint order after a mirror: left takes the place of right and the other way round."""
    order = list(range(len(NTU_JOINTS)))
    for left, right in NTU_FLIP_PAIRS:
        order[left], order[right] = right, left
    return tuple(order)


@dataclass(frozen=True)
class Layout:
    """A joint layout and its linear map onto NTU-25.

    Attributes:
        name: short name, as stores record it.
        joints: joint names.
        to_ntu25: `[25, J]` float32, rows sum to 1; `x25 = to_ntu25 @ x` for `x` `[..., J, 3]`.
        measured: `[25]` bool, False where the NTU joint is derived and not measured.
    """

    name: str
    joints: tuple[str, ...]
    to_ntu25: np.ndarray
    measured: np.ndarray


def _ntu25() -> Layout:
    return Layout("ntu25", NTU_JOINTS, np.eye(25, dtype=np.float32), np.ones(25, bool))


def _kinect20() -> Layout:
    """Kinect v1. Its order is NTU's first 20 with the shoulder centre in the place of the neck."""
    joints = tuple("spine shoulder" if k == 2 else NTU_JOINTS[k] for k in range(20))
    matrix = np.zeros((25, 20), np.float32)
    for k in range(20):
        matrix[k, k] = 1
    matrix[2, 2:4] = 0.67, 0.33  # neck: a third of the way from shoulder centre to head
    matrix[20, 2] = 1
    for tip, thumb, hand, wrist in ((21, 22, 7, 6), (23, 24, 11, 10)):
        matrix[tip, hand], matrix[tip, wrist] = 2, -1  # as far past the hand as the wrist is before
        matrix[thumb, hand] = 1
    measured = np.ones(25, bool)
    measured[[2, 21, 22, 23, 24]] = False
    return Layout("kinect20", joints, matrix, measured)


LAYOUTS = {layout.name: layout for layout in (_ntu25(), _kinect20())}
