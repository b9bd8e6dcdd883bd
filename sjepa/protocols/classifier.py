"""What fine-tuning trains: the encoder under a classification head, with learning rates by depth.

Lineage: MAMP's code; learning rates by layer after BEiT (Bao et al., 2022).
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from sjepa.encoder import init_linear
from sjepa.errors import SjepaError
from sjepa.protocols.features import encode_bodies


class ActionHead(nn.Module):
    """Dropout, mean over segments and bodies, then two linear layers with BatchNorm and ReLU.

    Joints are not averaged: the first layer sees `joints * dim` features.

    Args:
        dim: width of a token.
        joints: V.
        classes: number of classes.
        hidden: width of the hidden layer.
        dropout: probability with which a feature of a token is dropped.
    """

    def __init__(self, dim: int, joints: int, classes: int, hidden: int = 2048,
                 dropout: float = 0.3):
        super().__init__()
        self.joints = joints
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            nn.Linear(joints * dim, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
            nn.Linear(hidden, classes),
        )
        self.apply(init_linear)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Class scores before softmax.

        Args:
            tokens: `[B, M, N, D]`, the encoder's output for each body slot.

        Returns:
            `[B, classes]`.
        """
        tokens = self.dropout(tokens).unflatten(2, (-1, self.joints))  # [B, M, S, V, D]
        return self.layers(tokens.mean(2).flatten(2).mean(1))


class Classifier(nn.Module):
    """A copy of an encoder, all weights trained, with a new head.

    Args:
        encoder: one of `sjepa.encoder.ENCODERS`, pretrained or with random weights.
        classes: number of classes.
        hidden, dropout: see `ActionHead`.
        drop_path: stochastic depth of the last block.
    """

    def __init__(self, encoder: nn.Module, classes: int, hidden: int = 2048, dropout: float = 0.3,
                 drop_path: float = 0.3):
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(True)
        self.encoder.set_drop_path(drop_path)
        self.padded = False  # a compiled encoder's rows are, see `encode_bodies`
        self.head = ActionHead(encoder.dim, encoder.joints, classes, hidden, dropout)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Class scores `[B, classes]`, before softmax, of clips `[B, M, T, V, 3]`."""
        return self.head(encode_bodies(self.encoder, clips, padded=self.padded))


def layer_decay_groups(model: Classifier, decay: float, weight_decay: float) -> list[dict]:
    """AdamW's parameter groups: a learning-rate scale a layer, no weight decay on biases and norms.

    Early layers of a pretrained encoder move less than late ones.

    Args:
        model: whose encoder says which parameters are how deep (`parameter_layers`); the head
            belongs to its last layer.
        decay: a layer's scale is this times that of the layer after it; the last layer has 1.
        weight_decay: of everything with more than one axis, position tables included.

    Returns:
        Groups with `params`, `lr_scale` and `weight_decay`; every parameter is in exactly one.

    Raises:
        SjepaError: the encoder leaves a parameter out, or names one twice.
    """
    *layers, last = model.encoder.parameter_layers()
    layers += [[*last, *model.head.parameters()]]
    named = [id(parameter) for layer in layers for parameter in layer]
    if sorted(named) != sorted(map(id, model.parameters())):
        raise SjepaError(f"{type(model.encoder).__name__}.parameter_layers names {len(named)} "
                         f"parameters of {len(list(model.parameters()))}: it must name each once")
    groups: dict[tuple[int, bool], dict] = {}
    for depth, layer in enumerate(layers):
        for parameter in layer:
            bare = parameter.ndim <= 1
            groups.setdefault((depth, bare), {
                "params": [], "lr_scale": decay ** (len(layers) - 1 - depth),
                "weight_decay": 0.0 if bare else weight_decay,
            })["params"].append(parameter)
    return list(groups.values())
