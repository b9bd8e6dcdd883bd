"""Every protocol's training and test clips, with the counts that must come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import SjepaError
from .store import Store, content_hash
from .synthetic import TRAIN_SUBJECTS, TRAIN_VIEWS

#: NTU60 cross-subject training performers (owners' list).
NTU60_TRAIN = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
#: NTU120 cross-subject training performers, NTU60's and 33 more.
NTU120_TRAIN = NTU60_TRAIN + (
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86,
    89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
)
#: Kinder-Gator's five adults and five children, every other id of each sorted group.
KINDERGATOR_TRAIN = (565, 604, 876, 921, 970, 103, 169, 337, 474, 644)


@dataclass(frozen=True)
class Split:
    """A protocol: who trains, and the official counts (None where there are none)."""

    trains: Callable[[Store], np.ndarray]
    counts: tuple[int, int] | None = None


def _subjects(ids) -> Callable[[Store], np.ndarray]:
    return lambda store: np.isin(store.subjects, ids)


def _views(ids) -> Callable[[Store], np.ndarray]:
    return lambda store: np.isin(store.views, ids)


SPLITS = {
    "synthetic/xsub": Split(_subjects(TRAIN_SUBJECTS)),
    "synthetic/xview": Split(_views(TRAIN_VIEWS)),
    "ntu60/xsub": Split(_subjects(NTU60_TRAIN), (40_091, 16_487)),
    "ntu60/xview": Split(_views((2, 3)), (37_646, 18_932)),
    "ntu120/xsub": Split(_subjects(NTU120_TRAIN), (63_026, 50_919)),
    "ntu120/xset": Split(lambda store: store.setups % 2 == 0, (54_468, 59_477)),
    "nwucla/xview": Split(_views((1, 2)), (1_020, 464)),
    "nwucla/xsub": Split(_subjects((1, 2, 3, 4, 5)), (754, 730)),
    "kindergator/xsub": Split(_subjects(KINDERGATOR_TRAIN), (579, 580)),
    "hdm05/xsub": Split(_subjects((0, 1, 2)), (189, 99)),
}


def split(name: str, store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the test clips of protocol `name`.

    Raises:
        SjepaError: unknown protocol, one of another data set, or an empty side.
    """
    if name not in SPLITS:
        raise SjepaError(f"unknown split {name!r}: known are {', '.join(SPLITS)}")
    if name.split("/")[0] != store.meta["name"]:
        owner = store.meta["name"]
        raise SjepaError(f"split {name!r} is not of the store {owner!r} at {store.path}")
    trains = SPLITS[name].trains(store)
    train, test = np.flatnonzero(trains), np.flatnonzero(~trains)
    for side, index in (("training", train), ("test", test)):
        missing = set(range(len(store.classes))) - set(store.labels[index].tolist())
        if missing and (side == "training" or len(index) == 0):
            lost = ", ".join(store.classes[k] for k in sorted(missing)[:5])
            raise SjepaError(f"split {name!r}: the {side} part has no clip of: {lost}")
    return train, test


def leaked(store: Store, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """`[len(test)]` bool: test clips whose positions equal those of a training clip to the bit.

    In NW-UCLA's cross-view protocol 95 of 464 are such copies, in every public release.
    """
    known = {content_hash(store.clip(i)) for i in train}
    return np.array([content_hash(store.clip(i)) in known for i in test], bool)


def reported_parts(name: str, store: Store, train: np.ndarray, test: np.ndarray) -> dict:
    """The parts of the test clips to report: all, and, where clips leaked, the clean ones apart.

    Returns:
        Split name to a bool mask over `test`: `{name: …, name-clean: …, name-leaked: …}`.
    """
    parts = {name: np.ones(len(test), bool)}
    copies = leaked(store, train, test)
    if copies.any():
        parts |= {f"{name}-clean": ~copies, f"{name}-leaked": copies}
    return parts
