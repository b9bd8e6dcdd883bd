"""From stored clips to network input: crop and resize, base rotation, and the geometric views.

Everything is batched, stays on the store's device, and never makes the host wait for it. Bodies are
folded into the batch, so `x` is `[B, T, V, 3]` with one body a row. A body that is absent (all
zero) stays all zero, in whole clips and in single frames: a translated absence would become a body
standing still.
"""

from __future__ import annotations

from functools import cache

import torch

from .datasets.store import DeviceStore
from .skeleton import SPINE_BASE, SPINE_SHOULDER, flip_permutation


def uniform(shape, low: float, high: float, like: torch.Tensor, generator) -> torch.Tensor:
    """Uniform draws on the device and in the dtype of `like`."""
    draws = torch.rand(shape, generator=generator, device=like.device, dtype=torch.float32)
    return low + (high - low) * draws.to(like.dtype)


# ---------------------------------------------------------------- time: crop and resize


def crop_resize(store: DeviceStore, index: torch.Tensor, begin: torch.Tensor, span: torch.Tensor,
                frames: int) -> torch.Tensor:
    """Cut `span` frames from `begin` out of each clip and resize them in time, linearly.

    Equal to `torch.nn.functional.interpolate(..., mode="linear", align_corners=False)` along time,
    which is what the lineage's feeder does, but for ragged clips in one gather.

    Args:
        store: the clips.
        index: `[B]` clip indices.
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
    present = offsets >= 0
    start = (offsets.clamp(min=0) + begin[:, None])[:, :, None]
    first, second = store.frames[start + low[:, None]], store.frames[start + high[:, None]]
    return torch.lerp(first, second, weight) * present[:, :, None, None, None]


def train_crop(store: DeviceStore, index: torch.Tensor, frames: int, smallest: float = 0.5,
               fewest: int = 64, generator=None) -> torch.Tensor:
    """A random crop of `smallest` to all of each clip, resized to `frames`: `[B, M, T, V, 3]`.

    At least `fewest` frames are kept, or the whole clip where it is shorter (lineage's feeder).
    """
    length = store.lengths[index]
    ratio = uniform(length.shape, smallest, 1.0, store.frames, generator)
    span = torch.minimum((length * ratio).floor().long().clamp(min=fewest), length)
    free = length - span + 1
    begin = (uniform(length.shape, 0, 1, store.frames, generator) * free).long()
    return crop_resize(store, index, torch.minimum(begin, free - 1), span, frames)


def center_crop(store: DeviceStore, index: torch.Tensor, frames: int,
                share: float = 0.95) -> torch.Tensor:
    """The central `share` of each clip, resized to `frames`: `[B, M, T, V, 3]` (test time)."""
    length = store.lengths[index]
    begin = ((1 - share) * length / 2).floor().long()
    return crop_resize(store, index, begin, length - 2 * begin, frames)


# ---------------------------------------------------------------- space: rotations and views


@cache
def constant(values: tuple, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """`values` as a tensor on `device`, copied there once: a copy makes the host wait."""
    return torch.tensor(values, device=device, dtype=dtype)


def rotate(x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Turn the points of `x` `[B, ..., 3]` by `matrix` `[B, 3, 3]`.

    Multiplied out, because a matrix product may be carried out in TF32 or bf16, which would move
    a joint by millimetres.
    """
    matrix = matrix.view(len(x), *(1,) * (x.ndim - 2), 3, 3)
    return (matrix * x[..., None, :]).sum(-1)


def euler_rotation(angles: torch.Tensor) -> torch.Tensor:
    """`R = Rz Ry Rx` for angles `[B, 3]` in radians: `[B, 3, 3]`."""
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = (
        cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx,
        sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx,
        -sy, cy * sx, cy * cx,
    )
    return torch.stack(rows, -1).view(-1, 3, 3)


def axis_rotation(axis: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Rodrigues' formula: rotation by `angle` `[B]` about the unit vectors `axis` `[B, 3]`."""
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    k = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).view(-1, 3, 3)
    s, c = angle.sin()[:, None, None], angle.cos()[:, None, None]
    eye = torch.eye(3, dtype=axis.dtype, device=axis.device)
    squared = axis[:, :, None] * axis[:, None] - eye  # k k = a aᵀ - 1 for a unit vector
    return eye + s * k + (1 - c) * squared


def seen(x: torch.Tensor) -> torch.Tensor:
    """`[B, T]` bool: the frames in which a body of `x` `[B, T, V, 3]` was seen at all."""
    return (x != 0).any(-1).any(-1)


def body_axis(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each body's own vertical axis in the first frame in which it is seen.

    Returns:
        The spine base `[B, 3]` and the unit vector `[B, 3]` from it to the spine shoulder; a body
        without an axis (absent, or its two joints coincide) gets the camera's vertical.
    """
    first = seen(x).to(torch.uint8).argmax(1)
    frame = x[torch.arange(len(x), device=x.device), first]
    up = frame[:, SPINE_SHOULDER] - frame[:, SPINE_BASE]
    length = up.norm(dim=-1, keepdim=True)
    vertical = constant((0.0, 1.0, 0.0), x.device, x.dtype).expand_as(up)
    return frame[:, SPINE_BASE], torch.where(length > 1e-6, up / length.clamp(min=1e-6), vertical)


def rotate_about_body(x: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Rotate each body of `x` `[B, T, V, 3]` by `angle` `[B]` radians about its vertical axis."""
    base, axis = body_axis(x)
    base = base[:, None, None]
    turned = rotate(x - base, axis_rotation(axis, angle)) + base
    return torch.where(seen(x)[:, :, None, None], turned, x)


def translate(x: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Move each body of `x` by `shift` `[B, 3]` metres, the same in every frame."""
    return torch.where(seen(x)[:, :, None, None], x + shift[:, None, None], x)


def flip(x: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Mirror the bodies chosen by `which` `[B]` bool: negate x and swap left and right joints.

    The swap keeps a token's index the name of an anatomical joint: after a mirror the arm that is
    on the left of the body must again stand at the indices of the left arm.
    """
    swapped = x.index_select(2, constant(tuple(flip_permutation()), x.device, torch.long))
    mirrored = swapped * constant((-1.0, 1.0, 1.0), x.device, x.dtype)
    return torch.where(which[:, None, None, None], mirrored, x)


def base_rotation(x: torch.Tensor, limit: float = 0.3, generator=None) -> torch.Tensor:
    """One random rotation a clip, three Euler angles in ±`limit` rad about the origin (lineage).

    Args:
        x: `[B, M, T, V, 3]`; both bodies of a clip turn together.
    """
    angles = uniform((len(x), 3), -limit, limit, x, generator)
    return rotate(x, euler_rotation(angles))


def geometric_view(x: torch.Tensor, rotation: float = 0.3, translation: float = 0.1,
                   flip_p: float = 0.5, generator=None) -> torch.Tensor:
    """A view: what the view encoder sees, while the target encoder sees `x` itself.

    The kinds of transformation are the authors'; they published no ranges (see Deviations).

    Args:
        x: `[B, T, V, 3]` metres.
        rotation: about the body's vertical axis, uniform in ± this, radians.
        translation: uniform in ± this along each axis, metres.
        flip_p: probability of a mirror.
        generator: source of randomness on the device of `x`.

    Returns:
        `[B, T, V, 3]`; absent bodies stay zero.
    """
    angle = uniform((len(x),), -rotation, rotation, x, generator)
    shift = uniform((len(x), 3), -translation, translation, x, generator)
    which = torch.rand(len(x), generator=generator, device=x.device) < flip_p
    return flip(translate(rotate_about_body(x, angle), shift), which)


# ---------------------------------------------------------------- bodies into the batch


def body_rows(present: torch.Tensor,
              empty: str = "all") -> tuple[torch.Tensor, torch.Tensor | None]:
    """Which body slots of a batch to compute, and how many slots each of them stands for.

    Args:
        present: `[B, M]` bool on the host, the bodies that are there.
        empty: what becomes of absent bodies. `all` keeps a row for each, as the lineage does;
            `weighted` lets one row of zeros stand for all of them; `drop` leaves them out.

    Returns:
        `[R]` indices into the flattened slots, and their weights `[R]` (None: one each).
    """
    slots = present.flatten()
    rows = torch.arange(len(slots)) if empty == "all" else slots.nonzero()[:, 0]
    weight = None
    if empty == "weighted" and len(rows) < len(slots):
        first = (~slots).to(torch.uint8).argmax().view(1)
        weight = torch.ones(len(rows) + 1)
        weight[-1] = len(slots) - len(rows)
        rows = torch.cat((rows, first))
    return rows, weight


def fold_bodies(x: torch.Tensor, empty: str = "all") -> tuple[torch.Tensor, torch.Tensor | None]:
    """Fold bodies into the batch: `[B, M, T, V, 3]` to rows `[R, T, V, 3]`.

    Who is there is read off the clips, for which the host has to wait for the device; pretraining
    takes it from the store instead.

    Args:
        x: clips with their body slots.
        empty: see `body_rows`.

    Returns:
        The rows, and `[R]` how many rows each stands for (None: one each).
    """
    present = seen(x.flatten(0, 1)).any(1).view(x.shape[:2])
    rows, weight = body_rows(present.cpu(), empty)
    return x.flatten(0, 1)[rows.to(x.device)], None if weight is None else weight.to(x.device)
