"""Many full runs at once on one machine: `python -m sjepa.study run NAME … --jobs 16`.

Small networks leave most of a GPU idle; so several pretrainings share one, each with its
evaluations in one process. What is finished with the planned settings is not run again, so the same
line goes on after a kill. Clusters and the order of stores are the Snakefile's business.
"""

import contextlib
import fnmatch
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

import torch

from sjepa.checkpoint import read_result
from sjepa.config import RUNS
from sjepa.datasets import load_store
from sjepa.errors import SjepaError
from sjepa.pretrain import pretrain
from sjepa.protocols.run import evaluate
from sjepa.study.experiments import Experiment, config_of, experiments, other_settings


def chains(names: Iterable[str]) -> list[list[Experiment]]:
    """The runs behind groups or patterns of experiments, those of one pretraining together."""
    every, found = experiments(), {}
    for name in names:
        chosen = [row.name for row in every.values()
                  if row.group == name or fnmatch.fnmatchcase(row.name, name)]
        if not chosen:
            raise SjepaError(f"no group and no experiment is named {name}: see "
                             "`python -m sjepa.study list`")
        for row in experiments(",".join(chosen)).values():
            if row.run:
                first = next((each.name for each in experiments(row.name).values()
                              if each.step == "pretrain"), row.name)
                found.setdefault(first, {})[row.name] = row
    return [list(chain.values()) for chain in found.values()]


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


@contextlib.contextmanager
def processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes of one thread each.

    Raises:
        SjepaError: one of them died.
    """
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (1,)) as pool:
            yield pool
    except BrokenProcessPool as error:
        raise SjepaError("a process died, for want of memory perhaps: what is finished stays, "
                         "start again with fewer jobs") from error


def run_chain(rows: list[Experiment]) -> list[str]:
    """Run one experiment after another, and say what failed; after a pretraining, none is tried."""
    lost: list[str] = []
    for row in rows:
        if finished(row):
            continue
        begun = time.perf_counter()
        try:
            run(row)
        except (SjepaError, RuntimeError) as error:  # a GPU that is full is torch's RuntimeError
            lost.append(f"{row.name}: {error}")
            if row.step == "pretrain":
                break
        print(f"{row.name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    return lost


def run_all(names: Iterable[str], jobs: int) -> int:
    """Run experiments in `jobs` processes; returns how many there are.

    Raises:
        SjepaError: fewer than one process; or some runs failed, and which: the others are finished.
    """
    if jobs < 1:
        raise SjepaError(f"--jobs {jobs}: expected at least 1")
    planned = chains(names)
    for dataset in sorted({row.params["dataset"] for rows in planned for row in rows
                           if "dataset" in row.params}):
        load_store(dataset)  # made once, before several processes ask for it
    if jobs == 1 or not planned:
        lost = sum(map(run_chain, planned), [])
    else:
        with processes(min(jobs, len(planned))) as pool:
            started = [pool.submit(run_chain, rows) for rows in planned]
            lost = sum((done.result() for done in as_completed(started)), [])
    if lost:
        raise SjepaError(f"{len(lost)} runs failed: {'; '.join(lost[:5])}")
    return sum(map(len, planned))
