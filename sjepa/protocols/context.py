"""What every protocol starts from and ends with: an encoder on its data, and readings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sjepa.datasets import load_store
from sjepa.datasets.splits import split
from sjepa.datasets.store import Store
from sjepa.device import pick_device, pick_precision
from sjepa.encoders import load_encoder
from sjepa.errors import SjepaError
from sjepa.protocols.classical import standardised
from sjepa.protocols.config import EvaluateConfig
from sjepa.protocols.features import extract, pretrain_config, random_encoder


@dataclass
class Reading:
    """What one metric saw of the M test clips, a row for each of the S seeds.

    Attributes:
        right: `[S, M]` bool, which clips were taken rightly; the value is its mean.
        predicted: `[S, M]` classes, or None where the metric names none.
        scores: `[S, M, classes]` float32 before softmax, or None where there are none.
    """

    right: np.ndarray
    predicted: np.ndarray | None = None
    scores: np.ndarray | None = None


def reading(predicted: torch.Tensor, wanted: torch.Tensor,
            scores: torch.Tensor | None = None) -> Reading:
    """The reading of one seed from predicted and wanted classes, `[M]` each."""
    return Reading((predicted == wanted).numpy()[None], predicted.numpy()[None],
                   None if scores is None else scores.numpy()[None])


@dataclass
class Result:
    """What a protocol hands back.

    Attributes:
        readings: metric to reading.
        seeds: of the evaluation, a number for each row of the readings.
        hours: spent on it in earlier processes, which a checkpoint remembers.
        peak_bytes: most memory that those used.
        note: what a reader of the record must know.
    """

    readings: dict[str, Reading]
    seeds: list[int]
    hours: float = 0.0
    peak_bytes: int = 0
    note: str = ""


@dataclass
class Bench:
    """All that a protocol needs at hand: encoder, clips on the device, split, labels."""

    config: EvaluateConfig
    store: Store
    encoder: torch.nn.Module
    facts: dict
    train: np.ndarray
    test: np.ndarray

    def __post_init__(self):
        self.device = pick_device(self.config.device)
        self.dtype = pick_precision(self.config.precision, self.device)
        self.encoder.to(self.device)
        self.data = self.store.to(self.device)
        self.labels = torch.from_numpy(self.store.labels.astype(np.int64))
        self.classes = len(self.store.classes)
        self.pretraining = pretrain_config(self.facts)
        self.stream = self.pretraining.stream

    @property
    def encoder_seed(self) -> int:
        """Seed of the pretraining; 0 where the encoder is untrained and follows `config.seed`."""
        return self.pretraining.seed if self.config.method == "sjepa" else 0

    @property
    def wanted(self) -> torch.Tensor:
        """`[M]` classes of the test clips."""
        return self.labels[self.test]

    @property
    def method(self) -> str:
        """What records name as the method: a run with another target than latents is that."""
        if self.config.method == "sjepa" and self.pretraining.target != "latent":
            return self.pretraining.target
        return self.config.method

    def both_sides(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of the training and of the test clips, at test time."""
        if self.config.method == "classical":
            sides = standardised(self.store, self.train, self.test)
            return tuple(torch.from_numpy(side).float() for side in sides)
        return self.features(self.train), self.features(self.test)

    def features(self, index: np.ndarray, rotation: float | None = None, generator=None,
                 by_joint: bool = False):
        """Features `[N, D]` of clips, at test time or (with a rotation) augmented.

        By joint they are `[N, V, D]`.
        """
        return extract(self.encoder, self.data, index, crop=self.config.test_crop,
                       rotation=rotation, stream=self.stream, generator=generator,
                       by_joint=by_joint, dtype=self.dtype)


def starting_encoder(config: EvaluateConfig) -> tuple[torch.nn.Module, dict]:
    """The encoder that `config` names, and the facts of the pretraining behind it.

    Raises:
        SjepaError: no such run, or an encoder that does not fit the stores' skeleton.
    """
    if config.method == "classical":
        return torch.nn.Identity(), {"config": {}, "hours": 0.0, "peak_bytes": 0}
    if not config.run:
        raise SjepaError("parameter run is empty: give the folder of a pretraining")
    if config.method == "sjepa":
        encoder, facts = load_encoder(config.run)
    else:
        encoder, facts = random_encoder(config.run, config.seed)
    if encoder.joints != 25:
        raise SjepaError(f"the encoder of {config.run} takes {encoder.joints} joints, the stores "
                         "hold 25 (the layout ntu25): pretrain on a store")
    return encoder, facts


def set_up(config: EvaluateConfig) -> Bench:
    """Open what `config` names.

    Raises:
        SjepaError: no such store, split or run, or a class without a training clip.
    """
    encoder, facts = starting_encoder(config)
    store = load_store(config.dataset)
    return Bench(config, store, encoder, facts, *split(config.split, store))
