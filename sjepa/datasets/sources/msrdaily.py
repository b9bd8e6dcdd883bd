"""MSR Daily Activity 3D: sixteen activities of ten people before a Kinect v1, as text files.

One file a clip, `aAA_sSS_eEE_skeleton_proj.txt` (activity, subject, repetition: standing, sitting).
A row a joint, twenty rows a frame: frame and joint, both from 1, then x y z in metres. Joints that
were not seen are `nan` or zero.
Source: wangjiangb.github.io/my_data.html (Wang, Liu, Wu, Yuan, CVPR 2012).
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.layouts import map_clip
from sjepa.datasets.specs import Content, DatasetSpec, Origin, Split, by_subject, held_out
from sjepa.datasets.store import Clip
from sjepa.datasets.text import MAX_NUMBER, find_files, parse_name, read_text
from sjepa.errors import SjepaError

CLASSES = (
    "drink", "eat", "read book", "call cellphone", "write on paper", "use laptop",
    "use vacuum cleaner", "cheer up", "sit still", "toss paper", "play game", "lie down on sofa",
    "walk", "play guitar", "stand up", "sit down",
)
#: Halves and not every other subject: a clip of subject 9 stands once more as one of subject 10.
TRAIN = (1, 2, 3, 4, 5)
VALIDATION = (4, 5)  # of those, to choose a recipe
_LIKE = "a13_s08_e02_skeleton_proj.txt"
_NAME = re.compile(r"a(0[1-9]|1[0-6])_s(0[1-9]|10)_e(0[12])_skeleton_proj")
files = partial(find_files, glob="*_skeleton_proj.txt", scheme=_NAME, like=_LIKE)


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 20, 3]` float64 in metres, joints as in `LAYOUTS["kinect20"]`.

    What was not seen lies on the line between its neighbours in time; at an end, it stays. A `nan`
    counts for its coordinate alone, as in the public conversion: in the last frame of four clips of
    walking x is 0 beside two of them, and stays 0.

    Raises:
        SjepaError: the file cannot be read, is off the grammar, or never shows a joint.
    """
    text = read_text(path)
    table = text.frames(20, 5, "frame, joint, x, y, z", limit=np.inf)
    clip, times = table[:, :, 2:], np.arange(len(table))
    wrong = (table[:, :, 1] != np.arange(1, 21)) | (np.abs(clip) > MAX_NUMBER).any(2)
    for frame, joint in np.argwhere(wrong):
        line, found = text.rows()[20 * frame + joint]
        text.fail(line, f"joint {joint + 1}, its x, y, z in metres or nan", found)
    seen = clip.any(2, keepdims=True) & ~np.isnan(clip)
    for joint, axis in np.argwhere(~seen.all(0)):
        known, track = seen[:, joint, axis], clip[:, joint, axis]  # [T] each, views
        if not known.any():
            raise SjepaError(f"{path}: joint {joint + 1} is in no frame")
        track[:] = np.interp(times, times[known], track[known])
    return clip


def read(path: Path, options: PrepareConfig) -> list[Clip]:
    """The file's clip."""
    action, subject, rep = map(int, parse_name(path, _NAME, _LIKE))
    return [Clip(map_clip(path, "kinect20", read_clip(path)), action - 1,
                 path.stem.removesuffix("_skeleton_proj"), subject, rep=rep)]


SPEC = DatasetSpec(
    name="msrdaily", title="MSR Daily", classes=CLASSES, files=files, read=read,
    needs="the owners' *_skeleton_proj.txt files or msrdaily_int16.npz",
    converted="msrdaily_int16.npz",
    splits={
        "xsub": Split(by_subject(TRAIN), (160, 160)),
        "val": held_out(VALIDATION, TRAIN, (96, 64)),
    },
    clips=320, content=Content(
        320, 61_344, "8b6482d19ef97bf57e6f8aceb78f0f81958641a20cdb6c18be7c7c543c41e5e5"),
    origin=Origin(
        "MSR Daily Activity 3D", "http://wangjiangb.github.io/my_data.html",
        "no licence text found", "for research, and not to be passed on",
        "Wang, Liu, Wu, Yuan: Mining Actionlet Ensemble for Action Recognition with Depth Cameras, "
        "CVPR 2012",
        ask="take the skeleton files from http://wangjiangb.github.io/my_data.html, or the files "
            "*_skeleton_proj.txt from the folder tools/full_dataset of "
            "https://github.com/MehmetMHY/SVM-On-Skeleton-Data",
    ), feeder="MSRDaily",
)
