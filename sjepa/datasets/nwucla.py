"""Northwestern-UCLA Multiview Action3D, in the JSON release that skeleton projects share.

One file a clip, `aAA_sSS_eEE_vVV.json` (action, subject, repetition, view), with `skeletons`
`[T, 20, 3]` metres in Kinect v1 order and `label`, dense, from 1.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from ..errors import SjepaError
from ..skeleton import LAYOUTS
from .lineage import center_on_spine
from .store import StoreWriter

#: The owners' action ids are 1 2 3 4 5 6 8 9 11 12; labels follow their order.
CLASSES = [
    "pick up with one hand", "pick up with two hands", "drop trash", "walk around", "sit down",
    "stand up", "donning", "doffing", "throw", "carry",
]
_NAME = re.compile(r"a(\d\d)_s(\d\d)_e(\d\d)_v(\d\d)")


def files(raw: Path) -> list[Path]:
    """The JSON clips below `raw`, by name."""
    found = [path for path in raw.rglob("a*.json") if _NAME.fullmatch(path.stem)]
    return sorted(found, key=lambda path: path.stem)


def read_clip(path: Path) -> tuple[np.ndarray, int]:
    """One clip: positions `[T, 20, 3]` in metres, and its class from 0.

    Raises:
        SjepaError: the file is not such a clip; the sentence says what is wrong.
    """
    try:
        data = json.loads(path.read_text())
        clip, label = np.array(data["skeletons"], np.float32), int(data["label"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SjepaError(f"{path} is no NW-UCLA clip ({error!r}): get it again") from error
    if clip.ndim != 3 or clip.shape[1:] != (20, 3) or not len(clip):
        raise SjepaError(f"{path}: expected skeletons [T, 20, 3], found {list(clip.shape)}")
    if not 1 <= label <= len(CLASSES):
        raise SjepaError(f"{path}: label {label}, expected 1 to {len(CLASSES)}")
    return clip, label - 1


def fill(writer: StoreWriter, raw: Path) -> None:
    """Add all clips, mapped onto NTU-25, with the spine's middle in the first frame as origin."""
    for path in files(raw):
        clip, label = read_clip(path)
        mapped = np.einsum("kj,tjc->tkc", LAYOUTS["kinect20"].to_ntu25, clip).astype(np.float32)
        _, subject, rep, view = map(int, _NAME.fullmatch(path.stem).groups())
        writer.add(center_on_spine(mapped[:, None]), label=label, name=path.stem, subject=subject,
                   view=view, rep=rep)
