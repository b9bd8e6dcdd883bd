"""Where stores lie, and how each is made: of the owners' files, of other projects' files."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

from sjepa.config import ROOT, data_dir, make_config
from sjepa.datasets import specs
from sjepa.datasets.specs import DatasetSpec, names, spec
from sjepa.datasets.store import OldStore, Store, open_store
from sjepa.errors import SjepaError

PICKLES = (".pkl", ".pickle")


def _found(known: DatasetSpec, raw: Path) -> list:
    """What is to be read in a folder: the set's conversion, else its owners' files."""
    converted = raw / known.converted
    return [converted] if known.converted and converted.is_file() else known.files(raw)


def _source(name: str, raw: Path, options):
    """What a store of `name` is made from, as `sjepa.datasets.build.Source`."""
    from sjepa.datasets.build import Source
    from sjepa.datasets.formats import npz, pyskl

    known = specs.known(name)
    if raw.suffix in PICKLES and raw.is_file():
        return pyskl.source(raw, known)
    if raw.suffix == ".npz" and raw.is_file():
        return npz.source(raw, known)
    if known is None:
        raise SjepaError(f"unknown data set {name!r}: known are {', '.join(names())}; a set of "
                         "your own is made from one npz of the N x 300 x 150 layout or one pyskl "
                         "pickle (--raw FILE), or from arrays by sjepa.datasets.write_store")
    units = _found(known, raw)
    if not units:
        raise SjepaError(f"{raw} does not hold {known.needs}, which {name} is made from: "
                         "see the book's page “Data and licences”")
    if known.converted and units == [raw / known.converted]:
        return npz.source(units[0], known)
    classes = known.relabel(options) if known.relabel else known.classes
    return Source(units, partial(known.read, options=options), classes, known.skeleton)


def prepare_store(name: str, raw: str | Path, out: str | Path, options=None,
                  workers: int | None = None) -> Path:
    """Make the store of data set `name` from the files in `raw`, at `out/name`.

    Args:
        name: a known data set; any other name for a set of one's own from one file.
        raw: folder of the owners' files, or one file: a conversion, an npz of the
            N x 300 x 150 layout, or a pyskl pickle.
        out: folder of stores.
        options: a `sjepa.datasets.build.PrepareConfig`; None: its defaults.
        workers: processes that read; None: one a core.

    Raises:
        SjepaError: unknown data set or choice, `raw` lacks its files, or one of them is off its
            grammar.
    """
    from sjepa.datasets.build import PrepareConfig, build
    from sjepa.datasets.writer import StoreWriter

    if not name or name.startswith(".") or Path(name).name != name:
        raise SjepaError(f"{name!r} is no name of a data set: expected one such as my-set")
    raw, path = Path(raw).expanduser(), Path(out).expanduser() / name
    options = make_config(PrepareConfig, asdict(options or PrepareConfig()))
    source = _source(name, raw, options)
    known = specs.known(name)
    about = {"note": known.note, "recipe": known.recipe} if known else {}
    with StoreWriter(path, name, source.classes, options.dtype, source.skeleton,
                     options=asdict(options), **about) as writer:
        build(writer, source, workers or min(os.cpu_count() or 1, 61))
    return path


def _there(name: str, folders: list[Path]) -> tuple[Store | None, OldStore | None]:
    """The up-to-date store of `name` in one of the folders, or the complaint about an old one."""
    old = None
    for path in (folder / name for folder in folders):
        if (path / "store.json").is_file():
            try:
                store = open_store(path)
            except OldStore as error:
                old = error
                continue
            # Only a set that is made here can be out of date; no other's module is loaded for it.
            recipe = store.meta["recipe"]
            if not recipe or recipe == spec(name).recipe:
                return store, None
    return None, old


def _workshop() -> Path:
    """The folder for stores made unasked: the project's own, or where that is read-only another.

    Not `$SJEPA_DATA` first, because the folder that holds the owners' files may be shared.

    Raises:
        SjepaError: neither can be written to.
    """
    for folder in (ROOT / "data", data_dir()):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    raise SjepaError(f"neither {ROOT / 'data'} nor {data_dir()} can be written to: set SJEPA_DATA "
                     "to a folder for stores that can")


def load_store(name: str) -> Store:
    """Open the store of `name`: in `$SJEPA_DATA`, or in `data/` of the project.

    A set of one's own needs no more than its store. What can be made at once is made at once: the
    built-in sets, and a store of any known set whose files lie in `$SJEPA_DATA`.

    Raises:
        SjepaError: there is neither a store nor files to make one from.
    """
    home = data_dir()
    folders = [home, ROOT / "data"]
    store, old = _there(name, folders)
    if store is not None:
        return store
    known = specs.known(name)
    if known is None or not _found(known, home):
        if old is not None:
            raise old
        made = (f"`python -m sjepa.prepare {name} --raw DIR --out {home}`" if known else
                "sjepa.datasets.write_store or sjepa.prepare; known without one are "
                f"{', '.join(names())}")
        raise SjepaError(f"no store of {name} in {home}: set SJEPA_DATA to the folder that "
                         f"holds it, or make it with {made}")
    return _make(known, home, folders)


def _make(known: DatasetSpec, home: Path, folders: list[Path]) -> Store:
    from sjepa.datasets.writer import alone

    workshop = _workshop()
    with alone(workshop / known.name):  # whoever waited here finds it made
        store, _ = _there(known.name, folders)
        if store is None:
            # On stderr, because the book shows what a chapter prints: no path is worth showing.
            print(f"making the store of {known.name} in {workshop}", file=sys.stderr, flush=True)
            store = open_store(prepare_store(known.name, home, workshop))
    return store
