"""Skeletons: joints, bones, left and right, and the spine that a view turns a body about.

The reference is the 25 joints of Kinect v2 as NTU RGB+D stores them, counted from 0 here (the
owners count from 1). Positions are metres in the camera frame: y up, z away from the camera, and a
person who faces the camera has the left hand at the smaller x.
"""

from dataclasses import dataclass

from sjepa.errors import SjepaError

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

NTU_FLIP_PAIRS = ((4, 8), (5, 9), (6, 10), (7, 11), (12, 16), (13, 17), (14, 18), (15, 19),
                  (21, 23), (22, 24))

SPINE_BASE, SPINE_MID, SPINE_SHOULDER = 0, 1, 20


@dataclass(frozen=True)
class Skeleton:
    """What the method needs to know of a body; joint numbers are places in `joints`.

    Attributes:
        name: short name, as stores record it.
        joints: V joint names.
        parents: the joint that each one hangs on, -1 for the root.
        bones: `(child, parent)` pairs of the bone stream.
        flip_pairs: `(left, right)` pairs that change places in a mirror.
        spine: base and shoulder of the spine: a view turns a body about the line between them.
        center: the joint whose first position is a clip's origin.
        planar: True for image skeletons, whose third channel is a confidence and no coordinate.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    bones: tuple[tuple[int, int], ...]
    flip_pairs: tuple[tuple[int, int], ...]
    spine: tuple[int, int]
    center: int
    planar: bool = False

    def __post_init__(self):
        count = len(self.joints)
        named = [*self.spine, self.center, *sum(map(tuple, (*self.bones, *self.flip_pairs)), ())]
        if len(self.parents) != count or not all(0 <= joint < count for joint in named):
            raise SjepaError(f"skeleton {self.name!r}: expected a parent for each of its {count} "
                             f"joints, and bones, pairs and spine from 0 to {count - 1}")

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def flip_permutation(self) -> tuple[int, ...]:
        """Joint order after a mirror: left takes the place of right and the other way round."""
        other = dict(self.flip_pairs) | {right: left for left, right in self.flip_pairs}
        return tuple(other.get(joint, joint) for joint in range(len(self)))

    @classmethod
    def from_dict(cls, values: dict) -> "Skeleton":
        """The skeleton that `dataclasses.asdict` described.

        Raises:
            SjepaError: an entry is missing or unknown.
        """
        def tuples(value):
            return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value

        try:
            return cls(**{name: tuples(value) for name, value in values.items()})
        except TypeError as error:
            raise SjepaError(f"not a skeleton ({error}): expected the entries of "
                             "sjepa.skeleton.Skeleton") from error


NTU25 = Skeleton("ntu25", NTU_JOINTS, NTU_PARENTS, NTU_BONES, NTU_FLIP_PAIRS,
                 (SPINE_BASE, SPINE_SHOULDER), SPINE_MID)
