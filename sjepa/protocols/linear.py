"""The linear probe: how much of the class can be read off frozen features by one matrix.

Lineage: MAMP's recipe, after MAE's. BatchNorm without affine, one linear layer, SGD with momentum
0.9 and no weight decay, learning rate 0.1 on a cosine to 0, 100 epochs, training augmentation.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm


def make_probe(dim: int, classes: int) -> nn.Sequential:
    """BatchNorm1d without affine parameters, then a linear layer that starts small."""
    probe = nn.Sequential(nn.BatchNorm1d(dim, affine=False, eps=1e-6), nn.Linear(dim, classes))
    nn.init.trunc_normal_(probe[1].weight, std=0.01)
    nn.init.zeros_(probe[1].bias)
    return probe


def linear_probe(passes, labels: torch.Tensor, test: torch.Tensor, test_labels: torch.Tensor,
                 classes: int, *, epochs: int = 100, lr: float = 0.1, batch_size: int = 256,
                 seed: int = 0) -> dict:
    """Train the probe and follow its test accuracy.

    Args:
        passes: `passes(epoch)` gives the training features `[N, D]` of that epoch.
        labels: `[N]` classes of the training clips.
        test: `[M, D]` test features.
        test_labels: `[M]`.
        classes: number of classes.
        epochs, lr, batch_size, seed: see `sjepa.config.LinearConfig`.

    Returns:
        `predicted`: `[M]` classes after the last epoch, the honest reading. `scores`: `[M,
        classes]` what they were chosen by, before softmax. `best`: `[M]` classes of the epoch with
        the best test accuracy, which the lineage prints and which looks at the test clips to
        choose. `curve`: test accuracy in percent after each epoch.
    """
    torch.manual_seed(seed)
    probe = make_probe(test.shape[1], classes)
    optimizer = torch.optim.SGD(probe.parameters(), lr=lr, momentum=0.9)
    curve, best = [], None
    for epoch in tqdm(range(epochs), desc="linear probe", unit="epoch", mininterval=5):
        features = passes(epoch)
        probe.train()
        order = torch.randperm(len(features))
        parts = [p for p in order.split(batch_size) if len(p) > 1]  # BatchNorm needs two rows
        for step, part in enumerate(parts):
            share = (epoch + step / len(parts)) / epochs
            optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * share)) / 2
            loss = F.cross_entropy(probe(features[part]), labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        probe.eval()
        with torch.no_grad():
            scores = probe(test)
        predicted = scores.argmax(1)
        curve.append((predicted == test_labels).float().mean().item() * 100)
        if best is None or curve[-1] > max(curve[:-1]):
            best = predicted
    return {"predicted": predicted, "scores": scores, "best": best, "curve": curve}
