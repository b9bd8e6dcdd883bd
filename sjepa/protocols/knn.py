"""Nearest neighbours on frozen features: no training, so nothing to tune but K.

`train` is `[N, D]` features, `labels` `[N]` their classes, `test` `[M, D]` features.
"""

import numpy as np
import torch
from torch.nn import functional as F

from sjepa.protocols.context import Context, Reading, Result, reading
from sjepa.protocols.features import extract


def nearest(train: torch.Tensor, test: torch.Tensor, ks: tuple[int, ...],
            batch: int = 1024) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """The K most similar training features of each test feature, by the cosine, exactly.

    Returns:
        K to similarities and training indices, `[M, K]` each, the most similar first; `[M, N]`
        where N is smaller.
    """
    gallery = F.normalize(train, dim=1).T
    parts = {k: [] for k in ks}
    for part in test.split(batch):
        similarity = F.normalize(part, dim=1) @ gallery
        # Not the largest K cut to the others: which of equally similar clips are taken would then
        # depend on what else is asked for. The product takes most of the time, not this.
        for k, tops in parts.items():
            tops.append(similarity.topk(min(k, len(train)), dim=1))
    return {k: (torch.cat([top.values for top in tops]),
                torch.cat([top.indices for top in tops])) for k, tops in parts.items()}


def knn(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, ks: tuple[int, ...],
        classes: int) -> dict[int, torch.Tensor]:
    """K to `[M]` classes of the test features, by a vote of the K most similar training features.

    Each neighbour votes with its similarity plus one, so that ties go to the nearer.
    """
    classes_of = {}
    for k, (similarity, index) in nearest(train, test, ks).items():
        votes = similarity.new_zeros(len(test), classes)
        votes.scatter_add_(1, labels[index], (similarity + 1).clamp(min=0))
        classes_of[k] = votes.argmax(1)
    return classes_of


def recall(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor,
           test_labels: torch.Tensor, ks: tuple[int, ...]) -> dict[int, torch.Tensor]:
    """K to `[M]` bool: is one of the K most similar training clips of the right class?

    Recall at K is its mean.
    """
    most = max(ks)
    _, index = nearest(train, test, (most,))[most]  # cut below, so that it can but rise with K
    right = labels[index] == test_labels[:, None]
    return {k: right[:, :k].any(1) for k in ks}


def held_out_accuracy(run) -> dict[str, float]:
    """Accuracy of one neighbour, in percent, in a `sjepa.pretrain.Pretraining`: `{"knn": …}`.

    The first in ten training subjects, at least one, are looked up among the others; test clips
    never. Empty where all training clips are of one subject.
    """
    train = run.train.numpy()
    subjects = np.unique(run.store.subjects[train])
    held = np.isin(run.store.subjects[train], subjects[: max(1, len(subjects) // 10)])
    if held.all():
        return {}
    known, asked = (extract(run.model.target.encoder, run.data, train[side], dtype=run.dtype,
                            stream=run.config.stream) for side in (~held, held))
    labels = torch.from_numpy(run.store.labels[train].astype(np.int64))
    predicted = knn(known, labels[~held], asked, (1,), len(run.store.classes))[1]
    return {"knn": (predicted == labels[held]).float().mean().item() * 100}


def run_knn(context: Context) -> Result:
    """kNN with each K: `top1-k1`, …"""
    (train, test), labels = context.both_sides(context.train), context.labels[context.train]
    votes = knn(train, labels, test, context.config.ks, context.classes)
    return Result({f"top1-k{k}": reading(predicted, context.test_labels)
                   for k, predicted in votes.items()})


def run_retrieval(context: Context) -> Result:
    """Recall at each K: `recall-at-1`, …"""
    (train, test), labels = context.both_sides(context.train), context.labels[context.train]
    hits = recall(train, labels, test, context.test_labels, context.config.ks)
    return Result({f"recall-at-{k}": Reading(hit.numpy()[None]) for k, hit in hits.items()})
