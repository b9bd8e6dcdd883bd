"""From clip numbers to one batch of network input, all of it on the device."""

from __future__ import annotations

import torch

from .config import PretrainConfig
from .datasets.store import DeviceStore
from .encoder import patchify
from .masking import motion_aware_mask
from .streams import to_stream
from .views import base_rotation, body_rows, geometric_view, train_crop


def make_batch(store: DeviceStore, index: torch.Tensor, config: PretrainConfig, generator):
    """Clips to network input: crop and resize, base rotation, bodies folded into the batch.

    Which bodies are there is known on the host, so that nothing here waits for the device.

    Returns:
        `x` `[R, T, V, 3]` and the rows' weights `[R]` or None.
    """
    device = store.frames.device
    rows, weight = body_rows(store.present[index], config.empty_bodies)
    index, rows = index.to(device, non_blocking=True), rows.to(device, non_blocking=True)
    x = train_crop(store, index, config.frames, config.crop, generator=generator)
    x = base_rotation(x, config.base_rotation, generator).flatten(0, 1)[rows]
    return x, None if weight is None else weight.to(device, non_blocking=True)


def draw(x: torch.Tensor, config: PretrainConfig, generator) -> tuple[torch.Tensor, ...]:
    """The model's inputs for a batch of joints `x` `[R, T, V, 3]`: a view and a mask of each row.

    The mask is drawn from the joints themselves; the networks see `config.stream` of them.

    Returns:
        `x` and `view` `[R, T, V, 3]`, `keep` `[R, K]`, `masked` `[R, N - K]`.
    """
    view = geometric_view(x, config.view_rotation, config.view_translation, config.view_flip,
                          generator)
    tokens = patchify(x, config.segment)
    keep, masked = motion_aware_mask(tokens, config.mask_ratio, config.mask_tau, generator)
    return to_stream(x, config.stream), to_stream(view, config.stream), keep, masked


def pad_rows(rows: tuple, weight: torch.Tensor | None, multiple: int) -> tuple[list, torch.Tensor]:
    """Bring the rows of a batch up to a `multiple`, so that few different shapes occur.

    Rows are repeated with weight 0: no weighted sum notices them.

    Args:
        rows: tensors of `[R, ...]` each.
        weight: `[R]` how many rows each stands for; None: one each.
        multiple: of this many rows.

    Returns:
        The tensors, and the weights `[R']`.
    """
    count, at = len(rows[0]), rows[0].device
    padded = torch.arange(count + -count % multiple, device=at)
    weight = torch.ones(count, device=at) if weight is None else weight
    weight = torch.where(padded < count, weight[padded % count], 0.0)
    return [each[padded % count] for each in rows], weight
