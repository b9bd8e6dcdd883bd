"""Your own motion: from a file to a clip in the NTU-25 layout."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sjepa.datasets.formats.bvh import read_joints
from sjepa.datasets.formats.mediapipe import mediapipe_clip, read_landmarks
from sjepa.datasets.layouts import check_clip, map_clip
from sjepa.datasets.sources import kindergator
from sjepa.errors import SjepaError


def read_motion(path: str | os.PathLike, mapping: Mapping[str, str] | None = None,
                unit: float | None = None) -> np.ndarray:
    """A motion file as a clip, with the spine's middle in the first frame as the origin.

    Nothing is turned: motion capture knows no front, and `sjepa.datasets.layouts.face_camera`
    gives it one. The frame rate is not read: the encoder resizes every clip.

    Args:
        path: `.bvh`; `.csv` of a Kinect v1 as Kinder-Gator has it; MediaPipe's world landmarks as
            `.csv`, `.json` or `.npy` (`sjepa.datasets.formats.mediapipe`).
        mapping, unit: of a BVH file, see `sjepa.datasets.formats.bvh.read_joints`.

    Returns:
        `[T, 1, 25, 3]` float32 metres.

    Raises:
        SjepaError: no such file, another kind, a fault in it, or a person of no human size.
    """
    path = Path(path)
    suffix, hint = path.suffix.lower(), "divide centimetres by 100"
    if suffix not in (".bvh", ".csv", ".json", ".npy"):
        raise SjepaError(f"{path}: expected a .bvh, .csv, .json or .npy file")
    if suffix != ".bvh" and (mapping, unit) != (None, None):
        raise SjepaError(f"{path}: mapping and unit are for BVH files, leave them out")
    if suffix == ".bvh":
        clip = map_clip(path, "bandai21", read_joints(path, mapping, unit))
        hint = "pass unit=, metres a unit of the file (0.01 for centimetres)"
    elif suffix == ".csv" and path.is_file() and b"Timestamp" in path.open("rb").readline():
        clip = map_clip(path, "kinect20", kindergator.read_clip(path))
    else:
        clip = mediapipe_clip(read_landmarks(path), path)
    return check_clip(clip, str(path), hint)
