"""What an accuracy hides: classes that are never found, and pairs that are taken for each other."""

from __future__ import annotations

import numpy as np


def confusion(wanted: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts `[classes, classes]`: row = true class, column = predicted class."""
    return np.bincount(wanted * classes + predicted, minlength=classes**2).reshape(classes, classes)


def per_class_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Accuracy of each class in percent, `[classes]`; NaN where the test part has no clip of it.

    Args:
        matrix: as `confusion` gives it.
    """
    clips = matrix.sum(1)
    return np.divide(100.0 * matrix.diagonal(), clips, out=np.full(len(matrix), np.nan),
                     where=clips > 0)


def confused_pairs(matrix: np.ndarray, k: int = 10) -> list[tuple[int, int, int]]:
    """The k pairs of classes that are mistaken for each other most often.

    Args:
        matrix: as `confusion` gives it.
        k: pairs at most; pairs without a mistake are left out.

    Returns:
        `(a, b, mistakes)` with a < b, both directions added up, most mistakes first; ties stand
        in the order of the classes.
    """
    both = np.triu(matrix + matrix.T, 1)
    order = np.argsort(-both, axis=None, kind="stable")[:k]
    pairs = (divmod(int(at), len(matrix)) for at in order)
    return [(a, b, int(both[a, b])) for a, b in pairs if both[a, b]]
