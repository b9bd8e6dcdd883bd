"""Labelled subsets for the semi-supervised protocol: a small, repeatable share of each class.

The rule needs no random generator, so that any language can repeat a list: of the n training clips
of a class, `max(1, round(share * n))` keep their label (halves round to even), those whose
SHA-256 of the text `SEED:NAME` (UTF-8, as lower-case hex digits, NAME as the store writes it) is
smallest.

MAMP's code shuffles all training clips and takes `int(share * N)` of them, whatever their classes;
the shuffle is seeded by the rank of the process, so that its two processes draw different subsets.
Here every class keeps a clip, and the share is the share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .store import Store


def rank_key(seed: int, name: str) -> str:
    """What clips of a class are sorted by: the SHA-256 of `SEED:NAME` in hex digits."""
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def labelled_subset(store: Store, train: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The training clips that keep their labels.

    Args:
        store: the clips.
        train: `[N]` indices of the training clips.
        share: labelled share of each class, above 0, at most 1.
        seed: another seed is another subset.

    Returns:
        Their indices, rising. Every class of `train` is among them.
    """
    kept = []
    for label in np.unique(store.labels[train]):
        members = train[store.labels[train] == label]
        ranked = sorted(members, key=lambda i: rank_key(seed, str(store.names[i])))
        kept += ranked[: max(1, round(share * len(members)))]
    return np.sort(np.array(kept, np.int64))


def write_list(path: str | Path, names: Iterable[str]) -> Path:
    """Write clip names to `path`, a line each, so that others can use the same clips."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return path
