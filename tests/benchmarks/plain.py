"""The same objective as people commonly write it: what `sjepa`'s step is compared with.

Eager PyTorch in float32, attention spelled out, a row for every body slot, clips cropped, turned
and viewed one at a time with numpy in a DataLoader, AdamW as it comes, an EMA parameter by
parameter, the predictor's last layer on all tokens. Nothing is slower than it needs to be in that
style, and the loss is the same: `tests/core/test_benchmark.py` compares both.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from sjepa.encoder import Encoder, patchify, take
from sjepa.predictor import Predictor
from sjepa.skeleton import NTU25, SPINE_BASE, SPINE_SHOULDER
from sjepa.target import TargetEncoder


def crop_resize(clip: np.ndarray, begin: int, span: int, frames: int) -> np.ndarray:
    """`[T, M, V, 3]` to `[M, frames, V, 3]`: cut, then resize in time, linearly."""
    length, bodies, joints, channels = clip.shape
    cut = torch.from_numpy(clip[begin : begin + span]).reshape(span, -1).T[None]
    resized = F.interpolate(cut, size=frames, mode="linear", align_corners=False)[0].T
    return resized.reshape(frames, bodies, joints, channels).transpose(0, 1).numpy()


def euler(angles: np.ndarray) -> np.ndarray:
    """Rz Ry Rx `[3, 3]`."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return (rz @ ry @ rx).astype(np.float32)


def view(body: np.ndarray, angle: float, shift: np.ndarray, mirrored: bool) -> np.ndarray:
    """One body `[T, V, 3]` turned about its own axis, moved and perhaps mirrored."""
    seen = (body != 0).any((1, 2))
    if not seen.any():
        return body
    frame = body[seen.argmax()]
    base, up = frame[SPINE_BASE], frame[SPINE_SHOULDER] - frame[SPINE_BASE]
    length = np.linalg.norm(up)
    x, y, z = up / length if length > 1e-6 else (0.0, 1.0, 0.0)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k
    moved = (body - base) @ turn.T.astype(np.float32) + base + shift
    moved = np.where(seen[:, None, None], moved, body).astype(np.float32)
    if mirrored:
        moved = moved[:, list(NTU25.flip_permutation)] * np.array([-1, 1, 1], np.float32)
    return moved


class Clips(Dataset):
    """The training clips of a store, each drawn anew when it is asked for."""

    def __init__(self, store, index: np.ndarray, config):
        self.store, self.index, self.config = store, index, config

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, item: int) -> tuple[np.ndarray, np.ndarray]:
        """The clip and its view, both `[M, T, V, 3]`."""
        c, rng = self.config, np.random.default_rng()
        clip = self.store.clip(self.index[item])
        length = len(clip)
        span = min(max(int(length * rng.uniform(c.crop, 1)), 64), length)
        clip = crop_resize(clip, rng.integers(length - span + 1), span, c.frames)
        clip = clip @ euler(rng.uniform(-c.base_rotation, c.base_rotation, 3)).T
        views = [view(body, rng.uniform(-c.view_rotation, c.view_rotation),
                      rng.uniform(-c.view_translation, c.view_translation, 3),
                      rng.random() < c.view_flip) for body in clip]
        return clip, np.stack(views)


class Attention(nn.Module):
    """softmax(Q Kᵀ / √d) V, with the N x N scores in memory."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        b, n, d = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        weights = ((q @ k.transpose(-2, -1)) * (d // self.heads) ** -0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, d))


class AllTokens(Predictor):
    """Predicts every token, also those that nobody asks for."""

    def forward(self, visible, keep):
        positions = self.positions()
        x = self.mask_token.repeat(len(visible), positions.shape[1], 1)
        x = x.scatter(1, keep[..., None].expand(-1, -1, x.shape[-1]), visible)
        x = self.entry(x) + positions
        for block in self.blocks:
            x = block(x)
        return self.exit(self.norm(x))


def mask(x, segment: int, ratio: float, tau: float):
    """Motion-aware mask, Gumbel top-k: `keep` and `masked`, sorted."""
    tokens = patchify(x, segment)
    change = (tokens[:, 1:] - tokens[:, :-1]).abs().mean(-1)
    motion = torch.cat((change[:, :1], change), 1).flatten(1)
    z = motion / (tau * motion.max(-1, keepdim=True).values + 1e-10)
    noise = -torch.log(-torch.log(torch.rand_like(z).clamp(1e-20, 1 - 1e-7)))
    order = (z.log_softmax(-1) + noise).argsort(1)
    kept = round(z.shape[1] * (1 - ratio))
    return order[:, :kept].sort(1).values, order[:, kept:].sort(1).values


class PlainSJEPA(nn.Module):
    """The three networks and the loss. The weights have the names that they have in `sjepa.model`.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.dim, config.depth, config.heads, len(NTU25),
                               config.frames, config.segment)
        self.predictor = AllTokens(config.dim, config.predictor_depth, config.heads, len(NTU25),
                                   config.frames // config.segment)
        for block in [*self.encoder.blocks, *self.predictor.blocks]:
            block.attn = Attention(config.dim, config.heads)
        self.target = TargetEncoder(self.encoder)

    def forward(self, x, view, keep, masked):
        """The loss, and the mean target of the masked tokens for the centre."""
        target = take(self.target(x), masked)
        wanted = F.softmax((target - self.target.center) / self.config.tau_t, -1)
        predicted = self.predictor(self.encoder(view, keep), keep)
        logits = F.log_softmax(predicted / self.config.tau_p, -1)
        return -(wanted * take(logits, masked)).sum(-1).mean(), target.mean((0, 1))


class PlainStep:
    """A training step. `model` may be set to other weights before the first one."""

    def __init__(self, config, device):
        self.config, self.device = config, device
        self.model = PlainSJEPA(config).to(device)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        groups = [{"params": [p for p in trained if p.ndim > 1], "weight_decay": 0.05},
                  {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95))

    def __call__(self, clips, views, drawn=None, momentum: float = 0.9999) -> float:
        """One step on `clips` and `views` `[B, M, T, V, 3]`; `drawn` fixes the mask."""
        c, model = self.config, self.model
        x, seen = (t.to(self.device).flatten(0, 1) for t in (clips, views))
        drawn = drawn or mask(x, c.segment, c.mask_ratio, c.mask_tau)
        loss, mean = model(x, seen, *drawn)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            pairs = zip(model.target.encoder.parameters(), model.encoder.parameters(), strict=True)
            for slow, fast in pairs:
                slow.mul_(momentum).add_(fast, alpha=1 - momentum)
            model.target.center.mul_(c.center_beta).add_(mean, alpha=1 - c.center_beta)
        return loss.item()
