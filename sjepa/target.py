"""The target branch: EMA encoder, centring, sharpening, and the latent cross-entropy.

Paper, section 3 and equations 2-3 (as reported by readers of the PDF); lineage: DINO (Caron et
al., 2021) for centring and sharpening, I-JEPA (Assran et al., 2023) for masking the target's
output and not its input.
"""

import copy
import math

import torch
from torch import nn

from sjepa.device import summed
from sjepa.encoder import Encoder


class TargetEncoder(nn.Module):
    """A slowly moving copy of the view encoder that sees whole clips, and the targets' centre.

    Only these weights are used downstream. `beta` is the momentum of the centre.
    """

    def __init__(self, encoder: Encoder, beta: float = 0.9):
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.beta = beta
        self.register_buffer("center", torch.zeros(encoder.dim))

    @torch.no_grad()
    def forward(self, x: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """Latents of all tokens of the unmasked, untransformed clips: `[B, N, dim]`, no gradient.

        The caller then takes the masked rows of this output. Masking the input instead, with only
        the tokens `keep` `[B, K]` entering, costs the paper 7.2 points: each target would then
        not know what stands around it.
        """
        return self.encoder(x, keep)

    @torch.no_grad()
    def update(self, encoder: Encoder, momentum: float) -> None:
        """`target <- momentum * target + (1 - momentum) * encoder`, each weight, in float32."""
        mine, theirs = list(self.encoder.parameters()), list(encoder.parameters())
        torch._foreach_lerp_(mine, theirs, 1 - momentum)

    @torch.no_grad()
    def update_center(self, target: torch.Tensor, weight: torch.Tensor | None = None,
                      share: torch.Tensor | None = None) -> None:
        """`center <- beta * center + (1 - beta) * mean(target)` over clips and masked tokens.

        Of raw latents `[B, M, dim]`, with `weight` `[B]` as in the loss; `share` is that of these
        clips in a batch that several processes share.
        """
        mean = target.float().mean(1)
        mean = mean.mean(0) if weight is None else (weight @ mean) / weight.sum()
        if share is not None:
            mean = summed(mean * share)
        self.center.lerp_(mean, 1 - self.beta)


def ema_momentum(step: int, steps: int, start: float = 0.9999, end: float = 1.0) -> float:
    """Momentum of the EMA at `step` of `steps`: from `start` to `end` on a half cosine."""
    return end - (end - start) * (math.cos(math.pi * step / steps) + 1) / 2


def sharpen(target: torch.Tensor, center: torch.Tensor, tau_t: float = 0.06) -> torch.Tensor:
    """The target distribution softmax((target - center) / tau_t) over channels, in float32."""
    return ((target.float() - center.float()) / tau_t).softmax(-1)


def latent_cross_entropy(predicted: torch.Tensor, target: torch.Tensor, center: torch.Tensor,
                         tau_p: float = 0.1, tau_t: float = 0.06,
                         weight: torch.Tensor | None = None) -> torch.Tensor:
    """Cross-entropy between target and prediction, both read as distributions over the channels.

    Centring and sharpening act on the target alone; the target carries no gradient.

    Args:
        predicted: `[B, M, D]`, the predictor's output R_p.
        target: `[B, M, D]`, the target encoder's output R_t at the same tokens.
        center: `[D]`, the running mean of R_t.
        tau_p: temperature of the prediction.
        tau_t: temperature of the target; smaller is sharper.
        weight: `[B]` how many equal rows each row stands for; None: one each.

    Returns:
        Scalar, mean over clips and masked tokens, in nats and float32.
    """
    wanted = sharpen(target, center, tau_t).detach()
    loss = -(wanted * (predicted.float() / tau_p).log_softmax(-1)).sum(-1)
    if weight is None:
        return loss.mean()
    return (weight * loss.mean(-1)).sum() / weight.sum()


def squared_error(predicted: torch.Tensor, target: torch.Tensor,
                  weight: torch.Tensor | None = None) -> torch.Tensor:
    """Mean squared error over clips, masked tokens and channels, in float32.

    Arguments as those of `latent_cross_entropy`.
    """
    error = (predicted.float() - target.detach().float()).square().mean((1, 2))
    return error.mean() if weight is None else (weight * error).sum() / weight.sum()
