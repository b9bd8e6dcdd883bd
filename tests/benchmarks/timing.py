"""Seconds of a step: two clocks, turns of several steps, a profile; and the record of it all."""

import json
import sys
import time
from pathlib import Path

import torch
from torch.autograd import DeviceType

from sjepa.checkpoint import commit, save_atomically, versions
from sjepa.device import describe, peak_bytes

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


def take_turns(steps: dict, rounds: int, device: torch.device, clock: str) -> dict[str, list]:
    """Seconds a step of each of `steps`, name to (step, count), a number for each round."""
    seconds = {name: [] for name in steps}
    for _ in range(rounds):
        for name, (step, count) in steps.items():
            seconds[name].append(timed(step, count, device, clock))
    return seconds


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


def write_record(path: Path, figures: dict, device: torch.device) -> None:
    """Write a benchmark's figures, and on what and by which command they were measured."""
    record = figures | {
        "device": describe(device), "threads": torch.get_num_threads(), "commit": commit()[0],
        "versions": versions(), "command": "python " + " ".join(sys.argv),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_atomically(lambda p: p.write_text(json.dumps(record, indent=1) + "\n"), path)
