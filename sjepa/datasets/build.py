"""From the owners' files to a store: choices, and reading in several processes."""

from __future__ import annotations

import gc
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Any

from tqdm import tqdm

from sjepa.config import setting
from sjepa.datasets.store import Clip, LeftOut, StoreWriter
from sjepa.errors import SjepaError
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
    # Frozen, the libraries' objects are no work for the garbage collector of a process that makes
    # many of its own: it reads twice as fast.
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


def build(writer: StoreWriter, source: Source, workers: int) -> None:
    """Read everything, in `workers` processes, and write the clips in the order of the source.

    A bad file does not hide the ones behind it: reading goes on, and the error names them.

    Raises:
        SjepaError: files off their grammar, or clips of one name.
    """
    faults: list[SjepaError] = []
    for found in tqdm(_read_in_order(source, workers), total=len(source.units), unit="file",
                      mininterval=0.5):
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
