"""From positions in a source's own joints to a clip as the store holds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sjepa.clips import center_on_spine
from sjepa.datasets.layouts import LAYOUTS
from sjepa.errors import SjepaError


def mapped_clip(path: Path, layout: str, positions: np.ndarray) -> np.ndarray:
    """One person on NTU-25, with the spine's middle in the first frame as the origin.

    Args:
        path: where the positions come from, for the message.
        layout: name of their layout.
        positions: `[T, J, 3]`, metres.

    Returns:
        `[T, 1, 25, 3]` float32.

    Raises:
        SjepaError: all positions are zero.
    """
    try:
        return center_on_spine(LAYOUTS[layout].map(positions)[:, None])
    except SjepaError as error:
        raise SjepaError(f"{path}: {error}") from error
