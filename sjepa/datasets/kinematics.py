"""Rotations about the axes of a frame, as motion files list them."""

from __future__ import annotations

import numpy as np


def rotations(axes: str, degrees: np.ndarray) -> np.ndarray:
    """Product of rotations about single axes, in the listed order.

    Applied to a column vector, the last-listed rotation acts first.

    Args:
        axes: such as `"zxy"`, any number of them.
        degrees: `[T, len(axes)]` angles, right-handed.

    Returns:
        `[T, 3, 3]` float64.
    """
    product = np.broadcast_to(np.eye(3), (len(degrees), 3, 3))
    for axis, angle in zip(axes, np.radians(degrees).T, strict=True):
        k = "xyz".index(axis)
        i, j = (k + 1) % 3, (k + 2) % 3
        turn = np.zeros((len(degrees), 3, 3))
        turn[:, k, k] = 1
        turn[:, i, i] = turn[:, j, j] = np.cos(angle)
        turn[:, j, i] = np.sin(angle)
        turn[:, i, j] = -turn[:, j, i]
        product = product @ turn
    return product
