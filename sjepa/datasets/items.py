"""What every reader hands over: one `Item` a clip, or a `LeftOut` with the reason.

A data set's reader is two functions: `files(raw)` lists the owners' files in a fixed order, and
`read(path)` turns one of them into items. `sjepa.datasets.building` calls `read` in parallel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Item:
    """A clip and what its owners say about it.

    Attributes:
        clip: `[T, M, 25, 3]` float32, metres, in the NTU-25 layout; M bodies, absent ones zero.
        label: class, from 0.
        name: the owners' name of the clip, unique in its set.
        subject, view, rep, setup: as the owners number them; -1 where unknown, 0 where single.
    """

    clip: np.ndarray
    label: int
    name: str
    subject: int = -1
    view: int = 0
    rep: int = 0
    setup: int = 0


@dataclass(frozen=True)
class LeftOut:
    """A clip that the published pipeline has no place for: counted and listed, not an error."""

    name: str
    why: str
