"""Every protocol's training and test clips, and which test clips are copies of training clips."""

import functools
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from sjepa.datasets.specs import Split, known, names, spec
from sjepa.datasets.store import SIDES, Store, open_store
from sjepa.errors import SjepaError

#: Pretrained on the first, judged on the second (paper's table of transfer; target PKU-MMD II).
TRANSFERS = (("ntu60/xsub", "pku2/xsub"), ("ntu120/xsub", "pku2/xsub"), ("pku1/xsub", "pku2/xsub"))


class _Splits(Mapping):
    """The protocols of all known data sets, `ntu60/xsub` and so on; to look one up loads one."""

    def __getitem__(self, name: str) -> Split:
        dataset, _, protocol = name.partition("/")
        if dataset not in names():
            raise KeyError(name)
        return spec(dataset).splits[protocol]

    def __iter__(self) -> Iterator[str]:
        return (f"{name}/{each}" for name in names() for each in spec(name).splits)

    def __len__(self) -> int:
        return sum(1 for _ in self)


SPLITS: Mapping[str, Split] = _Splits()


def split(name: str, store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the test clips of protocol `name`.

    A store that was made with split lists is split by them, any other by the set's rule. A protocol
    that they do not tell, and a side that lacks clips, are a `SjepaError`.
    """
    dataset, _, protocol = name.partition("/")
    if dataset != store.meta["name"]:
        raise SjepaError(f"split {name!r} is not of the store {store.meta['name']!r} at "
                         f"{store.path}")
    rules = getattr(known(dataset), "splits", {})
    rules = {each: rule for each, rule in rules.items() if rule.trains and not store.sides}
    if protocol in store.sides:
        side = store.sides[protocol]
        train, test = (np.flatnonzero(side == SIDES.index(each)) for each in ("train", "test"))
    elif protocol in rules:
        trains, takes = rules[protocol].trains(store), rules[protocol].takes
        part = takes(store) if takes else np.ones(len(store), bool)
        train, test = np.flatnonzero(trains & part), np.flatnonzero(~trains & part)
    else:
        there = ", ".join(f"{dataset}/{each}" for each in [*store.sides, *rules])
        raise SjepaError(f"unknown split {name!r}: the store at {store.path} knows "
                         f"{there or 'none, make it with write_store(…, splits=…)'}")
    expected = {"training": train, "test": test}
    if protocol in rules and (rules[protocol].counts or (1, 1))[1] == 0:
        del expected["test"]  # for pretraining alone
    for side, index in expected.items():
        if not len(index):
            raise SjepaError(f"split {name!r}: the {side} part has no clip at all: the store at "
                             f"{store.path} holds another part of the set")
    if missing := sorted(set(store.labels[test].tolist()) - set(store.labels[train].tolist())):
        lost = ", ".join(store.classes[k] for k in missing[:5])
        raise SjepaError(f"split {name!r}: the training part has no clip of: {lost}")
    return train, test


def draw_weights(name: str, store: Store, train: np.ndarray, power: float) -> np.ndarray | None:
    """`[N]` how often each training clip is drawn, so that a set counts as its clips to `power`.

    None where every clip counts the same, as `power` is 1; only a pool takes another.

    Raises:
        SjepaError: another power for a data set that is no pool.
    """
    if power == 1:
        return None
    rule = known(name.split("/")[0])
    if rule is None or rule.members is None:
        raise SjepaError(f"parameter set_power = {power:g}: {name} is one set and no pool of "
                         "several; leave set_power at 1")
    _, which, counts = np.unique(rule.members(store)[train], return_inverse=True,
                                 return_counts=True)
    return (counts.astype(float) ** (power - 1))[which]


def content_hashes(store: Store) -> np.ndarray:
    """`[N]` hashes of the clips' exact positions, by which copied clips are found."""
    return _hashes(store.path, store.meta["sha256"]["frames.npy"])


@functools.lru_cache(maxsize=16)  # every evaluation on a set asks
def _hashes(path: Path, version: str) -> np.ndarray:
    store = open_store(path)
    clips = (store.clip(i) for i in range(len(store)))
    # Without the slots of absent bodies, which a pool with two bodies in it has for all its clips.
    return np.array([hashlib.sha256(clip[:, clip.any((0, 2, 3))].tobytes()).hexdigest()
                     for clip in clips])


def leaked(store: Store, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """`[len(test)]` bool: test clips whose positions equal those of a training clip to the bit.

    In NW-UCLA's cross-view protocol 95 of 464 are such copies, in every public release.
    """
    return leaked_between(store, train, store, test)


def leaked_between(origin: Store, train: np.ndarray, store: Store, test: np.ndarray) -> np.ndarray:
    """`[len(test)]` bool: test clips of `store` that are among the training clips of `origin`.

    To the bit, or, if `origin` is a pool of several sets, by name: some members are turned there.
    """
    known, theirs = content_hashes(origin)[train], content_hashes(store)[test]
    names = [f"{store.meta['name']}_{name}" for name in store.names[test]]
    return np.isin(theirs, known) | np.isin(names, origin.names[train])


def reported_parts(name: str, store: Store, train: np.ndarray, test: np.ndarray) -> dict:
    """The parts of the test clips to report: all, and, where clips leaked, the clean ones apart.

    As bool masks over `test`: `{name: …, name-clean: …, name-leaked: …}`.
    """
    parts = {name: np.ones(len(test), bool)}
    copies = leaked(store, train, test)
    if copies.any():
        parts |= {f"{name}-clean": ~copies, f"{name}-leaked": copies}
    return parts
