"""Layer-wise learning rates: early blocks of a pretrained encoder move less than late ones.

Lineage: MAMP's code, after BEiT (Bao et al., 2022).
"""

from __future__ import annotations

from torch import nn


def layer_of(name: str, depth: int) -> int:
    """Layer of a classifier's parameter: 0 for tokeniser and positions, then a number a block.

    Args:
        name: as `Classifier.named_parameters` gives it.
        depth: blocks of the encoder.

    Returns:
        0 to `depth + 1`; the last layer is the encoder's final norm and the head.
    """
    if name.startswith(("encoder.embed.", "encoder.positions.")):
        return 0
    if name.startswith("encoder.blocks."):
        return int(name.split(".")[2]) + 1
    return depth + 1


def layer_decay_groups(model: nn.Module, depth: int, decay: float,
                       weight_decay: float) -> list[dict]:
    """AdamW's parameter groups: a learning-rate scale a layer, no weight decay on biases and norms.

    Args:
        model: a `Classifier`.
        depth: blocks of its encoder.
        decay: a layer's scale is this times that of the layer after it; the last layer has 1.
        weight_decay: of everything with more than one axis, position tables included.

    Returns:
        Groups with `params`, `lr_scale` and `weight_decay`; every parameter is in exactly one.
    """
    groups: dict[tuple[int, bool], dict] = {}
    for name, parameter in model.named_parameters():
        layer, plain = layer_of(name, depth), parameter.ndim == 1
        group = groups.setdefault((layer, plain), {
            "params": [], "lr_scale": decay ** (depth + 1 - layer),
            "weight_decay": 0.0 if plain else weight_decay,
        })
        group["params"].append(parameter)
    return list(groups.values())
