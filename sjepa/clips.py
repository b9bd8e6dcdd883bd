"""Clips: what one is, where its origin lies, and crops of many of them on the device.

A clip is `[T, M, V, 3]`: frames, bodies, joints, metres. A body that is absent is all zero and
stays so. Crops are batched, stay on the store's device, and never make the host wait for it.
"""

from dataclasses import dataclass

import torch

from sjepa.skeleton import NTU25, Skeleton


@dataclass
class DeviceStore:
    """The arrays of a store that training needs, as tensors on one device."""

    frames: torch.Tensor  # [F, V, 3] float32
    offsets: torch.Tensor  # [N, M] int64, -1 where the body is absent
    lengths: torch.Tensor  # [N] int64
    labels: torch.Tensor  # [N] int64
    skeleton: Skeleton = NTU25

    def __post_init__(self):
        self.present = (self.offsets >= 0).cpu()  #: `[N, M]` bool on the host: the bodies there


def uniform(shape, low: float, high: float, like: torch.Tensor, generator) -> torch.Tensor:
    """Uniform draws on the device and in the dtype of `like`.

    They are made where `generator` lies: one on the CPU draws the same for every device.
    """
    at = like.device if generator is None else generator.device
    draws = torch.rand(shape, generator=generator, device=at, dtype=torch.float32)
    return low + (high - low) * draws.to(like)


def crop_resize(store: DeviceStore, index: torch.Tensor, begin: torch.Tensor, span: torch.Tensor,
                frames: int) -> torch.Tensor:
    """Cut `span` frames from `begin` out of each clip and resize them in time, linearly.

    Equal to `torch.nn.functional.interpolate(..., mode="linear", align_corners=False)` along time,
    which is what the lineage's feeder does, but for ragged clips in one gather.

    Args:
        store: the clips, of which `index` `[B]` are taken, on the store's device.
        begin, span: `[B]` first frame and number of frames of each crop.
        frames: T, the length after resizing.

    Returns:
        `[B, M, T, V, 3]`, absent bodies zero.
    """
    at = (torch.arange(frames, device=index.device) + 0.5) * (span[:, None] / frames) - 0.5
    at = torch.minimum(at.clamp(min=0), (span[:, None] - 1).to(at.dtype))
    low = at.floor().long()
    high = torch.minimum(low + 1, span[:, None] - 1)
    weight = (at - low)[:, None, :, None, None]
    offsets = store.offsets[index]  # [B, M]
    start = (offsets.clamp(min=0) + begin[:, None])[:, :, None]
    first, second = store.frames[start + low[:, None]], store.frames[start + high[:, None]]
    return torch.lerp(first, second, weight) * (offsets >= 0)[:, :, None, None, None]


def train_crop(store: DeviceStore, index: torch.Tensor, frames: int, smallest: float = 0.5,
               fewest: int = 64, generator=None) -> torch.Tensor:
    """A random crop of `smallest` to all of each clip, resized to `frames`: `[B, M, T, V, 3]`.

    At least `fewest` frames are kept, or the whole clip where it is shorter (lineage's feeder).
    """
    index = index.to(store.lengths.device)
    length = store.lengths[index]
    ratio = uniform(length.shape, smallest, 1.0, store.frames, generator)
    span = torch.minimum((length * ratio).floor().long().clamp(min=fewest), length)
    free = length - span + 1
    begin = (uniform(length.shape, 0, 1, store.frames, generator) * free).long()
    return crop_resize(store, index, torch.minimum(begin, free - 1), span, frames)


def center_crop(store: DeviceStore, index: torch.Tensor, frames: int,
                share: float = 0.95) -> torch.Tensor:
    """The central `share` of each clip, resized to `frames`: `[B, M, T, V, 3]` (test time)."""
    index = index.to(store.lengths.device)
    length = store.lengths[index]
    begin = ((1 - share) * length / 2).floor().long()
    return crop_resize(store, index, begin, length - 2 * begin, frames)
