"""Where a run computes: device, precision, compilation, and several processes on one batch.

Under `torchrun` each process takes its share of every batch. All draw crops, views and masks for
the whole batch from the same generator and compute their own rows, so a run does not depend on
their number, except for rounding. Without `torchrun` this is one process and no communication.
"""

import contextlib
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta

import torch
from torch import distributed

from sjepa.errors import SjepaError

#: Steps from which on `compile = auto` compiles. That takes up to a minute for each number of rows
#: (H200, book/results/bench-step-gpu.json), which 6 ms saved in each of so many steps earn back.
COMPILED_FROM = 10_000


def pick_device(name: str = "auto") -> torch.device:
    """`auto` takes a GPU where there is one.

    Raises:
        SjepaError: a GPU was asked for and there is none.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise SjepaError("device = cuda, but PyTorch sees no GPU here: set device to auto or cpu")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_precision(name: str, device: torch.device) -> str:
    """`auto` is fp32 on a CPU; on a GPU bf16 where its hardware multiplies it, else fp16.

    Raises:
        SjepaError: fp16 was asked for on a CPU.
    """
    if name == "auto":
        name = "fp32"
        if device.type == "cuda":
            name = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if name == "fp16" and device.type == "cpu":
        raise SjepaError("precision = fp16 needs a GPU: set precision to auto, bf16 or fp32")
    return name


@contextlib.contextmanager
def computing(device: torch.device):
    """Products in the block are of whole float32, whatever TF32 the process has asked for.

    Raises:
        SjepaError: the block found too little memory, on a GPU or on the host.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with memory_errors():
            yield
    except MemoryError as error:
        raise SjepaError(f"the memory of {describe(device)} does not suffice "
                         f"({error or 'all taken'}): end what else runs there, or take another "
                         "device or smaller settings") from error
    finally:
        torch.set_float32_matmul_precision(before)


@contextlib.contextmanager
def memory_errors():
    """What PyTorch raises in the block where memory is short becomes a `MemoryError`."""
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
            raise
        raise MemoryError(str(error).partition("\n")[0]) from error


def or_what_fits(work: Callable, step: str, rows: int, attempt: Callable[[int], object],
                 helps: Callable[[int], str], device: torch.device):
    """`work()`; where a step is too large for the memory, what would fit is tried out.

    The step computes `rows` clips at once; `attempt` is one with fewer of them, and `helps` says
    which settings lead to so many.

    Raises:
        SjepaError: the step does not fit, and what does.
    """
    with contextlib.suppress(MemoryError), memory_errors():
        return work()
    while rows := rows // 2:  # only here, when the error is gone, is its step's memory free again
        torch.cuda.empty_cache()  # nothing without a GPU
        with contextlib.suppress(MemoryError), memory_errors():
            attempt(rows)
            break
    raise SjepaError(f"{step} does not fit the memory of {describe(device)}: "
                     + (helps(rows) if rows else "not even one clip at once fits"))


def many_shapes(compiled: bool):
    """Room for the shapes of three `compiled` networks with a few numbers of rows each.

    After 8 recompilations PyTorch would otherwise give up.
    """
    if not compiled:
        return contextlib.nullcontext()  # without the compiler, which takes seconds to load
    return torch._dynamo.config.patch(recompile_limit=64)


def autocast(device: torch.device, dtype: torch.dtype):
    """Autocast to `dtype`; none for float32."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def cannot_compile(device: torch.device) -> str:
    """Why `torch.compile` cannot work here, in words; empty if it can."""
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "the package triton is not installed"
        if torch.cuda.get_device_capability(device) < (7, 0):
            return "triton needs a GPU of compute capability 7.0 or more"
        variable, usual = "CC", ("gcc", "clang", "cc")
    else:
        variable, usual = "CXX", ("clang++" if platform.system() == "Darwin" else "g++",)
    named = os.environ.get(variable)
    if any(map(shutil.which, [named] if named else usual)):
        return ""
    return f"there is no compiler {named or ' or '.join(usual)} (${variable} names another)"


def compile_modules(modules: Iterable[torch.nn.Module], mode: str, device: torch.device,
                    steps: int) -> bool:
    """Compile the forward pass of each module in place; True if they are now compiled.

    Modules of one class share what is generated for a shape, so that blocks are ready sooner than
    the networks made of them. `mode` is `none`, one of `torch.compile`'s, or `auto`: its default on
    a GPU in a run of `COMPILED_FROM` `steps` or more, and not at all on a CPU, where it took longer
    than PyTorch's own kernels.
    """
    if mode == "none" or (mode == "auto" and (device.type == "cpu" or steps < COMPILED_FROM)):
        return False
    if why := cannot_compile(device):
        print(f"running without torch.compile: {why}", flush=True)
        return False
    for module in modules:
        module.compile(mode="default" if mode == "auto" else mode, dynamic=False)
    return True


def describe(device: torch.device) -> str:
    """The device in words, for records."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def peak_bytes(device: torch.device) -> int | None:
    """Most memory used so far: allocated on the GPU, or resident in this process.

    None where the system does not tell (Windows).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def world() -> int:
    """Number of processes."""
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if ready else 1


def rank() -> int:
    """Number of this process; 0 prints and writes."""
    return distributed.get_rank() if world() > 1 else 0


@contextlib.contextmanager
def team(device: str = "auto"):
    """Join the processes that a launcher (`torchrun`, `accelerate`) started, if one did.

    With GPUs, process k of a machine takes its k-th; `device` is as in the configuration.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or distributed.is_initialized():
        yield
        return
    gpu = device != "cpu" and torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Whether to stop is agreed on the hosts; half an hour is more than any store takes to be made.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo",
                                   timeout=timedelta(minutes=30))
    try:
        yield
    except RuntimeError as error:  # distributed.DistError and what gloo raises
        said = str(error).lower()
        if not any(word in said for word in ("gloo", "nccl", "connection", "timed out")):
            raise
        raise SjepaError(f"process {rank()} of {world()} lost another one: start all of them "
                         "again, the run goes on from its last checkpoint") from error
    finally:
        with contextlib.suppress(RuntimeError):
            distributed.destroy_process_group()


def summed(value: torch.Tensor) -> torch.Tensor:
    """`value` summed over the processes, in place."""
    if world() > 1:
        distributed.all_reduce(value)
    return value
