"""k nearest neighbours on frozen features: no training, so nothing to tune but K."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def knn(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, k: int,
        classes: int) -> torch.Tensor:
    """Classes `[M]` of the test features by a vote of the k most similar training features.

    Similarity is the cosine, and each neighbour votes with it, so that ties go to the nearer.

    Args:
        train: `[N, D]` features.
        labels: `[N]` their classes.
        test: `[M, D]` features.
        k: neighbours, at most N.
        classes: number of classes.
    """
    similarity = F.normalize(test, dim=1) @ F.normalize(train, dim=1).T
    nearest = similarity.topk(min(k, len(train)), dim=1)
    votes = torch.zeros(len(test), classes)
    votes.scatter_add_(1, labels[nearest.indices], (nearest.values + 1).clamp(min=0))
    return votes.argmax(1)
