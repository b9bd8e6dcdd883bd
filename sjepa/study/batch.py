"""Many full runs at once on one machine: `python -m sjepa.study run NAME … --jobs 16`.

Small networks leave most of a GPU idle, so several runs share one. What is finished with the
planned settings is not run again, so the same line goes on after a kill. Clusters and the order of
stores are the Snakefile's business.
"""

import contextlib
import fnmatch
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from graphlib import TopologicalSorter

import torch

from sjepa.checkpoint import read_result
from sjepa.config import RUNS
from sjepa.datasets import load_store
from sjepa.errors import SjepaError
from sjepa.pretrain import pretrain
from sjepa.protocols.run import evaluate
from sjepa.study.experiments import Experiment, config_of, experiments, other_settings


def chosen(names: Iterable[str]) -> list[Experiment]:
    """The runs behind groups or patterns of experiments, each after those that it reads."""
    every, found = experiments(), {}
    for name in names:
        mine = [row.name for row in every.values()
                if row.group == name or fnmatch.fnmatchcase(row.name, name)]
        if not mine:
            raise SjepaError(f"no group and no experiment is named {name}: see "
                             "`python -m sjepa.study list`")
        found |= experiments(",".join(mine))
    return [row for row in found.values() if row.run]


def finished(row: Experiment) -> bool:
    """Whether the run has a result with the planned settings."""
    try:
        return not other_settings(row, read_result(RUNS / row.run))
    except SjepaError:
        return False


def run(row: Experiment) -> None:
    """Run an experiment by the function that its command line calls."""
    with contextlib.chdir(RUNS.parent):  # parameters name folders as seen from there
        if row.step == "pretrain":
            pretrain(config_of(row.name))
        else:
            evaluate(row.step, config_of(row.name))


def _begin() -> None:
    """A process takes one thread, and ends with the one that started it, also where that is killed.

    Else it would wait for more work, and hold the checkpoints that it was at.
    """
    torch.set_num_threads(1)

    def leave() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


@contextlib.contextmanager
def processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes of one thread each.

    Raises:
        SjepaError: one of them died.
    """
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(jobs, context, _begin) as pool:
            yield pool
    except BrokenProcessPool as error:
        raise SjepaError("a process died, for want of memory perhaps: what is finished stays, "
                         "start again with fewer jobs") from error


def side_by_side(rows: Iterable[Experiment], jobs: int, work: Callable) -> list:
    """What `work` gives of each run, after those that it reads, in `jobs` processes.

    Pretrainings start first. One job is done here, with all threads, in the order of `rows`.
    """
    rows = {row.name: row for row in rows}
    if jobs == 1 or not rows:
        return [work(row) for row in rows.values()]
    order = TopologicalSorter({name: set(row.after) & set(rows) for name, row in rows.items()})
    order.prepare()
    running: dict[Future, str] = {}
    made = []
    with processes(min(jobs, len(rows))) as pool:
        while order.is_active():
            for name in sorted(order.get_ready(), key=lambda name: rows[name].step != "pretrain"):
                running[pool.submit(work, rows[name])] = name
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                order.done(running.pop(done))
                made.append(done.result())
    return made


def attempt(row: Experiment) -> str:
    """Run an experiment that is not finished; what went wrong, in words."""
    if finished(row):
        return ""
    reads = (each for name in row.after if (each := experiments()[name]).run)
    if lost := [each.name for each in reads if not finished(each)]:
        return f"{row.name}: {lost[0]} is not finished"
    begun = time.perf_counter()
    try:
        run(row)
    except (SjepaError, RuntimeError) as error:  # a GPU that is full is torch's RuntimeError
        return f"{row.name}: {error}"
    print(f"{row.name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    return ""


def run_all(names: Iterable[str], jobs: int) -> int:
    """Run experiments in `jobs` processes; returns how many there are.

    Raises:
        SjepaError: fewer than one process; or some runs failed, and which: the others are finished.
    """
    if jobs < 1:
        raise SjepaError(f"--jobs {jobs}: expected at least 1")
    planned = chosen(names)
    for dataset in sorted({row.params["dataset"] for row in planned if "dataset" in row.params}):
        load_store(dataset)  # made once, before several processes ask for it
    if lost := list(filter(None, side_by_side(planned, jobs, attempt))):
        raise SjepaError(f"{len(lost)} runs failed: {'; '.join(lost[:5])}")
    return len(planned)
