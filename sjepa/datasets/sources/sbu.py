"""SBU Kinect Interaction: what two people do to each other, eight actions of 21 pairs.

One folder a clip, `sAAsBB/CC/RRR/skeleton_pos.txt` (who acts, on whom, action, repetition). A row a
frame: its number, then x y z of fifteen OpenNI joints of the one and of the other, as shares of the
picture and of 10 m, separated by commas.
"""

from pathlib import Path

import numpy as np

from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.sources.florence import ORDER
from sjepa.datasets.specs import DatasetSpec, Origin, Split, by_subject
from sjepa.datasets.text import read_text

PAGE = "https://www3.cs.stonybrook.edu/~kyun/research/kinect_interaction/index.html"
CLASSES = (
    "approach", "depart", "kick", "push", "shake hands", "hug", "exchange object", "punch")
#: The published folds over pairs. A person may be in several.
FOLDS = [fold.split() for fold in (
    "s01s02 s03s04 s05s02 s06s04", "s02s03 s02s07 s03s05 s05s03", "s01s03 s01s07 s07s01 s07s03",
    "s02s01 s02s06 s03s02 s03s06", "s04s02 s04s03 s04s06 s06s02 s06s03")]
#: A clip's subject is its pair's place here.
PAIRS = sorted(sum(FOLDS, []))
_SIDES = ((227, 55), (230, 52), (226, 56), (228, 54), (217, 65))  # clips to train and to test on


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 2, 15, 3]` float64 in metres, joints as in `LAYOUTS["openni15"]`."""
    shares = read_text(path).frames(1, 91, "a frame's number and 90 coordinates")[:, 0, 1:]
    # No calibration is published: 640 x 480 dots of 4 mm, which gives people of natural size.
    metres = shares.reshape(-1, 2, 15, 3) * (-2.56, -1.92, 1.28) + (1.28, 0.96, 0)
    return metres[:, :, ORDER]


def _all_but(fold: list[str]):
    """Training clips: those of the pairs that are not in the fold."""
    return by_subject([k for k, pair in enumerate(PAIRS) if pair not in fold])


FILES = ClipFiles(
    "skeleton_pos.txt",
    rf"(?P<subject>{'|'.join(PAIRS)})/(?P<label>0[1-8])/(?P<rep>[0-9]{{3}})/skeleton_pos",
    "s01s02/08/001/skeleton_pos.txt", "openni15", read_clip, {"subject": PAIRS},
    "{subject}_a{label:02d}_e{rep:03d}")
SPEC = DatasetSpec(
    name="sbu", title="SBU", classes=CLASSES, files=FILES.files, read=FILES.read,
    needs="the owners' skeleton_pos.txt files", converted="sbu_int16.npz",
    splits={f"fold{k}": Split(_all_but(fold), sides)
            for k, (fold, sides) in enumerate(zip(FOLDS, _SIDES, strict=True), 1)},
    clips=282, content=(6_822, "69ba507c3fa5b65d"),
    origin=Origin(
        "SBU Kinect Interaction", PAGE, "no licence text found in the copy used",
        "for research, and not to be passed on",
        "Yun, Honorio, Chattopadhyay, Berg, Samaras: Two-person Interaction Detection Using "
        "Body-Pose Features and Multiple Instance Learning, CVPR Workshops 2012",
        ask="take the skeleton files, one folder a pair of people, from " + PAGE))
