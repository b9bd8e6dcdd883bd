"""From jobs to a store: read in parallel, written in order, continued after a kill."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from sjepa.datasets.items import Item, LeftOut
from sjepa.datasets.writer import Interrupted, StoreWriter
from sjepa.errors import SjepaError

_CHUNK = 16  # jobs that travel to a process together
_AHEAD = 4  # chunks a process that are read before they are needed: bounds the memory
_FAULTS = 20  # so many bad files are looked for before the first is reported


@dataclass(frozen=True)
class Job:
    """One piece of work: usually a file.

    Attributes:
        read: gives its clips; can be pickled, as a function of a module or a partial of one.
        files: what it reads, from which it is known again after a kill.
        what: tells it apart where it reads no file.
    """

    read: Callable[[], Sequence[Item | LeftOut]]
    files: tuple[Path, ...] = ()
    what: str = ""

    @property
    def stamp(self) -> str:
        """The job as it is now: other bytes in a file give another stamp."""
        stats = [(path.name, path.stat()) for path in self.files]
        parts = [f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats]
        return "|".join([self.what, *parts])


def _read(jobs: list[Job]) -> list[list[Item | LeftOut] | SjepaError]:
    """The clips of each job, or what is wrong with it."""
    results = []
    for job in jobs:
        try:
            results.append(list(job.read()))
        except SjepaError as error:
            results.append(error)
        except OSError as error:
            results.append(SjepaError(f"cannot read {error.filename}: {error.strerror}"))
    return results


def _chunks(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    rest = iter(jobs)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


def _read_in_order(jobs: Sequence[Job], workers: int) -> Iterator:
    """The results of `_read`, in the order of the jobs, from `workers` processes."""
    if workers == 1 or len(jobs) <= _CHUNK:
        for job in jobs:
            yield from _read([job])
        return
    waiting: deque = deque()
    # Frozen, the libraries' objects are no work for the garbage collector of a process that makes
    # many of its own: it reads twice as fast.
    with ProcessPoolExecutor(workers, initializer=gc.freeze) as pool:
        try:
            for chunk in _chunks(jobs):
                waiting.append(pool.submit(_read, chunk))
                if len(waiting) > _AHEAD * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool as error:
            raise Interrupted("a reading process died, for want of memory perhaps: try again with "
                              "fewer --workers; what is done is kept") from error
        finally:
            for future in waiting:
                future.cancel()


def build(writer: StoreWriter, jobs: Sequence[Job], workers: int) -> None:
    """Read all jobs and write their clips in the order of the jobs.

    A bad file does not hide the ones behind it: reading goes on, and the error names them.

    Args:
        writer: the open store, which knows the jobs' stamps.
        jobs: what to read, in the order of the store.
        workers: processes that read.

    Raises:
        SjepaError: files off their grammar, or clips of one name.
    """
    stamps, done = writer.stamps, writer.done
    faults: list[SjepaError] = []
    names = set(writer.rows["names"])
    bar = tqdm(zip(stamps[done:], _read_in_order(jobs[done:], workers), strict=True),
               writer.name, len(jobs), initial=done, unit="file", mininterval=0.5)
    for stamp, found in bar:
        if isinstance(found, SjepaError):
            faults.append(found)
            if len(faults) == _FAULTS:
                break
        elif not faults:
            for item in (each for each in found if isinstance(each, Item)):
                if item.name in names:
                    raise SjepaError(f"two clips have the name {item.name}: remove one")
                names.add(item.name)
                writer.add_item(item)
            writer.finish_job(stamp, [each for each in found if isinstance(each, LeftOut)])
    if len(faults) == 1:
        raise faults[0]
    if faults:
        many = f"at least {_FAULTS}" if len(faults) == _FAULTS else str(len(faults))
        listed = "; ".join(map(str, faults[:3]))
        raise SjepaError(f"{many} of {len(jobs)} files cannot be read: {listed}; …")
