"""Base rotation and the geometric views: rotation about the body, translation, mirror.

Everything is batched and never makes the host wait for the device. Bodies are folded into the
batch, so `x` is `[B, T, V, 3]` with one body a row. A body that is absent (all zero) stays zero, in
whole clips and in single frames: a translated absence would become a body standing still.

Of a planar skeleton x and y are turned, moved and mirrored; its third channel is left as it is.
"""

from functools import cache

import torch

from sjepa.clips import uniform
from sjepa.skeleton import NTU25, Skeleton


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
    """`[..., T]` bool: the frames in which a body of `x` `[..., T, V, 3]` was seen at all."""
    return (x != 0).any(-1).any(-1)


def body_axis(x: torch.Tensor, skeleton: Skeleton = NTU25) -> tuple[torch.Tensor, torch.Tensor]:
    """Each body's own vertical axis in the first frame in which it is seen.

    Returns:
        The spine base `[B, 3]` and the unit vector `[B, 3]` from it to the spine shoulder; a body
        without an axis (absent, or its two joints coincide) gets the camera's vertical.
    """
    first = seen(x).to(torch.uint8).argmax(1)
    frame = x[torch.arange(len(x), device=x.device), first]
    base, shoulder = (frame[:, joint] for joint in skeleton.spine)
    if skeleton.planar:  # turned in the image: about the line of sight
        return base, constant((0.0, 0.0, 1.0), x.device, x.dtype).expand_as(base)
    up = shoulder - base
    length = up.norm(dim=-1, keepdim=True)
    vertical = constant((0.0, 1.0, 0.0), x.device, x.dtype).expand_as(up)
    return base, torch.where(length > 1e-6, up / length.clamp(min=1e-6), vertical)


def rotate_about_body(x: torch.Tensor, angle: torch.Tensor,
                      skeleton: Skeleton = NTU25) -> torch.Tensor:
    """Rotate each body of `x` `[B, T, V, 3]` by `angle` `[B]` radians about its vertical axis."""
    base, axis = body_axis(x, skeleton)
    base = base[:, None, None]
    turned = rotate(x - base, axis_rotation(axis, angle)) + base
    return torch.where(seen(x)[:, :, None, None], turned, x)


def translate(x: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Move each body of `x` by `shift` `[B, 3]` metres, the same in every frame."""
    return torch.where(seen(x)[:, :, None, None], x + shift[:, None, None], x)


def flip(x: torch.Tensor, which: torch.Tensor, skeleton: Skeleton = NTU25) -> torch.Tensor:
    """Mirror the bodies chosen by `which` `[B]` bool: negate x and swap left and right joints.

    The swap keeps a token's index the name of an anatomical joint: after a mirror the arm that is
    on the left of the body must again stand at the indices of the left arm.
    """
    swapped = x.index_select(2, constant(skeleton.flip_permutation, x.device, torch.long))
    mirrored = swapped * constant((-1.0, 1.0, 1.0), x.device, x.dtype)
    return torch.where(which[:, None, None, None], mirrored, x)


def base_rotation(x: torch.Tensor, limit: float = 0.3, generator=None,
                  skeleton: Skeleton = NTU25) -> torch.Tensor:
    """One random rotation a clip, three Euler angles in ±`limit` rad about the origin (lineage).

    Of `x` `[B, M, T, V, 3]`; both bodies of a clip turn together.
    """
    angles = uniform((len(x), 3), -limit, limit, x, generator)
    if skeleton.planar:
        angles = angles * constant((0.0, 0.0, 1.0), x.device, x.dtype)
    return rotate(x, euler_rotation(angles))


def geometric_view(x: torch.Tensor, rotation: float = 0.3, translation: float = 0.1,
                   flip_p: float = 0.5, generator=None, skeleton: Skeleton = NTU25) -> torch.Tensor:
    """A view: what the view encoder sees, while the target encoder sees `x` itself.

    The kinds of transformation are the authors'; they published no ranges (see Deviations).

    Args:
        x: `[B, T, V, 3]` metres.
        rotation: about the body's vertical axis, uniform in ± this, radians.
        translation: uniform in ± this along each axis, metres.
        flip_p: probability of a mirror.
        generator: source of randomness, on the CPU or on the device of `x`.
        skeleton: says which joints are the spine, and which are left and right.
    """
    angle = uniform((len(x),), -rotation, rotation, x, generator)
    shift = uniform((len(x), 3), -translation, translation, x, generator)
    if skeleton.planar:
        shift = shift * constant((1.0, 1.0, 0.0), x.device, x.dtype)
    which = uniform((len(x),), 0, 1, x, generator) < flip_p
    turned = rotate_about_body(x, angle, skeleton)
    return flip(translate(turned, shift), which, skeleton)
