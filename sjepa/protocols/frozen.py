"""Protocols that leave the encoder as it is: linear probe, nearest neighbours, retrieval."""

from __future__ import annotations

import torch

from sjepa.protocols.classical import logistic_regression
from sjepa.protocols.config import KnnConfig, LinearConfig, RetrievalConfig
from sjepa.protocols.context import Bench, Reading, Result, reading, set_up
from sjepa.protocols.knn import knn, recall
from sjepa.protocols.linear import linear_probe


def probe(bench: Bench, config: LinearConfig) -> dict[str, Reading]:
    """The linear probe of a bench.

    Returns:
        `top1` (last epoch), `top1-best-epoch` (chosen on test), and for each further learning rate
        its last epoch: `top1-lr0.3`, …. With `by_joint` the last epochs of the same probes on
        features whose joints stand side by side: `top1-joints`, …
    """
    generator = torch.Generator(bench.device).manual_seed(config.seed)
    kept: dict[int, torch.Tensor] = {}

    def passes(epoch: int) -> torch.Tensor:
        key = epoch % config.passes if config.passes else epoch
        if key not in kept:
            made = bench.features(bench.train, config.base_rotation, generator, config.by_joint)
            if not config.passes:
                return made
            kept[key] = made
        return kept[key]

    unseen = bench.features(bench.test, by_joint=config.by_joint)
    if not config.by_joint:
        return _readings(bench, config, passes, unseen)
    readings = _readings(bench, config, lambda epoch: passes(epoch).mean(1), unseen.mean(1))
    beside = _readings(bench, config, lambda epoch: passes(epoch).flatten(1), unseen.flatten(1))
    del beside["top1-best-epoch"]  # the lineage prints it of its own pooling
    return readings | {f"{metric}-joints": seen for metric, seen in beside.items()}


def _readings(bench: Bench, config: LinearConfig, passes, unseen) -> dict[str, Reading]:
    """Metric to reading of the probes on one kind of feature."""
    made = linear_probe(
        passes, bench.labels[bench.train], unseen, bench.wanted, bench.classes,
        epochs=config.epochs, lrs=(config.lr, *config.more_lrs), batch_size=config.batch_size,
        seed=config.seed,
    )
    main = made.pop(config.lr)
    return {"top1": reading(main["predicted"], bench.wanted, main["scores"]),
            "top1-best-epoch": reading(main["best"], bench.wanted)} | {
        f"top1-lr{lr:g}": reading(other["predicted"], bench.wanted, other["scores"])
        for lr, other in made.items()}


def run_linear(config: LinearConfig) -> tuple[Bench, Result]:
    """The linear probe."""
    bench = set_up(config)
    if config.method != "classical":
        return bench, Result(probe(bench, config), [config.seed])
    seen, unseen = bench.both_sides()
    scores = logistic_regression(seen, bench.labels[bench.train], unseen, bench.classes)
    return bench, Result({"top1": reading(scores.argmax(1), bench.wanted, scores)}, [config.seed],
                         note="logistic regression on poses, steps and statistics")


def run_knn(config: KnnConfig) -> tuple[Bench, Result]:
    """kNN with each K: `top1-k1`, …"""
    bench = set_up(config)
    train, test = bench.both_sides()
    made = knn(train, bench.labels[bench.train], test, config.ks, bench.classes)
    readings = {f"top1-k{k}": reading(predicted, bench.wanted) for k, predicted in made.items()}
    return bench, Result(readings, [config.seed])


def run_retrieval(config: RetrievalConfig) -> tuple[Bench, Result]:
    """Recall at each K: `recall-at-1`, …"""
    bench = set_up(config)
    train, test = bench.both_sides()
    found = recall(train, bench.labels[bench.train], test, bench.wanted, config.ks)
    readings = {f"recall-at-{k}": Reading(hit.numpy()[None]) for k, hit in found.items()}
    return bench, Result(readings, [config.seed])
