"""Seconds of a step: two clocks, turns of several steps, a profile."""

from __future__ import annotations

import os
import statistics
import time

import torch
from torch.autograd import DeviceType

from sjepa.device import peak_bytes
from sjepa.errors import SjepaError

#: `process` counts the seconds that a core worked for this process. With one thread on a quiet
#: machine both agree; on a busy one it leaves out the waiting, and not what a shared cache costs.
CLOCKS = {"wall": time.perf_counter, "process": time.process_time}


def timed(step, count: int, device: torch.device, clock: str = "wall") -> float:
    """Seconds a step, over `count` steps; the device is waited for at both ends."""
    begun = _now(device, clock)
    for _ in range(count):
        step()
    return (_now(device, clock) - begun) / count


def _now(device: torch.device, clock: str) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return CLOCKS[clock]()


def product_rate(device: torch.device, dtype: torch.dtype, clock: str = "wall") -> float:
    """Operations a second of one large matrix product, the best of ten: no step can keep up more.

    Stands for the peak of a device that has no data sheet: of the CPU at hand, with its threads.
    """
    size = 2048
    a, b = torch.randn(2, size, size, device=device).to(dtype)
    return 2 * size**3 / min(timed(lambda: a @ b, 1, device, clock) for _ in range(10))


def warm_up(step, count: int, device: torch.device) -> int:
    """Take `count` steps untimed; returns the peak memory of them (on a GPU), or so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    timed(step, count, device)
    return peak_bytes(device)


def profiled(step, device: torch.device) -> list[dict]:
    """Where one step's time goes: what takes it, the largest first.

    On a CPU operators by the time they take themselves, on a GPU its kernels. Those are shown that
    take at least a thousandth of all.
    """
    with torch.profiler.profile() as profile:
        timed(step, 1, device)
    kind, at = ("device", DeviceType.CUDA) if device.type == "cuda" else ("cpu", DeviceType.CPU)
    rows = [{"op": e.key[:200], "calls": e.count,
             "ms": round(getattr(e, f"self_{kind}_time_total") / 1000, 3)}
            for e in profile.key_averages() if e.device_type == at and not e.is_user_annotation]
    least = max(0.001 * sum(r["ms"] for r in rows), 1e-9)
    return sorted((r for r in rows if r["ms"] >= least), key=lambda r: -r["ms"])


def check_clock(clock: str, threads: int | None, device: str = "cpu") -> None:
    """Refuse a clock that would count seconds twice, or none of a GPU's."""
    if clock == "process" and (threads != 1 or device != "cpu"):
        raise SjepaError("--clock process counts the seconds of one thread: "
                         "add --device cpu --threads 1")


def load_now() -> float | None:
    """What else the machine computes: its load average over a minute, where there is one."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # not on Windows


class Turns:
    """All steps, round by round: ours, and the plain one with each of its batches.

    Args:
        ours: a step without arguments; its `run` is a `sjepa.pretrain.Pretraining`.
        plain: the plain steps by their batch.
        clock: a key of `CLOCKS`.
    """

    def __init__(self, ours, plain: dict, clock: str):
        self.ours, self.plain, self.device, self.clock = ours, plain, ours.run.device, clock
        self.seconds: dict[tuple, list[float]] = {}

    def take(self, each: int, plain: int) -> None:
        """One round: `each` steps of ours, `plain` steps of each plain batch."""
        self._time(("ours", self.ours.run.batch), self.ours, each)
        for batch, step in self.plain.items():
            self._time(("plain", batch), step, plain)

    def _time(self, name: tuple, step, count: int) -> None:
        took = timed(step, count, self.device, self.clock)
        self.seconds.setdefault(name, []).append(took)

    def speeds(self, name: str) -> dict[int, float]:
        """Samples a second by batch, the median over the rounds."""
        return {batch: batch / statistics.median(seconds)
                for (which, batch), seconds in self.seconds.items() if which == name}

    def beside(self) -> dict:
        """The plain step's figures at its best batch, and how many times as fast ours is."""
        (ours,) = self.speeds("ours").values()
        speeds = self.speeds("plain")
        if not speeds:
            return {"plain_samples_per_s": None, "ratio": None}
        best = max(speeds, key=speeds.get)
        return {"plain_samples_per_s": speeds[best], "ratio": ours / speeds[best],
                "plain_batch": best, "plain_by_batch": speeds,
                "plain_step_seconds": self.seconds["plain", best]}
