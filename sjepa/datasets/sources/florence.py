"""Florence 3D Actions: nine actions of ten people before a Kinect v1, as OpenNI's joints.

One file a clip, `aAA_sS_idN.txt` (action, subject, number of the clip). A row a joint, fifteen rows
a frame: x y z in millimetres.
"""

from pathlib import Path

import numpy as np

from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.layouts import LAYOUTS
from sjepa.datasets.specs import DatasetSpec, Origin, Split, by_subject
from sjepa.datasets.text import read_text

PAGE = "https://www.micc.unifi.it/resources/datasets/florence-3d-actions-dataset/"
CLASSES = (
    "wave", "drink from a bottle", "answer phone", "clap", "tight lace", "sit down", "stand up",
    "read watch", "bow")
#: The file's order.
JOINTS = (
    "Head", "Neck", "Torso", "ShoulderLeft", "ElbowLeft", "HandLeft", "ShoulderRight",
    "ElbowRight", "HandRight", "HipLeft", "KneeLeft", "FootLeft", "HipRight", "KneeRight",
    "FootRight")
ORDER = [JOINTS.index(joint) for joint in LAYOUTS["openni15"].joints]


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 15, 3]` float64 in metres, joints as in `LAYOUTS["openni15"]`."""
    return read_text(path).frames(15, 3, "x y z")[:, ORDER] * 0.001


FILES = ClipFiles(
    "a[0-9]*_id*.txt", r"a(?P<label>0[1-9])_s(?P<subject>[1-9]|10)_id(?P<rep>[0-9]{1,3})",
    "a01_s1_id1.txt", "openni15", read_clip, name="a{label:02d}_s{subject:02d}_id{rep:03d}")
SPEC = DatasetSpec(
    name="florence", title="Florence 3D", classes=CLASSES, files=FILES.files, read=FILES.read,
    needs="the files a*_s*_id*.txt", converted="florence_int16.npz",
    splits={"xsub": Split(by_subject((1, 3, 5, 7, 9)), (109, 106))},
    clips=215, content=(3_802, "d56d5a8154fd3061"),
    origin=Origin(
        "Florence 3D Actions", PAGE, "no licence text found in the copy used",
        "for research, and not to be passed on",
        "Seidenari, Varano, Berretti, Del Bimbo, Pala: Recognizing Actions from Depth Cameras as "
        "Weakly Aligned Multi-Part Bag-of-Poses, CVPR Workshops 2013",
        ask="take the files a*_s*_id*.txt, a clip each, from the folder florence of "
            "https://github.com/Mabdou11/Activity-Recognition-skeleton-datasets"))
