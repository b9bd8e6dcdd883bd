"""Which data sets there are, where their stores lie, and how each store is made."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from filelock import FileLock

from sjepa import synthetic
from sjepa.clips import center_on_spine
from sjepa.config import ROOT, data_dir
from sjepa.datasets.building import Job, build
from sjepa.datasets.formats import converted, feeder_npz
from sjepa.datasets.items import Item
from sjepa.datasets.options import PrepareConfig, check_options
from sjepa.datasets.sources import bandai, hdm05, kindergator, ntu_clips, nwucla, pku, pool
from sjepa.datasets.store import OldStore, Store, open_store
from sjepa.datasets.text import walk_files
from sjepa.datasets.writer import StoreWriter
from sjepa.errors import SjepaError
from sjepa.synthetic import actions as motions
from sjepa.synthetic import camera, mannequin


@dataclass(frozen=True)
class Source:
    """A data set in its owners' files.

    Attributes:
        jobs: `jobs(raw, options)` what is to be read, in the order of the store.
        classes: `classes(raw, options)` names the labels.
        found: `found(raw)` is True if `raw` holds the set's files.
        needs: what `raw` must hold, in words.
        lists: `lists(raw)` the training names of each protocol, where no rule gives them.
        recipe: changes when a store made before is out of date; only the built-in set has one.
        note: goes into every record made on this set.
    """

    jobs: Callable[[Path, PrepareConfig], list[Job]]
    classes: Callable[[Path, PrepareConfig], list[str]]
    found: Callable[[Path], bool]
    needs: str
    lists: Callable[[Path], dict[str, list[str]]] = lambda raw: {}
    recipe: str = ""
    note: str = ""


def _performances(subject: int, kinect20: bool) -> list[Item]:
    """A subject's clips; `kinect20`: other performances, as a camera of 20 joints reports them."""
    made = synthetic.iterate_clips(subjects=(subject,), reps=1, seed=int(kinect20))
    return [Item(center_on_spine(synthetic.as_kinect20(clip) if kinect20 else clip), info.action,
                 info.name, info.subject, info.view, info.rep) for info, clip in made]


def _built_in(kinect20: bool = False) -> Source:
    code = b"".join(Path(m.__file__).read_bytes() for m in (synthetic, motions, mannequin, camera))
    return Source(
        lambda raw, options: [Job(partial(_performances, subject, kinect20),
                                  what=f"subject {subject}")
                              for subject in range(synthetic.SUBJECTS)],
        lambda raw, options: list(synthetic.ACTIONS), lambda raw: True, "nothing",
        recipe=hashlib.sha256(code).hexdigest()[:16],
        note="procedurally generated, no human data",
    )


def _ntu(name: str) -> Source:
    return Source(
        lambda raw, options: ntu_clips.jobs(name, raw, options.second_body),
        lambda raw, options: ntu_clips.classes(name),
        lambda raw: any(walk_files(raw, "*.skeleton")),
        "the owners' .skeleton files",
    )


def _pku(phase: int) -> Source:
    return Source(
        lambda raw, options: pku.jobs(phase, raw, options.pku_slice, options.pku2_labels),
        lambda raw, options: pku.classes(phase, options.pku2_labels),
        lambda raw: any(walk_files(raw, "*.txt")),
        "the owners' skeleton, label and split files (.txt)",
        lists=partial(pku.split_lists, phase),
    )


def _open(reader, npz: str, suffix: str) -> Source:
    """An open set: the owners' files, read by the module `reader`, or their conversion `npz`."""

    def jobs(raw: Path, options: PrepareConfig) -> list[Job]:
        if (raw / npz).is_file():
            return [Job(partial(converted.read, raw / npz), (raw / npz,))]
        files_of = getattr(reader, "job_files", lambda path: (path,))
        return [Job(partial(reader.read, path), files_of(path)) for path in reader.files(raw)]

    return Source(
        jobs, lambda raw, options: list(reader.CLASSES),
        lambda raw: (raw / npz).is_file() or bool(reader.files(raw)),
        f"the owners' {suffix} files or {npz}",
    )


SOURCES = {
    "synthetic": _built_in(),
    "synthetic20": _built_in(kinect20=True),
    "ntu60": _ntu("ntu60"),
    "ntu120": _ntu("ntu120"),
    "pku1": _pku(1),
    "pku2": _pku(2),
    "bandai": _open(bandai, "bandai_int16.npz", ".bvh"),
    "kindergator": _open(kindergator, "kindergator_int16.npz", ".csv"),
    "hdm05": _open(hdm05, "hdm05_11.npz", ".amc"),
    "nwucla": _open(nwucla, "nwucla.npz", ".json"),
    "pool": Source(
        lambda raw, options: pool.jobs(load_store), lambda raw, options: pool.classes(),
        lambda raw: True, "nothing: it is made from the stores of its members",
    ),
}


def _source(name: str, raw: Path) -> Source:
    if name not in SOURCES:
        raise SjepaError(f"unknown data set {name!r}: known are {', '.join(SOURCES)}")
    if raw.suffix == ".npz" and raw.is_file():
        return Source(
            lambda raw, options: feeder_npz.jobs(raw),
            lambda raw, options: feeder_npz.classes(raw, SOURCES[name].classes(raw, options)),
            lambda raw: True, "", lists=partial(feeder_npz.lists, name),
        )
    return SOURCES[name]


def store_path(name: str, out: str | Path) -> Path:
    """Where the store of `name` lies in a folder of stores."""
    return Path(out) / name


@contextmanager
def _alone(path: Path):
    """Two processes never make the same store at once: the second waits for the first."""
    user = getattr(os, "getuid", lambda: "")()  # another user's lock file could not be opened
    key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    with FileLock(Path(tempfile.gettempdir()) / f"sjepa-store-{user}-{key}.lock"):
        yield


def prepare_store(name: str, raw: str | Path, out: str | Path,
                  options: PrepareConfig | None = None, workers: int | None = None) -> Path:
    """Make the store of data set `name` from the files in `raw`, at `out/name`.

    Killed in the middle, it goes on where it stood; an error leaves nothing behind.

    Args:
        name: a key of `SOURCES`.
        raw: folder of the owners' files, or one npz of the N x 300 x 150 layout.
        out: folder of stores.
        options: the choices of preparing; None: their defaults.
        workers: processes that read; None: one a core.

    Raises:
        SjepaError: unknown data set or choice, `raw` lacks its files, or one of them is off its
            grammar.
    """
    raw, path = Path(raw).expanduser(), store_path(name, Path(out).expanduser())
    source, options = _source(name, raw), check_options(options or PrepareConfig())
    if not source.found(raw):
        raise SjepaError(f"{raw} does not hold {source.needs}, which {name} is made from: "
                         "see the book's page «Data and licences»")
    jobs = source.jobs(raw, options)
    writer = StoreWriter(
        path, name, source.classes(raw, options), options.dtype, [job.stamp for job in jobs],
        note=source.note, recipe=source.recipe, options=asdict(options), lists=source.lists(raw),
    )
    with _alone(path), writer:
        build(writer, jobs, workers or min(os.cpu_count() or 1, 61))
    return path


def _there(name: str) -> tuple[Store | None, OldStore | None]:
    """The up-to-date store of `name` in a folder of stores, or the complaint about an old one."""
    old = None
    for folder in (data_dir(), ROOT / "data"):
        path = store_path(name, folder)
        if (path / "store.json").is_file():
            try:
                store = open_store(path)
            except OldStore as error:
                old = error
                continue
            if store.meta["recipe"] == SOURCES[name].recipe:
                return store, None
    return None, old


def load_store(name: str) -> Store:
    """Open the store of `name`: in `$SJEPA_DATA`, or in `data/` of the project.

    What can be made at once is made at once: the built-in set, and a store of any open set whose
    files lie in `$SJEPA_DATA`.

    Raises:
        SjepaError: unknown name, or there is neither a store nor files to make one from.
    """
    home = data_dir()
    source = _source(name, home)
    store, old = _there(name)
    if store is not None:
        return store
    if old is not None and not source.found(home):
        raise old
    if not source.found(home):
        raise SjepaError(
            f"no store of {name} in {home}: set SJEPA_DATA to the folder that holds it, or make "
            f"it with `python -m sjepa.prepare {name} --raw DIR --out {home}`"
        )
    # Into the project's own folder: the one that holds the owners' files may be shared. On
    # stderr, because the book shows what a chapter prints and a path is not worth showing.
    print(f"making the store of {name} in {ROOT / 'data'}", file=sys.stderr, flush=True)
    return open_store(prepare_store(name, home, ROOT / "data"))
