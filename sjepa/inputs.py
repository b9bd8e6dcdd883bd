"""From clip numbers to one batch of network input, all of it on the device.

A network sees joints, or a stream made of them: bones or motion. A stream is made last, from joints
that were cropped, rotated and viewed, because these are motions of joints. The mask is drawn from
the joints, so that one rule hides tokens in every stream.
"""

import torch

from sjepa.clips import DeviceStore, train_crop
from sjepa.config import PretrainConfig
from sjepa.encoder import patchify
from sjepa.errors import SjepaError
from sjepa.masking import MASKS
from sjepa.skeleton import NTU25, Skeleton
from sjepa.views import base_rotation, geometric_view, seen


def bones(x: torch.Tensor, skeleton: Skeleton = NTU25) -> torch.Tensor:
    """Child minus parent along the skeleton's bones; a joint that is no child is zero.

    Of joints `[..., T, V, 3]`: each bone at the index of its child; unseen frames stay zero.
    """
    child, parent = (list(ends) for ends in zip(*skeleton.bones, strict=True))
    out = torch.zeros_like(x)
    out[..., child, :] = x[..., child, :] - x[..., parent, :]
    return out


def motion(x: torch.Tensor) -> torch.Tensor:
    """Each frame's step to the next, `x[t + 1] - x[t]`; the last frame is zero.

    Of joints `[..., T, V, 3]`. The step between a seen and an unseen frame is zero too: a body that
    is lost did not jump to the origin.
    """
    there = seen(x)
    both = (there[..., 1:] & there[..., :-1])[..., None, None]
    step = (x[..., 1:, :, :] - x[..., :-1, :, :]) * both
    return torch.cat((step, torch.zeros_like(x[..., :1, :, :])), -3)


def to_stream(x: torch.Tensor, stream: str = "joint", skeleton: Skeleton = NTU25) -> torch.Tensor:
    """Joints `[..., T, V, 3]` as `stream`: one of `sjepa.config.STREAMS`, of the same shape.

    Absent bodies stay zero. Lineage: the feeders of MAMP and of the works before it.
    """
    if stream == "bone":
        return bones(x, skeleton)
    return motion(x) if stream == "motion" else x


def body_rows(present: torch.Tensor,
              empty: str = "all") -> tuple[torch.Tensor, torch.Tensor | None]:
    """Which body slots of a batch to compute, and how many slots each of them stands for.

    Args:
        present: `[B, M]` bool on the host, the bodies that are there.
        empty: `all` keeps a row for each absent body, as the lineage does; `weighted` lets one row
            of zeros stand for all of them; `drop` leaves them out.

    Returns:
        `[R]` indices into the flattened slots, and their weights `[R]` (None: one each).
    """
    slots = present.flatten()
    rows = torch.arange(len(slots)) if empty == "all" else slots.nonzero()[:, 0]
    if empty != "weighted" or len(rows) == len(slots):
        return rows, None
    weight = torch.ones(len(rows) + 1)
    weight[-1] = len(slots) - len(rows)
    return torch.cat((rows, (~slots).nonzero()[0])), weight


def make_batch(store: DeviceStore, index: torch.Tensor, config: PretrainConfig, generator):
    """Clips to network input: crop and resize, base rotation, bodies folded into the batch.

    Returns:
        `x` `[R, T, V, 3]` and the rows' weights `[R]` or None.
    """
    device = store.frames.device
    rows, weight = body_rows(store.present[index], config.empty_bodies)
    index, rows = index.to(device, non_blocking=True), rows.to(device, non_blocking=True)
    x = train_crop(store, index, config.frames, config.crop, generator=generator)
    x = base_rotation(x, config.base_rotation, generator, store.skeleton).flatten(0, 1)[rows]
    return x, None if weight is None else weight.to(device, non_blocking=True)


def draw(x: torch.Tensor, config: PretrainConfig, generator,
         skeleton: Skeleton = NTU25) -> tuple[torch.Tensor, ...]:
    """The model's inputs for a batch of joints `x` `[R, T, V, 3]`: a view and a mask of each row.

    Returns:
        `x` and `view` `[R, T, V, 3]`, `keep` `[R, K]`, `masked` `[R, N - K]`.

    Raises:
        SjepaError: the mask leaves out a token, or hides none or all.
    """
    view = geometric_view(x, config.view_rotation, config.view_translation, config.view_flip,
                          generator, skeleton)
    tokens = patchify(x, config.segment)
    keep, masked = MASKS[config.mask](tokens, config, generator)
    seen, of = keep.shape[1], tokens.shape[1] * tokens.shape[2]
    if not 0 < seen < of == seen + masked.shape[1]:
        raise SjepaError(f"the mask {config.mask} keeps {seen} and hides {masked.shape[1]} of {of} "
                         "tokens: expected the numbers of all, each once, and some of both kinds")
    x, view = (to_stream(joints, config.stream, skeleton) for joints in (x, view))
    return x, view, keep, masked


def pad_rows(rows: tuple, weight: torch.Tensor | None, multiple: int) -> tuple[list, torch.Tensor]:
    """Bring the rows of a batch up to a `multiple`, so that few different shapes occur.

    Rows of each tensor `[R, ...]` are repeated with weight 0: no weighted sum notices them. Returns
    the tensors, and the weights `[R']`.
    """
    count, at = len(rows[0]), rows[0].device
    padded = torch.arange(count + -count % multiple, device=at)
    weight = torch.ones(count, device=at) if weight is None else weight
    weight = torch.where(padded < count, weight[padded % count], 0.0)
    return [each[padded % count] for each in rows], weight
