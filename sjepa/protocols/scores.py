"""Predictions of a run, kept for confusion matrices and for late fusion: `RUN/scores/ID.npz`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sjepa.checkpoint import save_atomically
from sjepa.errors import SjepaError


@dataclass
class Predictions:
    """What a run said of each test clip.

    Attributes:
        names: `[M]` clip names.
        wanted: `[M]` true classes.
        predicted: `[M]` classes.
        scores: `[M, classes]` float32 before softmax; None where a protocol has none.
        classes: `[classes]` their names.
        parts: reported part of the test clips to its `[M]` bool mask.
        seeds: of the pretraining and of the evaluation.
        record: the record of the main part.
    """

    names: np.ndarray
    wanted: np.ndarray
    predicted: np.ndarray
    scores: np.ndarray | None
    classes: np.ndarray
    parts: dict[str, np.ndarray]
    seeds: tuple[int, int]
    record: dict


def save_predictions(made: Predictions, path: Path) -> Path:
    """Write `path`, whole or not at all."""
    arrays = {
        "names": np.asarray(made.names, str), "wanted": made.wanted, "predicted": made.predicted,
        "classes": np.asarray(made.classes, str), "record": np.array(json.dumps(made.record)),
        "parts": np.array(list(made.parts)), "masks": np.stack(list(made.parts.values())),
        "seeds": np.array(made.seeds),
    }
    if made.scores is not None:
        arrays["scores"] = made.scores.astype(np.float32)

    def write(partial: Path) -> None:
        with partial.open("wb") as handle:
            np.savez_compressed(handle, **arrays)

    path.parent.mkdir(parents=True, exist_ok=True)
    save_atomically(write, path)
    return path


def load_predictions(path: str | Path) -> Predictions:
    """The predictions in `path`.

    Raises:
        SjepaError: there is no such file, or it is something else.
    """
    path = Path(path)
    if not path.is_file():
        raise SjepaError(f"no predictions at {path}: evaluate the run first, which writes "
                         "RUN/scores/ID.npz")
    try:
        with np.load(path) as file:
            made = dict(file)
        return Predictions(
            made["names"], made["wanted"], made["predicted"], made.get("scores"), made["classes"],
            dict(zip(made["parts"].tolist(), made["masks"], strict=True)),
            tuple(made["seeds"].tolist()), json.loads(str(made["record"])),
        )
    except (ValueError, KeyError, OSError) as error:
        raise SjepaError(f"{path} holds no predictions ({error}): evaluate the run again") \
            from error


def softmax(scores: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in float64."""
    raised = np.exp(scores.astype(np.float64) - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def fuse(scores: list[np.ndarray], weights: list[float] | None = None) -> np.ndarray:
    """Late fusion: the weighted mean of the class probabilities of several runs.

    Args:
        scores: `[M, classes]` each, before softmax, of the same test clips.
        weights: one a run, not all zero; None: equal ones.

    Returns:
        `[M, classes]` probabilities.

    Raises:
        SjepaError: no scores, another number of weights, a negative one, or all zero.
    """
    weights = list(weights) if weights else [1.0] * len(scores)
    numbers = all(isinstance(w, int | float) and w >= 0 for w in weights)
    if not scores or len(weights) != len(scores) or not numbers or not sum(weights):
        raise SjepaError(f"late fusion of {len(scores)} scores with weights {weights}: expected "
                         "one weight a file, 0 or more, and not all 0")
    return sum(w * softmax(s) for w, s in zip(weights, scores, strict=True)) / sum(weights)
