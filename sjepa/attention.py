"""Scaled dot-product attention: PyTorch's fused kernels, and blocks of plain products where faster.

PyTorch's fused kernel for CPUs multiplies bf16 matrices at the speed of fp32 unless the CPU has AMX
tiles, while its plain bf16 products use the AVX-512 instructions for bf16 (Zen 4 and 5, Cooper
Lake). There plain products win, as long as the scores stay in the cache: so a few heads at a time,
computed again in the backward pass and never kept.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

#: Scores in flight: 1.5 Mi in bf16 are 3 MiB, which stays in the cache of current CPUs.
SCORES = 3 * 2**19
#: Sums of a row's exponentials that leave bf16 and float32 room on both sides, 2^±126.
LEAST, MOST = 2.0**-60, 2.0**60


def scores(q: torch.Tensor, k: torch.Tensor, top: torch.Tensor | None = None) -> torch.Tensor:
    """q kᵀ / √d, less `top` `[H, N, 1]` if given, for heads `[H, N, d]`: `[H, N, N]`.

    In units of log 2, so that `exp2` makes a softmax of them. Scaled within the product, before it
    is rounded to bf16.
    """
    beta, top = (0, q.new_zeros(())) if top is None else (-1, top)
    scale = q.shape[-1] ** -0.5 * math.log2(math.e)
    return torch.baddbmm(top, q, k.transpose(1, 2), beta=beta, alpha=scale)


def _parts(qkv: torch.Tensor, most: int):
    """Where the blocks lie: clips and heads, so that a block has at most `most` scores."""
    clips, count, _, heads, _ = qkv.shape
    some = min(heads, max(1, most // count**2))
    many = max(1, most // (heads * count**2))
    return [(slice(c, c + many), slice(h, h + some))
            for c in range(0, clips, many) for h in range(0, heads, some)]


def _heads(x: torch.Tensor) -> torch.Tensor:
    """`[B, N, H, d]` as `[B * H, N, d]`."""
    return x.transpose(1, 2).flatten(0, 1)


class InBlocks(torch.autograd.Function):
    """Attention of `qkv` `[B, N, 3, H, d]`, at most `most` scores at a time: `[B, N, H, d]`.

    A softmax does not change if all scores of a row are moved. Usually they are moved by their
    largest, so that no exponential overflows; to find it takes as long as both products. So the
    exponentials are taken as they are, and only where a row's sum is out of range (scores beyond
    ±40) are they taken again the usual way. Sums and division are in float32.
    """

    @staticmethod
    def forward(ctx, qkv, most):
        clips, count, _, heads, size = qkv.shape
        out = qkv.new_empty(clips, count, heads, size)
        sums = qkv.new_empty(clips, count, heads, 1, dtype=torch.float32)
        ctx.most, ctx.tops = most, {}
        for number, (c, h) in enumerate(_parts(qkv, most)):
            q, k, v = map(_heads, qkv[c, :, :, h].unbind(2))
            weights = scores(q, k).exp2_()
            total = weights.sum(-1, keepdim=True, dtype=torch.float32)
            if not (total.amin() > LEAST and total.amax() < MOST):
                ctx.tops[number] = scores(q, k).amax(-1, keepdim=True)
                weights = scores(q, k, ctx.tops[number]).exp2_()
                total = weights.sum(-1, keepdim=True, dtype=torch.float32)
            place, divisor = out[c, :, h].transpose(1, 2), sums[c, :, h].transpose(1, 2)
            divisor.copy_(total.view(divisor.shape))
            torch.div(torch.bmm(weights, v).view(place.shape), divisor, out=place)
        ctx.save_for_backward(qkv, out, sums)
        return out

    @staticmethod
    def backward(ctx, grad):
        qkv, out, sums = ctx.saved_tensors
        grads, scale, none = torch.empty_like(qkv), qkv.shape[-1] ** -0.5, qkv.new_zeros(())
        for number, (c, h) in enumerate(_parts(qkv, ctx.most)):
            q, k, v = map(_heads, qkv[c, :, :, h].unbind(2))
            weights = scores(q, k, ctx.tops.get(number)).exp2_()
            over = grad[c, :, h] / sums[c, :, h]
            mean = _heads((over * out[c, :, h]).sum(-1, keepdim=True).to(qkv.dtype))
            over = _heads(over.to(qkv.dtype))
            of_v = torch.bmm(weights.transpose(1, 2), over)
            # The derivative of a softmax: weights * (gradient - their mean gradient).
            of_scores = weights.mul_(torch.baddbmm(mean, over, v.transpose(1, 2), beta=-1))
            of_q = torch.baddbmm(none, of_scores, k, beta=0, alpha=scale)
            of_k = torch.baddbmm(none, of_scores.transpose(1, 2), q, beta=0, alpha=scale)
            place = grads[c, :, :, h].transpose(1, 3)  # [B, H, 3, N, d]
            for index, made in enumerate((of_q, of_k, of_v)):
                place[:, :, index] = made.view(place[:, :, index].shape)
        return grads, None


def blocks_pay(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether plain bf16 products beat the fused kernel: on CPUs without AMX tiles."""
    if torch.compiler.is_compiling():  # the blocks would end its graph
        return False
    return (device.type == "cpu" and dtype == torch.bfloat16
            and not torch.cpu._is_amx_tile_supported())


def attend(qkv: torch.Tensor) -> torch.Tensor:
    """Attention of queries, keys and values, together `[B, N, 3, H, d]`: `[B, N, H, d]`."""
    if blocks_pay(qkv.device, qkv.dtype):
        return InBlocks.apply(qkv, SCORES)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
