"""The linear probe: how much of the class can be read off frozen features by one matrix.

Lineage: MAMP's recipe, after MAE's: BatchNorm without affine, SGD with momentum and no weight
decay, a cosine to 0, training augmentation.
"""

import functools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from sjepa.protocols.config import LinearConfig
from sjepa.protocols.context import Context, Reading, Result, over_subsets, own_draws, reading


def make_probe(dim: int, classes: int) -> nn.Sequential:
    """BatchNorm1d without affine parameters, then a linear layer that starts small."""
    probe = nn.Sequential(nn.BatchNorm1d(dim, affine=False, eps=1e-6), nn.Linear(dim, classes))
    nn.init.trunc_normal_(probe[1].weight, std=0.01)
    nn.init.zeros_(probe[1].bias)
    return probe


def linear_probe(passes, labels: torch.Tensor, test: torch.Tensor, test_labels: torch.Tensor,
                 classes: int, *, epochs: int = 100, lr: float = 0.1, batch_size: int = 256,
                 seed: int = 0) -> dict:
    """Train a probe and follow its test accuracy.

    Args:
        passes: `passes(epoch)` gives the training features `[N, D]` of that epoch.
        labels, test_labels: `[N]` and `[M]` classes of training and test clips.
        test: `[M, D]` test features.
        epochs, lr, batch_size, seed: see `sjepa.protocols.config.LinearConfig`.

    Returns:
        `predicted` `[M]`, classes after the last epoch, and their `scores` `[M, classes]` before
        softmax; `best` `[M]`, those of the epoch with the best test accuracy, which the lineage
        prints, and which test clips chose; `curve`, the test accuracy in percent by epoch.
    """
    with own_draws(seed):
        network = make_probe(test.shape[1], classes)
        shuffle = torch.Generator().set_state(torch.get_rng_state())
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9)
    best, curve = None, []
    for epoch in tqdm(range(epochs), desc="linear probe", unit="epoch", mininterval=5):
        features = passes(epoch)
        network.train()
        order = torch.randperm(len(features), generator=shuffle)
        parts = [p for p in order.split(batch_size) if len(p) > 1]  # BatchNorm needs two rows
        for step, part in enumerate(parts):
            share = (epoch + step / len(parts)) / epochs
            optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * share)) / 2
            optimizer.zero_grad()
            F.cross_entropy(network(features[part]), labels[part]).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            scores = network(test)
        predicted = scores.argmax(1)
        accuracy = (predicted == test_labels).float().mean().item() * 100
        if accuracy > max(curve, default=-1.0):
            best = predicted
        curve.append(accuracy)
    return {"predicted": predicted, "scores": scores, "best": best, "curve": curve}


def probe(context: Context, config: LinearConfig, train: np.ndarray) -> dict[str, Reading]:
    """The linear probe of an encoder, on augmented passes over the clips `train`.

    Returns:
        `top1` (last epoch) and `top1-best-epoch` (chosen on test). With `by_joint` also
        `top1-joints`, of the last epoch on features whose joints stand side by side.
    """
    generator = torch.Generator(context.device).manual_seed(config.seed)

    @functools.lru_cache(config.passes)  # 0 keeps none
    def drawn(_: int) -> torch.Tensor:
        return context.features(train, config.base_rotation, generator)

    def passes(epoch: int) -> torch.Tensor:
        return drawn(epoch % (config.passes or config.epochs))

    def read(passes, test: torch.Tensor) -> dict[str, Reading]:
        labels = context.test_labels
        made = linear_probe(passes, context.labels[train], test, labels, context.classes,
                            epochs=config.epochs, lr=config.lr, batch_size=config.batch_size,
                            seed=config.seed)
        return {"top1": reading(made["predicted"], labels, made["scores"]),
                "top1-best-epoch": reading(made["best"], labels)}

    test = context.test_features
    if not config.by_joint:
        return read(passes, test)
    return read(lambda epoch: passes(epoch).mean(1), test.mean(1)) | {
        "top1-joints": read(lambda epoch: passes(epoch).flatten(1), test.flatten(1))["top1"]}


def regression(context: Context, config: LinearConfig, train: np.ndarray) -> dict[str, Reading]:
    """The classical baseline's `top1`."""
    from sjepa.protocols.classical import logistic_regression  # needs scikit-learn

    seen, test = context.both_sides(train)
    scores = logistic_regression(seen, context.labels[train], test, context.classes)
    return {"top1": reading(scores.argmax(1), context.test_labels, scores)}


def run_linear(context: Context) -> Result:
    """The linear probe, or of `method: classical` logistic regression, on all labels or on few."""
    config, judge, note = context.config, probe, ""
    if config.method == "classical":
        judge, note = regression, "logistic regression on poses, steps and statistics"

    def judged(train: np.ndarray, _: int) -> Result:
        return Result(judge(context, config, train), note)

    return over_subsets(context, judged) if config.share < 1 else judged(context.train, config.seed)
