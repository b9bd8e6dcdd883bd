"""CMU's motion capture, subjects 1 to 14, as BVH files for Daz Studio: for pretraining alone.

One file a clip, `SS_TT.bvh` (subject, trial), 120 Hz, centimetres. The first frames are the
converter's T pose. A text describes each trial; there are no classes, so all clips are of one.
"""

from pathlib import Path

import numpy as np

from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.formats.bvh import read_bvh
from sjepa.datasets.formats.npz import NO_CLASS
from sjepa.datasets.layouts import LAYOUTS
from sjepa.datasets.specs import DatasetSpec, Origin, Split
from sjepa.datasets.store import LeftOut
from sjepa.errors import SjepaError

CLASSES = (NO_CLASS,)
#: Each subject's trials in the public conversion. Of the others some were not to be had, and in
#: twelve a limb flips or the root is broken.
TRIALS = {
    1: (1, 8), 2: range(1, 11), 3: (1, 2), 5: (1, 2, 3, 4, 7, 9, 11, 12, 13, 14, 20),
    6: (*range(1, 13), 14, 15), 7: range(1, 12), 8: range(1, 12), 9: (*range(1, 10), 11, 12),
    10: range(1, 7), 11: (1,), 12: range(1, 4),
    13: (1, *range(7, 12), *range(13, 17), 18, 19, 26, *range(30, 43)),
    14: (4, 5, 7, 8, 12, 17, 18, 19, 21, 22, 23, *range(27, 38)),
}
POSE, EVERY = 8, 4  # frames of the T pose; and one in four is taken: 30 Hz
FPS = 120.0
_TOES = {"lFoot end": "lToe", "rFoot end": "rToe"}


def read_clip(path: Path) -> np.ndarray | LeftOut:
    """Positions `[T, 31, 3]` float64 in metres at 30 Hz, joints as in `LAYOUTS["cmu_daz31"]`."""
    subject, trial = map(int, path.stem.split("_"))
    if trial not in TRIALS.get(subject, ()):
        return LeftOut(path.stem, "it is none of the 130 trials that this project uses")
    bvh = read_bvh(path, ends=True)
    places = {_TOES.get(joint, joint): k for k, joint in enumerate(bvh.joints)}
    joints = LAYOUTS["cmu_daz31"].joints
    absent = [joint for joint in joints if joint not in places]
    if absent or abs(bvh.fps - FPS) > 0.1 or len(bvh.positions) <= POSE:
        raise SjepaError(f"{path}: expected CMU's joints for Daz and more than {POSE} frames, "
                         f"{FPS:g} a second; found {len(bvh.positions)}, {bvh.fps:.4g} a second, "
                         f"and of the joints lack {', '.join(absent) or 'none'}")
    clip = bvh.positions[POSE::EVERY, [places[joint] for joint in joints]]
    return clip * (-0.01, 0.01, -0.01)  # of centimetres, turned to where a camera stands


FILES = ClipFiles("*.bvh", r"(?P<subject>[0-9]{2,3})_(?P<rep>[0-9]{2})", "09_02.bvh", "cmu_daz31",
                  read_clip)
SPEC = DatasetSpec(
    name="cmu14", title="CMU 1–14", classes=CLASSES, files=FILES.files, read=FILES.read,
    needs="the .bvh files for Daz", converted="cmu14_int16.npz",
    splits={"all": Split(lambda store: np.ones(len(store), bool), (130, 0))},
    clips=130, content=(33_792, "c434c5a1c3c4ade4"),
    origin=Origin(
        "CMU Graphics Lab Motion Capture Database, subjects 1 to 14", "http://mocap.cs.cmu.edu",
        "free for research and commercial use",
        "free to use, but not to be sold as such; say “The data used in this project was obtained "
        "from mocap.cs.cmu.edu. The database was created with funding from NSF EIA-0196217.”",
        "mocap.cs.cmu.edu, Carnegie Mellon University",
        ask="take the BVH files of https://github.com/AtelierCircle/CMU-MoCap-01-09 and "
            "https://github.com/AtelierCircle/CMU-MoCap-10-14"))
