"""Generated PKU-MMD files of the exact grammar, to try the reader without the licensed ones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sjepa.datasets.formats.pku import ACTIONS, NOT_IN_PHASE_2

#: Videos of `write_set`, and the part of a name by which a protocol tests a video.
VIDEOS = {
    1: ["0001-L", "0001-M", "0001-R", "0290-M", "0291-L", "0291-M"],
    2: ["A01N01-L", "A01N01-M", "A01N02-R", "A02N03-L", "A02N03-M"],
}
TESTED = {(1, "xsub"): "0291", (2, "xsub"): "N03", (1, "xview"): "-L", (2, "xview"): "-L"}


def people(frames: int, seed: int = 0, second: slice = slice(0, 0)) -> np.ndarray:
    """`[T, 2, 25, 3]` float32, metres: drifting clouds of joints; body 2 in the frames `second`."""
    rng = np.random.default_rng(seed)
    drift = rng.normal(size=(frames, 2, 1, 3)).cumsum(0) * 0.02
    x = rng.normal(size=(1, 2, 25, 3)) * (0.2, 0.5, 0.1) + (0.3, 0.1, 3) + drift
    there = np.zeros((frames, 2, 1, 1), bool)
    there[:, 0], there[second, 1] = True, True
    return np.where(there, x, 0).astype(np.float32)


def skeleton_text(x: np.ndarray) -> str:
    """Rows of `[T, 2, 25, 3]`; nine digits name every float32."""
    return "".join(" ".join(f"{v:.9g}" for v in row) + "\n" for row in x.reshape(len(x), -1))


def write_video(raw: Path, name: str, x: np.ndarray, instances: Sequence[tuple], *,
                skeleton: str = "skeleton", label: str = "label") -> None:
    """The two files of a video.

    Args:
        raw: a folder; the two folders in it are made.
        name: `0001-L` or `A01N01-L`.
        x: `[T, 2, 25, 3]` metres.
        instances: (action from 1, start, end) each; the confidence alternates, as both occur.
    """
    rows = "".join(f"{action},{start},{end},{1 + k % 2}\n"
                   for k, (action, start, end) in enumerate(instances))
    for folder, text in ((skeleton, skeleton_text(x)), (label, rows)):
        (raw / folder).mkdir(parents=True, exist_ok=True)
        (raw / folder / f"{name}.txt").write_text(text)


def write_split(path: Path, training: Sequence[str], validation: Sequence[str]) -> None:
    """A split file; the owners' own header misspells its word."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"Training videos: \n{', '.join(training)}, \n"
                    f"Validataion videos: \n{', '.join(validation)}\n")


def write_set(raw: Path, phase: int, frames: int = 6) -> None:
    """A few videos that each hold every class of a phase once, and both split files."""
    actions = [a for a in range(1, ACTIONS + 1) if phase == 1 or a not in NOT_IN_PHASE_2]
    cuts = [(a, k * frames, (k + 1) * frames) for k, a in enumerate(actions)]
    for seed, name in enumerate(VIDEOS[phase]):
        write_video(raw, name, people(frames * len(cuts), seed, slice(0, None, 2)), cuts)
    names = {"xsub": ["cross-subject.txt", "cross_subject_v2.txt"],
             "xview": ["cross-view.txt", "cross_view_v2.txt"]}
    for protocol, files in names.items():
        tests = [name for name in VIDEOS[phase] if TESTED[phase, protocol] in name]
        trains = [name for name in VIDEOS[phase] if name not in tests]
        write_split(raw / "Split" / files[phase - 1], trains, tests)
