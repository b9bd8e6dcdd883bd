"""What is learned: S-JEPA, its rivals in the same code, and the contract that all of them keep.

A prediction target is a network with one forward pass and what happens after a step; the training
loop knows no more of it. `TARGETS` lists them by name.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from sjepa.config import PretrainConfig
from sjepa.diagnostics import latent_monitors, monitors
from sjepa.encoder import ENCODERS, patchify, take
from sjepa.inputs import motion
from sjepa.predictor import Predictor
from sjepa.skeleton import NTU25, Skeleton
from sjepa.target import TargetEncoder, ema_momentum, latent_cross_entropy, squared_error


@dataclass
class StepOutput:
    """What one forward pass made.

    Attributes:
        loss: scalar, float32.
        target, predicted: `[B, M, F]` of the masked tokens: R_t and R_p.
        latents: `[B, N, D]` of all tokens; None where the target is no latent.
    """

    loss: torch.Tensor
    target: torch.Tensor
    predicted: torch.Tensor
    latents: torch.Tensor | None = None


@dataclass
class Step:
    """A finished optimiser step, as `after_step` sees it.

    Attributes:
        number, steps: of the step, from 0, and of the whole run.
        target_mean: `[B, 1, F]` float32, each row's targets averaged over its masked tokens.
        weight: `[B]` how many equal rows each row stands for; None: one each.
        share: of these rows in a batch that several processes share.
    """

    number: int
    steps: int
    target_mean: torch.Tensor
    weight: torch.Tensor | None = None
    share: torch.Tensor | None = None


class PredictionTarget(nn.Module):
    """View encoder, predictor and a copy of the encoder: the base of all prediction targets.

    `forward(x, view, keep, masked, weight)` gives a `StepOutput`, see `SJEPA.forward`. `out` is the
    width of a prediction; None: that of a latent.
    """

    def __init__(self, config: PretrainConfig, skeleton: Skeleton = NTU25, out: int | None = None):
        super().__init__()
        self.config = config
        self.encoder = ENCODERS[config.encoder](config.dim, config.depth, config.heads,
                                                len(skeleton), config.frames, config.segment)
        self.predictor = Predictor(config.dim, config.predictor_depth, config.heads, len(skeleton),
                                   config.frames // config.segment, out)
        self.target = TargetEncoder(self.encoder, config.center_beta)

    @torch.no_grad()
    def after_step(self, step: Step) -> dict[str, float]:
        """After each optimiser step: here the copy follows. Returns readings for the history."""
        self.target.update(self.encoder, 0.0)
        return {"momentum": 0.0}

    def monitors(self, made: StepOutput, x: torch.Tensor,
                 weight: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """The collapse monitors of one pass over `x` `[B, T, V, 3]`, for `mean_reading`."""
        return latent_monitors(self.target(x))


class SJEPA(PredictionTarget):
    """Predicts the latents of masked joints; the target encoder is an EMA of the view encoder."""

    def __init__(self, config: PretrainConfig, skeleton: Skeleton = NTU25):
        super().__init__(config, skeleton)
        self.cross_entropy = latent_cross_entropy  # or its compiled form

    def forward(self, x: torch.Tensor, view: torch.Tensor, keep: torch.Tensor,
                masked: torch.Tensor, weight: torch.Tensor | None = None) -> StepOutput:
        """Predict the latents of the masked tokens of `x` from the visible tokens of `view`.

        Args:
            x: `[B, T, V, 3]`, the clip as the target encoder sees it: whole and untransformed.
            view: `[B, T, V, 3]`, the same clip, geometrically transformed.
            keep: `[B, K]` visible tokens.
            masked: `[B, M]` tokens to predict.
            weight: `[B]`, how many equal rows each row stands for.
        """
        config = self.config
        latents = self.target(x)
        target = take(latents, masked) if config.mask_at == "output" else self.target(x, masked)
        predicted = self.predictor(self.encoder(view, keep), keep, masked)
        if config.loss == "mse":
            loss = squared_error(predicted, target, weight)
        else:
            loss = self.cross_entropy(predicted, target, self.target.center, config.tau_p,
                                      config.tau_t, weight)
        return StepOutput(loss, target, predicted, latents)

    @torch.no_grad()
    def after_step(self, step: Step) -> dict[str, float]:
        """One step of the EMA, then one of the centre."""
        start = self.config.ema_start
        if start is None:  # the target's memory is then 5 % of the run, as in the paper
            start = max(0.0, 1 - 20 / step.steps)
        momentum = ema_momentum(step.number, step.steps, start, self.config.ema_end)
        self.target.update(self.encoder, momentum)
        self.target.update_center(step.target_mean, step.weight, step.share)
        return {"momentum": momentum}

    def monitors(self, made: StepOutput, x: torch.Tensor,
                 weight: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """The collapse monitors of one pass, those of the target's distribution among them."""
        return monitors(made, self.target.center, self.config.tau_t, weight)


def reconstruction_target(x: torch.Tensor, kind: str, segment: int) -> torch.Tensor:
    """What is to be predicted of each token: its coordinates or its motion, standardised.

    Args:
        x: `[B, T, V, 3]` metres.
        kind: `coordinates`, after MAE (He et al., CVPR 2022); or `motion`, each frame's step to
            the next, after MAMP (Mao et al., ICCV 2023).
        segment: frames a token covers.

    Returns:
        `[B, N, 3 * segment]` float32, zero mean and unit variance within a token, as both have it.
    """
    tokens = patchify(motion(x) if kind == "motion" else x, segment).flatten(1, 2).float()
    mean, variance = tokens.mean(-1, keepdim=True), tokens.var(-1, keepdim=True)
    return (tokens - mean) / (variance + 1e-6).sqrt()


class Reconstruction(PredictionTarget):
    """Predicts numbers of the masked tokens, as the works that the paper argues against have it.

    Encoder, predictor, masks, crops and budget are S-JEPA's. The predictor ends in the numbers of a
    token, the loss is a squared error, and there is no view and no teacher: the network reads and
    predicts the same clip.
    """

    def __init__(self, config: PretrainConfig, skeleton: Skeleton = NTU25, *, kind: str):
        super().__init__(config, skeleton, out=3 * config.segment)
        self.kind = kind

    def forward(self, x: torch.Tensor, view: torch.Tensor, keep: torch.Tensor,
                masked: torch.Tensor, weight: torch.Tensor | None = None) -> StepOutput:
        """Reconstruct the masked tokens of `x` from its visible ones; as `SJEPA.forward`."""
        target = take(reconstruction_target(x, self.kind, self.config.segment), masked)
        predicted = self.predictor(self.encoder(x, keep), keep, masked)
        return StepOutput(squared_error(predicted, target, weight), target, predicted)


#: Prediction targets by name: `build(config, skeleton)` gives a `PredictionTarget`.
TARGETS = {
    "latent": SJEPA,
    "motion": partial(Reconstruction, kind="motion"),
    "coordinates": partial(Reconstruction, kind="coordinates"),
}
