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


def scores(q: torch.Tensor, k: torch.Tensor, top: torch.Tensor | None = None,
           out: torch.Tensor | None = None) -> torch.Tensor:
    """q kᵀ / √d, less `top` `[H, N, 1]` if given, for heads `[H, N, d]`: `[H, N, N]`.

    In units of log 2, so that `exp2` makes a softmax of them. Scaled within the product, before it
    is rounded to bf16.
    """
    beta, top = (0, q.new_zeros(())) if top is None else (-1, top)
    scale = q.shape[-1] ** -0.5 * math.log2(math.e)
    return torch.baddbmm(top, q, k.mT, beta=beta, alpha=scale, out=out)


def _blocks(heads: torch.Tensor, some: int, spaces: int = 1):
    """`some` of the heads `[H, N, d]` at a time, each with room for its scores.

    The room is the same for all blocks, `spaces` times `[some, N, N]`, so that it stays in the
    cache.
    """
    count, tokens, _ = heads.shape
    room = heads.new_empty(spaces, min(some, count), tokens, tokens)
    for first in range(0, count, some):
        yield slice(first, first + some), *room[:, : count - first]


def _weigh(heads: torch.Tensor, tops: torch.Tensor | None, some: int):
    """Values weighted by exponentials of the scores, `[H, N, d]`, and the weights' sums."""
    q, k, v = heads
    made, sums = torch.empty_like(v), v.new_empty(*v.shape[:2], 1, dtype=torch.float32)
    for part, room in _blocks(q, some):
        weights = scores(q[part], k[part], None if tops is None else tops[part], room).exp2_()
        torch.sum(weights, -1, keepdim=True, dtype=torch.float32, out=sums[part])
        torch.bmm(weights, v[part], out=made[part])
    return made, sums


class InBlocks(torch.autograd.Function):
    """Attention of `qkv` `[B, N, 3, H, d]`, about `most` scores at a time: `[B, N, H, d]`.

    A softmax does not change if all scores of a row are moved. Usually they are moved by their
    largest, so that no exponential overflows; to find it is one more pass over all scores. So the
    exponentials are taken as they are, and only if a row's sum is out of range (scores beyond
    ±40) are they taken again the usual way. Sums and division are in float32.
    """

    @staticmethod
    def forward(ctx, qkv, most):
        clips, count, _, heads, size = qkv.shape
        by_head = qkv.permute(2, 0, 3, 1, 4).contiguous().flatten(1, 2)  # [3, B * H, N, d]
        ctx.some, ctx.tops = max(1, most // count**2), None
        made, sums = _weigh(by_head, None, ctx.some)
        if not (sums.amin() > LEAST and sums.amax() < MOST):
            q, k, _ = by_head
            ctx.tops = torch.cat([scores(q[part], k[part], out=room).amax(-1, keepdim=True)
                                  for part, room in _blocks(q, ctx.some)])
            made, sums = _weigh(by_head, ctx.tops, ctx.some)
        made, sums = (x.view(clips, heads, count, -1).transpose(1, 2) for x in (made, sums))
        out = torch.div(made, sums, out=qkv.new_empty(clips, count, heads, size))
        ctx.save_for_backward(by_head, out, sums)
        return out

    @staticmethod
    def backward(ctx, grad):
        by_head, out, sums = ctx.saved_tensors
        (q, k, v), grads, scale = by_head, torch.empty_like(by_head), by_head.shape[-1] ** -0.5
        over, none = grad / sums, grad.new_zeros(())
        mean = (over * out).sum(-1, keepdim=True)
        over, mean = (x.to(q.dtype).transpose(1, 2).flatten(0, 1) for x in (over, mean))
        for part, weights, of_scores in _blocks(q, ctx.some, spaces=2):
            scores(q[part], k[part], None if ctx.tops is None else ctx.tops[part], weights).exp2_()
            torch.bmm(weights.mT, over[part], out=grads[2, part])
            # The derivative of a softmax: weights * (gradient - their mean gradient).
            torch.baddbmm(mean[part], over[part], v[part].mT, beta=-1, out=of_scores)
            of_scores.mul_(weights)
            torch.baddbmm(none, of_scores, k[part], beta=0, alpha=scale, out=grads[0, part])
            torch.baddbmm(none, of_scores.mT, q[part], beta=0, alpha=scale, out=grads[1, part])
        clips, count, heads, size = grad.shape
        return grads.view(3, clips, heads, count, size).permute(1, 3, 0, 2, 4), None


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
