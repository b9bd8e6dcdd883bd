"""The encoder under a classification head: what fine-tuning trains. Lineage: MAMP's code."""

from __future__ import annotations

import copy

import torch
from torch import nn

from sjepa.encoder import Encoder, init_linear
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
        encoder: pretrained, or with random weights.
        classes: number of classes.
        hidden, dropout: see `ActionHead`.
        drop_path: stochastic depth of the last block.
    """

    def __init__(self, encoder: Encoder, classes: int, hidden: int = 2048, dropout: float = 0.3,
                 drop_path: float = 0.3):
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(True)
        self.encoder.set_drop_path(drop_path)
        self.padded = False  # a compiled encoder's rows are, see `encode_bodies`
        self.head = ActionHead(encoder.dim, encoder.joints, classes, hidden, dropout)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Class scores `[B, classes]`, before softmax, of clips `[B, M, T, V, 3]`."""
        return self.head(encode_bodies(self.encoder, clips, padded=self.padded))
