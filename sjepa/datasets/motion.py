"""Your own motion: from a file to a clip in the NTU-25 layout, and what a clip must be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sjepa.datasets.formats import bvh_names
from sjepa.datasets.formats.mediapipe import mediapipe_clip, read_landmarks
from sjepa.datasets.layouts import standing_height
from sjepa.datasets.mapped import mapped_clip
from sjepa.datasets.sources import kindergator
from sjepa.datasets.text import read_text
from sjepa.errors import SjepaError

SMALLEST, TALLEST = 0.3, 3.0  # metres, with all bones in one line


def read_motion(path: str | os.PathLike, mapping: Mapping[str, str] | None = None,
                unit: float | None = None) -> np.ndarray:
    """A motion file as a clip, with the spine's middle in the first frame as the origin.

    The origin is that of the stores. Nothing is turned: motion capture knows no front, and
    `sjepa.datasets.layouts.face_camera` gives it one. The frame rate is not read, because the encoder
    resizes every clip to the same number of frames.

    Args:
        path: `.bvh`; `.csv` of a Kinect v1 as Kinder-Gator has it; MediaPipe's world landmarks as
            `.csv`, `.json` or `.npy` (`sjepa.datasets.formats.mediapipe`).
        mapping: of a BVH file, see `sjepa.datasets.formats.bvh_names.read_joints`; None: its joints are
            named as Bandai-Namco's, CMU's or Mixamo's.
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
        positions = bvh_names.read_joints(path, mapping, unit)
        return check_clip(mapped_clip(path, "bandai21", positions), str(path),
                          "pass unit=, metres a unit of the file (0.01 for centimetres)")
    if suffix == ".csv" and read_text(path).lines[0].startswith("Timestamp,"):
        positions = kindergator.read_clip(path)
        return check_clip(mapped_clip(path, "kinect20", positions), str(path))
    return check_clip(mediapipe_clip(read_landmarks(path), path), str(path))


def check_clip(clip: np.ndarray, where: str, hint: str = "divide centimetres by 100") -> np.ndarray:
    """A clip as `[T, M, 25, 3]` float32, or what is wrong with it.

    Args:
        clip: `[T, 25, 3]` of one body, or `[T, M, 25, 3]` with absent bodies zero; metres.
        where: it comes from, for the message.
        hint: what to do where the size of a body says that the unit is another one.

    Raises:
        SjepaError: another shape, no frames, nobody in it, a value that is not finite, or a first
            body that is no person in metres.
    """
    try:
        clip = np.asarray(clip, np.float32)
    except (TypeError, ValueError) as error:
        raise SjepaError(f"{where} is no array of numbers ({error})") from error
    if clip.ndim == 3:
        clip = clip[:, None]
    if clip.ndim != 4 or clip.shape[2:] != (25, 3):
        raise SjepaError(f"{where}: expected [T, 25, 3] or [T, M, 25, 3] in the NTU-25 layout, "
                         f"found {list(clip.shape)}: map other joints with sjepa.datasets.layouts.LAYOUTS")
    if not clip.size:
        raise SjepaError(f"{where} has no frames or no bodies: {list(clip.shape)}")
    if not np.isfinite(clip).all():
        frame = int(np.flatnonzero(~np.isfinite(clip).all((1, 2, 3)))[0])
        raise SjepaError(f"{where}: a position in frame {frame} is NaN or infinite: leave such "
                         "frames out, or set a body that was not seen to zero")
    there = clip.any((0, 2, 3))
    if not there.any():
        raise SjepaError(f"{where}: nobody is in the clip, all its positions are zero")
    height = standing_height(clip[:, there.argmax()])  # a unit is that of all bodies
    if not SMALLEST <= height <= TALLEST:
        raise SjepaError(f"{where}: the person would be {height:.3g} m tall, expected "
                         f"{SMALLEST:g} to {TALLEST:g}, so the unit is not metres: {hint}")
    return clip
