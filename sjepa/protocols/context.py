"""What every protocol starts from and ends with: an encoder on its data, and readings."""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from sjepa.datasets import known, load_store
from sjepa.datasets.splits import split
from sjepa.datasets.store import Store
from sjepa.datasets.subsets import labelled_subset
from sjepa.device import DTYPES, pick_device, pick_precision
from sjepa.errors import SjepaError
from sjepa.protocols.config import EvaluateConfig, percent
from sjepa.protocols.encoders import load_encoder, untrained_like
from sjepa.protocols.features import extract


@dataclass
class Reading:
    """What one metric says of the M test clips, a row for each of the S seeds."""

    right: np.ndarray  # [S, M] bool, which clips were taken rightly; the value is its mean
    predicted: np.ndarray | None = None  # [S, M] classes; None of a metric that names none
    scores: np.ndarray | None = None  # [S, M, classes] float32 before softmax, if there are any


def reading(predicted: torch.Tensor, labels: torch.Tensor,
            scores: torch.Tensor | None = None) -> Reading:
    """The reading of one seed from predicted and true classes, `[M]` each."""
    return Reading((predicted == labels).numpy()[None], predicted.numpy()[None],
                   None if scores is None else scores.numpy()[None])


def stack(readings: list[Reading]) -> Reading:
    """The readings of several seeds as one."""
    columns = zip(*((one.right, one.predicted, one.scores) for one in readings), strict=True)
    return Reading(*(None if rows[0] is None else np.concatenate(rows) for rows in columns))


@dataclass
class Result:
    """What a protocol hands back."""

    readings: dict[str, Reading]  # by metric
    note: str = ""  # what a reader of the numbers must know
    seconds: float = 0.0  # spent on it in earlier processes, which a checkpoint remembers
    peak_bytes: int = 0  # most memory that those used
    seeds: tuple[int, ...] = (0,)  # of the evaluation, where the readings have several rows


@dataclass
class Context:
    """All that a protocol needs at hand: encoder, clips on the device, split, labels.

    Raises:
        SjepaError: an encoder of other joints than the store's.
    """

    config: EvaluateConfig
    store: Store
    encoder: torch.nn.Module | None  # which is judged; None for `method: classical`
    run: dict | None  # the result of its pretraining, or of the one whose shape it has
    train: np.ndarray  # [N] clip indices
    test: np.ndarray  # [M]

    def __post_init__(self):
        self.device = pick_device(self.config.device)
        self.dtype = DTYPES[pick_precision(self.config.precision, self.device)]
        self.data = self.store.to(self.device)
        skeleton = self.data.skeleton
        if self.encoder is not None:
            if self.encoder.joints != len(skeleton):
                raise SjepaError(
                    f"the encoder of {self.config.run} takes {self.encoder.joints} joints, the "
                    f"store {self.store.meta['name']} has {len(skeleton)} ({skeleton.name}): "
                    "pretrain on a store of the same skeleton")
            self.encoder.to(self.device)
        self.labels = torch.from_numpy(self.store.labels.astype(np.int64))
        self.classes = len(self.store.classes)
        self.pretraining: dict = self.run["settings"] if self.run else {}
        self.stream = self.pretraining.get("stream", "joint")
        #: Whether the encoder's weights are those of the pretraining.
        self.trained = self.config.method == "sjepa"
        #: What results name as the method: a run with another target than latents is that.
        target = self.pretraining.get("target", "latent")
        self.method = target if self.trained and target != "latent" else self.config.method
        spec = known(self.config.dataset)
        #: Whether the set was filmed from one side, so that facing is part of a class.
        self.frontal: bool = getattr(spec, "frontal", False)
        #: For each class the coarser one that it belongs to, where a set has two readings.
        self.coarse: tuple[str, ...] = getattr(spec, "coarse", ())

    @property
    def test_labels(self) -> torch.Tensor:
        """`[M]` classes of the test clips."""
        return self.labels[self.test]

    def features(self, index: np.ndarray, rotation: float | None = None,
                 generator=None) -> torch.Tensor:
        """Features `[N, D]`, or `[N, V, D]` by joint; with a rotation they are augmented."""
        return extract(self.encoder, self.data, index, crop=self.config.test_crop,
                       rotation=rotation, stream=self.stream, generator=generator,
                       by_joint=getattr(self.config, "by_joint", False), dtype=self.dtype)

    @functools.cached_property
    def test_features(self) -> torch.Tensor:
        """Those of the test clips, made once."""
        return self.features(self.test)

    def both_sides(self, train: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of the clips `train` and of the test clips, at test time."""
        if self.encoder is not None:
            return self.features(train), self.test_features
        from sjepa.protocols.classical import standardised  # needs scikit-learn; nothing else does

        return standardised(self.store, self.data.skeleton, self.frontal, train, self.test)


def set_up(config: EvaluateConfig) -> Context:
    """Open what `config` names.

    Raises:
        SjepaError: no such store, split or run, or clips that the protocol cannot judge by.
    """
    encoder = run = None
    if config.method != "classical":
        if not config.run:
            raise SjepaError("parameter run is empty: give the folder of a pretraining")
        encoder, run = load_encoder(config.run)
        if config.method != "sjepa":
            encoder = untrained_like(encoder, config.seed)
    store = load_store(config.dataset)
    train, test = split(config.split, store)  # each class of the test clips is in training
    if not len(test):
        raise SjepaError(f"split {config.split!r} has no test clips, it is for pretraining alone: "
                         "choose another split")
    if len(np.unique(store.labels[train])) < 2:
        raise SjepaError(f"split {config.split!r}: all training clips are of one class, which "
                         "leaves nothing to tell apart: choose another set")
    if max(ks := getattr(config, "ks", (0,))) > len(train):
        raise SjepaError(f"parameter ks = {list(ks)}: split {config.split!r} has {len(train)} "
                         "training clips, no neighbours beyond those")
    return Context(config, store, encoder, run, train, test)


def over_subsets(context: Context, judge: Callable[[np.ndarray, int], Result]) -> Result:
    """One result of the labelled subsets of the training clips, which the setting `share` asks for.

    `judge` makes the result of a subset `[n]` of clips and its seed: `seed`, `seed + 1`, … of the
    configuration.
    """
    config, made = context.config, []
    seeds = tuple(range(config.seed, config.seed + config.subsets))
    for seed in seeds:
        train = labelled_subset(context.store, context.train, config.share, seed)
        made.append(judge(train, seed))
    readings = {f"{metric}-{percent(config.share)}": stack([one.readings[metric] for one in made])
                for metric in made[0].readings}
    note = f"{made[0].note} on {len(train)} labelled clips of {len(context.train)}".strip()
    return Result(readings, note, sum(one.seconds for one in made),
                  max(one.peak_bytes for one in made), seeds)


@contextlib.contextmanager
def own_draws(seed: int, device: torch.device | str = "cpu"):
    """Draw from `seed` inside; outside, the global generators stand where they stood.

    Yields them: the CPU's, and that of a GPU where `device` is one.
    """
    gpus = [torch.cuda.current_device()] if torch.device(device).type == "cuda" else []
    drawn = [torch.default_generator, *(torch.cuda.default_generators[gpu] for gpu in gpus)]
    with torch.random.fork_rng(gpus):
        for each in drawn:
            each.manual_seed(seed)
        yield drawn
