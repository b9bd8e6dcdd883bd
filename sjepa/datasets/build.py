"""From the owners' files to a store: what readers hand over, and reading in several processes."""

from __future__ import annotations

import gc
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from sjepa.config import setting
from sjepa.errors import SjepaError
from sjepa.skeleton import NTU25, Skeleton

if TYPE_CHECKING:
    from sjepa.datasets.writer import StoreWriter

_CHUNK = 16  # files that travel to a process together
_AHEAD = 4  # chunks a process that are read before they are needed: bounds the memory
_FAULTS = 20  # so many bad files are looked for before the first is reported


@dataclass(frozen=True)
class PrepareConfig:
    """Choices of preparing: where published pipelines differ, and how a store is kept."""

    dtype: str = setting(
        "float32", "ours", "int16 halves a store; each position then errs by at most half a step",
        choices=("float32", "int16")
    )
    second_body: str = setting(
        "lineage", "lineage",
        "of NTU clips with one person: lineage leaves it absent on NTU60 and copies the first body "
        "on NTU120, as MAMP and CTR-GCN do; absent or copied do the same on both",
        choices=("lineage", "absent", "copied")
    )
    pku_slice: str = setting(
        "exclusive", "lineage", "MAMP takes PKU-MMD's rows [start, end); inclusive adds row end",
        choices=("exclusive", "inclusive")
    )
    pku2_labels: str = setting(
        "original", "lineage",
        "MAMP keeps the 51 class ids in phase II, ten of them empty; dense renumbers the 41",
        choices=("original", "dense")
    )


@dataclass(frozen=True)
class PrepareRun(PrepareConfig):
    """One run of preparing: which set, from where, to where."""

    name: str = setting("synthetic", "ours", "a data set")
    raw: str = setting(
        ".", "ours", "folder of the owners' files, or one file: a conversion, an npz of the "
        "N x 300 x 150 layout, a pyskl pickle"
    )
    out: str = setting(
        "", "ours", "folder of stores; empty: take the store that is there, or make one of what "
        "lies in $SJEPA_DATA"
    )
    allow_partial: bool = setting(
        False, "ours", "accept a store whose clips are not those that the owners count"
    )
    workers: int | None = setting(
        None, "ours", "processes that read; empty: one a core", "[1, inf)"
    )


@dataclass(frozen=True)
class Clip:
    """A clip and what its owners say about it.

    Attributes:
        positions: `[T, M, V, 3]` float32, metres; M bodies, absent ones zero.
        label: class, from 0.
        name: the owners' name of the clip, unique in its set.
        subject, view, rep, setup: as the owners number them; -1 where unknown, 0 where single.
        sides: of each split that the files themselves tell: `train` or `test`.
    """

    positions: np.ndarray
    label: int
    name: str
    subject: int = -1
    view: int = 0
    rep: int = 0
    setup: int = 0
    sides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOut:
    """A clip that the published pipeline has no place for: counted and listed, not an error."""

    name: str
    why: str


@dataclass(frozen=True)
class Source:
    """What a store is made from.

    Attributes:
        units: what is read one at a time, mostly files, in the order of the store.
        read: `read(unit)` gives its clips; it and the units can be pickled.
        classes: class names, in the order of the labels.
        skeleton: of the clips.
        parallel: False where the units lie in this process's memory already.
    """

    units: Sequence[Any]
    read: Callable[[Any], Iterable[Clip | LeftOut]]
    classes: Sequence[str]
    skeleton: Skeleton = NTU25
    parallel: bool = True


def _read(read: Callable, units: list) -> list[list[Clip | LeftOut] | SjepaError]:
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


def _read_in_order(source: Source, workers: int) -> Iterator:
    """The results of `_read`, in the order of the units, from `workers` processes."""
    if workers == 1 or len(source.units) <= _CHUNK or not source.parallel:
        for unit in source.units:
            yield from _read(source.read, [unit])
        return
    read, rest, waiting = partial(_read, source.read), iter(source.units), deque()
    # New processes and no copies of this one, in which torch's and Jupyter's threads may run.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    # Frozen, the libraries' objects are no work for the garbage collector of a process that makes
    # many of its own: it reads twice as fast.
    with ProcessPoolExecutor(workers, mp_context=context, initializer=gc.freeze) as pool:
        try:
            while chunk := list(islice(rest, _CHUNK)):
                waiting.append(pool.submit(read, chunk))
                if len(waiting) > _AHEAD * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool as error:
            raise SjepaError("a reading process died, for want of memory perhaps: try again with "
                             "fewer workers (1 reads in this process)") from error
        finally:
            for future in waiting:
                future.cancel()


def build(writer: StoreWriter, source: Source, workers: int) -> None:
    """Read everything and write the clips in the order of the source.

    A bad file does not hide the ones behind it: reading goes on, and the error names them.

    Args:
        writer: the open store.
        source: what to read.
        workers: processes that read.

    Raises:
        SjepaError: files off their grammar, or clips of one name.
    """
    faults: list[SjepaError] = []
    bar = tqdm(_read_in_order(source, workers), writer.name, len(source.units), unit="file",
               mininterval=0.5)
    for found in bar:
        if isinstance(found, SjepaError):
            faults.append(found)
            if len(faults) == _FAULTS:
                break
        elif not faults:
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
