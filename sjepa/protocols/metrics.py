"""What an accuracy hides: its interval, of 95 % and in percent."""

import math

import numpy as np


def wilson(right: int, clips: int) -> tuple[float, float]:
    """Interval of a share of independent clips, after Wilson (1927)."""
    z, share = 1.959964, right / clips
    middle = (share + z**2 / (2 * clips)) / (1 + z**2 / clips)
    half = z * math.sqrt(share * (1 - share) / clips + (z / (2 * clips)) ** 2) / (1 + z**2 / clips)
    return max(100 * (middle - half), 0.0), min(100 * (middle + half), 100.0)


def by_subject(right: np.ndarray, subjects: np.ndarray, draws: int = 2000,
               seed: int = 0) -> tuple[float, float]:
    """Interval of `[M]` clips by drawing whole people: those of one are not independent."""
    _, owner = np.unique(subjects, return_inverse=True)
    hits, clips = np.bincount(owner, right), np.bincount(owner)
    drawn = np.random.default_rng(seed).integers(len(clips), size=(draws, len(clips)))
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
    if len(np.unique(subjects)) >= 5 and 0 < right.mean() < 1:  # fewer say nothing of others
        return by_subject(right[0], subjects)
    return wilson(int(right.sum()), right.size)


def share(right: np.ndarray, subjects: np.ndarray) -> dict:
    """A reading in percent with its interval (`interval`), counts summed over seeds."""
    low, high = interval(right, subjects)
    return {"value": round(float(right.mean() * 100), 2), "low": round(low, 2),
            "high": round(high, 2), "n": right.size, "right": int(right.sum())}
