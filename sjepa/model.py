"""The three networks of S-JEPA and what flows between them in one forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from .config import PretrainConfig
from .encoder import Encoder, take
from .predictor import Predictor
from .target import TargetEncoder, latent_cross_entropy, squared_error


@dataclass
class Pass:
    """What one forward pass made.

    Attributes:
        loss: scalar, float32.
        latents: `[B, N, D]`, the target encoder's output for all tokens; None where the target is
            no latent.
        target: `[B, M, D]`, its masked rows R_t.
        predicted: `[B, M, D]`, R_p.
    """

    loss: torch.Tensor
    latents: torch.Tensor | None
    target: torch.Tensor
    predicted: torch.Tensor


class SJEPA(nn.Module):
    """View encoder, predictor, and the target encoder as a copy of the view encoder."""

    def __init__(self, config: PretrainConfig):
        super().__init__()
        self.encoder = Encoder(config.dim, config.depth, config.heads, 25, config.frames,
                               config.segment)
        self.predictor = Predictor(config.dim, config.predictor_depth, config.heads, 25,
                                   config.frames // config.segment)
        self.target = TargetEncoder(self.encoder, config.center_beta)
        self.tau_p, self.tau_t = config.tau_p, config.tau_t
        self.loss, self.mask_at = config.loss, config.mask_at
        self.cross_entropy = latent_cross_entropy  # or its compiled form

    def forward(self, x: torch.Tensor, view: torch.Tensor, keep: torch.Tensor,
                masked: torch.Tensor, weight: torch.Tensor | None = None) -> Pass:
        """Predict the latents of the masked tokens of `x` from the visible tokens of `view`.

        Args:
            x: `[B, T, V, 3]`, the clip as the target encoder sees it: whole and untransformed.
            view: `[B, T, V, 3]`, the same clip, geometrically transformed.
            keep: `[B, K]` visible tokens.
            masked: `[B, M]` tokens to predict.
            weight: `[B]`, how many equal rows each row stands for.
        """
        latents = self.target(x)
        target = take(latents, masked) if self.mask_at == "output" else self.target(x, masked)
        predicted = self.predictor(self.encoder(view, keep), keep, masked)
        if self.loss == "mse":
            loss = squared_error(predicted, target, weight)
        else:
            loss = self.cross_entropy(
                predicted, target, self.target.center, self.tau_p, self.tau_t, weight
            )
        return Pass(loss, latents, target, predicted)
