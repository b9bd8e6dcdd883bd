"""Protocols that train the encoder on: fine-tuning, semi-supervised, transfer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sjepa.datasets.subsets import labelled_subset, write_list
from sjepa.errors import SjepaError
from sjepa.protocols.config import FinetuneConfig, LinearConfig, SemiConfig, TransferConfig
from sjepa.protocols.context import Bench, Reading, Result, reading, set_up, starting_encoder
from sjepa.protocols.finetune import FineTuning, fine_tune
from sjepa.protocols.frozen import probe


def percent_name(share: float) -> str:
    """A share as metrics name it: 0.01 is `1pct`."""
    return f"{100 * share:g}pct"


def folder(config: FinetuneConfig, name: str) -> Path:
    """Where the checkpoints of one seed lie: in `out`, or in a folder `name` of the run."""
    place = "-".join((name, config.method, *config.split.split("/")))
    return (Path(config.out) if config.out else Path(config.run) / place) / f"seed-{config.seed}"


def tune(bench: Bench, config: FinetuneConfig, train: np.ndarray, out: Path) -> Result:
    """Fine-tune on the clips `train` with the seed of `config`.

    Returns:
        `top1`, after the last epoch, and `top1-best-epoch`, chosen on the test clips.
    """
    run = fine_tune(FineTuning(bench, config, starting_encoder(config)[0], train), out)
    readings = {"top1": reading(run.scores.argmax(1), bench.wanted, run.scores),
                "top1-best-epoch": reading(run.best, bench.wanted)}
    return Result(readings, [config.seed], run.earlier / 3600, run.peak,
                  f"fine-tuned for {config.epochs} epochs")


def run_finetune(config: FinetuneConfig) -> tuple[Bench, Result]:
    """Fine-tuning with the labels of all training clips."""
    bench = set_up(config)
    return bench, tune(bench, config, bench.train, folder(config, "finetune"))


def run_semi(config: SemiConfig) -> tuple[Bench, Result]:
    """Fine-tuning with few labels, once for each labelled subset; each can be resumed."""
    bench, share = set_up(config), percent_name(config.share)
    made = []
    for seed in range(config.seed, config.seed + config.subsets):
        one = replace(config, seed=seed)
        train = labelled_subset(bench.store, bench.train, config.share, seed)
        out = folder(one, f"semi-{share}")
        made.append(tune(bench, one, train, out))
        write_list(out / "labelled.txt", bench.store.names[train])
    readings = {f"{metric}-{share}": stack([m.readings[metric] for m in made])
                for metric in made[0].readings}
    return bench, Result(readings, [m.seeds[0] for m in made], sum(m.hours for m in made),
                         max(m.peak_bytes for m in made),
                         f"{made[0].note} on {len(train)} labelled clips of {len(bench.train)}")


def stack(readings: list[Reading]) -> Reading:
    """The readings of several seeds as one."""
    return Reading(*(None if getattr(readings[0], part) is None
                     else np.concatenate([getattr(r, part) for r in readings])
                     for part in ("right", "predicted", "scores")))


def run_transfer(config: TransferConfig) -> tuple[Bench, Result]:
    """Fine-tuning, and the linear probe, on another data set than that of the pretraining.

    Raises:
        SjepaError: the encoder was pretrained on the same data set.
    """
    bench = set_up(config)
    origin = bench.pretraining.split
    if origin.split("/")[0] == config.split.split("/")[0]:
        raise SjepaError(f"{config.run} was pretrained on {origin}, the data set of "
                         f"{config.split}: that is fine-tuning, use "
                         "`python -m sjepa.evaluate finetune`")
    result = tune(bench, config, bench.train, folder(config, "transfer"))
    linear = LinearConfig(seed=config.seed, base_rotation=config.base_rotation,
                          passes=config.probe_passes)
    for metric, seen in probe(bench, linear).items():
        result.readings[f"linear-{metric}"] = seen
    return bench, result
