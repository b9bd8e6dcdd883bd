"""Weights of other projects."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sjepa.encoder import Encoder
from sjepa.errors import SjepaError


def encoder_from_mamp(state_dict: Mapping[str, torch.Tensor], heads: int = 8) -> Encoder:
    """An `Encoder` with the weights of a MAMP (or MAE-style skeleton) checkpoint.

    The tokeniser there is a convolution over (frames, joints) with kernel (segment, 1); here it is
    a linear layer on frame-major tokens, the same map with its input axes in another order. The
    decoder's weights are left out.

    In evaluation mode, its output equals the original's, final LayerNorm included. `heads` are told
    by no weight; every published configuration has 8.

    Raises:
        SjepaError: a weight is missing, or of a shape that does not fit the others.
    """
    theirs = {name.removeprefix("module."): value for name, value in state_dict.items()}
    try:
        kernel = theirs["joints_embed.proj.weight"]  # [D, 3, segment, 1]
        dim, channels, segment, width = kernel.shape
        if (channels, width) != (3, 1):
            raise SjepaError(f"joints_embed.proj.weight is {list(kernel.shape)}: expected "
                             "[D, 3, l, 1]")
        mine = {"embed.weight": kernel[..., 0].transpose(1, 2).reshape(dim, -1),
                "embed.bias": theirs["joints_embed.proj.bias"],
                "positions.time": theirs["temp_embed"], "positions.joint": theirs["pos_embed"]}
        depth = 1 + max(int(n.split(".")[1]) for n in theirs if n.startswith("blocks."))
        segments, joints = mine["positions.time"].shape[1], mine["positions.joint"].shape[2]
        encoder = Encoder(dim, depth, heads, joints, segments * segment, segment)
        for name in encoder.state_dict().keys() - mine.keys():
            mine[name] = theirs[name.replace("mlp.0.", "mlp.fc1.").replace("mlp.2.", "mlp.fc2.")]
    except KeyError as error:
        raise SjepaError(f"this is no MAMP encoder: it has no weight {error}") from error
    try:
        encoder.load_state_dict(mine)
    except RuntimeError as error:
        detail = str(error).splitlines()[1].strip()
        raise SjepaError(f"the checkpoint's weights do not fit together: {detail}") from error
    return encoder.eval()
