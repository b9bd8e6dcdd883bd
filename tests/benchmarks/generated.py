"""A data set of NTU60's size and mix, made in memory: benchmarks need no data."""

from pathlib import Path

import numpy as np
import torch

from sjepa.clips import DeviceStore

TWO_BODIES = 0.18  # of NTU60's clips


class GeneratedStore:
    """Waving stick figures in memory, as many, as long and as often in pairs as NTU60's clips."""

    path, meta, classes = Path("generated"), {"name": "synthetic", "sha256": {}}, [""]
    sides: dict = {}  # it is split by the rule of built-in data

    def __init__(self, clips: int, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.lengths = rng.integers(40, 128, clips)  # 84 frames on average
        pairs = rng.permutation(clips) < round(TWO_BODIES * clips)
        taken = np.stack((self.lengths, self.lengths * pairs), 1)
        ends = taken.cumsum().reshape(-1, 2)
        self.offsets = np.where(taken > 0, ends - taken, -1)
        self.labels, self.subjects = np.zeros(clips, int), np.zeros(clips, int)
        self.subjects[-1] = 1  # a split has a test side
        pace = rng.uniform(0.05, 0.3, (25, 3)).astype(np.float32)
        at = np.arange(ends[-1, -1], dtype=np.float32)[:, None, None]
        self.frames = 0.1 * np.sin(at * pace) + rng.normal(0, 0.4, (25, 3)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.lengths)

    def clip(self, index: int) -> np.ndarray:
        """Clip `index`, `[T, 2, 25, 3]`."""
        length = self.lengths[index]
        clip = np.zeros((length, 2, 25, 3), np.float32)
        for body, start in enumerate(self.offsets[index]):
            if start >= 0:
                clip[:, body] = self.frames[start : start + length]
        return clip

    def to(self, device) -> DeviceStore:
        """The whole store as tensors on `device`."""
        arrays = (self.frames, self.offsets, self.lengths, self.labels)
        return DeviceStore(*(torch.from_numpy(np.asarray(a)).to(device) for a in arrays))
