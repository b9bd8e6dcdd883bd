"""What there is to say of a data set, in one object: each module of `sources` holds one.

A set of one's own is one more module there: `sources/NAME.py` with a `SPEC`. It is found by its
file, and read only when it is asked for.
"""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sjepa.errors import SjepaError
from sjepa.skeleton import NTU25, Skeleton

if TYPE_CHECKING:
    from sjepa.datasets.build import PrepareConfig
    from sjepa.datasets.store import Clip, LeftOut, Store


@dataclass(frozen=True)
class Split:
    """A protocol."""

    #: `[N]` bool, which clips train; None where only the owners' list tells, which the store has.
    trains: Callable[[Store], np.ndarray] | None
    #: The official numbers of training and test clips, if there are any; no test clips: (n, 0).
    counts: tuple[int, int] | None = None
    #: `[N]` bool, which clips take part at all; None: every clip.
    takes: Callable[[Store], np.ndarray] | None = None


def by_subject(ids: Sequence[int]) -> Callable[[Store], np.ndarray]:
    """The rule “these subjects”."""
    return lambda store: np.isin(store.subjects, ids)


def by_view(ids: Sequence[int]) -> Callable[[Store], np.ndarray]:
    """The rule “these views”."""
    return lambda store: np.isin(store.views, ids)


def across_subjects(train: Sequence[int], counts: tuple[int, int], validation: Sequence[int],
                    inner: tuple[int, int]) -> dict[str, Split]:
    """The protocol `xsub`, and `val` to choose a recipe by, which stays within its training part.

    There the subjects `validation`, some of `train`, are held out; `inner` are its counts.
    """
    return {"xsub": Split(by_subject(train), counts),
            "val": Split(lambda store: ~by_subject(validation)(store), inner, by_subject(train))}


class Archive(NamedTuple):
    """A zip file that anyone may download. Nobody publishes checksums of these."""

    url: str
    file: str  # its name here
    suffixes: tuple[str, ...]  # of its data files; besides, only licence and read-me are unpacked
    unpacked: int  # bytes of those data files, about; several times as much is refused


def github(repository: str, commit: str, *suffixes: str, unpacked: int) -> Archive:
    """A GitHub repository as it was at a commit."""
    return Archive(f"https://github.com/{repository}/archive/{commit}.zip",
                   f"{repository.partition('/')[2]}.zip", suffixes, unpacked)


@dataclass(frozen=True)
class Origin:
    """A data set at its owners. Nothing was fetched in the making of this project."""

    title: str
    page: str
    licence: str  # in a few words
    terms: str  # what they allow and forbid, a sentence
    cite: str
    archive: Archive | None = None  # None for a set that its owners license to persons
    ask: str = ""  # how to get such a set and which files to take, a sentence


@dataclass(frozen=True)
class DatasetSpec:
    """A data set. Only what the owners' files need to become clips has no default."""

    name: str  # as stores and splits are called, and the module
    title: str  # as pages call it
    classes: tuple[str, ...]  # in the order of the labels
    #: What is to be read below a folder, in the order of the store: paths, or anything else that
    #: `read` takes and that can be pickled.
    files: Callable[[Path], list]
    #: The clips of one of them; several processes call it.
    read: Callable[[Any, PrepareConfig], list[Clip | LeftOut]]
    needs: str  # what of the owners' the folder must hold, in words
    #: File name of the set's conversion, which is read in the place of the owners' files.
    converted: str = ""
    skeleton: Skeleton = NTU25
    splits: dict[str, Split] = field(default_factory=dict)
    #: Names the classes where an option changes them.
    relabel: Callable[[PrepareConfig], tuple[str, ...]] | None = None
    #: How many usable ones the owners count; of an open set, this project.
    clips: int | None = None
    #: `prepare.content_fingerprint` of the conversion that this project measured on.
    content: tuple[int, str] | None = None
    origin: Origin | None = None  # None for a set that is made here
    #: `[N]` of a pool of several sets: the one that each clip comes from.
    members: Callable[[Store], np.ndarray] | None = None
    frontal: bool = False  # filmed from one side, so that facing is part of a class
    #: For each class the coarser one that it belongs to, where a set has two readings.
    coarse: tuple[str, ...] = ()
    #: Reads a clip's label, subject, view, rep and setup from its name.
    numbers: Callable[[str], dict[str, int]] | None = None
    #: Says of the names of clips in words what the owners have besides or not at all.
    lacks: Callable[[Iterable[str]], list[str]] | None = None
    recipe: str = ""  # of a set made here: changes when stores made before are out of date
    note: str = ""  # goes into every result on this set


def names() -> tuple[str, ...]:
    """The known data sets, by their modules; none of them is loaded for it."""
    from sjepa.datasets import sources

    return tuple(sorted(module.name for module in pkgutil.iter_modules(sources.__path__)))


def unknown(name: str) -> str:
    """That no data set is called so, in words, and what may have been meant."""
    near = difflib.get_close_matches(name, names(), 1)
    return f"unknown data set {name!r}: " + (
        f"did you mean {near[0]}?" if near else f"known are {', '.join(names())}")


def spec(name: str) -> DatasetSpec:
    """The data set `name`; its module is loaded, and no other's.

    Raises:
        SjepaError: there is none of that name.
    """
    if name not in names():
        raise SjepaError(unknown(name))
    return import_module(f"sjepa.datasets.sources.{name}").SPEC


def known(name: str) -> DatasetSpec | None:
    """The data set `name`; None for a set of one's own, of which there is but a store."""
    return spec(name) if name in names() else None


def titles() -> dict[str, str]:
    """Each known data set's title."""
    return {name: spec(name).title for name in names()}
