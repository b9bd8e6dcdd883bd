"""What an accuracy hides: its interval, classes never found, and pairs taken for each other.

Intervals are of 95 %, in percent.
"""

from __future__ import annotations

import math

import numpy as np

FEWEST_SUBJECTS = 5  # resampling fewer people says nothing of other people


def wilson(right: int, clips: int) -> tuple[float, float]:
    """Interval of a share of independent clips, after Wilson (1927)."""
    z, share = 1.959964, right / clips
    middle = (share + z**2 / (2 * clips)) / (1 + z**2 / clips)
    half = z * math.sqrt(share * (1 - share) / clips + (z / (2 * clips)) ** 2) / (1 + z**2 / clips)
    return max(100 * (middle - half), 0.0), min(100 * (middle + half), 100.0)


def by_subject(right: np.ndarray, subjects: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """Interval by drawing whole people with replacement: the clips of one are not independent.

    `right` `[M]` bool says which clips were taken rightly, `subjects` `[M]` whose they are.
    """
    _, owner = np.unique(subjects, return_inverse=True)
    hits, clips = np.bincount(owner, right), np.bincount(owner)
    drawn = np.random.default_rng(0).integers(len(clips), size=(draws, len(clips)))
    low, high = np.percentile(hits[drawn].sum(1) / clips[drawn].sum(1) * 100, (2.5, 97.5))
    return float(low), float(high)


def student_point(degrees: int) -> float:
    """97.5 % point of Student's t, for nodes without scipy.

    With t = √ν tan θ the density is proportional to cos θ to the power ν - 1, which is summed.
    """
    angle = np.linspace(0, math.pi / 2, 200_001)[:-1]
    share = np.cumsum(np.cos(angle) ** (degrees - 1))
    return math.sqrt(degrees) * math.tan(np.interp(0.95, share / share[-1], angle))


def over_seeds(values: np.ndarray) -> tuple[float, float]:
    """Interval of the mean of `[S]` percentages, by Student's t, cut off at 0 and 100."""
    half = student_point(len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    return max(float(values.mean() - half), 0.0), min(float(values.mean() + half), 100.0)


def interval(right: np.ndarray, subjects: np.ndarray) -> tuple[float, float]:
    """Interval of what `right` `[S, M]` says: S seeds on the same M test clips.

    Several seeds: over their means. One: by subject, if it was both right and wrong on clips of
    five people or more; else Wilson's.
    """
    if len(right) > 1:
        return over_seeds(right.mean(1) * 100)
    if len(np.unique(subjects)) >= FEWEST_SUBJECTS and 0 < right.mean() < 1:
        return by_subject(right[0], subjects)
    return wilson(int(right.sum()), right.size)


def share(right: np.ndarray, subjects: np.ndarray) -> dict:
    """A reading in percent with its interval (`interval`), counts summed over seeds."""
    low, high = interval(right, subjects)
    return {"value": round(float(right.mean() * 100), 2), "low": round(low, 2),
            "high": round(high, 2), "n": right.size, "right": int(right.sum())}


def per_class_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Accuracy of each class in percent, `[classes]`; NaN of a class without a test clip.

    `matrix` `[classes, classes]` is `sklearn.metrics.confusion_matrix`'s, of counts.
    """
    with np.errstate(invalid="ignore"):
        return 100.0 * matrix.diagonal() / matrix.sum(1)


def confused_pairs(matrix: np.ndarray, k: int = 10) -> list[tuple[int, int, int]]:
    """The k pairs of classes that are mistaken for each other most often, in `matrix` as above.

    Returns:
        `(a, b, mistakes)` with a < b, both directions added up, most mistakes first; ties stand
        in the order of the classes, pairs without a mistake are left out.
    """
    both = np.triu(matrix + matrix.T, 1)
    order = np.argsort(-both, axis=None, kind="stable")[:k]
    pairs = (divmod(int(at), len(matrix)) for at in order)
    return [(a, b, int(both[a, b])) for a, b in pairs if both[a, b]]
