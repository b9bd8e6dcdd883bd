"""Northwestern-UCLA Multiview Action3D, in the JSON release that skeleton projects share.

One file a clip, `aAA_sSS_eEE_vVV.json` (action, subject, repetition, view), with `skeletons`
`[T, 20, 3]` metres in Kinect v1 order and `label`, dense, from 1.
"""

import json
from pathlib import Path

import numpy as np

from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.specs import Archive, Content, DatasetSpec, Origin, Split, by_subject, by_view
from sjepa.datasets.text import MAX_NUMBER
from sjepa.errors import SjepaError

CLASSES = (
    "pick up with one hand", "pick up with two hands", "drop trash", "walk around", "sit down",
    "stand up", "donning", "doffing", "throw", "carry",
)
VALIDATION = (2,)  # of the training views 1 and 2, to choose a recipe
#: The owners' numbers of these classes.
ACTIONS = [1, 2, 3, 4, 5, 6, 8, 9, 11, 12]
MAX_BYTES = 1 << 22  # 4 MiB; the longest clip has 0.3


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 20, 3]` in metres, joints as in `LAYOUTS["kinect20"]`.

    Raises:
        SjepaError: the file is not such a clip, or its label is not that of its name.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES >> 20} MiB")
        data = json.loads(path.read_bytes())
        clip, label = np.array(data["skeletons"]), data["label"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = repr(error)[:100]
        raise SjepaError(f"{path} is no NW-UCLA clip ({why}): get it again") from error
    if clip.dtype.kind not in "if" or clip.ndim != 3 or clip.shape[1:] != (20, 3) or not len(clip):
        raise SjepaError(f"{path} is no NW-UCLA clip: expected skeletons [T, 20, 3] of numbers, "
                         f"found {list(clip.shape)} of {clip.dtype}")
    if not (np.abs(clip) <= MAX_NUMBER).all():
        raise SjepaError(f"{path}: expected finite positions in metres, found NaN or huge ones")
    expected = ACTIONS.index(int(FILES.said(path)["label"]))
    if label != expected + 1:
        raise SjepaError(f"{path}: label {str(label)[:40]}, expected {expected + 1}, which the "
                         "name says")
    return clip


FILES = ClipFiles(
    "a[0-9]*.json", rf"a(?P<label>{'|'.join(f'{k:02d}' for k in ACTIONS)})"
    "_s(?P<subject>[0-9]{2})_e(?P<rep>[0-9]{2})_v(?P<view>0[123])",
    "a01_s01_e00_v01.json", "kinect20", read_clip, {"label": [f"{k:02d}" for k in ACTIONS]})
SPEC = DatasetSpec(
    name="nwucla", title="NW-UCLA", classes=CLASSES, files=FILES.files, read=FILES.read,
    needs="the owners' .json files or nwucla.npz", converted="nwucla.npz",
    splits={
        "xview": Split(by_view((1, 2)), (1_020, 464)),
        "xsub": Split(by_subject((1, 2, 3, 4, 5)), (754, 730)),
        # For choosing a recipe: both sides lie within the training part of the protocol.
        "val": Split(lambda store: ~by_view(VALIDATION)(store), (516, 504), takes=by_view((1, 2))),
    },
    clips=1_484,  # of a copy of the JSON release
    content=Content(
        1_484, 58_534, "aa28b52575dce30cc4bd0bb9cc61ee987f1921d07ee02faa57082a8126b2e288"),
    origin=Origin(
        "Northwestern-UCLA Multiview Action3D", "http://wangjiangb.github.io/my_data.html",
        "no licence text found",
        "an open download without a form: use it for research, and do not pass it on",
        "Wang, Nie, Xia, Wu, Zhu: Cross-view Action Modeling, Learning and Recognition, CVPR 2014",
        # The JSON release, as the read-me of CTR-GCN links it, but with dl=1: the file itself.
        Archive("https://www.dropbox.com/s/10pcm4pksjy6mkq/all_sqe.zip?dl=1", "all_sqe.zip",
                (".json",), unpacked=39_000_000),
    ), feeder="NWUCLA",
)
