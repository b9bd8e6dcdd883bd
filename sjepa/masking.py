"""Motion-aware masking: joints that move much are hidden more often.

Lineage: MAMP (Mao et al., ICCV 2023), whose code S-JEPA follows. MAMP's own text leaves out the
division by each sample's largest motion; without it the softmax over metres is all but uniform.
"""

import torch

from sjepa.errors import SjepaError


def motion_intensity(tokens: torch.Tensor) -> torch.Tensor:
    """Mean absolute change of each token against the same joint one segment before.

    Of raw coordinates `[B, S, V, F]`: `[B, S * V]`. The first segment copies the second; a single
    segment has no motion: zeros.
    """
    if tokens.shape[1] == 1:
        return tokens.new_zeros(tokens.shape[0], tokens.shape[2])
    change = (tokens[:, 1:] - tokens[:, :-1]).abs().mean(-1)
    return torch.cat((change[:, :1], change), 1).flatten(1)


def motion_logits(tokens: torch.Tensor, tau: float = 0.8) -> torch.Tensor:
    """Logits `[B, N]` of being masked: intensity over `tau` times the sample's largest.

    The largest odds between two tokens are exp(1 / tau): 3.49 at 0.8.
    """
    intensity = motion_intensity(tokens.float())
    return intensity / (tau * intensity.amax(-1, keepdim=True) + 1e-10)


def motion_aware_mask(tokens: torch.Tensor, ratio: float = 0.9, tau: float = 0.8,
                      generator=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw which tokens the view encoder sees and which it has to predict.

    Sampling without replacement from softmax(logits) by Gumbel top-k: the K smallest of
    log-probability plus Gumbel noise are kept. The log-sum-exp of the softmax is the same for all
    tokens of a sample and cannot change their order, so the logits serve as they are.

    Args:
        tokens: `[B, S, V, F]`, segments, joints, F raw coordinates a token (12 = 4 frames x 3).
        ratio: share of masked tokens.
        tau: temperature; 0.8 on NTU60 and PKU-MMD, 0.75 on NTU120 (MAMP's code).
        generator: source of randomness, on the CPU or on the device of `tokens`.

    Returns:
        `(keep, masked)`: int64 `[B, K]` and `[B, N - K]`, each sorted, together all N indices
        (segment * V + joint). K = round(N * (1 - ratio)): 75 of 750, where `int()` would give 74.
    """
    logits = motion_logits(tokens, tau)
    count = logits.shape[1]
    kept = round(count * (1 - ratio))
    at = logits.device if generator is None else generator.device
    exponential = torch.empty(logits.shape, device=at).exponential_(generator=generator)
    exponential = exponential.to(logits.device).clamp(min=1e-30)
    score = logits - exponential.log()  # -log(Exp(1)) is Gumbel(0, 1)
    order = score.argsort(dim=1)
    return order[:, :kept].sort(1).values, order[:, kept:].sort(1).values


def masked_by_motion(tokens: torch.Tensor, config, generator=None):
    """The paper's mask, with the ratio and the temperature of a configuration.

    Raises:
        SjepaError: the ratio leaves no token to see, or none to predict.
    """
    keep, masked = motion_aware_mask(tokens, config.mask_ratio, config.mask_tau, generator)
    if not (keep.shape[1] and masked.shape[1]):
        raise SjepaError(f"mask_ratio = {config.mask_ratio} leaves {keep.shape[1]} of "
                         f"{keep.shape[1] + masked.shape[1]} tokens to see: the view encoder needs "
                         "at least one, and one has to be predicted")
    return keep, masked


#: Masks by name: `mask(tokens, config, generator)` → `(keep, masked)`, as `motion_aware_mask`.
MASKS = {"motion-aware": masked_by_motion}
