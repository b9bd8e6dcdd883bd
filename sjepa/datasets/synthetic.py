"""Procedural human motion in the NTU-25 layout: a stand-in for teaching and tests, no human data.

Nobody was recorded for this. Key poses (`motions.py`) are interpolated, turned into joint positions
by forward kinematics (trunk, hands, feet) and two-bone inverse kinematics (arms, legs), looked at
by three virtual depth cameras, and spoiled by a noise model. The result has what the method needs
to be shown and tested on: people who differ, views, noise, ragged lengths, pairs of people, actions
that only their order in time tells apart. Accuracies on it say nothing about real people.

Frames: the stage is in metres, y up, the floor at 0; a single person stands near the origin and
faces -z with the left side at smaller x. A camera frame is the same, turned about y and moved so
that the camera is at the origin (depth 2 to 4 m along +z), as Kinect v2 has it.

A clip depends on (action, subject, view, rep, seed) alone; the three views of one performance share
its motion. Splits follow NTU: `TRAIN_SUBJECTS` against the rest, `TRAIN_VIEWS` against view 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..skeleton import NTU_PARENTS
from . import motions
from .motions import CHANNELS, REST, SWAY

ACTIONS: tuple[str, ...] = tuple(name for name, _, _ in motions.SCRIPTS)
TWO_PERSON: frozenset[str] = frozenset(motions.GAPS)
SUBJECTS = 24
LEFT_HANDED: frozenset[int] = frozenset({3, 8, 14, 21})
VIEW_YAW = (-45.0, 0.0, 45.0)  # degrees; view 1 looks at the person from the front
TRAIN_SUBJECTS: tuple[int, ...] = tuple(range(0, SUBJECTS, 2))  # the odd ones are the test half
TRAIN_VIEWS: tuple[int, ...] = (1, 2)  # view 0 is the test view, as camera 1 of NTU
FRAME_RATE = 30.0
MIN_FRAMES, MAX_FRAMES = 40, 150

#: Segment lengths as shares of body height (after Drillis and Contini, moved to Kinect's joints).
SEGMENTS = dict(
    spine_low=0.130, spine_high=0.130, neck=0.042, head=0.085, shoulder=0.102, upper_arm=0.172,
    forearm=0.148, hand=0.042, tip=0.045, thumb=0.035, hip=0.047, thigh=0.243, shin=0.245,
    ankle=0.042, foot=0.085,
)
_SEGMENT = {name: k for k, name in enumerate(SEGMENTS)}
_TRUNK = ("spine_low", "spine_high")
_ARM = ("upper_arm", "forearm", "hand", "tip", "thumb")
_LEG = ("thigh", "shin")
_SIDE = np.array([-1.0, 1.0])  # left, right: the order of every `[..., 2, 3]` array below


@dataclass(frozen=True)
class Body:
    """One subject.

    Attributes:
        height: standing height in metres.
        lengths: `[S]` segment lengths in metres, in the order of `SEGMENTS`.
        rest: `[WIDTH]` how this person stands.
        tempo: speed factor, 1 is average.
        amplitude: size factor of movements, 1 is average.
        left_handed: plays the mirror image of every single-person action.
    """

    height: float
    lengths: np.ndarray
    rest: np.ndarray
    tempo: float
    amplitude: float
    left_handed: bool


@cache
def body(subject: int) -> Body:
    """The fixed build and habits of a subject, the same under every seed."""
    if not 0 <= subject < SUBJECTS:
        raise ValueError(f"subject {subject} is not in 0..{SUBJECTS - 1}")
    rng = np.random.default_rng((20, subject))
    height = 1.50 + 0.45 * ((subject * 0.618034 + 0.3) % 1)  # golden ratio: both halves mix
    factor = rng.normal(1, 0.03, len(SEGMENTS))
    for group in (_TRUNK, _ARM, _LEG):
        factor[[_SEGMENT[n] for n in group]] *= np.clip(rng.normal(1, 0.04), 0.92, 1.08)
    rest = REST + motions.pose_vector(
        turn=(0, rng.uniform(-3, 3), 0), spine=(0, rng.uniform(-2, 12), 0),
        head=(0, rng.uniform(-8, 8), 0), r_foot=(rng.uniform(-0.01, 0.08), 0, 0),
    )
    rest[CHANNELS["l_foot"]] = rest[CHANNELS["r_foot"]]
    for hand in ("r_hand", "l_hand"):
        rest[CHANNELS[hand]] += rng.uniform((-0.04, -0.02, -0.05), (0.12, 0.04, 0.08))
    lengths = height * factor * np.array(list(SEGMENTS.values()))
    tempo, amplitude = rng.uniform(0.8, 1.25), rng.uniform(0.85, 1.12)
    return Body(height, lengths, rest, tempo, amplitude, subject in LEFT_HANDED)


# --- from poses to positions --------------------------------------------------------------------


def _euler(degrees: np.ndarray) -> np.ndarray:
    """(turn left, bend forward, lean right) `[..., 3]` → rotation matrices `[..., 3, 3]`."""
    angle = np.radians(degrees) * (1, -1, -1)
    cy, cx, cz = np.moveaxis(np.cos(angle), -1, 0)
    sy, sx, sz = np.moveaxis(np.sin(angle), -1, 0)
    rows = (
        (cy * cz + sy * sx * sz, sy * sx * cz - cy * sz, sy * cx),
        (cx * sz, cx * cz, -sx),
        (cy * sx * sz - sy * cz, sy * sz + cy * sx * cz, cy * cx),
    )
    out = np.empty((*degrees.shape, 3))
    for i, row in enumerate(rows):
        for j, entry in enumerate(row):
            out[..., i, j] = entry
    return out


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


def _draw_together(wrist: np.ndarray, weight: np.ndarray) -> None:
    """Moves the right wrists `[T, 2, 2, 3]` of two people toward their common middle, in place."""
    right = wrist[:, :, 1]
    right += np.clip(weight, 0, 1)[..., None] * (right.mean(1, keepdims=True) - right)


def joint_positions(pose, lengths, origin, heading) -> np.ndarray:
    """Forward kinematics: poses `[T, M, WIDTH]` → joints `[T, M, 25, 3]` on the stage, metres.

    Args:
        pose: channels over time for each of M people.
        lengths: `[M, S]` segment lengths in metres.
        origin: `[M, 3]` where each stands.
        heading: `[M]` turn of each about the vertical in degrees, 0 faces -z.
    """
    size = {name: lengths[:, k] for name, k in _SEGMENT.items()}
    leg = size["thigh"] + size["shin"]
    joints = np.empty((*pose.shape[:2], 25, 3))
    turn = pose[..., CHANNELS["turn"]] + np.stack([heading, 0 * heading, 0 * heading], -1)
    halves = [pose[..., CHANNELS[n]] / 2 for n in ("spine", "head")]
    pelvis, bend, nod = np.moveaxis(_euler(np.stack([turn, *halves], -2)), -3, 0)
    waist = pelvis @ bend
    chest = waist @ bend
    neck = chest @ nod
    floor = _euler(np.stack([heading, 0 * heading, 0 * heading], -1))  # [M, 3, 3]

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
    if pose.shape[1] == 2:
        _draw_together(wrist, pose[..., CHANNELS["meet"]][..., 0])
    socket = np.stack([0.95 * _SIDE, [-0.3, -0.3], [0, 0]], -1)
    socket /= np.linalg.norm(socket, axis=-1, keepdims=True)
    hip = joints[:, :, None, 0] + size["hip"][:, None, None] * _into(pelvis, socket)
    stand = np.zeros((len(origin), 2, 3))
    stand[..., 0], stand[..., 1] = 1.15 * size["hip"][:, None] * _SIDE, size["ankle"][:, None]
    ankle = stand + _sides(pose, "foot") * leg[:, None, None]
    ankle = origin[:, None] + np.einsum("mij,tmsj->tmsi", floor, ankle)
    knee_pole = np.einsum("mij,sj->msi", floor, np.stack([0.15 * _SIDE, [0, 0], [-1, -1]], -1))

    pole = np.concatenate(
        [_into(chest, _sides(pose, "elbow")), np.broadcast_to(knee_pole, ankle.shape)], -2
    )
    pair = lambda arm, thigh: np.stack([size[arm]] * 2 + [size[thigh]] * 2, -1)  # noqa: E731
    middle, end = _reach(
        np.concatenate([shoulder, hip], -2), np.concatenate([wrist, ankle], -2), pole,
        pair("upper_arm", "thigh"), pair("forearm", "shin"), 148.0,
    )
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


# --- one performance ----------------------------------------------------------------------------


def _rng(*numbers: int) -> np.random.Generator:
    return np.random.default_rng(numbers)


def _sway(rng: np.random.Generator, at: np.ndarray, people: int) -> np.ndarray:
    """Slow drift of every channel while a person stands: `[T, M, WIDTH]`."""
    rate = 2 * np.pi * np.array([0.12, 0.21, 0.34, 0.55]) * rng.uniform(0.85, 1.15, 4)
    waves = np.concatenate([np.sin(at[:, None] * rate), np.cos(at[:, None] * rate)], 1)
    weight = rng.standard_normal((8, people * motions.WIDTH)) / 2.8
    return (waves @ weight).reshape(len(at), people, -1) * SWAY


def _places(rng: np.random.Generator, action: int, bodies: list[Body]):
    """Where people stand: origin `[M, 3]` and heading `[M]` in degrees."""
    centre = np.array([rng.uniform(-0.25, 0.25), 0, rng.uniform(-0.25, 0.25)])
    swerve = rng.normal(0, 7)
    if len(bodies) == 1:
        return centre[None], np.array([swerve])
    arm = [_SEGMENT["upper_arm"], _SEGMENT["forearm"]]
    gap = motions.GAPS[ACTIONS[action]] * np.mean([b.lengths[arm].sum() for b in bodies])
    side = rng.choice([-1, 1])  # who stands on which side of the picture
    heading = np.array([-90.0, 90.0]) * side + swerve
    ahead = np.stack([-np.sin(np.radians(heading)), [0, 0], -np.cos(np.radians(heading))], -1)
    return centre - ahead * gap / 2, heading


def generate_performance(action: int, subject: int, rep: int = 0, seed: int = 0) -> np.ndarray:
    """The motion itself, as no camera sees it: exact bone lengths, floor at y = 0, no noise.

    Args:
        action: index into `ACTIONS`.
        subject: 0 to `SUBJECTS` - 1; two-person actions add subject + 7 (modulo) as body 2.
        rep: repetition, any number from 0.
        seed: another seed gives other performances by the same people.

    Returns:
        `[T, M, 25, 3]` float64, metres on the stage, 30 frames a second, T in 40..150.
    """
    if not 0 <= action < len(ACTIONS):
        raise ValueError(f"action {action} is not in 0..{len(ACTIONS) - 1}")
    people = [subject, (subject + 7) % SUBJECTS] if ACTIONS[action] in TWO_PERSON else [subject]
    bodies = [body(k) for k in people]
    mood = _rng(seed, action, subject, rep)
    style = motions.Style(_rng(21, action, subject), mood)
    rests = np.stack([b.rest for b in bodies])
    times, poses = motions.key_poses(action, style, rests, [b.amplitude for b in bodies])
    before, after = mood.uniform(0.1, 1.1, 2)
    times = before + times / bodies[0].tempo
    frames = int(np.clip((times[-1] + after) * FRAME_RATE, MIN_FRAMES, MAX_FRAMES))
    at = np.arange(frames) / FRAME_RATE
    pose = motions.interpolate(times, poses, at) + _sway(mood, at, len(bodies))
    if len(bodies) == 1 and bodies[0].left_handed:  # strangers shake right hands, whatever theirs
        pose = motions.mirror(pose)
    lengths = np.stack([b.lengths for b in bodies])
    return joint_positions(pose, lengths, *_places(mood, action, bodies))


# --- the camera ---------------------------------------------------------------------------------

#: How badly a depth camera sees each joint: trunk 1, hands and feet worst.
_BLUR = np.ones(25)
_BLUR[[5, 9, 13, 17]], _BLUR[[6, 10, 14, 18]], _BLUR[[7, 11, 15, 19]] = 1.3, 1.6, 2.0
_BLUR[21:] = 2.6
_KNOT = 6  # frames between the knots of the slow part of the noise


def _look(stage: np.ndarray, view: int, rng: np.random.Generator) -> np.ndarray:
    """Stage → camera frame: a rigid motion, nominal yaw and distance with some jitter."""
    yaw, pitch = VIEW_YAW[view] + rng.normal(0, 2.5), rng.normal(0, 1.5)
    height, distance = rng.uniform(0.85, 1.1), rng.uniform(2.7, 3.4)
    rotation = _euler(np.array([0, pitch, 0])) @ _euler(np.array([yaw, 0, 0]))
    return (stage - (0, height, 0)) @ rotation.T + (0, 0, distance)


def _drop_joints(clip: np.ndarray, blur: np.ndarray, rng: np.random.Generator) -> None:
    """For some frames a joint freezes, or is guessed from its parent, in place."""
    frames, people = clip.shape[:2]
    for _ in range(rng.poisson(1.5 * people)):
        person = rng.integers(people)
        odds = np.cumsum(blur[person] ** 2)
        joint = int(np.searchsorted(odds, rng.random() * odds[-1]))
        start = rng.integers(frames - 3)
        stop = start + rng.integers(3, 16)
        if rng.random() < 0.5 or joint == 0:
            clip[start:stop, person, joint] = clip[start, person, joint]
        else:
            parent = clip[start:stop, person, NTU_PARENTS[joint]]
            reach = clip[start, person, joint] - clip[start, person, NTU_PARENTS[joint]]
            clip[start:stop, person, joint] = parent + 0.7 * reach + rng.normal(0, 0.04, 3)


def _spoil(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sensor noise: a slow wander, a jitter per frame, and dropped joints.

    Joints on the far side of the body are seen through it: up to 2.5 times the noise.
    """
    behind = clip[..., 2].mean(0) - clip[:, :, 1, 2].mean(0)[:, None]
    blur = _BLUR * (1 + 1.5 * np.clip(behind / 0.2, 0, 1))  # [M, 25]
    frames = len(clip)
    knots = rng.standard_normal((frames // _KNOT + 2, *clip.shape[1:]), dtype=np.float32)
    k, u = np.divmod(np.arange(frames), _KNOT)
    u = (0.5 - 0.5 * np.cos(np.pi * u / _KNOT)).astype(np.float32)[:, None, None, None]
    noise = 0.006 * (knots[k] + u * (knots[k + 1] - knots[k]))
    noise += 0.0025 * rng.standard_normal(clip.shape, dtype=np.float32)
    noise[..., 2] *= 1.4  # depth is the worst axis
    noise *= blur[..., None].astype(np.float32)
    noise += clip
    _drop_joints(noise, blur, rng)
    return noise


def _observe(stage, action, subject, view, rep, seed, noise) -> np.ndarray:
    if not 0 <= view < len(VIEW_YAW):
        raise ValueError(f"view {view} is not in 0..{len(VIEW_YAW) - 1}")
    rng = _rng(seed, action, subject, rep, view, 22)
    clip = _look(stage, view, rng).astype(np.float32)
    return _spoil(clip, rng) if noise else clip


def generate_clip(
    action: int, subject: int, view: int, rep: int = 0, seed: int = 0, noise: bool = True
) -> np.ndarray:
    """One clip as a depth camera would report it.

    Args:
        action: index into `ACTIONS`.
        subject: 0 to `SUBJECTS` - 1 (performer; body 2 of two-person actions is subject + 7).
        view: 0, 1, 2 for cameras at -45, 0, +45 degrees.
        rep: repetition; seed: another seed gives other performances by the same people.
        noise: False leaves out the sensor noise (the camera stays): exact bone lengths.

    Returns:
        `[T, M, 25, 3]` float32, metres in the camera frame, M = 2 for `TWO_PERSON`, otherwise 1.
    """
    stage = generate_performance(action, subject, rep, seed)
    return _observe(stage, action, subject, view, rep, seed, noise)


@dataclass(frozen=True)
class ClipInfo:
    """What a synthetic clip shows; all numbers from 0."""

    action: int
    subject: int
    view: int
    rep: int

    @property
    def name(self) -> str:
        """Name in NTU's scheme (setup 001), where all numbers count from 1."""
        return (
            f"S001C{self.view + 1:03d}P{self.subject + 1:03d}"
            f"R{self.rep + 1:03d}A{self.action + 1:03d}"
        )


def iterate_clips(
    subjects: Sequence[int] | None = None,
    actions: Sequence[int] | None = None,
    views: Sequence[int] = (0, 1, 2),
    reps: int = 1,
    seed: int = 0,
) -> Iterator[tuple[ClipInfo, np.ndarray]]:
    """Every clip of the given subjects, actions, views and repetitions, with its description."""
    for subject in range(SUBJECTS) if subjects is None else subjects:
        for action in range(len(ACTIONS)) if actions is None else actions:
            for rep in range(reps):
                stage = generate_performance(action, subject, rep, seed)  # one motion, all views
                for view in views:
                    clip = _observe(stage, action, subject, view, rep, seed, True)
                    yield ClipInfo(action, subject, view, rep), clip
