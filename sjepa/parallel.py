"""Data-parallel pretraining: under `torchrun`, each process takes its share of every batch.

Every process draws crops, views and masks for the whole batch from the same generator and computes
its own rows, so a run does not depend on the number of processes, except for rounding. Without
`torchrun` all of this is one process and no communication.
"""

from __future__ import annotations

import contextlib
import os

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel


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

    Args:
        device: as in the configuration; with GPUs, process k of a machine takes its k-th GPU.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or distributed.is_initialized():
        yield
        return
    gpu = device != "cpu" and torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if gpu else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


@contextlib.contextmanager
def first_alone():
    """Process 0 goes through the block before the others do: what it makes, they find."""
    if rank() > 0:
        distributed.barrier()
    yield
    if rank() == 0 and world() > 1:
        distributed.barrier()


def shared(model: torch.nn.Module) -> torch.nn.Module:
    """The model, or its wrapper that averages the gradients over the processes."""
    if world() == 1:
        return model
    return DistributedDataParallel(model, gradient_as_bucket_view=True)


def averaging(network: torch.nn.Module, now: bool):
    """Context of a forward and backward pass: gradients are averaged `now`, or with a later one."""
    held_back = isinstance(network, DistributedDataParallel) and not now
    return network.no_sync() if held_back else contextlib.nullcontext()


def summed(value: torch.Tensor) -> torch.Tensor:
    """`value` summed over the processes, in place."""
    if world() > 1:
        distributed.all_reduce(value)
    return value
