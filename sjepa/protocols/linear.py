"""The linear probe: how much of the class can be read off frozen features by one matrix.

Lineage: MAMP's recipe, after MAE's. BatchNorm without affine, one linear layer, SGD with momentum
0.9 and no weight decay, learning rate 0.1 on a cosine to 0, 100 epochs, training augmentation.
"""

from __future__ import annotations

import copy
import functools
import math

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from sjepa.protocols.config import LinearConfig
from sjepa.protocols.context import Context, Reading, Result, own_draws, reading


def make_probe(dim: int, classes: int) -> nn.Sequential:
    """BatchNorm1d without affine parameters, then a linear layer that starts small."""
    probe = nn.Sequential(nn.BatchNorm1d(dim, affine=False, eps=1e-6), nn.Linear(dim, classes))
    nn.init.trunc_normal_(probe[1].weight, std=0.01)
    nn.init.zeros_(probe[1].bias)
    return probe


def class_scores(heads: list[nn.Linear], features: torch.Tensor) -> torch.Tensor:
    """Scores `[B, L, classes]` of L linear layers on the same features `[B, D]`, as one product."""
    weight = torch.cat([head.weight for head in heads])
    bias = torch.cat([head.bias for head in heads])
    return F.linear(features, weight, bias).unflatten(1, (len(heads), -1))


def linear_probe(passes, labels: torch.Tensor, test: torch.Tensor, test_labels: torch.Tensor,
                 classes: int, *, epochs: int = 100, lrs: tuple[float, ...] = (0.1,),
                 batch_size: int = 256, seed: int = 0) -> dict[float, dict]:
    """Train a probe for each learning rate and follow their test accuracies.

    All start from the same weights and see the same batches, so that one pass makes them all. They
    share the BatchNorm, which learns nothing: its statistics are those of the features.

    Args:
        passes: `passes(epoch)` gives the training features `[N, D]` of that epoch.
        labels, test_labels: `[N]` and `[M]` classes of training and test clips.
        test: `[M, D]` test features.
        lrs: the L peak learning rates, each once.
        epochs, batch_size, seed: see `sjepa.protocols.config.LinearConfig`.

    Returns:
        Learning rate to what its probe says. `predicted`: `[M]` classes after the last epoch, the
        honest reading. `scores`: `[M, classes]` what they were chosen by, before softmax. `best`:
        `[M]` classes of the epoch with the best test accuracy, which the lineage prints and which
        looks at the test clips to choose. `curve`: test accuracy in percent after each epoch.
    """
    with own_draws(seed):
        norm, first = make_probe(test.shape[1], classes)
        shuffle = torch.Generator().set_state(torch.get_rng_state())
    heads = [copy.deepcopy(first) for _ in lrs]
    groups = [{"params": head.parameters(), "lr": lr, "peak": lr}
              for head, lr in zip(heads, lrs, strict=True)]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    probes = {lr: {"curve": []} for lr in lrs}
    for epoch in tqdm(range(epochs), desc="linear probe", unit="epoch", mininterval=5):
        features = passes(epoch)
        norm.train()
        order = torch.randperm(len(features), generator=shuffle)
        parts = [p for p in order.split(batch_size) if len(p) > 1]  # BatchNorm needs two rows
        for step, part in enumerate(parts):
            share = (epoch + step / len(parts)) / epochs
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * (1 + math.cos(math.pi * share)) / 2
            scores = class_scores(heads, norm(features[part])).flatten(0, 1)
            targets = labels[part].repeat_interleave(len(heads))
            loss = F.cross_entropy(scores, targets, reduction="sum") / len(part)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        norm.eval()
        with torch.no_grad():
            scores = class_scores(heads, norm(test))
        for probe, own in zip(probes.values(), scores.unbind(1), strict=True):
            _note(probe, own, test_labels)
    return probes


def _note(probe: dict, scores: torch.Tensor, labels: torch.Tensor) -> None:
    """Add an epoch's test scores `[M, classes]` to what is known of a probe."""
    predicted = scores.argmax(1)
    accuracy = (predicted == labels).float().mean().item() * 100
    if accuracy > max(probe["curve"], default=-1.0):
        probe["best"] = predicted
    probe["curve"].append(accuracy)
    probe |= {"predicted": predicted, "scores": scores}


def probe(context: Context, config: LinearConfig) -> dict[str, Reading]:
    """The linear probe of an encoder, on augmented passes over the training clips.

    Returns:
        `top1` (last epoch), `top1-best-epoch` (chosen on test), and for each further learning rate
        its last epoch: `top1-lr0.3`, …. With `by_joint` the last epochs of the same probes on
        features whose joints stand side by side: `top1-joints`, …
    """
    generator = torch.Generator(context.device).manual_seed(config.seed)

    def draw(_: int) -> torch.Tensor:
        return context.features(context.train, config.base_rotation, generator, config.by_joint)

    kept = functools.cache(draw)

    def passes(epoch: int) -> torch.Tensor:
        return kept(epoch % config.passes) if config.passes else draw(epoch)

    test = context.features(context.test, by_joint=config.by_joint)
    if not config.by_joint:
        return _readings(context, config, passes, test)
    readings = _readings(context, config, lambda epoch: passes(epoch).mean(1), test.mean(1))
    joints = _readings(context, config, lambda epoch: passes(epoch).flatten(1), test.flatten(1))
    del joints["top1-best-epoch"]  # the lineage prints it of its own pooling
    return readings | {f"{metric}-joints": reading for metric, reading in joints.items()}


def _readings(context: Context, config: LinearConfig, passes, test) -> dict[str, Reading]:
    """Metric to reading of the probes on one kind of feature."""
    labels = context.test_labels
    probes = linear_probe(
        passes, context.train_labels, test, labels, context.classes, epochs=config.epochs,
        lrs=(config.lr, *config.more_lrs), batch_size=config.batch_size, seed=config.seed)
    readings = {f"top1-lr{lr:g}": reading(own["predicted"], labels, own["scores"])
                for lr, own in probes.items()}
    main = readings.pop(f"top1-lr{config.lr:g}")
    best = reading(probes[config.lr]["best"], labels)
    return {"top1": main, "top1-best-epoch": best} | readings


def run_linear(context: Context) -> Result:
    """The linear probe; of `method: classical` logistic regression."""
    if context.config.method != "classical":
        return Result(probe(context, context.config))
    from sjepa.protocols.classical import logistic_regression  # needs scikit-learn

    train, test = context.both_sides()
    scores = logistic_regression(train, context.train_labels, test, context.classes)
    return Result({"top1": reading(scores.argmax(1), context.test_labels, scores)},
                  "logistic regression on poses, steps and statistics")
