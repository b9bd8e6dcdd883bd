"""The other prediction targets in the same code: coordinates and motion.

They are what the paper argues against.

Encoder, predictor, masks, crops and budget are S-JEPA's. What differs: the predictor ends in the
numbers of a token instead of a latent, the loss is a squared error, and there is no view and no
teacher, as the works themselves have it: both read and predict the same clip.
"""

from __future__ import annotations

import torch
from torch import nn

from .config import PretrainConfig
from .encoder import Encoder, patchify, take
from .model import Pass
from .predictor import Predictor
from .streams import motion
from .target import TargetEncoder, squared_error


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


class Reconstruction(nn.Module):
    """View encoder and predictor, trained to reconstruct the input at the masked tokens.

    `target` is a plain copy of the encoder, so that what follows finds the weights where S-JEPA
    keeps them.
    """

    def __init__(self, config: PretrainConfig):
        super().__init__()
        self.kind, self.segment = config.target, config.segment
        self.encoder = Encoder(config.dim, config.depth, config.heads, 25, config.frames,
                               config.segment)
        self.predictor = Predictor(config.dim, config.predictor_depth, config.heads, 25,
                                   config.frames // config.segment, out=3 * config.segment)
        self.target = TargetEncoder(self.encoder)

    def forward(self, x: torch.Tensor, view: torch.Tensor, keep: torch.Tensor,
                masked: torch.Tensor, weight: torch.Tensor | None = None) -> Pass:
        """Reconstruct the masked tokens of `x` from its visible ones.

        Args:
            x: `[B, T, V, 3]`.
            view: as for S-JEPA, not used.
            keep: `[B, K]` visible tokens.
            masked: `[B, M]` tokens to predict.
            weight: `[B]`, how many equal rows each row stands for.
        """
        target = take(reconstruction_target(x, self.kind, self.segment), masked)
        predicted = self.predictor(self.encoder(x, keep), keep, masked)
        return Pass(squared_error(predicted, target, weight), None, target, predicted)
