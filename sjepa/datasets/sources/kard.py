"""KARD: eighteen actions of ten people before a Kinect v1, as text files of OpenNI's joints.

One file a clip, `aAA_sSS_eEE_realworld.txt` (action, subject, repetition). A row a joint, fifteen
rows a frame: x y z in millimetres, the x of a camera that looks at a mirror.
"""

from pathlib import Path

import numpy as np

from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.specs import DatasetSpec, Origin, across_subjects
from sjepa.datasets.text import read_text

CLASSES = (
    "horizontal arm wave", "high arm wave", "two hand wave", "catch cap", "high throw", "draw x",
    "draw tick", "toss paper", "forward kick", "side kick", "take umbrella", "bend", "hand clap",
    "walk", "phone call", "drink", "sit down", "stand up")


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 15, 3]` float64 in metres, joints as in `LAYOUTS["openni15"]`."""
    return read_text(path).frames(15, 3, "x y z") * (-0.001, 0.001, 0.001)


FILES = ClipFiles(
    "*_realworld.txt",
    r"a(?P<label>0[1-9]|1[0-8])_s(?P<subject>0[1-9]|10)_e(?P<rep>0[1-3])_realworld",
    "a07_s01_e01_realworld.txt", "openni15", read_clip,
    name="a{label:02d}_s{subject:02d}_e{rep:02d}")
SPEC = DatasetSpec(
    name="kard", title="KARD", classes=CLASSES, files=FILES.files, read=FILES.read,
    needs="the owners' *_realworld.txt files", converted="kard_int16.npz",
    splits=across_subjects((1, 3, 5, 7, 9), (270, 270), (7, 9), (162, 108)),
    clips=540, content=(63_630, "c75550dce21d6178"),
    origin=Origin(
        "KARD, Kinect Activity Recognition Dataset",
        "https://data.mendeley.com/datasets/k28dtm7tr6", "no licence text found in the copy used",
        "for research, and not to be passed on",
        "Gaglio, Lo Re, Morana: Human Activity Recognition Process Using 3-D Posture Data, IEEE "
        "Transactions on Human-Machine Systems, 2014",
        ask="take the files *_realworld.txt from https://data.mendeley.com/datasets/k28dtm7tr6"))
