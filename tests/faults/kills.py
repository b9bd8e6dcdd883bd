"""Kills at random moments, and faults of disks, files and memory: what is done goes on to the bit.

Each job runs in a child that is forked from a process which has loaded everything, so that a kill
strikes the work and not the start.
"""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch
import torch._dynamo  # noqa: F401  which an optimiser's first step would load
from formats import forked

import sjepa.protocols.run as runner
from sjepa.checkpoint import kept
from sjepa.config import PretrainConfig, make_config
from sjepa.datasets.build import PrepareRun
from sjepa.datasets.prepare import prepare
from sjepa.datasets.sources import nwucla
from sjepa.datasets.store import file_hash, open_store
from sjepa.errors import main_with_errors
from sjepa.files import alone
from sjepa.pretrain import pretrain
from sjepa.protocols.config import CONFIGS
from sjepa.study import results
from sjepa.study.experiments import experiments

SIGNALS = (signal.SIGKILL, signal.SIGTERM)
TINY = dict(preset="quick", dataset="nwucla", split="nwucla/xview", dim=16, depth=1, heads=2,
            frames=16, segment=8, predictor_depth=1, batch_size=16, warmup_epochs=1, device="cpu",
            precision="fp32", checkpoint_every=1)


def write_set(folder: Path) -> None:
    """Generated NW-UCLA files: every class, two subjects, three views."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for label, action in enumerate(nwucla.ACTIONS, 1):
        for subject, view, rep in np.ndindex(2, 3, 3):
            x = rng.normal(0, 0.3, (1, 20, 3)) + rng.normal(0, 0.01, (12, 20, 3)).cumsum(0) * label
            name = f"a{action}_s{subject + 1:02d}_e{rep:02d}_v{view + 1:02d}.json"
            (folder / name).write_text(json.dumps({"skeletons": x.tolist(), "label": label}))


class Jobs:
    """Prepare, pretrain, evaluate and collect in a folder, and the bits that each leaves."""

    NAMES = ("prepare", "pretrain", "evaluate", "collect")

    def __init__(self, home: Path, epochs: int = 6):
        self.home = home
        if not (home / "raw").exists():
            write_set(home / "raw")
        self.stores, self.run, self.judged = home / "stores", home / "run", home / "judged"
        self.tables = home / "tables"
        os.environ["SJEPA_DATA"] = str(self.stores)
        experiments()  # which `collect` asks for, and which a process reads once
        self.config = make_config(PretrainConfig, TINY | {"epochs": epochs})
        self.judge = make_config(CONFIGS["finetune"], dict(
            run=str(self.run), out=str(self.judged), dataset="nwucla", split="nwucla/xview",
            epochs=epochs, hidden=16, batch_size=16, checkpoint_every=1, device="cpu"))

    def prepare(self) -> None:
        prepare(PrepareRun(name="nwucla", raw=str(self.home / "raw"), out=str(self.stores),
                           allow_partial=True, workers=1))

    def pretrain(self) -> None:
        pretrain(self.config, self.run)

    def evaluate(self) -> None:
        runner.evaluate("finetune", self.judge)

    def collect(self) -> None:
        results.RESULTS = self.tables
        results.collect([self.run, self.judged])

    def bits(self, name: str) -> object:
        """What a job leaves, without times."""
        if name == "prepare":
            return [file_hash(self.stores / "nwucla" / each)
                    for each in ("frames.npy", "index.npz", "store.json")]
        if name == "pretrain":
            history = [{n: v for n, v in row.items() if n != "clips_per_s"}
                       for row in kept(self.run)["history"]]
            return file_hash(self.run / "target.safetensors"), history
        if name == "evaluate":
            made = json.loads((self.judged / "result.json").read_text())
            return made["readings"], [file_hash(path) for path in sorted(
                (self.judged / "scores").iterdir())]
        return [path.read_bytes() for path in sorted(self.tables.iterdir())
                if not path.name.startswith(".")]

    def clear(self, name: str) -> None:
        """Begin a job anew; a store is made in the place of one that is whole."""
        if name != "prepare":
            place = dict(pretrain=self.run, evaluate=self.judged, collect=self.tables)[name]
            shutil.rmtree(place, ignore_errors=True)


def started(work: Callable[[], object], log: Path) -> BaseProcess:
    """A child that does `work` and writes what it says into `log`."""
    def job() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background lacks it
        torch.set_num_threads(1)
        main_with_errors(work)

    return forked(log, job)


def finish(work: Callable[[], object], log: Path) -> int:
    """The status of `work` in a child; that of a signal is negative."""
    child = started(work, log)
    child.join()
    return child.exitcode


def kill_all(home: Path, each: int, seed: int, epochs: int = 6) -> dict[str, dict]:
    """`each` kills of every job by each of two signals; then it is run to its end.

    Returns:
        For each job its `seconds` when nothing disturbs it, how many kills `struck` it while it ran
        (others came after its end), and what went wrong: `faults`.
    """
    jobs, log, rng = Jobs(home, epochs), home / "log", random.Random(seed)
    told = {}
    for name in Jobs.NAMES:
        work, begun = getattr(jobs, name), time.perf_counter()
        if finish(work, log):
            raise RuntimeError(f"{name} does not even run undisturbed: {log.read_text()[-2000:]}")
        told[name] = row = {"seconds": round(time.perf_counter() - begun, 2), "kills": 0,
                            "struck": 0, "faults": []}
        expected = jobs.bits(name)
        for number in SIGNALS * each:
            jobs.clear(name)
            child = started(work, log)
            time.sleep(rng.random() * row["seconds"])
            os.kill(child.pid, number)
            child.join()
            row["kills"] += 1
            row["struck"] += child.exitcode == -number
            if child.exitcode not in (0, -number):
                row["faults"].append(f"ended with {child.exitcode}: {log.read_text()[-300:]}")
            if name == "prepare":  # the store that was there is still there, and whole
                open_store(jobs.stores / "nwucla", verify=True)
            if finish(work, log):
                row["faults"].append(f"does not go on: {log.read_text()[-300:]}")
            elif jobs.bits(name) != expected:
                row["faults"].append(f"other bits after {number.name}")
            left = [path.name for path in jobs.stores.iterdir() if path.name != "nwucla"]
            row["faults"] += [f"left over: {left}"] if left else []
    return told


def _said(work: Callable[[], object], log: Path, status: int = 2) -> str:
    """The one sentence with which `work` ends."""
    found = finish(work, log)
    lines = [line for line in log.read_text().replace("\r", "\n").splitlines()
             if line.startswith(("error: ", "warning: ", "nobody reads", "interrupted", "stopped"))]
    if found != status or len(lines) != 1:
        raise AssertionError(f"status {found}, expected {status} and one sentence, found {lines}: "
                             f"{log.read_text()[-600:]}")
    return lines[0].removeprefix("error: ")


def _damage(path: Path, kind: str) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data[: len(data) // 2] if kind == "cut" else data)


def faults(home: Path) -> dict[str, str]:
    """Each fault, injected, and the sentence that it ends in; an AssertionError where it does not.

    Needs `prepare`, `pretrain` and `evaluate` of `Jobs` in `home`.
    """
    jobs, log, said = Jobs(home), home / "log", {}
    for name in ("prepare", "pretrain", "evaluate"):
        assert finish(getattr(jobs, name), log) == 0, log.read_text()
    (jobs.stores / "nwucla" / "counts.json").unlink()  # a store that is no whole set is warned of
    other = home / "other"

    def train(**changes) -> Callable[[], object]:
        changes = {"out": str(other)} | changes
        return lambda: pretrain(make_config(PretrainConfig, TINY | {"epochs": 6} | changes))

    def limited(kind: int, size: int, work: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            size_ = size + used * (kind == resource.RLIMIT_AS)
            resource.setrlimit(kind, (size_, size_))
            work()

        return run

    said["the disk is full: checkpoint"] = _said(
        limited(resource.RLIMIT_FSIZE, 30_000, train()), log)
    said["the disk is full: store"] = _said(
        limited(resource.RLIMIT_FSIZE, 30_000, jobs.prepare), log)
    open_store(jobs.stores / "nwucla", verify=True)
    said["a folder that cannot be written"] = _said(train(out="/proc/sjepa"), log)
    for kind in ("cut", "flipped"):
        shutil.rmtree(other, ignore_errors=True)
        assert finish(train(), log) == 0
        _damage(other / "last.pt", kind)
        said[f"a checkpoint is {kind}"] = _said(train(), log, 0)
        for name in ("last.pt", "previous.pt"):
            _damage(other / name, kind)
        said[f"both checkpoints are {kind}"] = _said(train(), log)
        shutil.rmtree(other)
        broken = home / "broken" / "nwucla"
        shutil.copytree(jobs.stores / "nwucla", broken)
        _damage(broken / "frames.npy", kind)
        os.environ["SJEPA_DATA"] = str(broken.parent)
        said[f"a store is {kind}"] = _said(train(), log)
        os.environ["SJEPA_DATA"] = str(jobs.stores)
        shutil.rmtree(broken.parent)
    shutil.copytree(jobs.run, home / "flipped")
    _damage(home / "flipped" / "target.safetensors", "flipped")
    said["weights are flipped"] = _said(lambda: runner.evaluate(
        "finetune", replace(jobs.judge, run=str(home / "flipped"))), log)
    said["the loss is no number"] = _said(train(lr=1e30, lr_end=0, warmup_epochs=0), log)
    shutil.rmtree(other)
    said["memory is short"] = _said(limited(resource.RLIMIT_AS, 400 << 20, train(
        dim=512, batch_size=60, frames=64, segment=4, depth=4, heads=8)), log)
    shutil.rmtree(other)

    def unread() -> None:
        reading, writing = os.pipe()
        os.close(reading)
        os.dup2(writing, 1)
        train(epochs=2)()

    said["nobody reads the output"] = _said(unread, log, -signal.SIGPIPE)
    assert kept(other)["epoch"] == 1
    with alone(other / "last.pt"):
        said["another process is at work"] = _said(train(epochs=2), log)
    said["a run of other settings is there"] = _said(train(epochs=2, lr=0.5), log)
    said["a clock that jumps"] = _clock(jobs, other, log)
    said["stopped by Ctrl-C"] = _stopped(train(epochs=200, seed=1, out=str(home / "long")), log)
    return {name: text.replace(str(home), "…") for name, text in said.items()}


def _stopped(work: Callable[[], object], log: Path) -> str:
    log.write_text("")  # what another child said is no sign that this one has begun
    child = started(work, log)
    while "epoch" not in log.read_text():
        time.sleep(0.2)
    time.sleep(0.2)  # the bar of progress stands a moment before signals are held
    os.kill(child.pid, signal.SIGINT)
    child.join()
    return next(line for line in log.read_text().splitlines() if line.startswith("stopped"))


def _clock(jobs: Jobs, folder: Path, log: Path) -> str:
    """The wall clock goes back an hour at each look; times are taken from another one."""
    shutil.rmtree(folder)
    hours = iter(range(10**6))

    def run() -> None:
        time.time = lambda: 1e9 - 3600 * next(hours)
        pretrain(jobs.config, folder)

    if finish(run, log):
        raise AssertionError(log.read_text()[-600:])
    made = json.loads((folder / "result.json").read_text())
    if file_hash(folder / "target.safetensors") != file_hash(jobs.run / "target.safetensors") or \
            not 0 < made["stages"]["pretrain"]["seconds"] < 600:
        raise AssertionError("other weights, or a wrong time")
    return "nothing: the same weights, and the time of a clock that only goes forward"


def lost_process(home: Path) -> str:
    """Two processes train on; one is killed, and the other says so and ends; both then go on."""
    jobs, out, params = Jobs(home), home / "two", home / "two.yaml"
    params.write_text(json.dumps(asdict(replace(jobs.config, out=str(out), epochs=40))))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
               "-m", "sjepa.pretrain", "--params", str(params)]
    with (home / "log").open("w+") as log:
        team = subprocess.Popen(command, stdout=log, stderr=log)
        while not (out / "last.pt").exists():
            if team.poll() is not None:
                raise AssertionError((home / "log").read_text()[-2000:])
            time.sleep(0.1)
        struck = time.perf_counter()
        os.kill(_rank_one(team.pid), signal.SIGKILL)
        if not team.wait(120):
            raise AssertionError("it ended as if nothing had happened")
    seconds = time.perf_counter() - struck
    said = [line for line in (home / "log").read_text().splitlines() if line.startswith("error: ")]
    if len(said) != 1 or seconds > 60:
        raise AssertionError(f"{said} after {seconds:.0f} s")
    at = kept(out)["epoch"]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    assert kept(out)["epoch"] == 40 > at
    return said[0].removeprefix("error: ")


def _rank_one(launcher: int) -> int:
    """The process of rank 1 that `torchrun` started."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == launcher and b"\0RANK=1\0" in (place / "environ").read_bytes():
                return int(place.name)
        except OSError:
            continue
    raise AssertionError("there is no second process")
