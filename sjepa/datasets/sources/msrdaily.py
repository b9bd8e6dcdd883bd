"""MSR Daily Activity 3D: sixteen activities of ten people before a Kinect v1, as text files.

One file a clip, `aAA_sSS_eEE_skeleton_proj.txt` (activity, subject, repetition: standing, sitting).
A row a joint, twenty rows a frame: frame and joint, both from 1, then x y z in metres. Joints that
were not seen are `nan` or zero.
"""

from pathlib import Path

import numpy as np

from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.layouts import bridge
from sjepa.datasets.specs import DatasetSpec, Origin, across_subjects
from sjepa.datasets.text import MAX_NUMBER, read_text
from sjepa.errors import SjepaError

CLASSES = (
    "drink", "eat", "read book", "call cellphone", "write on paper", "use laptop",
    "use vacuum cleaner", "cheer up", "sit still", "toss paper", "play game", "lie down on sofa",
    "walk", "play guitar", "stand up", "sit down")


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 20, 3]` float64 in metres, joints as in `LAYOUTS["kinect20"]`.

    What was not seen lies on the line between its neighbours in time; at an end, it stays. A `nan`
    counts for its coordinate alone, as in the public conversion: in the last frame of four clips of
    walking x is 0 beside two of them, and stays 0.
    """
    text = read_text(path)
    table = text.frames(20, 5, "frame, joint, x, y, z", limit=np.inf)
    clip = table[:, :, 2:]
    wrong = (table[:, :, 1] != np.arange(1, 21)) | (np.abs(clip) > MAX_NUMBER).any(2)
    for frame, joint in np.argwhere(wrong):
        line, found = text.rows()[20 * frame + joint]
        text.fail(line, f"joint {joint + 1}, its x, y, z in metres or nan", found)
    seen = clip.any(2, keepdims=True) & ~np.isnan(clip)
    if lost := np.argwhere(~seen.any(0)).tolist():
        raise SjepaError(f"{path}: joint {lost[0][0] + 1} is in no frame")
    return bridge(clip, seen)


FILES = ClipFiles(
    "*_skeleton_proj.txt",
    r"a(?P<label>0[1-9]|1[0-6])_s(?P<subject>0[1-9]|10)_e(?P<rep>0[12])_skeleton_proj",
    "a13_s08_e02_skeleton_proj.txt", "kinect20", read_clip,
    name="a{label:02d}_s{subject:02d}_e{rep:02d}")
SPEC = DatasetSpec(
    name="msrdaily", title="MSR Daily", classes=CLASSES, files=FILES.files, read=FILES.read,
    needs="the owners' *_skeleton_proj.txt files", converted="msrdaily_int16.npz",
    # Halves and not every other: a clip of subject 9 stands once more as one of subject 10.
    splits=across_subjects((1, 2, 3, 4, 5), (160, 160), (4, 5), (96, 64)),
    clips=320, content=(61_344, "8b6482d19ef97bf5"),
    origin=Origin(
        "MSR Daily Activity 3D", "http://wangjiangb.github.io/my_data.html",
        "no licence text found", "for research, and not to be passed on",
        "Wang, Liu, Wu, Yuan: Mining Actionlet Ensemble for Action Recognition with Depth Cameras, "
        "CVPR 2012",
        ask="take the skeleton files from http://wangjiangb.github.io/my_data.html, or the files "
            "*_skeleton_proj.txt from the folder tools/full_dataset of "
            "https://github.com/MehmetMHY/SVM-On-Skeleton-Data"))
