"""Open sets that come as one npz: positions, labels and the map onto NTU-25 in a common form.

Keys: `x` `[sum T, J, 3]` metres (int16 times `x_scale`), `offsets`, `labels`, `subjects`, `views`,
`reps`, `class_names`, `to_ntu25` `[25, J]`; Bandai-Namco's also `style` and `dataset`, which go
where its own files put them: setup and view. One person a clip.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sjepa.clips import center_on_spine
from sjepa.datasets.items import Item
from sjepa.errors import SjepaError


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError) as error:
        raise SjepaError(f"{path} is no readable npz ({error}): get it again") from error


def classes(path: Path) -> list[str]:
    """Class names, in the order of the labels."""
    return [str(name) for name in _load(path)["class_names"]]


def read(path: Path) -> list[Item]:
    """All clips, on NTU-25, with the spine's middle in the first frame as the origin.

    The origin is that of the NTU lineage, so that one way of the data serves every set.

    Raises:
        SjepaError: the file is no npz of this form.
    """
    data = _load(path)
    lost = {"x", "offsets", "labels", "subjects", "views", "reps", "to_ntu25"} - set(data)
    if lost:
        raise SjepaError(f"{path} lacks {', '.join(sorted(lost))}: get it again")
    scale = np.float32(data.get("x_scale", 1.0))
    setups = data.get("style", np.zeros_like(data["labels"]))
    items = []
    for i, (begin, end) in enumerate(zip(data["offsets"][:-1], data["offsets"][1:], strict=True)):
        x = data["x"][begin:end].astype(np.float32) * scale
        clip = np.einsum("kj,tjc->tkc", data["to_ntu25"], x).astype(np.float32)
        view, rep, subject = (int(data[key][i]) for key in ("views", "reps", "subjects"))
        label = int(data["labels"][i])
        name = f"a{label:02d}_s{subject:02d}_e{rep:02d}_v{view:02d}_{i:05d}"
        items.append(Item(center_on_spine(clip[:, None]), label, name, subject,
                          int(data["dataset"][i]) if "dataset" in data else view, rep,
                          int(setups[i])))
    return items
