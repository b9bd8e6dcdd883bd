"""Open sets that come as one npz: positions, labels and the map onto NTU-25 in a common form.

Keys: `x` `[sum T, J, 3]` metres (int16 times `x_scale`), `offsets`, `labels`, `subjects`, `views`,
`reps`, `class_names`, `to_ntu25` `[25, J]`. One person a clip.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import SjepaError
from .lineage import center_on_spine
from .store import StoreWriter


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError) as error:
        raise SjepaError(f"{path} is no readable npz ({error}): get it again") from error


def classes(path: Path) -> list[str]:
    """Class names, in the order of the labels."""
    return [str(name) for name in _read(path)["class_names"]]


def fill(writer: StoreWriter, path: Path) -> None:
    """Add all clips, on NTU-25, with the spine's middle in the first frame as the origin.

    The origin is that of the NTU lineage, so that one way of the data serves every set.
    """
    data = _read(path)
    scale = np.float32(data.get("x_scale", 1.0))
    for i, (begin, end) in enumerate(zip(data["offsets"][:-1], data["offsets"][1:], strict=True)):
        x = data["x"][begin:end].astype(np.float32) * scale
        clip = np.einsum("kj,tjc->tkc", data["to_ntu25"], x).astype(np.float32)
        view, rep, subject = (int(data[key][i]) for key in ("views", "reps", "subjects"))
        label = int(data["labels"][i])
        name = f"a{label:02d}_s{subject:02d}_e{rep:02d}_v{view:02d}_{i:05d}"
        writer.add(center_on_spine(clip[:, None]), label=label, name=name, subject=subject,
                   view=view, rep=rep)
