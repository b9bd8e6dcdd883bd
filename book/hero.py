"""Makes the moving picture of the landing page and the README: `python book/hero.py`."""

from pathlib import Path

import torch

from sjepa import synthetic
from sjepa.encoder import patchify
from sjepa.masking import motion_aware_mask
from sjepa.show.animation import animate

SEED, SECONDS = 3, 4.0


def main() -> None:
    """A throw: what the view encoder sees, and what the target encoder sees."""
    clip = synthetic.generate_clip(synthetic.ACTIONS.index("throw"), subject=4, view=1, noise=False)
    frames = torch.from_numpy(clip[: len(clip) // 4 * 4, 0])[None]
    _, masked = motion_aware_mask(patchify(frames), 0.9, 0.8, torch.Generator().manual_seed(SEED))
    hidden = torch.zeros(frames.shape[1] // 4 * 25, dtype=torch.bool)
    hidden[masked[0]] = True
    both = [clip[: frames.shape[1]]] * 2
    titles = ["what the view encoder sees", "what the target encoder sees"]
    made = animate(both, titles, [hidden.view(-1, 25).numpy(), None], seconds=SECONDS, height=300)
    made.save(Path(__file__).parent / "_static" / "hero.svg")


if __name__ == "__main__":
    main()
