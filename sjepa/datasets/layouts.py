"""Joint layouts of the sources, and the way from each onto the 25 joints of NTU RGB+D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from sjepa.errors import SjepaError
from sjepa.skeleton import KINECT20, NTU25, NTU_JOINTS, Skeleton


def face_camera(clip: np.ndarray) -> np.ndarray:
    """A clip `[T, M, 25, 3]`, turned about the vertical until body 1 faces us.

    For recordings without a camera: motion capture knows no front. The first frame in which body 1
    is seen tells; a clip whose hips do not, both in one place, is not turned.
    """
    left, right = NTU_JOINTS.index("left hip"), NTU_JOINTS.index("right hip")
    across = clip[:, 0, right] - clip[:, 0, left]  # has to point along +x
    length = np.hypot(across[:, 0], across[:, 2])
    seen = np.flatnonzero(length > 1e-6)
    if not len(seen):
        return clip
    cos, sin = across[seen[0], [0, 2]] / length[seen[0]]
    turn = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], clip.dtype)
    return clip @ turn


def center_on_spine(clip: np.ndarray, skeleton: Skeleton = NTU25) -> np.ndarray:
    """Moves the origin to the middle of actor 1's spine in the first frame that has actor 1.

    One shift for both bodies and all frames: no rotation, no scale, the walk through the room and
    the distance between two people stay. Absent bodies stay at zero; the scripts see to that for
    two bodies only, because a lone body is never absent there.

    Args:
        clip: `[T, M, V, 3]` float32; not changed.
        skeleton: whose `center` joint becomes the origin. Of a planar one that is where the joint
            was seen first; the confidence stays, and a point that was not seen is zero.

    Returns:
        The moved copy.

    Raises:
        SjepaError: actor 1 is in no frame.
    """
    there = np.flatnonzero((clip[:, 0] != 0).any(axis=(1, 2)))
    if not len(there):
        raise SjepaError("actor 1 is in no frame of the clip: there is nothing to centre it on")
    absent = clip.reshape(*clip.shape[:2], -1).sum(axis=2) == 0  # as the lineage has it
    origin = clip[there[0], 0, skeleton.center].copy()
    if skeleton.planar:
        absent = clip[..., 2] <= 0  # each point by its own confidence
        seen = np.argwhere(~absent[:, 0])
        at_center = seen[seen[:, 1] == skeleton.center]
        if len(seen):
            frame, joint = (at_center if len(at_center) else seen)[0]
            origin = clip[frame, 0, joint].copy()
        origin[2] = 0
    moved = clip - origin
    moved[absent] = 0
    return moved


SMALLEST, TALLEST = 0.3, 3.0  # metres, with all bones of a person in one line


def standing_height(body: np.ndarray) -> float:
    """How tall a body `[T, 25, 3]` is from head to ankles with its bones in one line, in metres.

    The median over the frames in which it was seen, whatever the pose; 0 if there is none.
    """
    there = body[(body != 0).any((1, 2))]
    if not len(there):
        return 0.0
    trunk, *legs = (np.linalg.norm(np.diff(there[:, list(chain)], axis=1), axis=-1).sum(1)
                    for chain in ((0, 1, 20, 2, 3), (12, 13, 14), (16, 17, 18)))
    return float(np.median(trunk + sum(legs) / 2))


def check_clip(clip: np.ndarray, where: str, hint: str = "divide centimetres by 100",
               skeleton: Skeleton = NTU25) -> np.ndarray:
    """A clip as `[T, M, V, 3]` float32, or what is wrong with it.

    Args:
        clip: `[T, V, 3]` of one body, or `[T, M, V, 3]` with absent bodies zero; metres.
        where: it comes from, for the message.
        hint: what to do where the size of a body says that the unit is another one.
        skeleton: the joints; the size is looked at where they are NTU's.

    Raises:
        SjepaError: another shape, no frames, nobody in it, a value that is not finite, or a first
            body that is no person in metres.
    """
    try:
        clip = np.asarray(clip, np.float32)
    except (TypeError, ValueError) as error:
        raise SjepaError(f"{where} is no array of numbers ({error})") from error
    if clip.ndim == 3:
        clip = clip[:, None]
    joints = len(skeleton)
    if clip.ndim != 4 or clip.shape[2:] != (joints, 3):
        raise SjepaError(f"{where}: expected [T, {joints}, 3] or [T, M, {joints}, 3] in the layout "
                         f"{skeleton.name}, found {list(clip.shape)}: map other joints with "
                         "sjepa.datasets.layouts.LAYOUTS")
    if not clip.size:
        raise SjepaError(f"{where} has no frames or no bodies: {list(clip.shape)}")
    if not np.isfinite(clip).all():
        frame = int(np.flatnonzero(~np.isfinite(clip).all((1, 2, 3)))[0])
        raise SjepaError(f"{where}: a position in frame {frame} is NaN or infinite: leave such "
                         "frames out, or set a body that was not seen to zero")
    there = clip.any((0, 2, 3))
    if not there.any():
        raise SjepaError(f"{where}: nobody is in the clip, all its positions are zero")
    if skeleton != NTU25:
        return clip
    height = standing_height(clip[:, there.argmax()])  # a unit is that of all bodies
    if not SMALLEST <= height <= TALLEST:
        raise SjepaError(f"{where}: the person would be {height:.3g} m tall, expected "
                         f"{SMALLEST:g} to {TALLEST:g}, so the unit is not metres: {hint}")
    return clip


@dataclass(frozen=True)
class Layout:
    """A joint layout and its linear map onto NTU-25.

    Attributes:
        name: short name, as stores record it.
        joints: joint names.
        parents: the joint that each one hangs on, -1 for the root; `joints` lists parents first.
        to_ntu25: `[25, J]` float32, rows sum to 1; `x25 = to_ntu25 @ x` for `x` `[..., J, 3]`.
        measured: `[25]` bool, False where the NTU joint is derived and not measured.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    to_ntu25: np.ndarray
    measured: np.ndarray

    def map(self, x: np.ndarray) -> np.ndarray:
        """Positions `[T, J, 3]` of this layout → `[T, 25, 3]` float32."""
        return np.einsum("kj,tjc->tkc", self.to_ntu25, x.astype(np.float32))

    def order(self, joints: Sequence[str], parents: Sequence[int], where: str) -> list[int]:
        """Where the layout's joints stand in a file that may list the same skeleton otherwise.

        Args:
            joints, parents: the file's skeleton, as the attributes of a layout.
            where: the file, for the message.

        Raises:
            SjepaError: it is another skeleton; the sentence names one difference.
        """
        wanted, found = _parents(self.joints, self.parents), _parents(joints, parents)
        for joint in [*self.joints, *joints]:
            expected, there = (each.get(joint, "no such joint") for each in (wanted, found))
            if expected != there:
                raise SjepaError(f"{where}: expected the skeleton {self.name}, in which the "
                                 f"parent of {joint!r} is: {expected}; found: {there}")
        return [list(joints).index(joint) for joint in self.joints]


def _parents(joints: Sequence[str], parents: Sequence[int]) -> dict[str, str]:
    """Each joint's parent by name."""
    return {joint: joints[above] if above >= 0 else "none, it is the root"
            for joint, above in zip(joints, parents, strict=True)}


def _ntu25() -> Layout:
    matrix = np.eye(25, dtype=np.float32)
    return Layout("ntu25", NTU25.joints, NTU25.parents, matrix, np.ones(25, bool))


def _kinect20() -> Layout:
    """Kinect v1. Its order is NTU's first 20 with the shoulder centre in the place of the neck."""
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
    return Layout("kinect20", KINECT20.joints, KINECT20.parents, matrix, measured)


def _from_sources(name: str, joints: Sequence[str], parents: Sequence[int],
                  ntu25: Sequence[str | dict]) -> Layout:
    """A layout from what stands for each of NTU's 25: a joint, measured, or joints and weights."""
    matrix = np.zeros((25, len(joints)), np.float32)
    for row, source in zip(matrix, ntu25, strict=True):
        for joint, weight in ({source: 1} if isinstance(source, str) else source).items():
            row[joints.index(joint)] = weight
    measured = np.array([isinstance(source, str) for source in ntu25])
    return Layout(name, tuple(joints), tuple(parents), matrix, measured)


def _from_chains(name: str, chains: Sequence[str], ntu25: Sequence[str | dict]) -> Layout:
    """As `_from_sources`; each chain begins at the root or at a joint of an earlier chain."""
    tree = {chains[0].split()[0]: ""}
    for chain in chains:
        tree |= {child: parent for parent, child in pairwise(chain.split())}
    joints = list(tree)
    parents = [joints.index(parent) if parent else -1 for parent in tree.values()]
    return _from_sources(name, joints, parents, ntu25)


def _hdm31() -> Layout:
    """The root and 30 bones of HDM05 (and of CMU's recordings); a point is the END of its bone."""
    legs = [f"root {s}hipjoint {s}femur {s}tibia {s}foot {s}toes" for s in "lr"]
    spine = "root lowerback upperback thorax lowerneck upperneck head"
    arms = [(f"thorax {s}clavicle {s}humerus {s}radius {s}wrist {s}hand {s}fingers",
             f"{s}wrist {s}thumb") for s in "lr"]
    ntu25 = (
        "root upperback lowerneck head "
        "lclavicle lhumerus lradius lhand rclavicle rhumerus rradius rhand "
        "lhipjoint lfemur ltibia lfoot rhipjoint rfemur rtibia rfoot "
        "thorax lfingers lthumb rfingers rthumb"
    )
    return _from_chains("hdm31", [*legs, spine, *arms[0], *arms[1]], ntu25.split())


def _bandai21() -> Layout:
    """Bandai-Namco's motion capture without its extra root; Hand is where NTU has the wrist."""
    arms = [f"Chest Shoulder_{s} UpperArm_{s} LowerArm_{s} Hand_{s}" for s in "LR"]
    legs = [f"Hips UpperLeg_{s} LowerLeg_{s} Foot_{s} Toes_{s}" for s in "LR"]

    def beyond(side: str, share: float) -> dict[str, float]:
        """Past the wrist by a share of the forearm."""
        return {f"Hand_{side}": 1 + share, f"LowerArm_{side}": -share}

    ntu25: list[str | dict] = ["Hips", "Chest", {"Neck": 0.5, "Head": 0.5}]
    ntu25 += [{"Head": 2.5, "Neck": -1.5}]
    for side, arm in zip("LR", arms, strict=True):
        ntu25 += [*arm.split()[2:], beyond(side, 0.3)]
    ntu25 += [*legs[0].split()[1:], *legs[1].split()[1:], "Neck"]
    ntu25 += [beyond(side, share) for side in "LR" for share in (0.7, 0.3)]
    return _from_chains("bandai21", ["Hips Spine Chest Neck Head", *arms, *legs], ntu25)


def _mediapipe33() -> Layout:
    """MediaPipe Pose's landmarks in its order (BlazePose's topology), turned to y up.

    The parents are its connections; shoulders and mouth, which it ties to no face, hang on the
    nose. Pinky and index are the knuckles: the palm lies before them and the tips behind.
    Source: developers.google.com/mediapipe, Pose Landmarker.
    """
    pairs = "ear mouth shoulder elbow wrist pinky index thumb hip knee ankle heel toe".split()
    joints = ["nose"]
    joints += [f"{side} {part}" for side in ("left", "right")
               for part in ("inner eye", "eye", "outer eye")]
    joints += [f"{side} {part}" for part in pairs for side in ("left", "right")]
    parents = (-1, 0, 1, 2, 0, 4, 5, 3, 6, 0, 0, 0, 0, 11, 12, 13, 14, 15, 16, 15, 16, 15, 16,
               11, 12, 23, 24, 25, 26, 27, 28, 27, 28)

    def middle(**shares: float) -> dict[str, float]:
        """Weights of points half-way between left and right."""
        return {f"{side} {part}": share / 2 for part, share in shares.items()
                for side in ("left", "right")}

    ntu25: list[str | dict] = [middle(hip=1), middle(hip=0.5, shoulder=0.5),
                               middle(shoulder=0.67, ear=0.33), middle(ear=1)]
    for side in ("left", "right"):  # a palm half-way from the wrist to the knuckles
        ntu25 += [f"{side} shoulder", f"{side} elbow", f"{side} wrist",
                  {f"{side} wrist": 0.5, f"{side} pinky": 0.25, f"{side} index": 0.25}]
    ntu25 += [f"{side} {part}" for side in ("left", "right")
              for part in ("hip", "knee", "ankle", "toe")]
    ntu25 += [middle(shoulder=1)]
    for side in ("left", "right"):  # tips as far behind the knuckles as the palm is before them
        ntu25 += [{f"{side} wrist": -0.5, f"{side} pinky": 0.75, f"{side} index": 0.75},
                  f"{side} thumb"]
    return _from_sources("mediapipe33", joints, parents, ntu25)


LAYOUTS = {layout.name: layout for layout in (
    _ntu25(), _kinect20(), _hdm31(), _bandai21(), _mediapipe33())}


def map_clip(where: str | Path, layout: str, positions: np.ndarray) -> np.ndarray:
    """One person on NTU-25, with the spine's middle in the first frame as the origin.

    Args:
        where: the positions come from, for the message.
        layout: name of their layout.
        positions: `[T, J, 3]`, metres.

    Returns:
        `[T, 1, 25, 3]` float32.

    Raises:
        SjepaError: all positions are zero.
    """
    try:
        return center_on_spine(LAYOUTS[layout].map(positions)[:, None])
    except SjepaError as error:
        raise SjepaError(f"{where}: {error}") from error
