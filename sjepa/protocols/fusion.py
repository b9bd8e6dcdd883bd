"""Predictions of an evaluation as files, and late fusion of several, one a stream."""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from sjepa.checkpoint import read_result, what_counts
from sjepa.datasets.arrays import read_arrays
from sjepa.datasets.splits import reported_parts
from sjepa.errors import SjepaError
from sjepa.files import save_atomically
from sjepa.protocols.config import FuseConfig
from sjepa.protocols.context import Context, Reading, Result

BEHIND = "the pretraining's "
#: What the pretrainings behind fused evaluations share: streams need not train alike.
ALIKE = ("preset", "split", "target")


@dataclass
class Predictions:
    """The M test clips of an evaluation, and what it says of them."""

    names: np.ndarray  # [M] of the clips
    labels: np.ndarray  # [M] true classes
    subjects: np.ndarray  # [M] whose they are
    classes: np.ndarray  # [classes] their names
    parts: np.ndarray  # [P] names of the parts that are reported, all clips first
    masks: np.ndarray  # [P, M] bool, which clips are of a part
    predicted: np.ndarray | None = None  # [M] classes
    scores: np.ndarray | None = None  # [M, classes] float32 before softmax, if there are any


def predictions_of(context: Context) -> Predictions:
    """The test clips of a context, on which nothing is said so far."""
    store, test = context.store, context.test
    parts = reported_parts(context.config.split, store, context.train, test)
    return Predictions(store.names[test], store.labels[test], store.subjects[test],
                       np.array(store.classes), np.array([*parts]), np.stack([*parts.values()]))


def save_predictions(clips: Predictions, result: Result, folder: Path) -> None:
    """`folder/METRIC.npz` of each metric that names classes, or `METRIC-seed-N.npz` a seed."""
    for metric, reading in result.readings.items():
        for row, seed in enumerate(result.seeds if reading.predicted is not None else ()):
            arrays = vars(clips) | {"predicted": reading.predicted[row]}
            if reading.scores is not None:
                arrays["scores"] = reading.scores[row]
            name = metric if len(result.seeds) == 1 else f"{metric}-seed-{seed}"
            packed = io.BytesIO()
            np.savez_compressed(packed, **{n: a for n, a in arrays.items() if a is not None})
            save_atomically(lambda path, made=packed: path.write_bytes(made.getvalue()),
                            folder / f"{name}.npz")


def load_predictions(path: str | Path) -> Predictions:
    """The predictions in `path`, `OUT/scores/METRIC.npz` of an evaluation in `OUT`.

    Raises:
        SjepaError: there is no such file, or it is something else.
    """
    path = Path(path)
    if not path.is_file():
        there = ", ".join(sorted(other.stem for other in path.parent.glob("*.npz")))
        raise SjepaError(f"no predictions at {path}: the evaluation has those of "
                         f"{there or 'no metric: run it first'}")
    try:
        return Predictions(**read_arrays(path))
    except TypeError as error:
        raise SjepaError(f"{path} holds no predictions ({error}): evaluate the run again") \
            from error


def fuse(scores: list[np.ndarray], weights: tuple[float, ...] = ()) -> np.ndarray:
    """The weighted mean `[M, classes]` of the class probabilities of several runs.

    `scores` are `[M, classes]` each, before softmax, of the same test clips; no weights: equal.
    """
    chances = torch.from_numpy(np.stack(scores)).double().softmax(-1)
    return np.average(chances.numpy(), axis=0, weights=weights or None)


def stated(result: dict) -> dict:
    """Step and settings of a result that count, and of its pretraining, as JSON has them."""
    behind = what_counts((result.get("pretraining") or {}).get("settings", {}))
    named = {"step": result["step"]} | what_counts(result["settings"])
    named |= {f"{BEHIND}{name}": value for name, value in behind.items()}
    return json.loads(json.dumps(named, default=list))


def late_fusion(config: FuseConfig) -> tuple[dict, dict, Predictions, Result]:
    """Fuse the class scores of the evaluations `config.runs`, one a stream.

    Returns:
        What a result states of them, its settings with the hashes of what was fused, the test
        clips, and the reading.

    Raises:
        SjepaError: one has no class scores of an encoder; they differ in more than the stream.
    """
    results = [read_result(run) for run in config.runs]
    sources = [load_predictions(Path(run) / "scores" / f"{config.metric}.npz")
               for run in config.runs]
    for run, result, source in zip(config.runs, results, sources, strict=True):
        if source.scores is None:
            raise SjepaError(f"{run} has no class scores of {config.metric}, which fusion needs: "
                             "take those of a linear probe or a fine-tuning after its last epoch")
        if not result.get("pretraining"):
            raise SjepaError(f"{run} judges no encoder, so it has no stream: leave it out")
        first, own = stated(results[0]), stated(result)
        for name, value in own.items():
            free = name.startswith(BEHIND) and name.removeprefix(BEHIND) not in ALIKE
            if not free and value != first.get(name):
                raise SjepaError(f"{run} has {name} = {value}, {config.runs[0]} has "
                                 f"{first.get(name)}: fuse runs that differ in their stream")
        if not (np.array_equal(sources[0].names, source.names)
                and np.array_equal(sources[0].labels, source.labels)):
            raise SjepaError(f"{run} scores other test clips than {config.runs[0]}: "
                             "evaluate both on the same store")
    streams = [result["pretraining"]["settings"].get("stream", "joint") for result in results]
    if len(set(streams)) < len(streams):
        raise SjepaError(f"parameter runs: their streams are {', '.join(streams)}, and each may "
                         "stand once")
    chances = fuse([source.scores for source in sources], config.weights)
    shared = ("dataset", "split", "method", "preset", "seed", "clips")
    facts = {name: results[0][name] for name in shared}
    facts["note"] = f"late fusion of {', '.join(streams)}"
    settings = asdict(config) | {"fused": {result["run"]: result["hash"] for result in results}}
    predicted = chances.argmax(1)
    fused = Reading((predicted == sources[0].labels)[None], predicted[None],
                    np.log(chances.clip(1e-30)).astype(np.float32)[None])
    return facts, settings, sources[0], Result({config.metric: fused})
