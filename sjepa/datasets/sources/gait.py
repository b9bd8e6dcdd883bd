"""Pathological gait: ten people walk in six ways past Kinect v2 sensors, as tab-separated files.

One file a walk and sensor, `humanN_GAITK_SkeletonDataV.csv`, a row a frame: seconds, then for each
of NTU's 25 joints its number and x y z in metres, z up, walking along +y. Sensors 1, 3 and 5 see
three stretches of a walk one after the other; 2, 4 and 6, beside them, are not read. Some frames,
mostly last ones, hold no positions but what was in the memory: last ones are cut, others
interpolated.
"""

from pathlib import Path

import numpy as np

from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.layouts import bridge
from sjepa.datasets.specs import DatasetSpec, Origin, across_subjects
from sjepa.datasets.text import read_text

PAGE = "https://github.com/kooksung/pathological_gait_datasets"
CLASSES = ("normal", "antalgic", "stiff_legged", "lurch", "steppage", "trendelenburg")
REACH, NOWHERE = 2.0, 1e-3  # metres: no joint is so far from the spine's base, so near the origin


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 25, 3]` float64 in metres, y up, walking to −z."""
    text = read_text(path)
    rows = text.frames(1, 101, "seconds, and number x y z of 25 joints", limit=np.inf)
    joints = rows[:, 0, 1:].reshape(-1, 25, 4)
    for frame in np.flatnonzero((joints[..., 0] != range(25)).any(1)):
        text.fail(text.rows()[frame][0], "joints 0 to 24 in their order", "others")
    clip = joints[..., [1, 3, 2]] * (1, 1, -1)
    with np.errstate(over="ignore", invalid="ignore"):
        away = np.linalg.norm(clip - clip[:, :1], axis=-1)
        good = ((away < REACH) & (np.abs(clip).max(-1) > NOWHERE)).all(1)
    there = np.flatnonzero(good)
    if not len(there):
        text.fail(1, "a frame with positions of a person", "none")
    return bridge(clip[: there[-1] + 1], good[: there[-1] + 1, None, None])


FILES = ClipFiles(
    "*_skeletondata[135].csv",
    rf"human(?P<subject>[1-9]|10)_(?P<label>{'|'.join(CLASSES)})(?P<rep>[1-9]|1[0-9]|20)"
    "_SkeletonData(?P<view>[135])", "human2_normal2_SkeletonData1.csv", "ntu25", read_clip,
    {"label": CLASSES}, "human{subject:02d}_{label}{rep:02d}_sensor{view}")
SPEC = DatasetSpec(
    name="gait", title="pathological gait", classes=CLASSES, files=FILES.files, read=FILES.read,
    needs="the owners' *_SkeletonDataV.csv files", converted="gait_int16.npz",
    splits=across_subjects((1, 3, 5, 7, 9), (1_800, 1_800), (5, 9), (1_080, 720)),
    frontal=True,  # all walk to −z; turned by their first frame, `val` reads worse
    clips=3_600, content=(447_289, "bd48db4dacb0f3d5"),
    origin=Origin(
        "Pathological gait", PAGE, "no licence text found",
        "for research; ask the authors before passing it on",
        "Jun, Lee, Lee, Lee, Kim: Pathological Gait Classification Using Kinect v2 and Gated "
        "Recurrent Neural Networks, IEEE Access 8, 2020",
        ask=f"get {PAGE}, folder Pathological_Gaits"))
