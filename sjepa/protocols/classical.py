"""The baseline without learned features: poses, steps and statistics, then logistic regression.

What a practitioner would try first on a small set. Nothing in it was tuned on test clips; its
settings are those with which the project's first figures were made.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sjepa.datasets.store import Store
from sjepa.skeleton import NTU_JOINTS, SPINE_BASE, SPINE_SHOULDER

FRAMES = 20  # a clip is resampled to so many poses
C = 0.01  # inverse strength of the regression's penalty
#: Sets filmed from one side: there, facing is part of the class and is left as it is.
FRONTAL = ("kindergator",)


def _resampled(x: np.ndarray, frames: int) -> np.ndarray:
    """`x` `[T, V, 3]` at `frames` equally spaced times, linearly."""
    at = np.linspace(0, len(x) - 1, frames)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, len(x) - 1)
    share = (at - low)[:, None, None]
    return x[low] * (1 - share) + x[high] * share


def _facing(pose: np.ndarray) -> np.ndarray:
    """The rotation about the vertical that turns the shoulders of `pose` `[V, 3]` along x."""
    left, right = NTU_JOINTS.index("left shoulder"), NTU_JOINTS.index("right shoulder")
    across = pose[left] - pose[right]
    length = np.hypot(across[0], across[2])
    if length < 1e-6:
        return np.eye(3)
    c, s = across[0] / length, across[2] / length
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def describe_clip(x: np.ndarray, aligned: bool = True) -> np.ndarray:
    """One vector a clip: positions, differences of frames, and three statistics of each joint.

    Centred on the spine base of the first frame and divided by the median length of the spine, so
    that neither place nor size of a person counts.

    Args:
        x: `[T, V, 3]` metres, one body.
        aligned: turn the first frame's shoulders along x.
    """
    x = x.astype(np.float64) - x[0, SPINE_BASE]
    length = np.median(np.linalg.norm(x[:, SPINE_SHOULDER] - x[:, SPINE_BASE], axis=-1))
    x = x / max(length, 1e-6)
    if aligned:
        x = x @ _facing(x[0]).T
    x = _resampled(x, FRAMES)
    step = np.diff(x, axis=0)
    parts = x, step, x.mean(0), x.std(0), np.abs(step).mean(0)
    return np.concatenate([part.ravel() for part in parts])


def describe_clips(store: Store, index: np.ndarray) -> np.ndarray:
    """`[N, F]` vectors of the clips `index`; both bodies side by side where a set has two."""
    aligned = store.meta["name"] not in FRONTAL
    clips = (store.clip(i) for i in index)
    return np.stack([
        np.concatenate([describe_clip(clip[:, body], aligned) for body in range(clip.shape[1])])
        for clip in clips
    ])


def standardised(store: Store, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, ...]:
    """Vectors of training and test clips, standardised by the training clips."""
    seen, unseen = describe_clips(store, train), describe_clips(store, test)
    scaler = StandardScaler().fit(seen)
    return scaler.transform(seen), scaler.transform(unseen)


def logistic_regression(seen: torch.Tensor, labels: torch.Tensor, unseen: torch.Tensor,
                        classes: int) -> torch.Tensor:
    """Scores `[M, classes]` of the test clips; a class without a training clip has -inf."""
    model = LogisticRegression(C=C, max_iter=300).fit(seen, labels.numpy())
    scores = np.full((len(unseen), classes), -np.inf, np.float32)
    scores[:, model.classes_] = model.predict_log_proba(unseen)
    return torch.from_numpy(scores)
