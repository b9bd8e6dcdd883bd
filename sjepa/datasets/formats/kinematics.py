"""From turns along a tree of joints to where the joints are."""

from collections.abc import Iterable

import numpy as np


def rotations(axes: str, degrees: np.ndarray) -> np.ndarray:
    """Product `[T, 3, 3]` of rotations about up to three axes such as `"zxy"`, in this order.

    `degrees` is `[T, len(axes)]`, right-handed. The last-listed acts first on a column vector.
    """
    from scipy.spatial.transform import Rotation  # here: most sets are read without it

    if not axes:
        return np.broadcast_to(np.eye(3), (len(degrees), 3, 3))
    return Rotation.from_euler(axes.upper(), degrees, degrees=True).as_matrix()


def forward_kinematics(parents: Iterable[int], steps: Iterable[np.ndarray],
                       turns: Iterable[np.ndarray]) -> np.ndarray:
    """Positions `[T, J, 3]` of a tree of J joints, parents first; a root's parent is -1.

    `steps` `[T, 3]` lead from a joint's parent to it, `turns` `[T, 3, 3]` are those of its own
    axes; both are given in the axes of the parent.
    """
    places, axes = [], []
    for above, step, turn in zip(parents, steps, turns, strict=True):
        if above >= 0:
            step = places[above] + (axes[above] @ step[..., None])[..., 0]
            turn = axes[above] @ turn
        places.append(step)
        axes.append(turn)
    return np.stack(places, 1)
