"""MediaPipe Pose's 33 world landmarks onto NTU-25.

World landmarks are metres from the middle of the hips, in each frame anew: a walk through the room
is not in them. x runs to the right of the picture, y down, z away from the camera. Which arm is the
left one is MediaPipe's word: in a mirrored picture, as webcams show it, the sides are swapped.
"""

from pathlib import Path

import numpy as np

from sjepa.datasets.layouts import map_clip
from sjepa.errors import SjepaError

_OFF_HIPS = 0.1  # metres; in image coordinates the hips lie half a picture from the origin
_FAR = 10.0  # metres


def in_a_room(x: np.ndarray) -> bool:
    """Whether landmarks `[T, 33, 3]` are of several cameras, and so have places in a room.

    Those of one camera have the depth of the hips as their origin, in the picture and in metres.
    """
    size = np.nanmedian(np.linalg.norm(np.ptp(x, axis=1), axis=-1))
    return bool(np.nanmedian(np.abs(x[:, 23:25, 2])) > 0.1 * size)


def mediapipe_clip(landmarks: np.ndarray, where: str | Path = "landmarks") -> np.ndarray:
    """World landmarks on NTU-25, with the spine's middle in the first frame as the origin.

    `[T, 33, 3 to 5]` metres, as MediaPipe gives them → `[T, 1, 25, 3]` float32. Another shape, a
    value that is no length, or landmarks of the image are a `SjepaError`.
    """
    x = np.asarray(landmarks, np.float64)
    if x.ndim != 3 or x.shape[1] != 33 or not 3 <= x.shape[2] <= 5 or not len(x):
        raise SjepaError(f"{where}: expected landmarks [T, 33, 3], found {list(x.shape)}")
    x = x[..., :3]
    if not (np.abs(x) <= _FAR).all():  # false for NaN too
        raise SjepaError(f"{where}: a landmark is no number or more than {_FAR:g} m away: "
                         "expected pose_world_landmarks, in metres")
    if np.median(np.linalg.norm(x[:, 23:25].mean(1), axis=1)) > _OFF_HIPS:
        raise SjepaError(f"{where}: the middle of the hips (landmarks 23 and 24) is not the "
                         "origin, so these are landmarks of the image, without depth in metres: "
                         "save pose_world_landmarks instead of pose_landmarks")
    return map_clip(where, "mediapipe33", x * (-1, -1, 1))
