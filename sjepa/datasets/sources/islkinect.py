"""ISL-Kinect: ten signers show 30 Indian signs nine times before a Kinect v1, as text files.

One file a clip, `SIGN_SIGNER_REP.txt` (two signs have a second underscore in places), a row a
frame: x y z of 20 joints in metres, camera space. Repetitions 1 to 3 face the camera; for 4 to 6
and 7 to 9 the signer stands turned, by about 47 and 63 degrees: these three angles are the views.
Signers are called by the place of their name among those in the folder.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.layouts import KINECT20
from sjepa.datasets.specs import DatasetSpec, Origin, Split, by_subject, by_view
from sjepa.datasets.store import Clip, Store
from sjepa.datasets.text import read_text

CLASSES = (
    "afternoon", "baby", "big", "born", "bye", "calendar", "child", "cloud", "come", "daily",
    "dance", "dark", "day", "enjoy", "go", "hello", "home", "love", "my", "name", "no", "rain",
    "sorry", "strong", "study", "thankyou", "welcome", "wind", "yes", "you")
TRAIN = (1, 3, 5, 7, 9)
#: The order in a row.
JOINTS = (
    "head", "spine shoulder",
    *(f"{side} {joint}" for joint in "shoulder elbow wrist hand".split()
      for side in ("left", "right")),
    "spine mid", "spine base",
    *(f"{side} {joint}" for joint in "hip knee ankle foot".split() for side in ("left", "right")))


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 20, 3]` float64 in metres, joints as in `LAYOUTS["kinect20"]`."""
    rows = read_text(path).frames(1, 3 * len(JOINTS), "x y z of 20 joints")
    return rows.reshape(-1, len(JOINTS), 3)[:, [JOINTS.index(joint) for joint in KINECT20.joints]]


FILES = ClipFiles(
    "*_[1-9].txt", rf"(?P<label>{'|'.join(CLASSES)})_{{1,2}}(?P<signer>[^_]+)_(?P<rep>[1-9])",
    "bye_NAME_1.txt", "kinect20", read_clip, {"label": CLASSES}, "{label}_s{{:02d}}_e{rep:02d}")


def files(raw: Path) -> list[tuple[Path, int]]:
    """The set's files below `raw`, each with its signer's number."""
    signers = {path: FILES.said(path)["signer"] for path in FILES.files(raw)}
    names = sorted(set(signers.values()))
    return [(path, names.index(signer) + 1) for path, signer in signers.items()]


def read(unit: tuple[Path, int], options: PrepareConfig) -> list[Clip]:
    """The clip of a file and its signer; view is the angle at which the signer stands, 1 to 3."""
    path, signer = unit
    (clip,) = FILES.read(path, options)
    return [replace(clip, name=clip.name.format(signer), subject=signer, view=(clip.rep + 2) // 3)]


def _seen(store: Store) -> np.ndarray:
    """The training signers at the two angles that `xview13` does not test."""
    return by_subject(TRAIN)(store) & by_view((1, 2))(store)


SPEC = DatasetSpec(
    name="islkinect", title="ISL-Kinect", classes=CLASSES, files=files, read=read,
    needs="the owners' SIGN_SIGNER_REP.txt files", converted="islkinect_int16.npz",
    splits={
        "xsub": Split(by_subject(TRAIN), (1_350, 1_350)),
        "xview12": Split(by_view((1,)), (900, 900), by_view((1, 2))),
        "xview13": Split(by_view((1,)), (900, 900), by_view((1, 3))),
        # What pools learn from: no test signer, and no clip of the angle that `xview13` tests.
        "pool": Split(by_subject(TRAIN), (900, 900), by_view((1, 2))),
        # For choosing a recipe: both sides lie within the training signers, and no clip of the
        # angle that `xview13` tests takes part.
        "val": Split(lambda store: ~by_subject((5, 9))(store), (540, 360), _seen),
    },
    clips=2_700, content=(201_054, "fd8662f7fc691e76"),
    origin=Origin(
        "ISL-Kinect", "https://github.com/prasunroy/sign-language",
        "no licence text found for the recordings",
        "for research, and not to be passed on; the MIT licence there is the code's",
        "Roy, Bhattacharya, Roy, Pal: Position and Rotation Invariant Sign Language Recognition "
        "from 3D Kinect Data with Recurrent Neural Networks, arXiv:2010.12669, 2020",
        ask="follow the data's link at https://github.com/prasunroy/sign-language and take the "
        "raw recordings, one SIGN_SIGNER_REP.txt each"))
