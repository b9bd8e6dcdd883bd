"""Every protocol's training and test clips, with the counts that must come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sjepa.datasets.store import Store, content_hash
from sjepa.errors import SjepaError
from sjepa.synthetic import TRAIN_SUBJECTS, TRAIN_VIEWS

#: NTU60 cross-subject training performers (owners' list).
NTU60_TRAIN = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
#: NTU120 cross-subject training performers, NTU60's and 33 more.
NTU120_TRAIN = NTU60_TRAIN + (
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86,
    89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
)
#: Kinder-Gator's five adults and five children, every other id of each sorted group.
KINDERGATOR_TRAIN = (565, 604, 876, 921, 970, 103, 169, 337, 474, 644)
KINDERGATOR_VALIDATION = (970, 474, 644)  # of those: one adult, two children
NWUCLA_VALIDATION = (2,)  # of the training views 1 and 2

#: Bandai-Namco 2: active, elderly, exhausted and feminine train; masculine, normal and youthful are
#: the styles never seen (numbers as in `sjepa.datasets.sources.bandai`).
BANDAI_STYLES = (0, 4, 5, 6)

#: Pretrained on the first, judged on the second (paper's table of transfer; target PKU-MMD II).
TRANSFERS = (("ntu60/xsub", "pku2/xsub"), ("ntu120/xsub", "pku2/xsub"), ("pku1/xsub", "pku2/xsub"))


@dataclass(frozen=True)
class Split:
    """A protocol.

    Attributes:
        trains: which clips train; None where only the owners' list in the store tells.
        counts: the official numbers of training and test clips, None where there are none.
        takes: which clips take part at all; None: every clip.
        tests: False where all of them train.
    """

    trains: Callable[[Store], np.ndarray] | None
    counts: tuple[int, int] | None = None
    takes: Callable[[Store], np.ndarray] | None = None
    tests: bool = True


def _subjects(ids) -> Callable[[Store], np.ndarray]:
    return lambda store: np.isin(store.subjects, ids)


def _views(ids) -> Callable[[Store], np.ndarray]:
    return lambda store: np.isin(store.views, ids)


def _every(store: Store) -> np.ndarray:
    return np.ones(len(store), bool)


def _of(store: Store, member: str) -> np.ndarray:
    """The clips of one member of the pool."""
    return np.char.startswith(store.names, f"{member}_")


def _for_search(store: Store) -> np.ndarray:
    """The pool without the test sides of `kindergator/val` and `nwucla/val`."""
    return ~(_of(store, "kindergator") & np.isin(store.subjects, KINDERGATOR_VALIDATION)
             | _of(store, "nwucla") & np.isin(store.views, NWUCLA_VALIDATION))


def _all_but_fold(fold: int) -> Callable[[Store], np.ndarray]:
    """Fold k of five tests every fifth of the sorted subjects, from the k-th on."""
    return lambda store: ~np.isin(store.subjects, np.unique(store.subjects)[fold::5])


SPLITS = {
    "synthetic/xsub": Split(_subjects(TRAIN_SUBJECTS)),
    "synthetic/xview": Split(_views(TRAIN_VIEWS)),
    "synthetic20/xsub": Split(_subjects(TRAIN_SUBJECTS)),
    "ntu60/xsub": Split(_subjects(NTU60_TRAIN), (40_091, 16_487)),
    "ntu60/xview": Split(_views((2, 3)), (37_646, 18_932)),
    "ntu120/xsub": Split(_subjects(NTU120_TRAIN), (63_026, 50_919)),
    "ntu120/xset": Split(lambda store: store.setups % 2 == 0, (54_468, 59_477)),
    "nwucla/xview": Split(_views((1, 2)), (1_020, 464)),
    "nwucla/xsub": Split(_subjects((1, 2, 3, 4, 5)), (754, 730)),
    "pku1/xsub": Split(None, (18_841, 2_704)),
    "pku1/xview": Split(None),
    "pku2/xsub": Split(None, (5_332, 1_613)),
    "pku2/xview": Split(None),
    "kindergator/xsub": Split(_subjects(KINDERGATOR_TRAIN), (579, 580)),
    **{f"kindergator/fold{k + 1}": Split(_all_but_fold(k)) for k in range(5)},
    "bandai/unseen-styles": Split(
        lambda store: np.isin(store.setups, BANDAI_STYLES), (1_657, 1_245),
        takes=lambda store: store.views == 2,
    ),
    "hdm05/xsub": Split(_subjects((0, 1, 2)), (189, 99)),
    # For choosing a recipe: both sides lie within the training part of the protocol.
    "kindergator/val": Split(
        lambda store: ~np.isin(store.subjects, KINDERGATOR_VALIDATION),
        takes=_subjects(KINDERGATOR_TRAIN),
    ),
    "nwucla/val": Split(
        lambda store: ~np.isin(store.views, NWUCLA_VALIDATION), (516, 504), takes=_views((1, 2)),
    ),
    # For pretraining alone: every clip, and nothing to test on.
    "pool/all": Split(_every, (4_675, 0), tests=False),
    # Without the motion capture: the training clips of the two sets that are judged.
    "pool/kinect": Split(_every, (1_599, 0), tests=False,
                         takes=lambda store: ~_of(store, "bandai")),
    # The same two for choosing a recipe, which `kindergator/val` and `nwucla/val` then judge.
    "pool/val": Split(_every, (3_997, 0), tests=False, takes=_for_search),
    "pool/kinect-val": Split(_every, (921, 0), tests=False,
                             takes=lambda store: _for_search(store) & ~_of(store, "bandai")),
}


def _trains(name: str, store: Store) -> np.ndarray:
    """Which clips train: by the list that came with the files, else by the published rule."""
    protocol, lists = name.split("/")[1], store.meta["lists"]
    if protocol in lists:  # names clips, or the videos that clips were cut from
        videos = np.array([each.rpartition("_")[0] for each in store.names])
        return np.isin(store.names, lists[protocol]) | np.isin(videos, lists[protocol])
    if lists or SPLITS[name].trains is None:
        raise SjepaError(f"the store at {store.path} was made from files that do not tell "
                         f"{name!r}: it knows {', '.join(lists) or 'no protocol'}")
    return SPLITS[name].trains(store)


def split(name: str, store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the test clips of protocol `name`.

    Raises:
        SjepaError: unknown protocol, one of another data set, one that the store's files do not
            tell, or an empty side.
    """
    if name not in SPLITS:
        raise SjepaError(f"unknown split {name!r}: known are {', '.join(SPLITS)}")
    if name.split("/")[0] != store.meta["name"]:
        owner = store.meta["name"]
        raise SjepaError(f"split {name!r} is not of the store {owner!r} at {store.path}")
    trains, takes = _trains(name, store), SPLITS[name].takes
    part = np.ones(len(store), bool) if takes is None else takes(store)
    train, test = np.flatnonzero(trains & part), np.flatnonzero(~trains & part)
    expected = set(store.labels[part].tolist())
    for side, index in (("training", train), ("test", test)):
        missing = expected - set(store.labels[index].tolist())
        if side == "test" and not SPLITS[name].tests:
            continue
        if len(index) == 0 or (missing and side == "training"):
            lost = ", ".join(store.classes[k] for k in sorted(missing)[:5])
            raise SjepaError(f"split {name!r}: the {side} part has no clip of: {lost}")
    return train, test


def leaked(store: Store, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """`[len(test)]` bool: test clips whose positions equal those of a training clip to the bit.

    In NW-UCLA's cross-view protocol 95 of 464 are such copies, in every public release.
    """
    return leaked_between(store, train, store, test)


def leaked_between(origin: Store, train: np.ndarray, store: Store, test: np.ndarray) -> np.ndarray:
    """`[len(test)]` bool: test clips of `store` that are among the training clips of `origin`.

    To the bit, or, if `origin` is a pool of several sets, by name: some members are turned there.
    """
    known = {content_hash(origin.clip(i)) for i in train}
    named, of = set(origin.names[train]), store.meta["name"]
    return np.array([f"{of}_{store.names[i]}" in named or content_hash(store.clip(i)) in known
                     for i in test], bool)


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
