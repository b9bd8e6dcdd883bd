"""Mask tokens and the predictor g: from visible features to the latents of the masked tokens."""

import torch
from torch import nn

from sjepa.encoder import Block, Positions, init_linear, take


class Predictor(nn.Module):
    """A narrow stack of blocks over all N positions (visible features and mask tokens).

    Lineage: MAE's decoder as MAMP has it, with the output layer as wide as the encoder: a learned
    mask token in encoder width, a linear entry, its own positions at every position, blocks,
    LayerNorm and a linear exit with no activation, so that a prediction can take either sign. `dim`
    is the encoder's width, `joints` and `segments` are V and S, and `out` is the width of a
    prediction; None: `dim`.
    """

    def __init__(self, dim: int = 256, depth: int = 5, heads: int = 8, joints: int = 25,
                 segments: int = 30, out: int | None = None):
        super().__init__()
        self.mask_token = nn.Parameter(torch.empty(1, 1, dim))
        self.entry = nn.Linear(dim, dim)
        self.positions = Positions(segments, joints, dim)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.exit = nn.Linear(dim, out or dim)
        self.apply(init_linear)
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        # A small exit starts the loss within a few nats of ln(dim), that of a uniform guess; at
        # Xavier's scale it starts some five times higher and the first steps only shrink logits.
        nn.init.trunc_normal_(self.exit.weight, std=0.02)

    def forward(self, visible: torch.Tensor, keep: torch.Tensor, masked: torch.Tensor):
        """Predict the latents of the tokens `masked` `[B, M]` from features of the tokens `keep`.

        `visible` is `[B, K, D]`, `keep` `[B, K]`. Returns `[B, M, out]`, in the order of `masked`;
        only these rows go through the exit.
        """
        batch, _, dim = visible.shape
        count = self.positions.time.shape[1] * self.positions.joint.shape[2]
        # The mask token is the same at every position: one row of it goes through the entry.
        visible, hidden = self.entry(visible), self.entry(self.mask_token)
        tokens = hidden.expand(batch, count, dim)
        tokens = tokens.scatter(1, keep[:, :, None].expand(-1, -1, dim), visible) + self.positions()
        for block in self.blocks:
            tokens = block(tokens)
        return self.exit(self.norm(take(tokens, masked)))
