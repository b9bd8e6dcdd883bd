"""Where to compute and in which precision."""

from __future__ import annotations

import contextlib

import torch

from .errors import SjepaError


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


def _bf16_pays(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bf16 where the hardware multiplies it, else fp16 on a GPU and fp32 on a CPU."""
    if name == "auto":
        name = "bf16" if _bf16_pays(device) else "fp16" if device.type == "cuda" else "fp32"
    if name == "fp16" and device.type == "cpu":
        raise SjepaError("precision = fp16 needs a GPU: set precision to auto, bf16 or fp32")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def autocast(device: torch.device, dtype: torch.dtype):
    """Autocast to `dtype`, or nothing for float32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)


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
