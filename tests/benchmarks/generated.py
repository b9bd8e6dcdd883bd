"""A data set of NTU60's size and mix, made in memory: benchmarks need no data."""

from pathlib import Path

import numpy as np

from sjepa.datasets.store import Store
from sjepa.skeleton import NTU25

TWO_BODIES = 0.18  # of NTU60's clips


def generated_store(clips: int, seed: int = 0) -> Store:
    """Waving stick figures, as many, as long and as often in pairs as NTU60's clips."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(40, 128, clips)  # 84 frames on average
    pairs = rng.permutation(clips) < round(TWO_BODIES * clips)
    taken = np.stack((lengths, lengths * pairs), 1)
    ends = taken.cumsum().reshape(-1, 2)
    pace = rng.uniform(0.05, 0.3, (25, 3)).astype(np.float32)
    at = np.arange(ends[-1, -1], dtype=np.float32)[:, None, None]
    frames = 0.1 * np.sin(at * pace) + rng.normal(0, 0.4, (25, 3)).astype(np.float32)
    same = np.zeros(clips, int)
    last = (np.arange(clips) == clips - 1).astype(int)  # a split has a test side
    return Store(Path("generated"), {"name": "synthetic", "classes": [""], "sha256": {}}, NTU25, {},
                 frames, np.where(taken > 0, ends - taken, -1), lengths,
                 scales=np.ones(clips, np.float32), labels=same, subjects=last, views=same,
                 reps=same, setups=same, names=same)
