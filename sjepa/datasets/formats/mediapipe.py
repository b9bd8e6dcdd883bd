"""MediaPipe Pose's 33 world landmarks, as an array or a file of them, onto NTU-25.

World landmarks are metres from the middle of the hips, in each frame anew: a walk through the room
is not in them. x runs to the right of the picture, y down, z away from the camera, so that half a
turn about z leads to this project's axes. Which arm is the left one is MediaPipe's word: in a
picture that was mirrored, as webcams show it, left and right are swapped.
Source: developers.google.com/mediapipe, Pose Landmarker.

A `.npy` file holds `[T, 33, 3 to 5]`: x, y, z; visibility and presence may follow. A `.csv` file
has a line a frame with the same numbers, landmark by landmark, perhaps under a header. A `.json`
file is a list of frames, each a list of 33 `{"x", "y", "z"}` or `[x, y, z]`, or a result of the
landmarker with `worldLandmarks`; frames in which nobody was found are left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sjepa.datasets.layouts import map_clip
from sjepa.errors import SjepaError

LANDMARKS = 33
_OFF_HIPS = 0.1  # metres; in image coordinates the hips lie half a picture from the origin
_FAR = 10.0  # metres


def mediapipe_clip(landmarks: np.ndarray, where: str | Path = "landmarks") -> np.ndarray:
    """World landmarks on NTU-25, with the spine's middle in the first frame as the origin.

    `[T, 33, 3 to 5]` metres, as MediaPipe gives them → `[T, 1, 25, 3]` float32.

    Raises:
        SjepaError: another shape, a value that is no length, or landmarks of the image.
    """
    x = np.asarray(landmarks, np.float64)
    if x.ndim != 3 or x.shape[1] != LANDMARKS or not 3 <= x.shape[2] <= 5 or not len(x):
        raise SjepaError(f"{where}: expected landmarks [T, 33, 3], found {list(x.shape)}")
    x = x[..., :3]
    if not (np.abs(x) <= _FAR).all():  # false for NaN too
        raise SjepaError(f"{where}: a landmark is no number or more than {_FAR:g} m away: "
                         "expected world landmarks, in metres")
    if np.median(np.linalg.norm(x[:, 23:25].mean(1), axis=1)) > _OFF_HIPS:
        raise SjepaError(f"{where}: the middle of the hips (landmarks 23 and 24) is not the "
                         "origin, so these are landmarks of the image: save the world landmarks")
    return map_clip(where, "mediapipe33", x * (-1, -1, 1))


def read_landmarks(path: Path) -> np.ndarray:
    """Landmarks `[T, 33, 3 to 5]` float64 of a `.npy`, `.csv` or `.json` file.

    Raises:
        SjepaError: the file cannot be read or holds something else.
    """
    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, allow_pickle=False).astype(np.float64)
        if path.suffix.lower() == ".csv":
            with path.open() as file:  # a header has letters, and a number at most its e
                header = any(map(str.isalpha, file.readline().replace("e", "")))
            table = np.loadtxt(path, delimiter=",", skiprows=int(header), ndmin=2)
            return table.reshape(len(table), LANDMARKS, -1)
        frames = [_points(frame) for frame in json.loads(path.read_bytes())]
        return np.array([points for points in frames if points], np.float64)
    except OSError as error:
        raise SjepaError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # damaged files raise anything
        raise SjepaError(f"{path} holds no landmarks ({error!r}): expected numpy.save of "
                         "[T, 33, 3], a CSV with a line a frame, or a JSON list of frames with 33 "
                         "landmarks each") from error


def _points(frame: Any) -> list[list[float]]:
    """The landmarks `[33, 3]` of a frame's first person; empty if there is nobody."""
    if isinstance(frame, dict):
        names = ("worldLandmarks", "world_landmarks", "pose_world_landmarks")
        frame = next(frame[name] for name in names if name in frame)
    if frame and len(frame) != LANDMARKS:  # a list of people
        frame = frame[0]
    return [[p["x"], p["y"], p["z"]] if isinstance(p, dict) else p[:3] for p in frame]
