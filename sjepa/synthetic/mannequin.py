"""The mannequin of the synthetic clips: what a pose is, and where it puts the joints.

A pose is a flat vector of named channels (`CHANNELS`). Directions are written as the person on the
stage would say them: **(right, up, forward)** for the trunk and **(out, up, forward)** for a limb,
where *out* is away from the middle of the body, so that one number serves both sides.

    pelvis              offset from standing, in leg lengths
    turn, spine, head   (turn left, bend forward, lean right) in degrees, relative to the part below
    r_hand, l_hand      wrist relative to its shoulder, in arm lengths, in the frame of the chest
    r_elbow, l_elbow    direction to which the elbow points
    r_palm, l_palm      pull on the direction of the hand, away from the line of the forearm
    r_foot, l_foot      ankle relative to where it stands, in leg lengths
    r_toe, l_toe        toes down, in degrees
    meet                0 to 1: how far the right hands of two people are drawn together

Trunk, hands and feet follow by forward kinematics, arms and legs by two-bone inverse kinematics.
"""

import numpy as np

_WIDTHS = dict(
    pelvis=3, turn=3, spine=3, head=3, r_hand=3, l_hand=3, r_elbow=3, l_elbow=3,
    r_palm=3, l_palm=3, r_foot=3, l_foot=3, r_toe=1, l_toe=1, meet=1)
_STARTS = np.cumsum([0, *_WIDTHS.values()])
CHANNELS = {n: slice(a, a + w) for (n, w), a in zip(_WIDTHS.items(), _STARTS[:-1], strict=True)}
WIDTH = int(_STARTS[-1])


def pose_vector(**channels) -> np.ndarray:
    """A channel vector `[WIDTH]`, zero where nothing is named."""
    vector = np.zeros(WIDTH)
    for name, value in channels.items():
        vector[CHANNELS[name]] = value
    return vector


HANG = (0.10, -0.96, 0.06)
ELBOW = (0.6, -0.8, -0.7)  # back for a hanging arm, down for one held forward, out for one raised
PALM = (-0.15, 0.0, 0.12)
REST = pose_vector(r_hand=HANG, l_hand=HANG, r_elbow=ELBOW, l_elbow=ELBOW, r_palm=PALM, l_palm=PALM)

#: How much of each channel drifts while a person stands (slow sway, breath, glances) ...
SWAY = pose_vector(
    pelvis=(0.014, 0.002, 0.010), turn=(2.0, 0.5, 0.8), spine=(2.0, 1.2, 1.0), head=(6, 3, 2),
    r_hand=(0.02, 0.006, 0.025), l_hand=(0.02, 0.006, 0.025), r_elbow=0.08, l_elbow=0.08,
    r_palm=0.06, l_palm=0.06)
#: ... and how far a key pose misses its mark. Feet have none, a planted foot does not slide.
MISS = pose_vector(
    pelvis=(0.008, 0.008, 0.008), turn=(3, 2, 2), spine=(4, 3, 2), head=(5, 4, 3),
    r_hand=0.04, l_hand=0.04, r_elbow=0.15, l_elbow=0.15, r_palm=0.15, l_palm=0.15)
#: Channels whose distance from rest grows with a subject's amplitude.
#: Hands have a goal (the mouth, the other hand), so they scale little.
SCALED = pose_vector(
    pelvis=1, turn=1, spine=1, head=1, r_hand=0.3, l_hand=0.3,
    r_foot=1, l_foot=1, r_toe=1, l_toe=1)

# A mirror swaps the sides and negates sideways shifts, turns about the vertical and leans.
_SWAP = np.arange(WIDTH)
for _n in ("hand", "elbow", "palm", "foot", "toe"):
    _SWAP[CHANNELS[f"r_{_n}"]] = np.arange(WIDTH)[CHANNELS[f"l_{_n}"]]
    _SWAP[CHANNELS[f"l_{_n}"]] = np.arange(WIDTH)[CHANNELS[f"r_{_n}"]]
_NEGATE = 1 - 2 * pose_vector(pelvis=(1, 0, 0), turn=(1, 0, 1), spine=(1, 0, 1), head=(1, 0, 1))


def mirror(pose: np.ndarray) -> np.ndarray:
    """The pose `[..., WIDTH]` as a left-handed person takes it."""
    return pose[..., _SWAP] * _NEGATE


def interpolate(times: np.ndarray, poses: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Monotone cubic interpolation (no overshoot, flows through a key on the way), then smoothed.

    `times [K]`, `poses [K, ...]`, `at [T]` in seconds → `[T, ...]`. Outside the keys: held.
    """
    wide = (-1,) + (1,) * (poses.ndim - 1)
    step = np.diff(times).reshape(wide)
    secant = np.diff(poses, axis=0) / step
    slope = np.zeros_like(poses)
    product = secant[1:] * secant[:-1]  # the harmonic mean where both sides go the same way
    slope[1:-1] = np.where(product > 0, 2 * product / (secant[1:] + secant[:-1] + 1e-12), 0)
    at = np.clip(at, times[0], times[-1])
    k = np.clip(np.searchsorted(times, at, "right") - 1, 0, len(times) - 2)
    h = step[k]
    u = ((at - times[k]).reshape(wide)) / h
    rise = u * u * (3 - 2 * u)
    track = poses[k] + rise * (poses[k + 1] - poses[k])
    track += h * u * (1 - u) * ((1 - u) * slope[k] - u * slope[k + 1])
    padded = np.concatenate([track[:1], track[:1], track, track[-1:], track[-1:]])
    n = len(track)
    return sum(w * padded[i : i + n] for i, w in enumerate((0.06, 0.24, 0.4, 0.24, 0.06)))


#: Segment lengths as shares of body height (after Drillis and Contini, moved to Kinect's joints).
SEGMENTS = dict(
    spine_low=0.130, spine_high=0.130, neck=0.042, head=0.085, shoulder=0.102, upper_arm=0.172,
    forearm=0.148, hand=0.042, tip=0.045, thumb=0.035, hip=0.047, thigh=0.243, shin=0.245,
    ankle=0.042, foot=0.085)
SEGMENT = {name: k for k, name in enumerate(SEGMENTS)}
_SIDE = np.array([-1.0, 1.0])  # left, right: the order of every `[..., 2, 3]` array below


def euler(degrees: np.ndarray) -> np.ndarray:
    """(turn left, bend forward, lean right) `[..., 3]` → rotation matrices `[..., 3, 3]`."""
    angle = np.radians(degrees) * (1, -1, -1)
    cy, cx, cz = np.moveaxis(np.cos(angle), -1, 0)
    sy, sx, sz = np.moveaxis(np.sin(angle), -1, 0)
    rows = [[cy * cz + sy * sx * sz, sy * sx * cz - cy * sz, sy * cx],
            [cx * sz, cx * cz, -sx],
            [cy * sx * sz - sy * cz, sy * sz + cy * sx * cz, cy * cx]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.sqrt(np.einsum("...i,...i->...", v, v) + 1e-12)[..., None]


def _sides(pose: np.ndarray, name: str) -> np.ndarray:
    """Channel pair (out, up, forward) → stage axes (x right, y up, z back), `[T, M, 2, 3]`."""
    both = np.stack([pose[..., CHANNELS["l_" + name]], pose[..., CHANNELS["r_" + name]]], -2)
    both[..., 0] *= _SIDE
    both[..., 2] *= -1
    return both


def _reach(root, target, pole, first, second, fold):
    """Two-bone inverse kinematics: middle and end joint of a limb that reaches for a target.

    `root, target, pole [..., 3]`, bone lengths `first, second [...]` in metres, `fold` the largest
    bend in degrees. Both limits are soft: at a hard one the joint would snap.
    """
    straight, soft = 0.997 * (first + second), 0.004 * (first + second)
    folded = np.sqrt(first**2 + second**2 + 2 * first * second * np.cos(np.radians(fold)))
    line = target - root
    distance = np.sqrt(np.einsum("...i,...i->...", line, line) + 1e-12)
    line = line / distance[..., None]
    distance = straight - soft * np.logaddexp(0, (straight - distance) / soft)
    distance = folded + 4 * soft * np.logaddexp(0, (distance - folded) / (4 * soft))
    along = (first**2 - second**2 + distance**2) / (2 * distance)
    aside = np.sqrt(np.maximum(first**2 - along**2, 0))
    pole = _unit(pole - np.einsum("...i,...i->...", pole, line)[..., None] * line)
    middle = root + along[..., None] * line + aside[..., None] * pole
    return middle, root + distance[..., None] * line


def joint_positions(pose, lengths, origin, heading) -> np.ndarray:
    """Forward kinematics: poses `[T, M, WIDTH]` → joints `[T, M, 25, 3]` on the stage, metres.

    Args:
        pose: channels over time for each of M people.
        lengths: `[M, S]` segment lengths in metres.
        origin: `[M, 3]` where each stands.
        heading: `[M]` turn of each about the vertical in degrees, 0 faces -z.
    """
    size = {name: lengths[:, k] for name, k in SEGMENT.items()}
    leg = size["thigh"] + size["shin"]
    joints = np.empty((*pose.shape[:2], 25, 3))
    turn = pose[..., CHANNELS["turn"]] + np.stack([heading, 0 * heading, 0 * heading], -1)
    halves = [pose[..., CHANNELS[n]] / 2 for n in ("spine", "head")]
    pelvis, bend, nod = np.moveaxis(euler(np.stack([turn, *halves], -2)), -3, 0)
    waist = pelvis @ bend
    chest = waist @ bend
    neck = chest @ nod
    floor = euler(np.stack([heading, 0 * heading, 0 * heading], -1))  # [M, 3, 3]

    shift = pose[..., CHANNELS["pelvis"]] * leg[:, None] * (1, 1, -1)
    shift[..., 1] += size["ankle"] + 0.988 * leg + 0.3 * size["hip"]
    joints[:, :, 0] = origin + np.einsum("mij,tmj->tmi", floor, shift)
    up = lambda rotation, name: rotation[..., 1] * size[name][:, None]  # noqa: E731
    joints[:, :, 1] = joints[:, :, 0] + up(waist, "spine_low")
    joints[:, :, 20] = joints[:, :, 1] + up(chest, "spine_high")
    joints[:, :, 2] = joints[:, :, 20] + up(neck, "neck")
    joints[:, :, 3] = joints[:, :, 2] + up(neck @ nod, "head")

    hand = _sides(pose, "hand")
    shrug = np.radians(14 * hand[..., 1] + 4)  # the shoulder rises with the hand
    clavicle = np.stack([np.cos(shrug) * _SIDE, np.sin(shrug), 0 * shrug], -1)
    shoulder = joints[:, :, None, 20] + size["shoulder"][:, None, None] * _into(chest, clavicle)
    wrist = shoulder + (size["upper_arm"] + size["forearm"])[:, None, None] * _into(chest, hand)
    if pose.shape[1] == 2:  # the right wrists of two people move toward their common middle
        right = wrist[:, :, 1]
        meet = np.clip(pose[..., CHANNELS["meet"]], 0, 1)
        right += meet * (right.mean(1, keepdims=True) - right)
    socket = np.stack([0.95 * _SIDE, [-0.3, -0.3], [0, 0]], -1)
    socket /= np.linalg.norm(socket, axis=-1, keepdims=True)
    hip = joints[:, :, None, 0] + size["hip"][:, None, None] * _into(pelvis, socket)
    stand = np.zeros((len(origin), 2, 3))
    stand[..., 0], stand[..., 1] = 1.15 * size["hip"][:, None] * _SIDE, size["ankle"][:, None]
    ankle = stand + _sides(pose, "foot") * leg[:, None, None]
    ankle = origin[:, None] + np.einsum("mij,tmsj->tmsi", floor, ankle)
    knee_pole = np.einsum("mij,sj->msi", floor, np.stack([0.15 * _SIDE, [0, 0], [-1, -1]], -1))

    pole = np.concatenate([_into(chest, _sides(pose, "elbow")),
                           np.broadcast_to(knee_pole, ankle.shape)], -2)
    pair = lambda arm, thigh: np.stack([size[arm]] * 2 + [size[thigh]] * 2, -1)  # noqa: E731
    middle, end = _reach(
        np.concatenate([shoulder, hip], -2), np.concatenate([wrist, ankle], -2), pole,
        pair("upper_arm", "thigh"), pair("forearm", "shin"), 148.0)
    joints[:, :, [4, 8, 12, 16]] = np.concatenate([shoulder, hip], -2)
    joints[:, :, [5, 9, 13, 17]] = middle
    joints[:, :, [6, 10, 14, 18]] = end
    _add_hands(joints, pose, chest, size)
    _add_feet(joints, pose, floor, size)
    return joints


def _into(frame: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Rotates `v` `[..., 2, 3]` by the person's frame `[T, M, 3, 3]`."""
    return np.matmul(v, np.swapaxes(frame, -1, -2))


def _add_hands(joints, pose, chest, size) -> None:
    """Hand, tip and thumb: along the forearm, pulled by the palm channel."""
    forearm = _unit(joints[:, :, [6, 10]] - joints[:, :, [5, 9]])
    pull = _into(chest, _sides(pose, "palm"))
    along, tip = _unit(forearm + pull), _unit(forearm + 1.5 * pull)
    inward = _into(chest, np.stack([-0.6 * _SIDE, [0.4, 0.4], [-1.0, -1.0]], -1))
    thumb = _unit(0.6 * along + _unit(inward))
    hand = joints[:, :, [6, 10]] + along * size["hand"][:, None, None]
    joints[:, :, [7, 11]] = hand
    joints[:, :, [21, 23]] = hand + tip * size["tip"][:, None, None]
    joints[:, :, [22, 24]] = hand + thumb * size["thumb"][:, None, None]


def _add_feet(joints, pose, floor, size) -> None:
    """Feet point forward and a little out; a planted foot has its tip just above the floor."""
    toe = np.stack([pose[..., CHANNELS["l_toe"]], pose[..., CHANNELS["r_toe"]]], -2)[..., 0]
    slope = np.arcsin(np.clip(0.8 * size["ankle"] / size["foot"], 0, 0.9))
    slope = slope[:, None] + np.radians(toe)
    flat = np.cos(slope)
    foot = np.stack([0.2 * _SIDE * flat, -np.sin(slope), -np.sqrt(0.96) * flat], -1)
    foot = np.einsum("mij,tmsj->tmsi", floor, foot)
    joints[:, :, [15, 19]] = joints[:, :, [14, 18]] + foot * size["foot"][:, None, None]


class Style:
    """How a person does it: a habit that stays, and a mood that is gone the next time."""

    def __init__(self, habit: np.random.Generator, mood: np.random.Generator):
        self.habit, self.mood = habit, mood

    def vary(self, low: float, high: float) -> float:
        """A number in the range, mostly habit."""
        share = 0.7 * self.habit.random() + 0.3 * self.mood.random()
        return low + (high - low) * share

    def often(self, chance: float) -> bool:
        """Whether this person has a habit that a share `chance` of people have."""
        return self.habit.random() < chance

    def times(self, low: int, high: int) -> int:
        """How often, this time."""
        return int(self.mood.integers(low, high + 1))
