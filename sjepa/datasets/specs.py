"""What there is to say of a data set, in one object: each module of `sources` holds one.

A set of one's own is one more module there: `sources/NAME.py` with a `SPEC`. It is found by its
file, and read only when it is asked for.
"""

from __future__ import annotations

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
    from sjepa.datasets.build import Clip, LeftOut, PrepareConfig
    from sjepa.datasets.store import Store


@dataclass(frozen=True)
class Split:
    """A protocol.

    Attributes:
        trains: `trains(store)` `[N]` bool, which clips train; None where only the owners' list,
            which the store then carries, tells.
        counts: the official numbers of training and test clips, None where there are none.
        takes: which clips take part at all; None: every clip.
        tests: False where all of them train.
    """

    trains: Callable[[Store], np.ndarray] | None
    counts: tuple[int, int] | None = None
    takes: Callable[[Store], np.ndarray] | None = None
    tests: bool = True


def by_subject(ids: Sequence[int]) -> Callable[[Store], np.ndarray]:
    """The rule “these subjects”."""
    return lambda store: np.isin(store.subjects, ids)


def by_view(ids: Sequence[int]) -> Callable[[Store], np.ndarray]:
    """The rule “these views”."""
    return lambda store: np.isin(store.views, ids)


@dataclass(frozen=True)
class Archive:
    """A zip file that anyone may download.

    Attributes:
        url: its address.
        file: its name here.
        suffixes: of the data files in it; nothing else is unpacked, but for licence and read-me.
        unpacked: bytes of those data files, about; several times as much is refused.
        sha256: its checksum, where it is known. Nobody publishes one for these sets, and GitHub
            makes the archive of a commit anew for each request and promises no stable bytes.
    """

    url: str
    file: str
    suffixes: tuple[str, ...]
    unpacked: int
    sha256: str | None = None


def github_commit(repository: str, commit: str, file: str, *suffixes: str,
                  unpacked: int) -> Archive:
    """A GitHub repository as it was at a commit."""
    return Archive(f"https://github.com/{repository}/archive/{commit}.zip", file, suffixes,
                   unpacked)


@dataclass(frozen=True)
class Origin:
    """A data set at its owners. Nothing was fetched in the making of this project.

    Attributes:
        title: its full name.
        page: the owners' page.
        licence: its terms, in a few words.
        terms: what they allow and forbid, a sentence.
        cite: what to cite.
        archive: what can be downloaded; None for a set that its owners license to persons.
        ask: of such a set: how to get it and which files to take, a sentence.
    """

    title: str
    page: str
    licence: str
    terms: str
    cite: str
    archive: Archive | None = None
    ask: str = ""


class Content(NamedTuple):
    """What clips a set has, whatever the positions in them (`sjepa.datasets.counts`)."""

    clips: int
    frames: int
    sha256: str


@dataclass(frozen=True)
class DatasetSpec:
    """A data set. Only what the owners' files need to become clips has no default.

    Attributes:
        name: as stores and splits are called; the module's name too.
        title: as pages call it.
        classes: class names, in the order of the labels.
        files: `files(raw)` lists what is to be read below the folder `raw`, in the order of the
            store: paths, or anything else that `read` takes and that can be pickled.
        read: `read(one of them, options)` gives its clips; several processes call it.
        needs: what `raw` must hold, in words.
        converted: file name of the set's conversion (`sjepa.datasets.formats.npz`), which is read
            in the place of the owners' files.
        skeleton: of the clips.
        splits: protocol to its rule.
        relabel: `relabel(options)` names the classes where an option changes them.
        clips: how many usable ones the owners count; of an open set, this project.
        content: of the conversion that this project measured on.
        origin: where it is to be had; None for a set that is made here.
        frontal: filmed from one side, so that facing is part of a class.
        coarse: for each class the coarser one that it belongs to, where a set has two readings.
        feeder: what the set is called in names of feeder files, `NTU60` for instance.
        numbers: `numbers(name)` reads a clip's label, subject, view, rep and setup from its name.
        lacks: `lacks(names of clips)` says in words what the owners have besides or not at all.
        recipe: changes when stores made before are out of date; only sets made here have one.
        note: goes into every result on this set.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    files: Callable[[Path], list]
    read: Callable[[Any, PrepareConfig], list[Clip | LeftOut]]
    needs: str
    converted: str = ""
    skeleton: Skeleton = NTU25
    splits: dict[str, Split] = field(default_factory=dict)
    relabel: Callable[[PrepareConfig], tuple[str, ...]] | None = None
    clips: int | None = None
    content: Content | None = None
    origin: Origin | None = None
    frontal: bool = False
    coarse: tuple[str, ...] = ()
    feeder: str = ""
    numbers: Callable[[str], dict[str, int]] | None = None
    lacks: Callable[[Iterable[str]], list[str]] | None = None
    recipe: str = ""
    note: str = ""


def names() -> tuple[str, ...]:
    """The known data sets, by their modules; none of them is loaded for it."""
    from sjepa.datasets import sources

    return tuple(sorted(module.name for module in pkgutil.iter_modules(sources.__path__)))


def spec(name: str) -> DatasetSpec:
    """The data set `name`; its module is loaded, and no other's.

    Raises:
        SjepaError: there is none of that name.
    """
    if name not in names():
        raise SjepaError(f"unknown data set {name!r}: known are {', '.join(names())}")
    return import_module(f"sjepa.datasets.sources.{name}").SPEC


def known(name: str) -> DatasetSpec | None:
    """The data set `name`; None for a set of one's own, of which there is but a store."""
    return spec(name) if name in names() else None


def titles() -> dict[str, str]:
    """Each known data set's title."""
    return {name: spec(name).title for name in names()}
