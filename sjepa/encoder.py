"""Tokeniser, positions and the vanilla transformer: view encoder and target encoder are this.

Lineage: ViT (Dosovitskiy et al., 2021) with pre-normalisation, as MAMP's code has it.
"""

import torch
from torch import nn
from torch.nn import functional as F

from sjepa.errors import SjepaError


def patchify(x: torch.Tensor, segment: int = 4) -> torch.Tensor:
    """Cut clips `[B, T, V, 3]` into tokens `[B, T / segment, V, segment * 3]`, frame-major."""
    batch, frames, joints, channels = x.shape
    x = x.reshape(batch, frames // segment, segment, joints, channels)
    return x.transpose(2, 3).reshape(batch, frames // segment, joints, segment * channels)


def take(tokens: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Rows `index` `[B, K]` of `tokens` `[B, N, D]`: `[B, K, D]`."""
    return tokens.gather(1, index[:, :, None].expand(-1, -1, tokens.shape[2]))


class Attention(nn.Module):
    """Multi-head self-attention by PyTorch's fused kernels."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, count, dim = x.shape
        qkv = self.qkv(x).view(batch, count, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v)  # [B, heads, N, dim / heads]
        return self.proj(attended.transpose(1, 2).reshape(batch, count, dim))


def drop_path(branch: torch.Tensor, rate: float) -> torch.Tensor:
    """Stochastic depth: drop a residual branch `[B, N, D]` of each row with probability `rate`.

    What stays is divided by `1 - rate`, so that the expectation is kept.
    """
    stays = torch.rand(len(branch), 1, 1, device=branch.device) >= rate
    return branch * stays / (1 - rate)


class Block(nn.Module):
    """Pre-norm transformer block: attention, then a GELU network four times as wide.

    `drop_path` is the probability with which training leaves out each of its two branches; only
    fine-tuning sets it, with `Encoder.set_drop_path`.
    """

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim), Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.drop_path = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.drop_path == 0:
            x = x + self.attn(self.norm1(x))
            return x + self.mlp(self.norm2(x))
        x = x + drop_path(self.attn(self.norm1(x)), self.drop_path)
        return x + drop_path(self.mlp(self.norm2(x)), self.drop_path)


class Positions(nn.Module):
    """Learned positions, factorised: one vector a segment plus one vector a joint."""

    def __init__(self, segments: int, joints: int, dim: int):
        super().__init__()
        self.time = nn.Parameter(torch.empty(1, segments, 1, dim))
        self.joint = nn.Parameter(torch.empty(1, 1, joints, dim))
        for table in (self.time, self.joint):
            nn.init.trunc_normal_(table, std=0.02)

    def forward(self) -> torch.Tensor:
        """All positions, `[1, N, D]`, token index = segment * joints + joint."""
        return (self.time + self.joint).flatten(1, 2)


def init_linear(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases for linear layers (lineage)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


class Encoder(nn.Module):
    """The encoder f: tokens of a clip in, one feature a token out.

    Args:
        dim, depth, heads: width of a token, number of blocks, attention heads.
        joints, frames: V and T of a clip.
        segment: frames a token covers; a token is one joint over one segment.
    """

    def __init__(self, dim: int = 256, depth: int = 8, heads: int = 8, joints: int = 25,
                 frames: int = 120, segment: int = 4):
        super().__init__()
        if frames % segment:
            raise SjepaError(f"frames = {frames} is no multiple of segment = {segment}")
        if dim % heads:
            raise SjepaError(f"dim = {dim} is no multiple of heads = {heads}")
        self.dim, self.depth, self.heads = dim, depth, heads
        self.joints, self.frames, self.segment = joints, frames, segment
        self.embed = nn.Linear(3 * segment, dim)
        self.positions = Positions(frames // segment, joints, dim)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.apply(init_linear)

    @property
    def shape(self) -> dict[str, int]:
        """The arguments that rebuild this encoder."""
        names = ("dim", "depth", "heads", "joints", "frames", "segment")
        return {name: getattr(self, name) for name in names}

    def parameter_layers(self) -> list[list[nn.Parameter]]:
        """Parameters by depth, for layer-wise learning rates: tokens, each block, last norm."""
        layers = [nn.ModuleList((self.embed, self.positions)), *self.blocks, self.norm]
        return [list(layer.parameters()) for layer in layers]

    def set_drop_path(self, rate: float) -> None:
        """Stochastic depth in training: 0 in the first block, growing linearly to `rate`."""
        for block, own in zip(self.blocks, torch.linspace(0, rate, self.depth), strict=True):
            block.drop_path = own.item()

    def forward(self, x: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """Encode clips `x` `[B, T, V, 3]`, in metres.

        Only the tokens `keep` `[B, K]` enter the blocks; None: all N. Returns `[B, K or N, dim]`,
        after the final LayerNorm.

        Raises:
            SjepaError: the clip has other frames or joints than the encoder.
        """
        if x.shape[1:] != (self.frames, self.joints, 3):
            raise SjepaError(f"the encoder takes clips [B, {self.frames}, {self.joints}, 3], found "
                             f"{list(x.shape)}: resize them, or map their joints")
        # Always in float32: in bf16 a joint 1 to 2 m away would move in steps of 8 mm.
        with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):
            tokens = self.embed(patchify(x, self.segment).flatten(1, 2)) + self.positions()
        if keep is not None:
            tokens = take(tokens, keep)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)


#: Backbones by name: a class with the arguments of `Encoder`, which must have `dim`, `joints`,
#: `frames`, `segment`, `shape`, `forward(x, keep)`, `parameter_layers()` and `set_drop_path(rate)`.
ENCODERS: dict[str, type[nn.Module]] = {"vit": Encoder}


def encoder_metadata(encoder: nn.Module) -> dict[str, str]:
    """What an encoder's file states: its backbone's name and its shape."""
    kind = next((name for name, cls in ENCODERS.items() if type(encoder) is cls), "vit")
    stated = {name: str(value) for name, value in encoder.shape.items()}
    return stated if kind == "vit" else stated | {"encoder": kind}
