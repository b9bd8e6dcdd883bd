"""Collapse monitors: what the loss alone does not show.

Three ways to collapse: all channels equal (target entropy at ln D), one channel for every token
(entropy 0, one argmax), and position-only collapse, in which a feature knows where its token sits
and nothing of the clip. The last looks healthy in the loss and is seen only across clips.
"""

import math

import torch

from sjepa.target import sharpen


def gram(features: torch.Tensor) -> torch.Tensor:
    """Products `[D, D]` of the channels of features `[N, D]`, in float64: all a rank needs."""
    features = features.double()
    return features.T @ features


def effective_rank(products: torch.Tensor) -> torch.Tensor:
    """RankMe (Garrido et al., 2023): exp of the entropy of the normalised singular values.

    Of features `[N, D]` whose `gram` is `products`: between 1 and min(N, D), in float32; NaN if one
    is not finite. Found on the host: a GPU takes longer for one small matrix, and waits.
    """
    if not products.isfinite().all():
        return products.new_full((), torch.nan, dtype=torch.float32)
    values = torch.linalg.eigvalsh(products.cpu()).clamp(min=0).sqrt()
    share = values / values.sum().clamp(min=1e-12)
    return torch.exp(-(share * (share + 1e-12).log()).sum()).to(products.device, torch.float32)


def mean_reading(values: list[torch.Tensor]) -> float:
    """The mean of readings: of scalars, or of the effective ranks of `gram` matrices."""
    return torch.stack([effective_rank(v) if v.ndim else v for v in values]).mean().item()


def position_share(latents: torch.Tensor) -> torch.Tensor:
    """Share of the variance of latents `[B, N, D]` that a token's position alone explains.

    Scalar in [0, 1]; 1 means that all clips look the same at each position.
    """
    latents = latents.float()
    total = latents.flatten(0, 1).var(0, correction=0).sum()
    return latents.mean(0).var(0, correction=0).sum() / total.clamp(min=1e-12)


@torch.no_grad()
def monitors(made, center: torch.Tensor, tau_t: float = 0.06,
             weight: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """Readings of one forward pass, on its device, which nothing here waits for.

    Args:
        made: the pass, a `sjepa.model.StepOutput`.
        center: `[D]`, as it was in that pass.
        tau_t: temperature of the target.
        weight: `[B]` how many equal rows each row stands for, as in the loss; entropy and kl
            follow it, the other readings describe the rows as they are.

    Returns:
        Scalars by name, and a matrix, of both of which `mean_reading` makes numbers.

        - ``entropy`` of the target distribution, nats; ln D is uniform, 0 is one-hot
        - ``kl``, loss minus entropy, what the predictor can still gain
        - ``top_channel``, share of masked tokens whose target has the commonest argmax
        - ``std_tokens``, std of a channel over all tokens, mean over channels
        - ``std_clips``, std of a channel over clips at the same position, mean over both
        - ``position_share``, see that function
        - ``rank``, the `gram` of the clips' mean latents, for their effective rank
        - ``center_norm``, length of the centre
    """
    wanted = sharpen(made.target, center, tau_t)
    entropy = torch.special.entr(wanted).sum(-1).mean(-1)
    entropy = entropy.mean() if weight is None else weight @ entropy / weight.sum()
    top = wanted.argmax(-1).flatten()
    # Counted by scattered ones: bincount would make the host wait for the GPU.
    votes = wanted.new_zeros(wanted.shape[-1]).scatter_add_(0, top, wanted.new_ones(len(top)))
    return {
        "entropy": entropy,
        "kl": made.loss.detach() - entropy,
        "top_channel": votes.max() / votes.sum(),
        "center_norm": center.norm(),
    } | latent_monitors(made.latents)


@torch.no_grad()
def latent_monitors(latents: torch.Tensor) -> dict[str, torch.Tensor]:
    """Those of the `monitors` that read the target encoder's latents `[B, N, D]` alone."""
    latents = latents.float()
    return {
        "std_tokens": latents.flatten(0, 1).std(0, correction=0).mean(),
        "std_clips": latents.std(0, correction=0).mean(),
        "position_share": position_share(latents),
        "rank": gram(latents.mean(1)),
    }


def warnings(readings: dict[str, float], dim: int) -> list[str]:
    """What `monitors` of latents as wide as `dim` say in words; empty while all is well."""
    said = []
    if readings.get("entropy", 0) > 0.98 * math.log(dim):
        said.append("targets are almost uniform over the channels: nothing is left to predict")
    if readings.get("top_channel", 0) > 0.9:
        said.append("nine targets in ten point at one channel: the centre no longer spreads them")
    if readings.get("position_share", 0) > 0.9:
        said.append("targets depend on the token's position and hardly on the clip")
    if readings.get("std_clips", 1) < 0.01:
        said.append("all clips get the same targets: the target encoder has collapsed")
    return said
