"""Where to compute and in which precision."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterable

import torch

from sjepa.errors import SjepaError


def pick_device(name: str = "auto") -> torch.device:
    """`auto` takes a GPU where there is one.

    Raises:
        SjepaError: a GPU was asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise SjepaError("device = cuda, but PyTorch sees no GPU here: set device to auto or cpu")
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """`auto` is fp32 on a CPU; on a GPU bf16 where its hardware multiplies it, else fp16.

    `tf32` stores float32 and lets an Ampere or later GPU multiply its first 10 bits.

    Raises:
        SjepaError: fp16 was asked for on a CPU.
    """
    if name == "auto":
        name = "fp32"
        if device.type == "cuda":
            name = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if name == "fp16" and device.type == "cpu":
        raise SjepaError("precision = fp16 needs a GPU: set precision to auto, bf16 or fp32")
    tf32 = name == "tf32" and device.type == "cuda"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    halves = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return halves.get(name, torch.float32)


def autocast(device: torch.device, dtype: torch.dtype):
    """Autocast to `dtype`, or nothing for float32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)


def in_float32(device: torch.device):
    """Suspend autocast, on devices that have it."""
    if device.type == "meta":  # on which operations are counted
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


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


def compile_modules(modules: Iterable[torch.nn.Module], mode: str, device: torch.device) -> bool:
    """Compile the forward pass of each module in place; True if they are now compiled.

    Modules of one class share what is generated for a shape, so that blocks are ready sooner than
    the networks made of them.

    Args:
        modules: what to compile.
        mode: `none`; one of `torch.compile`'s modes; `auto`: its default mode on a GPU, and not at
            all on a CPU, where it took longer than PyTorch's own kernels.
        device: where the modules live.
    """
    if mode == "none" or (mode == "auto" and device.type == "cpu"):
        return False
    why = cannot_compile(device)
    if why:
        print(f"running without torch.compile: {why}", flush=True)
        return False
    # Three networks, each with a few numbers of rows: after so many PyTorch would stop compiling.
    torch._dynamo.config.recompile_limit = 64
    for module in modules:
        module.compile(mode="default" if mode == "auto" else mode, dynamic=False)
    return True


def describe(device: torch.device) -> str:
    """The device in words, for records."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def peak_bytes(device: torch.device) -> int:
    """Most memory used so far: allocated on the GPU, or resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # not on Windows, where the figure is left out

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
