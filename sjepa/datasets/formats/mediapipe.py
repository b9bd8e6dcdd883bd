"""MediaPipe Pose's 33 world landmarks, as an array or a file of them, onto NTU-25.

World landmarks are metres from the middle of the hips, in each frame anew: a walk through the room
is not in them. x runs to the right of the picture, y down, z away from the camera, so that half a
turn about z leads to this project's axes. Which arm is the left one is MediaPipe's word: in a
picture that was mirrored, as webcams show it, left and right are swapped.
Source: developers.google.com/mediapipe, Pose Landmarker.

A file holds the landmarks of a frame after the other::

    .npy   `[T, 33, 3 to 5]`: x, y, z; visibility and presence may follow and are not used
    .csv   a line a frame with the same numbers, landmark by landmark; the first may be a header
    .json  a list of frames, each a list of 33 `{"x", "y", "z"}` or `[x, y, z]`, or a result of the
           landmarker with `worldLandmarks`; frames in which nobody was found are left out
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from sjepa.datasets.layouts import map_clip
from sjepa.datasets.text import MAX_BYTES, MAX_FRAMES, read_text
from sjepa.errors import SjepaError

LANDMARKS = 33
_WORLD = ("worldLandmarks", "world_landmarks", "pose_world_landmarks")
_OFF_HIPS = 0.1  # metres; in image coordinates the hips lie half a picture from the origin
_FAR = 10.0  # metres


def mediapipe_clip(landmarks: np.ndarray, where: str | Path = "landmarks") -> np.ndarray:
    """World landmarks on NTU-25, with the spine's middle in the first frame as the origin.

    Args:
        landmarks: `[T, 33, 3]` metres, as MediaPipe gives them; more columns are not used.
        where: they come from, for the message.

    Returns:
        `[T, 1, 25, 3]` float32.

    Raises:
        SjepaError: another shape, a value that is no length, or landmarks of the image.
    """
    try:
        x = np.asarray(landmarks, np.float64)
    except (TypeError, ValueError) as error:
        raise SjepaError(f"{where} is no array of numbers ({error})") from error
    if x.ndim != 3 or x.shape[1] != LANDMARKS or not 3 <= x.shape[2] <= 5 or not len(x):
        raise SjepaError(f"{where}: expected landmarks [T, 33, 3], found {list(x.shape)}")
    x = x[..., :3]
    if not (np.abs(x) <= _FAR).all():  # false for NaN too
        raise SjepaError(f"{where}: a landmark is no number or more than {_FAR:g} m away: "
                         "expected world landmarks, in metres")
    if np.median(np.linalg.norm(x[:, 23:25].mean(1), axis=1)) > _OFF_HIPS:
        raise SjepaError(f"{where}: the middle of the hips (landmarks 23 and 24) is not the "
                         "origin, so these are landmarks of the image: save the world landmarks")
    return map_clip(Path(where), "mediapipe33", x * (-1, -1, 1))


def read_landmarks(path: Path) -> np.ndarray:
    """Landmarks `[T, 33, 3 to 5]` float64 of a `.npy`, `.csv` or `.json` file.

    Raises:
        SjepaError: the file cannot be read or holds something else.
    """
    reader = {".npy": _read_npy, ".csv": _read_csv, ".json": _read_json}[path.suffix.lower()]
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SjepaError(f"{path} has more than {MAX_BYTES >> 20} MiB: cut it")
        return reader(path)
    except OSError as error:
        raise SjepaError(f"{path} cannot be read: {error.strerror}") from error


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False).astype(np.float64)
    except OSError:
        raise
    except Exception as error:  # numpy parses a damaged header as Python: it raises anything
        raise SjepaError(f"{path} is no npy file of numbers: save it with numpy.save") from error


def _read_csv(path: Path) -> np.ndarray:
    text = read_text(path)
    rows = [(n, re.sub(r"\s*[,;]\s*", " ", line.strip()))
            for n, line in enumerate(text.lines, 1) if line.strip()]
    if rows and re.match(r"[\"A-Za-z_]", rows[0][1]):
        rows = rows[1:]
    if not 1 <= len(rows) <= MAX_FRAMES:
        text.fail(len(text.lines), f"1 to {MAX_FRAMES} frames", f"{len(rows)}")
    columns = len(rows[0][1].split())
    if columns not in (3 * LANDMARKS, 4 * LANDMARKS, 5 * LANDMARKS):
        text.fail(rows[0][0], "the numbers of 33 landmarks, 3 to 5 each", f"{columns} fields")
    return text.table(rows, columns, f"{columns} numbers").reshape(len(rows), LANDMARKS, -1)


def _read_json(path: Path) -> np.ndarray:
    try:
        frames = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SjepaError(f"{path} is no JSON: save a list of frames") from error
    if not isinstance(frames, list):
        raise SjepaError(f"{path}: expected a list of frames")
    found = [_points(frame, f"{path}, frame {n}") for n, frame in enumerate(frames)]
    found = [points for points in found if points is not None]
    if not found:
        raise SjepaError(f"{path}: nobody was found in any of its {len(frames)} frames")
    return np.array(found)


def _points(frame: Any, where: str) -> list[list[float]] | None:
    """The landmarks `[33, 3]` of a frame's first person; None if there is nobody."""
    if isinstance(frame, dict):
        frame = next((frame[key] for key in _WORLD if key in frame), frame)
    if frame == []:
        return None
    try:
        if len(frame) != LANDMARKS:  # a list of people
            frame = frame[0]
        points = [[float(p[axis]) for axis in "xyz"] if isinstance(p, dict)
                  else [float(value) for value in p[:3]] for p in frame]
        if len(points) == LANDMARKS and {len(point) for point in points} == {3}:
            return points
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        pass
    raise SjepaError(f"{where}: expected 33 landmarks with x, y and z, or a result with "
                     f"{_WORLD[0]}")
