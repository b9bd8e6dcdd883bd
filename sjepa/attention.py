"""Scaled dot-product attention: PyTorch's fused kernels, and blocks of plain products where faster.

PyTorch's fused kernel for CPUs multiplies bf16 matrices at the speed of fp32 unless the CPU has AMX
tiles, while its plain bf16 products use the AVX-512 instructions for bf16 (Zen 4 and 5, Cooper
Lake). There the three-line formula wins, as long as the scores stay in the cache: so a few heads at
a time, computed again in the backward pass and never kept.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

#: Scores in flight: 2 Mi in bf16 are 4 MiB, which stays in the last-level cache of current CPUs.
SCORES = 2**21


def formula(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q kᵀ / √d) v for heads `[H, N, d]`; the softmax computes in float32."""
    scale = q.shape[-1] ** -0.5  # within the product, before the scores are rounded to bf16
    scores = torch.baddbmm(q.new_zeros(()), q, k.transpose(1, 2), beta=0, alpha=scale)
    return scores.softmax(-1) @ v


class InBlocks(torch.autograd.Function):
    """`formula` on a few heads at a time; the backward pass computes each block's scores anew."""

    @staticmethod
    def forward(ctx, q, k, v, heads):
        ctx.save_for_backward(q, k, v)
        ctx.heads = heads
        return torch.cat([formula(*block) for block in zip(
            q.split(heads), k.split(heads), v.split(heads), strict=True)])

    @staticmethod
    def backward(ctx, grad):
        grads = []
        blocks = (t.split(ctx.heads) for t in (*ctx.saved_tensors, grad))
        for *block, grad_out in zip(*blocks, strict=True):
            block = [t.detach().requires_grad_() for t in block]
            with torch.enable_grad():
                out = formula(*block)
            grads.append(torch.autograd.grad(out, block, grad_out))
        return *(torch.cat(g) for g in zip(*grads, strict=True)), None


def blocks_pay(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether plain bf16 products beat the fused kernel: on CPUs without AMX tiles."""
    if torch.compiler.is_compiling():  # the blocks would end its graph
        return False
    return (device.type == "cpu" and dtype == torch.bfloat16
            and not torch.cpu._is_amx_tile_supported())


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Attention of queries, keys and values `[B, H, N, d]`: `[B, H, N, d]`."""
    if not blocks_pay(q.device, q.dtype):
        return F.scaled_dot_product_attention(q, k, v)
    count = q.shape[2]
    heads = max(1, SCORES // count**2)
    out = InBlocks.apply(*(t.flatten(0, 1) for t in (q, k, v)), heads)
    return out.view(q.shape)
