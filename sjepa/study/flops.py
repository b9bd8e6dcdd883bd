"""What pretraining costs: operations counted from the shapes, peaks of devices, hours of a run."""

from pathlib import Path

import torch
import yaml

from sjepa.config import PretrainConfig
from sjepa.skeleton import NTU25, Skeleton

#: Half-precision peaks in FLOP/s by a part of the device's name; the file says whence.
PEAKS = yaml.safe_load(Path(__file__).with_name("peaks.yaml").read_text())


def block_flops(tokens: int, dim: int) -> int:
    """Operations of one transformer block's forward pass on one row, two a multiply-add."""
    # Linear layers: queries, keys and values 6, projection 2, network 16; then attention.
    return 24 * tokens * dim**2 + 4 * tokens**2 * dim


def row_flops(config: PretrainConfig, skeleton: Skeleton = NTU25) -> int:
    """Operations of one training step for one body of a skeleton: matrix products only.

    A backward pass counts twice its forward pass; target encoder and coordinates have none.
    """
    dim, tokens = config.dim, config.frames // config.segment * len(skeleton)
    seen = round(tokens * (1 - config.mask_ratio))
    embed = 2 * tokens * 3 * config.segment * dim
    encoder = config.depth * block_flops(seen, dim)
    ends = 2 * tokens * dim**2  # the predictor's entry on the seen tokens, its exit on the rest
    predictor = ends + config.predictor_depth * block_flops(tokens, dim)
    target = embed + config.depth * block_flops(tokens, dim)
    return 2 * embed + 3 * (encoder + predictor) + target


def peak_flops(device: str, dtype: torch.dtype) -> float | None:
    """The peak of a device, named as PyTorch names it, in half precision; None if not known."""
    if dtype == torch.float32 or (dtype == torch.bfloat16 and "T4" in device):
        return None
    return next((peak for name, peak in PEAKS.items() if name in device), None)


def hours(clips: int, epochs: int, samples_per_s: float, batch: int = 256) -> float:
    """Hours of a pretraining; the last, smaller batch of an epoch is dropped."""
    return clips // batch * batch * epochs / samples_per_s / 3600
