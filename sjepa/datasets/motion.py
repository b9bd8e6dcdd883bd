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
from sjepa.datasets.text import read_text
from sjepa.errors import SjepaError


def read_motion(path: str | os.PathLike, mapping: Mapping[str, str] | None = None,
                unit: float | None = None) -> np.ndarray:
    """A motion file as a clip, with the spine's middle in the first frame as the origin.

    The origin is that of the stores. Nothing is turned: motion capture knows no front, and
    `sjepa.datasets.layouts.face_camera` gives it one. The frame rate is not read, because the
    encoder resizes every clip to the same number of frames.

    Args:
        path: `.bvh`; `.csv` of a Kinect v1 as Kinder-Gator has it; MediaPipe's world landmarks as
            `.csv`, `.json` or `.npy` (`sjepa.datasets.formats.mediapipe`).
        mapping: of a BVH file, see `sjepa.datasets.formats.bvh.read_joints`; None: its joints
            are named as Bandai-Namco's, CMU's or Mixamo's.
        unit: of a BVH file, in metres; None: the usual one of its names, mostly centimetres.

    Returns:
        `[T, 1, 25, 3]` float32 metres.

    Raises:
        SjepaError: no such file, another kind, a fault in it, or a person of no human size.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".bvh", ".csv", ".json", ".npy"):
        raise SjepaError(f"{path}: expected a .bvh, .csv, .json or .npy file; an array of "
                         "landmarks is taken by sjepa.datasets.formats.mediapipe.mediapipe_clip")
    if suffix != ".bvh" and (mapping, unit) != (None, None):
        raise SjepaError(f"{path}: mapping and unit are for BVH files, leave them out")
    if suffix == ".bvh":
        positions = read_joints(path, mapping, unit)
        return check_clip(map_clip(path, "bandai21", positions), str(path),
                          "pass unit=, metres a unit of the file (0.01 for centimetres)")
    if suffix == ".csv" and read_text(path).lines[0].startswith("Timestamp,"):
        positions = kindergator.read_clip(path)
        return check_clip(map_clip(path, "kinect20", positions), str(path))
    return check_clip(mediapipe_clip(read_landmarks(path), path), str(path))
