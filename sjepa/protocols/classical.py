"""The baseline without learned features: poses, steps and statistics, then logistic regression.

What a practitioner would try first on a small set. Nothing in it was tuned on test clips.
"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sjepa.datasets.store import Store
from sjepa.skeleton import Skeleton

FRAMES = 20  # a clip is resampled to so many poses
C = 0.01  # inverse strength of the regression's penalty


def _facing(pose: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The rotation about the vertical that turns the shoulders of `pose` `[V, 3]` along x."""
    left, right = skeleton.joints.index("left shoulder"), skeleton.joints.index("right shoulder")
    across = pose[left] - pose[right]
    length = np.hypot(across[0], across[2])
    if length < 1e-6:
        return np.eye(3)
    c, s = across[0] / length, across[2] / length
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def describe_clip(x: np.ndarray, skeleton: Skeleton, aligned: bool = True) -> np.ndarray:
    """One vector of a body `[T, V, 3]`: positions, differences of frames, statistics of each joint.

    Neither place nor size of a person counts: it is centred on the first frame's base of the spine,
    and divided by the spine's median length; a planar skeleton's confidence stays. `aligned` turns
    the first frame's shoulders along x, where there is depth and they are named.
    """
    x, (base, shoulder) = x.astype(np.float64), skeleton.spine
    axes = slice(2 if skeleton.planar else 3)
    x[..., axes] -= x[0, base, axes].copy()
    spine = np.linalg.norm((x[:, shoulder] - x[:, base])[:, axes], axis=-1)
    x[..., axes] /= max(np.median(spine), 1e-6)
    named = {"left shoulder", "right shoulder"} <= set(skeleton.joints)
    if aligned and named and not skeleton.planar:
        x = x @ _facing(x[0], skeleton).T
    at = np.linspace(0, len(x) - 1, FRAMES)  # resampled linearly
    low = np.floor(at).astype(int)
    high, share = np.minimum(low + 1, len(x) - 1), (at - low)[:, None, None]
    x = x[low] * (1 - share) + x[high] * share
    step = np.diff(x, axis=0)
    parts = x, step, x.mean(0), x.std(0), np.abs(step).mean(0)
    return np.concatenate([part.ravel() for part in parts])


def standardised(store: Store, skeleton: Skeleton, frontal: bool, train: np.ndarray,
                 test: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors `[N, F]` and `[M, F]` of training and test clips, by the training clips' scale.

    Bodies stand side by side. In a set filmed from one side (`frontal`) facing is left as it is.
    """
    def vector(index: int) -> np.ndarray:
        bodies = store.clip(index).swapaxes(0, 1)
        return np.concatenate([describe_clip(body, skeleton, not frontal) for body in bodies])

    sides = [np.stack([vector(i) for i in index]) for index in (train, test)]
    scaler = StandardScaler().fit(sides[0])
    return tuple(torch.from_numpy(scaler.transform(side)).float() for side in sides)


def logistic_regression(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor,
                        classes: int) -> torch.Tensor:
    """Scores `[M, classes]` of the test clips; a class without a training clip has -inf."""
    model = LogisticRegression(C=C, max_iter=300).fit(train, labels.numpy())
    scores = np.full((len(test), classes), -np.inf, np.float32)
    scores[:, model.classes_] = model.predict_log_proba(test)
    return torch.from_numpy(scores)
