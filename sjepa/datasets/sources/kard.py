"""KARD: eighteen actions of ten people before a Kinect v1, as text files of OpenNI's joints.

One file a clip, `aAA_sSS_eEE_realworld.txt` (action, subject, repetition). A row a joint, fifteen
rows a frame: x y z in millimetres, the x of a camera that looks at a mirror.
Source: Mendeley Data k28dtm7tr6 (Gaglio, Lo Re, Morana, 2014).
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
from sjepa.datasets.text import find_files, parse_name, read_text

CLASSES = (
    "horizontal arm wave", "high arm wave", "two hand wave", "catch cap", "high throw", "draw x",
    "draw tick", "toss paper", "forward kick", "side kick", "take umbrella", "bend", "hand clap",
    "walk", "phone call", "drink", "sit down", "stand up",
)
TRAIN = (1, 3, 5, 7, 9)
VALIDATION = (7, 9)  # of those, to choose a recipe
_LIKE = "a07_s01_e01_realworld.txt"
_NAME = re.compile(r"a(0[1-9]|1[0-8])_s(0[1-9]|10)_e(0[1-3])_realworld")
files = partial(find_files, glob="*_realworld.txt", scheme=_NAME, like=_LIKE)


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 15, 3]` float64 in metres, joints as in `LAYOUTS["openni15"]`."""
    return read_text(path).frames(15, 3, "x y z") * (-0.001, 0.001, 0.001)


def read(path: Path, options: PrepareConfig) -> list[Clip]:
    """The file's clip."""
    action, subject, rep = map(int, parse_name(path, _NAME, _LIKE))
    return [Clip(map_clip(path, "openni15", read_clip(path)), action - 1,
                 path.stem.removesuffix("_realworld"), subject, rep=rep)]


SPEC = DatasetSpec(
    name="kard", title="KARD", classes=CLASSES, files=files, read=read,
    needs="the owners' *_realworld.txt files or kard_int16.npz", converted="kard_int16.npz",
    splits={
        "xsub": Split(by_subject(TRAIN), (270, 270)),
        "val": held_out(VALIDATION, TRAIN, (162, 108)),
    },
    clips=540, content=Content(
        540, 63_630, "c75550dce21d61789aed8fcf66810084d1185fd865bc65597c1bb5a7427b326a"),
    origin=Origin(
        "KARD, Kinect Activity Recognition Dataset",
        "https://data.mendeley.com/datasets/k28dtm7tr6", "no licence text found in the copy used",
        "for research, and not to be passed on",
        "Gaglio, Lo Re, Morana: Human Activity Recognition Process Using 3-D Posture Data, IEEE "
        "Transactions on Human-Machine Systems, 2014",
        ask="take the files *_realworld.txt from https://data.mendeley.com/datasets/k28dtm7tr6",
    ), feeder="KARD",
)
