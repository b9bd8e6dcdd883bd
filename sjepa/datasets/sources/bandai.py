"""Bandai-Namco Research Motiondataset 1 and 2: contents performed in styles, as BVH files.

One file a clip, `dataset-N_CONTENT_STYLE_ID.bvh`, 30 Hz, centimetres. Every joint has position
channels; above the hips stands a further root, which is dropped. Who performed is not told.
Source: github.com/BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset (CC BY-NC 4.0).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sjepa.datasets.formats.bvh import read_bvh
from sjepa.datasets.items import Item, LeftOut
from sjepa.datasets.layouts import LAYOUTS
from sjepa.datasets.mapped import mapped_clip
from sjepa.datasets.text import find_files, parse_name
from sjepa.errors import SjepaError

#: Contents: a clip's class.
CLASSES = [
    "bow", "bye", "byebye", "call", "dance-short", "dash", "guide", "kick", "punch",
    "raise-up-both-hands", "raise-up-left-hand", "raise-up-right-hand", "respond", "run", "slash",
    "walk", "walk-back", "walk-left", "walk-right", "walk-turn-left", "walk-turn-right",
    "wave-both-hands", "wave-left-hand", "wave-right-hand",
]
#: Styles: a clip's `setup` is its place here.
STYLES = [
    "active", "angry", "childish", "chimpira", "elderly", "exhausted", "feminine", "giant", "happy",
    "masculine", "masculinity", "musical", "normal", "not-confident", "old", "proud", "sad",
    "tired", "youthful",
]
NO_CLASS = "dance-long"  # a content of one clip, which the public conversion lacks
FPS = 30.0
_ROOT = "joint_Root"
_METRES = 0.01
_LIKE = "dataset-2_wave-left-hand_active_011.bvh"
_NAME = re.compile(
    rf"dataset-([12])_({'|'.join([*CLASSES, NO_CLASS])})_({'|'.join(STYLES)})_([0-9]{{3}})"
)


def files(raw: Path) -> list[Path]:
    """The BVH files below `raw`, by name.

    Raises:
        SjepaError: a name off the scheme, an unknown content or style, or a name that stands twice.
    """
    return find_files(raw, "*.bvh", _NAME, _LIKE)


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 21, 3]` float64 in metres, joints as in `LAYOUTS["bandai21"]`.

    Raises:
        SjepaError: no BVH file, another skeleton, or another frame rate.
    """
    bvh = read_bvh(path)
    if bvh.joints[0] != _ROOT or abs(bvh.fps - FPS) > 0.1:
        raise SjepaError(f"{path}: expected the root {_ROOT} and {FPS:g} frames a second, "
                         f"found {bvh.joints[0]} and {bvh.fps:.4g}")
    parents = [above - 1 for above in bvh.parents[1:]]
    order = LAYOUTS["bandai21"].order(bvh.joints[1:], parents, str(path))
    return bvh.positions[:, 1:][:, order] * _METRES


def read(path: Path) -> list[Item | LeftOut]:
    """The file's clip: label is the content, view the dataset, setup the style, rep the id.

    Raises:
        SjepaError: as `read_clip`, or a name off the scheme.
    """
    dataset, content, style, take = parse_name(path, _NAME, _LIKE)
    if content == NO_CLASS:
        return [LeftOut(path.stem, f"its content {NO_CLASS} has no class: one clip alone shows it")]
    clip = mapped_clip(path, "bandai21", read_clip(path))
    return [Item(clip, CLASSES.index(content), path.stem, view=int(dataset), rep=int(take),
                 setup=STYLES.index(style))]
