"""Northwestern-UCLA Multiview Action3D, in the JSON release that skeleton projects share.

One file a clip, `aAA_sSS_eEE_vVV.json` (action, subject, repetition, view), with `skeletons`
`[T, 20, 3]` metres in Kinect v1 order and `label`, dense, from 1.
"""

from pathlib import Path

import numpy as np

from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.specs import Archive, DatasetSpec, Origin, Split, by_subject, by_view
from sjepa.datasets.text import MAX_NUMBER
from sjepa.errors import SjepaError
from sjepa.files import read_json

CLASSES = (
    "pick up with one hand", "pick up with two hands", "drop trash", "walk around", "sit down",
    "stand up", "donning", "doffing", "throw", "carry")
VALIDATION = (2,)  # of the training views 1 and 2, to choose a recipe
#: The owners' numbers of these classes.
ACTIONS = "01 02 03 04 05 06 08 09 11 12".split()


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 20, 3]` in metres, joints as in `LAYOUTS["kinect20"]`."""
    data = read_json(path)
    try:
        clip, label = np.array(data["skeletons"]), data["label"]
    except (ValueError, KeyError, TypeError) as error:
        raise SjepaError(f"{path} is no NW-UCLA clip ({error!r:.100}): get it again") from error
    if (clip.dtype.kind not in "if" or clip.ndim != 3 or clip.shape[1:] != (20, 3)
            or not (np.abs(clip) <= MAX_NUMBER).all()):
        raise SjepaError(f"{path} is no NW-UCLA clip: expected skeletons [T, 20, 3] of numbers, "
                         f"finite and in metres, found {list(clip.shape)} of {clip.dtype}")
    expected = 1 + ACTIONS.index(FILES.said(path)["label"])
    if label != expected:
        raise SjepaError(f"{path}: label {label!s:.40}, expected {expected}, which the name says")
    return clip


FILES = ClipFiles(
    "a[0-9]*.json", rf"a(?P<label>{'|'.join(ACTIONS)})"
    "_s(?P<subject>[0-9]{2})_e(?P<rep>[0-9]{2})_v(?P<view>0[123])",
    "a01_s01_e00_v01.json", "kinect20", read_clip, {"label": ACTIONS})
SPEC = DatasetSpec(
    name="nwucla", title="NW-UCLA", classes=CLASSES, files=FILES.files, read=FILES.read,
    needs="the owners' .json files", converted="nwucla.npz",
    splits={
        "xview": Split(by_view((1, 2)), (1_020, 464)),
        "xsub": Split(by_subject((1, 2, 3, 4, 5)), (754, 730)),
        # For choosing a recipe: both sides lie within the training part of the protocol.
        "val": Split(lambda store: ~by_view(VALIDATION)(store), (516, 504), takes=by_view((1, 2))),
    },
    clips=1_484, content=(58_534, "aa28b52575dce30c"),  # of a copy of the JSON release
    origin=Origin(
        "Northwestern-UCLA Multiview Action3D", "http://wangjiangb.github.io/my_data.html",
        "no licence text found",
        "an open download without a form: use it for research, and do not pass it on",
        "Wang, Nie, Xia, Wu, Zhu: Cross-view Action Modeling, Learning and Recognition, CVPR 2014",
        # The JSON release, as the read-me of CTR-GCN links it, but with dl=1: the file itself.
        Archive("https://www.dropbox.com/s/10pcm4pksjy6mkq/all_sqe.zip?dl=1", "all_sqe.zip",
                (".json",), unpacked=39_000_000)))
