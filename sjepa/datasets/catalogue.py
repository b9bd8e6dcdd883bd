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
from sjepa.datasets.build import PrepareConfig, Source, build
from sjepa.datasets.specs import DatasetSpec, names
from sjepa.datasets.store import OldStore, Store, alone, new_store, open_store
from sjepa.errors import SjepaError

PICKLES = (".pkl", ".pickle")


def _found(known: DatasetSpec, raw: Path) -> list:
    """What is to be read in a folder: the set's conversion, else its owners' files."""
    converted = raw / known.converted
    return [converted] if known.converted and converted.is_file() else known.files(raw)


def _source(name: str, raw: Path, options: PrepareConfig) -> Source:
    """What a store of `name` is made from."""
    from sjepa.datasets.formats import npz, pyskl  # here: pretraining knows no formats

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


def prepare_store(name: str, raw: str | Path, out: str | Path,
                  options: PrepareConfig | None = None, workers: int | None = None) -> Path:
    """Make the store of data set `name` at `out/name`; one process a core if not told otherwise.

    Args:
        name: a known data set; any other name for a set of one's own from one file.
        raw: folder of the owners' files, or one file: a conversion, an npz of the
            N x 300 x 150 layout, or a pyskl pickle.
        out: folder of stores.
        options: None: the defaults.
        workers: processes that read.

    Raises:
        SjepaError: unknown data set or choice, `raw` lacks its files, or one of them is off its
            grammar.
    """
    if not name or name.startswith(".") or Path(name).name != name:
        raise SjepaError(f"{name!r} is no name of a data set: expected one such as my-set")
    raw, path = Path(raw).expanduser(), Path(out).expanduser() / name
    options = make_config(PrepareConfig, asdict(options or PrepareConfig()))
    source, known = _source(name, raw, options), specs.known(name)
    about = {"note": known.note, "recipe": known.recipe} if known else {}
    with new_store(path, name, source.classes, options.dtype, source.skeleton,
                   options=asdict(options), **about) as writer:
        build(writer, source, workers or min(os.cpu_count() or 1, 61))
    return path


def _there(name: str) -> Store:
    """The up-to-date store of `name`, or an `OldStore` error: none, or one to be made again."""
    home = data_dir()
    made = (f"`python -m sjepa.prepare {name} --raw DIR --out {home}`" if name in names() else
            f"sjepa.datasets.write_store or sjepa.prepare; known without one are "
            f"{', '.join(names())}")
    fault = OldStore(f"no store of {name} in {home}: set SJEPA_DATA to the folder that holds it, "
                     f"or make it with {made}")
    for path in (home / name, ROOT / "data" / name):
        if (path / "store.json").is_file():
            try:
                store = open_store(path)
            except OldStore as error:
                fault = error
                continue
            # Only a set that is made here can be out of date; no other's module is loaded for it.
            recipe = store.meta["recipe"]
            if not recipe or recipe == specs.spec(name).recipe:
                return store
    raise fault


def _workshop() -> Path:
    """The folder for stores made unasked: the project's own, or where that is read-only another.

    Not `$SJEPA_DATA` first, because the folder that holds the owners' files may be shared.
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
    try:
        return _there(name)
    except OldStore:
        known = specs.known(name)
        if known is None or not _found(known, data_dir()):
            raise
    workshop = _workshop()
    with alone(workshop / name):
        try:
            return _there(name)  # whoever waited for the lock finds it made
        except OldStore:
            # On stderr, because the book shows what a chapter prints: no path is worth showing.
            print(f"making the store of {name} in {workshop}", file=sys.stderr, flush=True)
            return open_store(prepare_store(name, data_dir(), workshop))
