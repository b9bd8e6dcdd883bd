"""Making stores, of the owners' files or other projects', and finding those that are there."""

import gc
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sjepa.config import ROOT, data_dir, make_config, setting
from sjepa.datasets import specs
from sjepa.datasets.specs import names
from sjepa.datasets.store import Clip, LeftOut, OldStore, Store, StoreWriter, new_store, open_store
from sjepa.errors import SjepaError
from sjepa.files import alone, make_writable, read_json
from sjepa.skeleton import NTU25, Skeleton

_CHUNK = 16  # files that travel to a process together
_AHEAD = 4  # chunks a process that are read before they are needed: bounds the memory
_FAULTS = 20  # so many bad files are looked for before the first is reported


@dataclass(frozen=True)
class PrepareConfig:
    """Choices of preparing: where published pipelines differ, and how a store is kept."""

    dtype: str = setting(
        "float32", "ours", "int16 halves a store; each position then errs by at most half a step",
        choices=("float32", "int16"))
    second_body: str = setting(
        "lineage", "lineage",
        "of NTU clips with one person: lineage leaves it absent on NTU60 and copies the first body "
        "on NTU120, as MAMP and CTR-GCN do; absent or copied do the same on both",
        choices=("lineage", "absent", "copied"))
    pku_slice: str = setting(
        "exclusive", "lineage", "MAMP takes PKU-MMD's rows [start, end); inclusive adds row end",
        choices=("exclusive", "inclusive"))
    pku2_labels: str = setting(
        "original", "lineage",
        "MAMP keeps the 51 class ids in phase II, ten of them empty; dense renumbers the 41",
        choices=("original", "dense"))


@dataclass(frozen=True)
class PrepareRun(PrepareConfig):
    """One run of preparing: which set, from where, to where."""

    name: str = setting("synthetic", "ours", "a data set")
    raw: str = setting(
        ".", "ours", "folder of the owners' files, or one file: a conversion, an npz of the "
        "N x 300 x 150 layout, a pyskl pickle")
    out: str = setting(
        "", "ours", "folder of stores; empty: take the store that is there, or make one of what "
        "lies in $SJEPA_DATA")
    allow_partial: bool = setting(
        False, "ours", "accept a store whose clips are not those that the owners count")
    workers: int | None = setting(
        None, "ours", "processes that read; empty: one a core", "[1, inf)")


@dataclass(frozen=True)
class Source:
    """What a store is made from."""

    units: Sequence[Any]  # what is read one at a time, mostly files, in the order of the store
    read: Callable[[Any], Iterable[Clip | LeftOut]]  # the clips of one; both can be pickled
    classes: Sequence[str]  # class names, in the order of the labels
    skeleton: Skeleton = NTU25
    parallel: bool = True  # False where the units lie in this process's memory already


def _read(read: Callable, units: Iterable) -> list[list[Clip | LeftOut] | SjepaError]:
    """The clips of each unit, or what is wrong with it."""
    results = []
    for unit in units:
        try:
            results.append(list(read(unit)))
        except SjepaError as error:
            results.append(error)
        except OSError as error:
            results.append(SjepaError(f"cannot read {error.filename}: {error.strerror}"))
    return results


def _read_in_order(source: Source, workers: int) -> Iterator[list[Clip | LeftOut] | SjepaError]:
    """The results of `_read`, in the order of the units, from `workers` processes."""
    if workers == 1 or len(source.units) <= _CHUNK or not source.parallel:
        for unit in source.units:
            yield from _read(source.read, [unit])
        return
    read, waiting = partial(_read, source.read), deque()
    # New processes and no copies of this one, in which torch's and Jupyter's threads may run.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    # Without the libraries' objects the garbage collector leaves a process twice as fast.
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=gc.freeze)
    try:
        for at in range(0, len(source.units), _CHUNK):
            waiting.append(pool.submit(read, source.units[at : at + _CHUNK]))
            if len(waiting) > _AHEAD * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise SjepaError("a reading process died, for want of memory perhaps: try again with "
                         "fewer workers (1 reads in this process)") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _check_room(writer: StoreWriter, found: list[Clip | LeftOut], units: int) -> None:
    """Refuse a disk without room for half of what `units` like the first one will take."""
    clips = [np.asarray(each.positions) for each in found if isinstance(each, Clip)]
    bodies = sum(x.any((0, 2, 3)).sum() * x[:, 0].size for x in clips if x.ndim == 4)
    room = int(bodies) * writer.dtype.itemsize * max(1, units // 2)
    make_writable(writer.folder.parent, room, "the store")


def build(writer: StoreWriter, source: Source, workers: int) -> None:
    """Read everything, in `workers` processes, and write the clips in the order of the source.

    A bad file does not hide the ones behind it: reading goes on, and the `SjepaError` names them.
    """
    faults: list[SjepaError] = []
    for found in tqdm(_read_in_order(source, workers), total=len(source.units), unit="file",
                      mininterval=0.5):
        if isinstance(found, SjepaError):
            faults.append(found)
            if len(faults) == _FAULTS:
                break
        elif not faults:
            if not writer.frames:
                _check_room(writer, found, len(source.units))
            for each in found:
                if isinstance(each, LeftOut):
                    writer.left_out.append(each)
                else:
                    writer.add(each)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        many = f"at least {_FAULTS}" if len(faults) == _FAULTS else str(len(faults))
        listed = "; ".join(map(str, faults[:3]))
        raise SjepaError(f"{many} of {len(source.units)} files cannot be read: {listed}; …")


def _source(name: str, raw: Path, options: PrepareConfig) -> Source:
    """What a store of `name` is made from."""
    from sjepa.datasets.formats import npz, pyskl  # here: pretraining knows no formats

    known = specs.known(name)
    if known and (raw / known.converted).is_file():
        raw = raw / known.converted
    if raw.suffix in (".pkl", ".pickle") and raw.is_file():
        return pyskl.source(raw, known)
    if raw.suffix == ".npz" and raw.is_file():
        return npz.source(raw, known)
    if known is None:
        lies = "" if raw.exists() else f" (nothing lies at {raw})"
        raise SjepaError(f"{specs.unknown(name)}; a set of your own is made from one npz of the "
                         f"N x 300 x 150 layout or one pyskl pickle (--raw FILE){lies}, or from "
                         "arrays by sjepa.datasets.write_store")
    units = known.files(raw)
    if not units:
        needs = f"{known.needs} or {known.converted}".removesuffix(" or ")
        raise SjepaError(f"{raw} does not hold {needs}, which {name} is made from: "
                         "see the book's page “Data and licences”")
    classes = known.relabel(options) if known.relabel else known.classes
    return Source(units, partial(known.read, options=options), classes, known.skeleton)


def prepare_store(name: str, raw: str | Path, out: str | Path,
                  options: PrepareConfig | None = None, workers: int | None = None) -> Path:
    """Make the store of data set `name` at `out/name`, with one process a core if not told else.

    `raw` is the folder of the owners' files, or one file: a conversion, an npz of the N x 300 x 150
    layout, or a pyskl pickle; of a set of one's own, under a name of its own, one of the latter.

    Raises:
        SjepaError: unknown data set or choice, files that are missing or off their grammar.
    """
    if not name or name.startswith(".") or Path(name).name != name:
        raise SjepaError(f"{name!r} is no name of a data set: expected one such as my-set")
    raw, path = Path(raw).expanduser(), Path(out).expanduser() / name
    options = make_config(PrepareConfig, asdict(options or PrepareConfig()))
    known = specs.known(name)
    if known is None and (path / "store.json").is_file():
        raise SjepaError(f"{path} holds a store already, and {name} is nobody's published set: "
                         "move it away first, or choose another name")
    source = _source(name, raw, options)
    about = {"note": known.note, "recipe": known.recipe} if known else {}
    with new_store(path, name, source.classes, options.dtype, source.skeleton,
                   options=asdict(options), **about) as writer:
        build(writer, source, workers or min(os.cpu_count() or 1, 61))
    return path


def _there(name: str) -> Store:
    """The up-to-date store of `name`, or an `OldStore` error: none, or one to be made again."""
    home = data_dir()
    made = (f"`python -m sjepa.prepare {name} --raw DIR --out {home}`" if name in names() else
            f"sjepa.datasets.write_store; known without one are {', '.join(names())}")
    fault = OldStore(f"no store of {name} in {home}: set SJEPA_DATA to the folder that holds it, "
                     f"or make it with {made}")
    for path in (home / name, ROOT / "data" / name):
        try:
            store = open_store(path, verify=True)  # what is trained on is read whole anyway
        except OldStore as error:
            fault = error if path.exists() else fault
            continue
        # Only a set that is made here can be out of date; no other's module is loaded for it.
        recipe = store.meta["recipe"]
        if not recipe or recipe == specs.spec(name).recipe:
            _say_what_lacks(store)
            return store
    raise fault


def _say_what_lacks(store: Store) -> None:
    """Say of a store that `prepare` refused what is wrong with it; results on it say so too."""
    counts = store.path / "counts.json"
    report = read_json(counts) if counts.is_file() else None
    if isinstance(report, dict) and report.get("faults"):
        lacks = f"not the whole of {store.meta['name']}: {'; '.join(map(str, report['faults']))}"
        print(f"warning: {store.path} is {lacks}", file=sys.stderr, flush=True)
        store.meta["note"] = "; ".join(filter(None, (store.meta["note"], lacks)))


def _workshop() -> Path:
    """The folder for stores made unasked: the project's own, as `$SJEPA_DATA` may be shared."""
    for folder in (ROOT / "data", data_dir()):
        with suppress(SjepaError):
            make_writable(folder)
            return folder
    raise SjepaError(f"neither {ROOT / 'data'} nor {data_dir()} can be written to: set SJEPA_DATA "
                     "to a folder for stores that can")


def load_store(name: str) -> Store:
    """Open the store of `name`: in `$SJEPA_DATA`, or in `data/` of the project.

    A set of one's own needs no more than its store. What can be made at once is made at once: the
    built-in sets, and a store of any known set whose files lie in `$SJEPA_DATA`.

    Raises:
        SjepaError: there is neither a store nor files to make one from.
    """
    if not isinstance(name, str):
        raise SjepaError(f"a data set of type {type(name).__name__}: give its name")
    try:
        return _there(name)
    except OldStore:
        known, raw = specs.known(name), data_dir()
        if known is None or not ((raw / known.converted).is_file() or known.files(raw)):
            raise
    workshop = _workshop()
    with alone(workshop / name):
        try:
            return _there(name)  # whoever waited for the lock finds it made
        except OldStore:
            # On stderr, because the book shows what a chapter prints: no path is worth showing.
            print(f"making the store of {name} in {workshop}", file=sys.stderr, flush=True)
            return open_store(prepare_store(name, raw, workshop))
