"""Joint layouts of the sources, and the way from each onto the 25 joints of NTU RGB+D."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from sjepa.errors import SjepaError
from sjepa.skeleton import NTU25, NTU_FLIP_PAIRS, NTU_JOINTS, Skeleton

# Kinect v1: NTU's first 20 joints with the shoulder centre, on which bones hang, for the neck.
_PARENTS20 = (-1, 0, 1, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18)
KINECT20 = Skeleton(
    "kinect20", (*NTU_JOINTS[:2], "spine shoulder", *NTU_JOINTS[3:20]), _PARENTS20,
    ((0, 1), (1, 2), (3, 2), *zip(range(4, 20), _PARENTS20[4:], strict=True)),
    NTU_FLIP_PAIRS[:8], (0, 2), 1)

# COCO's 17 keypoints: x and y in the image, turned y up, and a confidence.
_PARTS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_PARENTS17 = (-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14)
COCO17 = Skeleton(
    "coco17", ("nose", *(f"{side} {part}" for part in _PARTS for side in ("left", "right"))),
    _PARENTS17, tuple(enumerate(_PARENTS17))[1:], tuple((k, k + 1) for k in range(1, 17, 2)),
    (11, 5), 0, planar=True)


def face_camera(clip: np.ndarray) -> np.ndarray:
    """A clip `[T, M, 25, 3]`, turned about the vertical until body 1 faces us.

    The first frame in which its hips are not in one place tells; without such a frame nothing is
    turned. Another shape, as of joints in a picture, is a `SjepaError`.
    """
    if clip.ndim != 4 or clip.shape[2:] != (len(NTU25), 3):
        raise SjepaError(f"expected a clip [T, M, 25, 3] to turn, found {list(clip.shape)}: give "
                         "one body as clip[:, None]; joints in a picture cannot be turned")
    left, right = NTU_JOINTS.index("left hip"), NTU_JOINTS.index("right hip")
    across = clip[:, 0, right] - clip[:, 0, left]  # has to point along +x
    length = np.hypot(across[:, 0], across[:, 2])
    seen = np.flatnonzero(length > 1e-6)
    if not len(seen):
        return clip
    cos, sin = across[seen[0], [0, 2]] / length[seen[0]]
    turn = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], clip.dtype)
    return clip @ turn


def center_on_spine(clip: np.ndarray, skeleton: Skeleton = NTU25,
                    where: str | Path = "the clip") -> np.ndarray:
    """A copy of `[T, M, V, 3]` float32 with the middle of actor 1's spine as its origin.

    It is where the skeleton's `center` stands in the first frame that has actor 1: one shift for
    both bodies and all frames, no rotation, no scale. Absent bodies stay at zero. Of a planar
    skeleton it is where that joint was seen first; the confidence stays, and a point that was not
    seen is zero. If actor 1 is in no frame, a `SjepaError` says so of `where`.
    """
    there = np.flatnonzero(clip[:, 0].any((1, 2)))
    if not len(there):
        raise SjepaError(f"{where}: actor 1 is in no frame, there is nothing to centre it on")
    absent = clip.reshape(*clip.shape[:2], -1).sum(axis=2) == 0  # as the lineage has it
    frame, joint = there[0], skeleton.center
    if skeleton.planar:
        absent = clip[..., 2] <= 0  # each point by its own confidence
        seen = np.argwhere(~absent[:, 0])
        at_center = seen[seen[:, 1] == joint]
        frame, joint = [*at_center, *seen, (frame, joint)][0]
    origin = clip[frame, 0, joint] * (1, 1, not skeleton.planar)
    moved = clip - origin.astype(clip.dtype)
    moved[absent] = 0
    return moved


SMALLEST, TALLEST = 0.3, 3.0  # metres, with all bones of a person in one line


def standing_height(body: np.ndarray) -> float:
    """How tall a body `[T, 25, 3]` is from head to ankles with its bones in one line, in metres.

    The median over the frames in which it was seen, whatever the pose; 0 if there is none.
    """
    there = body[body.any((1, 2))]
    if not len(there):
        return 0.0
    trunk, *legs = (np.linalg.norm(np.diff(there[:, list(chain)], axis=1), axis=-1).sum(1)
                    for chain in ((0, 1, 20, 2, 3), (12, 13, 14), (16, 17, 18)))
    return float(np.median(trunk + sum(legs) / 2))


def check_clip(clip: np.ndarray, where: str, hint: str = "divide centimetres by 100",
               skeleton: Skeleton = NTU25) -> np.ndarray:
    """A clip `[T, V, 3]` or `[T, M, V, 3]`, absent bodies zero, as `[T, M, V, 3]` float32.

    Raises:
        SjepaError: another shape, nobody in it, a value that is not finite, or, of NTU's joints, a
            first body that is no person in metres; it says where the clip comes from, and by
            `hint` what to do about another unit.
    """
    try:
        clip = np.asarray(clip, np.float32)
    except (TypeError, ValueError) as error:
        raise SjepaError(f"{where} is no array of numbers ({error})") from error
    if clip.ndim == 3:
        clip = clip[:, None]
    if clip.ndim != 4 or clip.shape[2:] != (len(skeleton), 3):
        raise SjepaError(f"{where}: expected [T, {len(skeleton)}, 3] or [T, M, {len(skeleton)}, 3] "
                         f"in the layout {skeleton.name}, found {list(clip.shape)}: map other "
                         "joints with sjepa.datasets.layouts.LAYOUTS")
    if clip.shape[1] > max(len(clip), 2):
        raise SjepaError(f"{where}: {list(clip.shape)} has more bodies than frames: expected "
                         "[T, M, …], of [M, T, …] give clip.swapaxes(0, 1)")
    if not np.isfinite(clip).all():
        frame = int(np.flatnonzero(~np.isfinite(clip).all((1, 2, 3)))[0])
        raise SjepaError(f"{where}: a position in frame {frame} is NaN or infinite: leave such "
                         "frames out, or set one of two bodies that was not seen to zero")
    there = clip.any((0, 2, 3))
    if not there.any():
        raise SjepaError(f"{where}: nobody is in the clip: it has no frames, or all is zero")
    height = standing_height(clip[:, there.argmax()]) if skeleton == NTU25 else SMALLEST
    if not SMALLEST <= height <= TALLEST:
        raise SjepaError(f"{where}: the person would be {height:.3g} m tall, expected "
                         f"{SMALLEST:g} to {TALLEST:g}, so the unit is not metres: {hint}")
    return clip


#: From axes of which one is up to those of this project: x right, y up, handedness kept.
UPRIGHT = {"y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)), "-y": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
           "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)), "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
           "x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)), "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1))}


@dataclass(frozen=True)
class Layout:
    """J joints, the parent of each (-1: the root), and their linear map onto NTU-25."""

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    to_ntu25: np.ndarray  #: `[25, J]` float32, rows sum to 1; `x25 = to_ntu25 @ x`
    measured: np.ndarray  #: `[25]` bool, False where the NTU joint is derived and not measured

    def map(self, x: np.ndarray) -> np.ndarray:
        """Positions `[…, J, 3]` of this layout → `[…, 25, 3]` float32."""
        return np.einsum("kj,...jc->...kc", self.to_ntu25, x.astype(np.float32))

    def order(self, joints: Sequence[str], parents: Sequence[int], where: str) -> list[int]:
        """Where the layout's joints stand in a file, which may list them otherwise.

        Another skeleton is a `SjepaError`.
        """
        def tree(names: Sequence[str], above: Sequence[int]) -> list[str]:
            return sorted(f"{name} on {names[k] if k >= 0 else 'nothing'}"
                          for name, k in zip(names, above, strict=True))

        wanted, found = tree(self.joints, self.parents), tree(joints, parents)
        if wanted != found:
            odd = sorted(set(wanted) ^ set(found)) or ["a joint that is there twice"]
            raise SjepaError(f"{where} has another skeleton than {self.name}: {', '.join(odd)}")
        return [list(joints).index(joint) for joint in self.joints]


def derive(parts: dict[str, np.ndarray]) -> None:
    """Add to joints of NTU-25 those that are shares of others: all but the toes.

    `parts` are positions, or rows of a linear map; it needs hips, shoulders, elbows, wrists, head.
    """
    def put(name: str, *shares: tuple[float, str]) -> None:
        if name not in parts:
            parts[name] = sum(share * parts[joint] for share, joint in shares)

    for name, part in (("spine base", "hip"), ("spine shoulder", "shoulder")):
        put(name, (0.5, f"left {part}"), (0.5, f"right {part}"))
    put("spine mid", (0.5, "spine base"), (0.5, "spine shoulder"))
    put("neck", (0.67, "spine shoulder"), (0.33, "head"))
    for side in ("left", "right"):
        elbow, wrist, hand = (f"{side} {part}" for part in ("elbow", "wrist", "hand"))
        if hand in parts:  # the tip as far past the hand as the wrist is before it
            put(f"{side} hand tip", (2, hand), (-1, wrist))
            put(f"{side} thumb", (1, hand))
        for part, share in (("hand", 0.3), ("hand tip", 0.7), ("thumb", 0.3)):  # of the forearm
            put(f"{side} {part}", (1 + share, wrist), (-share, elbow))


def _both(text: str) -> list[str]:
    """A text with places for the side as both sides have it; any other as it is."""
    return [text.format(side=side, s=side[0], S=side[0].upper(), Side=side.title())
            for side in ("left", "right")] if "{" in text else [text]


def _tree(*chains: str) -> tuple[list[str], list[int]]:
    """Joints and parents; each chain begins at the root or at a joint of an earlier chain.

    Those with places for a side are there twice; `|` parts two chains of one side.
    """
    above = {chains[0].split()[0]: ""}
    for chain in chains:
        for each in " | ".join(_both(chain)).split(" | "):
            above |= {child: parent for parent, child in pairwise(each.split())}
    joints = list(above)
    return joints, [joints.index(parent) if parent else -1 for parent in above.values()]


def _layout(name: str, joints: Sequence[str], parents: Sequence[int], trunk: str,
            limbs: str = "") -> Layout:
    """A layout by what joints of NTU-25 are in it, `limbs` of both sides; the rest is derived.

    `NTU=JOINT` is measured, `NTU=0.5*JOINT + 0.5*OTHER` is derived.
    """
    pairs = trunk.split(", ") + [pair for limb in limbs.split(", ") if limb
                                 for pair in _both("{side} " + limb)]
    sources = dict(pair.split("=") for pair in pairs)
    rows = {each: np.zeros(len(joints)) for each in sources}
    for each, source in sources.items():
        for share in source.split(" + "):
            weight, _, joint = share.rpartition("*")
            rows[each][joints.index(joint)] = float(weight or 1)
    derive(rows)
    return Layout(name, tuple(joints), tuple(parents),
                  np.array([rows[each] for each in NTU_JOINTS], np.float32),
                  np.array(["*" not in sources.get(each, "*") for each in NTU_JOINTS]))


def _same(joints: Iterable[str]) -> str:
    """That these joints are called as NTU's."""
    return ", ".join(f"{joint}={joint}" for joint in joints)


# Azure Kinect's body tracking, in its order; collar bones, nose, eyes and ears are not read. Its
# head begins at the base of the skull, and NTU's lies in its middle, where the ears are.
_ARM = "shoulder", "elbow", "wrist", "hand", "hand tip", "thumb"
_LEG = "hip", "knee", "ankle", "foot"
_AZURE = ["pelvis", "spine navel", "spine chest", "neck", *(
    f"{side} {part}" for limb in (("clavicle", *_ARM), _LEG) for side in ("left", "right")
    for part in limb), "head", "nose", "left eye", "left ear", "right eye", "right ear"]
# MediaPipe Pose's landmarks in its order (BlazePose's topology), turned to y up. The parents are
# its connections; shoulders and mouth hang on the nose. Pinky and index are the knuckles: the palm
# lies half-way before them, and the tips as far behind.
_POSE = ["nose", *(f"{side} {part}eye" for side in ("left", "right")
                   for part in ("inner ", "", "outer ")),
         *(f"{side} {part}" for part in "ear mouth shoulder elbow wrist pinky index thumb hip knee "
           "ankle heel toe".split() for side in ("left", "right"))]

LAYOUTS = {layout.name: layout for layout in (
    *(_layout(known.name, known.joints, known.parents, _same(known.joints))
      for known in (NTU25, KINECT20)),
    _layout("azure32", _AZURE, (
        -1, 0, 1, 2, 2, 4, 5, 6, 7, 8, 7, 2, 11, 12, 13, 14, 15, 14, 0, 18, 19, 20, 0, 22, 23, 24,
        3, 26, 26, 26, 26, 26),
        "spine base=pelvis, spine mid=spine navel, spine shoulder=0.3*spine chest + 0.7*neck, "
        "neck=0.8*neck + 0.2*head, head=0.5*left ear + 0.5*right ear, "
        + _same(joint for joint in _AZURE if joint.endswith((*_ARM, *_LEG)))),
    # The root and 30 bones of HDM05 (and of CMU's recordings); a point is the END of its bone.
    _layout("hdm31", *_tree(
        "root {s}hipjoint {s}femur {s}tibia {s}foot {s}toes",
        "root lowerback upperback thorax lowerneck upperneck head",
        "thorax {s}clavicle {s}humerus {s}radius {s}wrist {s}hand {s}fingers | {s}wrist {s}thumb"),
        "spine base=root, spine mid=upperback, spine shoulder=thorax, neck=lowerneck, head=head",
        "shoulder={s}clavicle, elbow={s}humerus, wrist={s}radius, hand={s}hand, "
        "hand tip={s}fingers, thumb={s}thumb, hip={s}hipjoint, knee={s}femur, ankle={s}tibia, "
        "foot={s}foot"),
    # Bandai-Namco's motion capture without its extra root; Hand is where NTU has the wrist.
    _layout("bandai21", *_tree(
        "Hips Spine Chest Neck Head", "Chest Shoulder_{S} UpperArm_{S} LowerArm_{S} Hand_{S}",
        "Hips UpperLeg_{S} LowerLeg_{S} Foot_{S} Toes_{S}"),
        "spine base=Hips, spine mid=Chest, spine shoulder=Neck, neck=0.5*Neck + 0.5*Head, "
        "head=2.5*Head + -1.5*Neck",
        "shoulder=UpperArm_{S}, elbow=LowerArm_{S}, wrist=Hand_{S}, hip=UpperLeg_{S}, "
        "knee=LowerLeg_{S}, ankle=Foot_{S}, foot=Toes_{S}"),
    _layout("mediapipe33", _POSE, (
        -1, 0, 1, 2, 0, 4, 5, 3, 6, 0, 0, 0, 0, 11, 12, 13, 14, 15, 16, 15, 16, 15, 16, 11, 12, 23,
        24, 25, 26, 27, 28, 27, 28),
        "head=0.5*left ear + 0.5*right ear, "
        + _same(joint for joint in _POSE if joint.endswith((*_ARM, *_LEG))),
        "hand=0.5*{side} wrist + 0.25*{side} pinky + 0.25*{side} index, "
        "hand tip=-0.5*{side} wrist + 0.75*{side} pinky + 0.75*{side} index, foot={side} toe"),
    # OpenNI's person (Kinect v1): no pelvis, and limbs that end in the hand and in the foot.
    _layout("openni15", (
        "Head Neck ShoulderRight ElbowRight HandRight ShoulderLeft ElbowLeft HandLeft Torso "
        "HipRight KneeRight FootRight HipLeft KneeLeft FootLeft").split(),
        (1, 8, 1, 2, 3, 1, 5, 6, -1, 8, 9, 10, 8, 12, 13),
        "spine mid=Torso, spine shoulder=Neck, head=Head",
        "shoulder=Shoulder{Side}, elbow=Elbow{Side}, wrist=Hand{Side}, hip=Hip{Side}, "
        "knee=Knee{Side}, ankle=Foot{Side}, foot=1*Foot{Side}"),
    # UI-PRMD's Kinect skeleton, whose limbs end in the wrist and in the toe.
    _layout("uiprmd22", *_tree(
        "waist spine chest neck head tip", "chest {s}collar {s}shoulder {s}elbow {s}wrist",
        "waist {s}hip {s}knee {s}ankle {s}toe"),
        "spine base=waist, spine mid=spine, spine shoulder=chest, neck=head, head=tip",
        "shoulder={s}shoulder, elbow={s}elbow, wrist={s}wrist, hip={s}hip, knee={s}knee, "
        "ankle={s}ankle, foot={s}toe"),
    # CMU's skeleton for Daz Studio with its toes' ends, without eyes and the other fingers; tips
    # of hand and thumb lie a bone past its end.
    _layout("cmu_daz31", *_tree(
        "hip abdomen chest neck head",
        "chest {s}Collar {s}Shldr {s}ForeArm {s}Hand {s}Thumb1 {s}Thumb2 | {s}Hand {s}Mid1 {s}Mid2",
        "hip {s}Buttock {s}Thigh {s}Shin {s}Foot {s}Toe"),
        "spine base=hip, spine mid=chest, spine shoulder=neck, neck=head, "
        "head=2.5*head + -1.5*neck",
        "shoulder={s}Shldr, elbow={s}ForeArm, wrist={s}Hand, hand={s}Mid1, "
        "hand tip=2*{s}Mid2 + -1*{s}Mid1, thumb=2*{s}Thumb2 + -1*{s}Thumb1, hip={s}Thigh, "
        "knee={s}Shin, ankle={s}Foot, foot={s}Toe"))}


def bridge(x: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """A copy of `[T, …]` whose numbers that were not seen lie between their neighbours in time.

    At an end they stay. `seen` is of the same shape, or has 1 for an axis; what was never seen
    stays as it is.
    """
    x, times = x.copy(), np.arange(len(x))
    for at in np.ndindex(x.shape[1:]):
        known = np.broadcast_to(seen, x.shape)[:, *at]
        if known.any() and not known.all():
            x[:, *at] = np.interp(times, times[known], x[known, *at])
    return x


def map_clip(where: str | Path, layout: str, positions: np.ndarray) -> np.ndarray:
    """People `[T, (M,) J, 3]` in metres → `[T, M, 25, 3]` float32, as `center_on_spine` has it.

    Raises:
        SjepaError: all positions are zero; `where` says whose.
    """
    clip = LAYOUTS[layout].map(positions)
    return center_on_spine(clip[:, None] if clip.ndim == 3 else clip, where=where)
