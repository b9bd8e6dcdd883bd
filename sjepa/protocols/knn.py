"""k nearest neighbours on frozen features: no training, so nothing to tune but K."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def nearest(train: torch.Tensor, test: torch.Tensor, k: int,
            batch: int = 1024) -> tuple[torch.Tensor, torch.Tensor]:
    """The k most similar training features of each test feature, by the cosine, exactly.

    Args:
        train: `[N, D]` features.
        test: `[M, D]` features.
        k: neighbours; N where there are fewer.
        batch: test features at once; `[batch, N]` similarities are held in memory.

    Returns:
        Similarities and training indices, `[M, k]` each, the most similar first.
    """
    gallery = F.normalize(train, dim=1).T
    parts = [(F.normalize(part, dim=1) @ gallery).topk(min(k, len(train)), dim=1)
             for part in test.split(batch)]
    return torch.cat([p.values for p in parts]), torch.cat([p.indices for p in parts])


def knn(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, k: int,
        classes: int) -> torch.Tensor:
    """Classes `[M]` of the test features by a vote of the k most similar training features.

    Each neighbour votes with its similarity plus one, so that ties go to the nearer.

    Args:
        train: `[N, D]` features.
        labels: `[N]` their classes.
        test: `[M, D]` features.
        k: neighbours, at most N.
        classes: number of classes.
    """
    similarity, index = nearest(train, test, k)
    votes = torch.zeros(len(test), classes)
    votes.scatter_add_(1, labels[index], (similarity + 1).clamp(min=0))
    return votes.argmax(1)


def recall(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, wanted: torch.Tensor,
           ks: tuple[int, ...]) -> dict[int, torch.Tensor]:
    """Retrieval: does a clip of the right class stand among the K most similar training clips?

    Args:
        train: `[N, D]` features of the gallery.
        labels: `[N]` their classes.
        test: `[M, D]` features of the queries.
        wanted: `[M]` their classes.
        ks: the K to report.

    Returns:
        K to `[M]` bool. Recall at K is its mean; at 1 it is the accuracy of one neighbour.
    """
    _, index = nearest(train, test, max(ks))
    right = labels[index] == wanted[:, None]
    return {k: right[:, :k].any(1) for k in ks}
