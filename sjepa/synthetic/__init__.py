"""Procedural human motion in the NTU-25 layout: a stand-in for teaching and tests, no human data.

Key poses (`actions.py`) are interpolated, turned into joint positions by forward and inverse
kinematics (`mannequin.py`), looked at by three virtual depth cameras, and spoiled by a noise model
(`camera.py`). The result has what the method needs to be tested on: people who differ, views,
noise, ragged lengths, pairs of people, actions that only their order in time tells apart.
Accuracies on it say nothing about real people.

Frames: the stage is in metres, y up, the floor at 0; a single person stands near the origin and
faces -z with the left side at smaller x. A camera frame is the same, turned about y and moved so
that the camera is at the origin (depth 2 to 4 m along +z), as Kinect v2 has it.

A clip depends on (action, subject, view, rep, seed) alone; the three views of one performance share
its motion. Splits follow NTU: `TRAIN_SUBJECTS` against the rest, `TRAIN_VIEWS` against view 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product

import numpy as np

from sjepa.datasets.layouts import LAYOUTS
from sjepa.datasets.store import Clip
from sjepa.synthetic import actions as motions
from sjepa.synthetic import camera, mannequin
from sjepa.synthetic.camera import VIEW_YAW
from sjepa.synthetic.mannequin import CHANNELS, REST, SEGMENTS, joint_positions

ACTIONS: tuple[str, ...] = tuple(name for name, _, _ in motions.SCRIPTS)
TWO_PERSON: frozenset[str] = frozenset(motions.GAPS)
SUBJECTS = 24
LEFT_HANDED: frozenset[int] = frozenset({3, 8, 14, 21})
#: Body 2 of a two-person action is this many subjects on. Even, so that the partner of a test
#: subject is a test subject too: training never sees a test body.
PARTNER = 8
TRAIN_SUBJECTS: tuple[int, ...] = tuple(range(0, SUBJECTS, 2))  # the odd ones are the test half
TRAIN_VIEWS: tuple[int, ...] = (1, 2)  # view 0 is the test view, as camera 1 of NTU
FRAME_RATE = 30.0
MIN_FRAMES, MAX_FRAMES = 40, 150

_TRUNK = ("spine_low", "spine_high")
_ARM = ("upper_arm", "forearm", "hand", "tip", "thumb")
_LEG = ("thigh", "shin")


@dataclass(frozen=True)
class Body:
    """One subject."""

    height: float  # standing, in metres
    lengths: np.ndarray  # [S] of segments in metres, in the order of `SEGMENTS`
    rest: np.ndarray  # [WIDTH] how this person stands
    tempo: float  # speed factor, 1 is average
    amplitude: float  # size factor of movements, 1 is average
    left_handed: bool  # plays the mirror image of every single-person action


@cache
def body(subject: int) -> Body:
    """The fixed build and habits of a subject, the same under every seed."""
    if not 0 <= subject < SUBJECTS:
        raise ValueError(f"subject {subject} is not in 0..{SUBJECTS - 1}")
    rng = np.random.default_rng((20, subject))
    height = 1.50 + 0.45 * ((subject * 0.618034 + 0.3) % 1)  # golden ratio: both halves mix
    factor = rng.normal(1, 0.03, len(SEGMENTS))
    for group in (_TRUNK, _ARM, _LEG):
        factor[[mannequin.SEGMENT[n] for n in group]] *= np.clip(rng.normal(1, 0.04), 0.92, 1.08)
    rest = REST + mannequin.pose_vector(
        turn=(0, rng.uniform(-3, 3), 0), spine=(0, rng.uniform(-2, 12), 0),
        head=(0, rng.uniform(-8, 8), 0), r_foot=(rng.uniform(-0.01, 0.08), 0, 0))
    rest[CHANNELS["l_foot"]] = rest[CHANNELS["r_foot"]]
    for hand in ("r_hand", "l_hand"):
        rest[CHANNELS[hand]] += rng.uniform((-0.04, -0.02, -0.05), (0.12, 0.04, 0.08))
    lengths = height * factor * np.array(list(SEGMENTS.values()))
    tempo, amplitude = rng.uniform(0.8, 1.25), rng.uniform(0.85, 1.12)
    return Body(height, lengths, rest, tempo, amplitude, subject in LEFT_HANDED)


def _sway(rng: np.random.Generator, at: np.ndarray, people: int) -> np.ndarray:
    """Slow drift of every channel while a person stands: `[T, M, WIDTH]`."""
    rate = 2 * np.pi * np.array([0.12, 0.21, 0.34, 0.55]) * rng.uniform(0.85, 1.15, 4)
    waves = np.concatenate([np.sin(at[:, None] * rate), np.cos(at[:, None] * rate)], 1)
    weight = rng.standard_normal((8, people * mannequin.WIDTH)) / 2.8
    return (waves @ weight).reshape(len(at), people, -1) * mannequin.SWAY


def _places(rng: np.random.Generator, action: int, bodies: list[Body]):
    """Where people stand: origin `[M, 3]` and heading `[M]` in degrees."""
    centre = np.array([rng.uniform(-0.25, 0.25), 0, rng.uniform(-0.25, 0.25)])
    swerve = rng.normal(0, 7)
    if len(bodies) == 1:
        return centre[None], np.array([swerve])
    arm = [mannequin.SEGMENT["upper_arm"], mannequin.SEGMENT["forearm"]]
    gap = motions.GAPS[ACTIONS[action]] * np.mean([b.lengths[arm].sum() for b in bodies])
    side = rng.choice([-1, 1])  # who stands on which side of the picture
    heading = np.array([-90.0, 90.0]) * side + swerve
    ahead = np.stack([-np.sin(np.radians(heading)), [0, 0], -np.cos(np.radians(heading))], -1)
    return centre - ahead * gap / 2, heading


def key_poses(action: int, style: motions.Style, rests, amplitudes):
    """Times in seconds `[K]` and poses `[K, M, WIDTH]` of one performance, from time 0 on.

    The M people stand at rest as `rests` `[M, WIDTH]` and move as large as `amplitudes` `[M]`.
    """
    _, script, backwards = motions.SCRIPTS[action]
    keys = script(style)
    poses = np.repeat(REST[None, None], len(keys) + 1, 0).repeat(len(rests), 1)
    times = np.zeros(len(keys) + 1)
    for k, (seconds, *people) in enumerate(keys, start=1):
        times[k] = times[k - 1] + seconds * np.exp(0.12 * style.mood.standard_normal())
        poses[k] = poses[k - 1]
        for vector, pose in zip(poses[k], people, strict=False):
            for channel, value in pose.items():
                vector[CHANNELS[channel]] = value
    scale = 1 + (np.asarray(amplitudes)[:, None] - 1) * mannequin.SCALED
    missed = mannequin.MISS * style.mood.standard_normal(poses.shape)
    poses = rests + (poses - REST) * scale + missed
    return (times[-1] - times[::-1], poses[::-1]) if backwards else (times, poses)


def generate_performance(action: int, subject: int, rep: int = 0, seed: int = 0) -> np.ndarray:
    """The motion itself, as no camera sees it: exact bone lengths, floor at y = 0, no noise.

    Args:
        action: index into `ACTIONS`.
        subject: 0 to `SUBJECTS` - 1; see `PARTNER` for body 2.
        rep: repetition, any number from 0.
        seed: another seed gives other performances by the same people.

    Returns:
        `[T, M, 25, 3]` float64, metres on the stage, 30 frames a second, T in 40..150.
    """
    if not 0 <= action < len(ACTIONS):
        raise ValueError(f"action {action} is not in 0..{len(ACTIONS) - 1}")
    people = [subject, (subject + PARTNER) % SUBJECTS]
    bodies = [body(k) for k in people[: 2 if ACTIONS[action] in TWO_PERSON else 1]]
    mood = np.random.default_rng((seed, action, subject, rep))
    style = motions.Style(np.random.default_rng((21, action, subject)), mood)
    rests = np.stack([b.rest for b in bodies])
    times, poses = key_poses(action, style, rests, [b.amplitude for b in bodies])
    before, after = mood.uniform(0.1, 1.1, 2)
    times = before + times / bodies[0].tempo
    frames = int(np.clip((times[-1] + after) * FRAME_RATE, MIN_FRAMES, MAX_FRAMES))
    at = np.arange(frames) / FRAME_RATE
    pose = mannequin.interpolate(times, poses, at) + _sway(mood, at, len(bodies))
    if len(bodies) == 1 and bodies[0].left_handed:  # strangers shake right hands, whatever theirs
        pose = mannequin.mirror(pose)
    lengths = np.stack([b.lengths for b in bodies])
    return joint_positions(pose, lengths, *_places(mood, action, bodies))


_stage = lru_cache(maxsize=1)(generate_performance)  # one motion, all views


def generate_clip(action: int, subject: int, view: int, rep: int = 0, seed: int = 0,
                  noise: bool = True) -> np.ndarray:
    """One clip as a depth camera would report it.

    Args:
        action, subject, rep, seed: see `generate_performance`.
        view: 0, 1, 2 for cameras at -45, 0, +45 degrees.
        noise: False leaves out the sensor noise (the camera stays): exact bone lengths.

    Returns:
        `[T, M, 25, 3]` float32, metres in the camera frame, M = 2 for `TWO_PERSON`, otherwise 1.
    """
    if not 0 <= view < len(VIEW_YAW):
        raise ValueError(f"view {view} is not in 0..{len(VIEW_YAW) - 1}")
    stage = _stage(action, subject, rep, seed)
    rng = np.random.default_rng((seed, action, subject, rep, view, 22))
    clip = camera.look(stage, view, rng).astype(np.float32)
    return camera.spoil(clip, rng) if noise else clip


def iterate_clips(subjects: Sequence[int] = range(SUBJECTS),
                  actions: Sequence[int] = range(len(ACTIONS)), views: Sequence[int] = (0, 1, 2),
                  reps: int = 1, seed: int = 0) -> Iterator[Clip]:
    """Every clip of the given subjects, actions, views and repetitions.

    Its name is of NTU's scheme, set-up 1, in which all numbers count from 1 and not from 0.
    """
    for subject, action, rep, view in product(subjects, actions, range(reps), views):
        name = f"S001C{view + 1:03d}P{subject + 1:03d}R{rep + 1:03d}A{action + 1:03d}"
        yield Clip(generate_clip(action, subject, view, rep, seed), action, name, subject, view,
                   rep)


def as_kinect20(clip: np.ndarray) -> np.ndarray:
    """What is left of a clip `[T, M, 25, 3]` when a Kinect v1 saw it: five joints are derived.

    The built-in set `synthetic20` is made so, for transfer between layouts without other data.
    """
    # The shoulder centre has the place of the neck.
    return LAYOUTS["kinect20"].map(clip[:, :, [0, 1, 20, *range(3, 20)]])
