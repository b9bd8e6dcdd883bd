"""The virtual depth cameras: where they stand, and what their noise does to a clip."""

import numpy as np

from sjepa.skeleton import NTU_PARENTS
from sjepa.synthetic.mannequin import euler

VIEW_YAW = (-45.0, 0.0, 45.0)  # degrees; view 1 looks at the person from the front

#: How badly a depth camera sees each joint, trunk 1, hands and feet worst.
_BLUR = np.ones(25)
_BLUR[[5, 9, 13, 17]], _BLUR[[6, 10, 14, 18]], _BLUR[[7, 11, 15, 19]] = 1.3, 1.6, 2.0
_BLUR[21:] = 2.6
_KNOT = 6  # frames between the knots of the slow part of the noise


def look(stage: np.ndarray, view: int, rng: np.random.Generator) -> np.ndarray:
    """Stage → camera frame: a rigid motion, nominal yaw and distance with some jitter."""
    yaw, pitch = VIEW_YAW[view] + rng.normal(0, 2.5), rng.normal(0, 1.5)
    height, distance = rng.uniform(0.85, 1.1), rng.uniform(2.7, 3.4)
    rotation = euler(np.array([0, pitch, 0])) @ euler(np.array([yaw, 0, 0]))
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


def spoil(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
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
