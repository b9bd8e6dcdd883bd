"""Bandai-Namco Research Motiondataset 1 and 2: contents performed in styles, as BVH files.

One file a clip, `dataset-N_CONTENT_STYLE_ID.bvh`, 30 Hz, centimetres. Every joint has position
channels; above the hips stands a further root, which is dropped. Who performed is not told.
"""

from pathlib import Path

import numpy as np

from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.formats.bvh import read_bvh
from sjepa.datasets.layouts import LAYOUTS
from sjepa.datasets.specs import DatasetSpec, Origin, Split, by_view, github
from sjepa.errors import SjepaError

#: Contents: a clip's class.
CLASSES = (
    "bow", "bye", "byebye", "call", "dance-short", "dash", "guide", "kick", "punch",
    "raise-up-both-hands", "raise-up-left-hand", "raise-up-right-hand", "respond", "run", "slash",
    "walk", "walk-back", "walk-left", "walk-right", "walk-turn-left", "walk-turn-right",
    "wave-both-hands", "wave-left-hand", "wave-right-hand")
#: Styles: a clip's `setup` is its place here.
STYLES = [
    "active", "angry", "childish", "chimpira", "elderly", "exhausted", "feminine", "giant", "happy",
    "masculine", "masculinity", "musical", "normal", "not-confident", "old", "proud", "sad",
    "tired", "youthful",
]
#: Active, elderly, exhausted and feminine train; masculine, normal and youthful are never seen.
TRAIN_STYLES = (0, 4, 5, 6)
NO_CLASS = "dance-long"  # a content of one clip, which the public conversion lacks
FPS, _ROOT = 30.0, "joint_Root"


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 21, 3]` float64 in metres, joints as in `LAYOUTS["bandai21"]`."""
    bvh = read_bvh(path)
    if bvh.joints[0] != _ROOT or abs(bvh.fps - FPS) > 0.1:
        raise SjepaError(f"{path}: expected the root {_ROOT} and {FPS:g} frames a second, "
                         f"found {bvh.joints[0]} and {bvh.fps:.4g}")
    parents = [above - 1 for above in bvh.parents[1:]]
    order = LAYOUTS["bandai21"].order(bvh.joints[1:], parents, str(path))
    return bvh.positions[:, 1:][:, order] * 0.01


FILES = ClipFiles(
    "*.bvh", rf"dataset-(?P<view>[12])_(?P<label>{'|'.join([*CLASSES, NO_CLASS])})"
    rf"_(?P<setup>{'|'.join(STYLES)})_(?P<rep>[0-9]{{3}})",
    "dataset-2_wave-left-hand_active_011.bvh", "bandai21", read_clip,
    {"label": CLASSES, "setup": STYLES})
SPEC = DatasetSpec(
    name="bandai", title="Bandai-Namco", classes=CLASSES, files=FILES.files, read=FILES.read,
    needs="the owners' .bvh files", converted="bandai_int16.npz",
    splits={"unseen-styles": Split(lambda store: np.isin(store.setups, TRAIN_STYLES),
                                   (1_657, 1_245), takes=by_view((2,)))},  # the second dataset
    clips=3_076, content=(416_845, "0ffa2cde06a913c9"),
    origin=Origin(
        "Bandai-Namco Research Motion dataset 1 and 2",
        "https://github.com/BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset",
        "CC BY-NC 4.0",
        "share and adapt it, with attribution and for non-commercial purposes; © 2022 Bandai Namco "
        "Research Inc.",
        "Kobayashi, Liao, Inoue, Yojima, Takahashi: Motion Capture Dataset for Practical Use of "
        "AI-based Motion Editing and Stylization, arXiv:2306.08861, 2023",
        # The commit of the owners' read-me, which sends to the archive of their main branch, and
        # the first seen with CC BY-NC. Commit 60c0ef1 still had CC BY-NC-ND.
        github("BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset",
               "74ead3ba1ae4696404e6086233779f60de8bf9ef", ".bvh", unpacked=597_000_000)))
