"""Late fusion of evaluated runs: `python -m sjepa.evaluate fuse --params FILE`."""

from __future__ import annotations

import numpy as np

from sjepa.config import STREAMS
from sjepa.errors import SjepaError
from sjepa.protocols.config import FuseConfig
from sjepa.protocols.scores import Predictions, fuse, load_predictions
from sjepa.study.records import publish, record_id, summary


def _stream(metric: str) -> str:
    """The stream that a record's metric names."""
    return next((name for name in STREAMS if f"-{name}" in metric), "joint")


def fusible(paths: tuple) -> list[Predictions]:
    """The predictions in the files `paths`, if late fusion of them makes sense.

    Raises:
        SjepaError: fewer than two files, no scores, other test clips, or another protocol,
            method, preset or metric.
    """
    sources = [load_predictions(str(path)) for path in paths]
    if len(sources) < 2:
        raise SjepaError("parameter scores: expected two files RUN/scores/ID.npz or more, "
                         f"found {len(sources)}")
    first, plain = sources[0], []
    for path, other in zip(paths, sources, strict=True):
        if not (np.array_equal(first.names, other.names)
                and np.array_equal(first.wanted, other.wanted)):
            raise SjepaError(f"{path} scores other test clips than {paths[0]}: "
                             "fuse runs that were evaluated on the same split")
        if other.scores is None:
            raise SjepaError(f"{path} holds no class scores, which fusion needs: take those of a "
                             "linear probe or a fine-tuning after its last epoch")
        metric = other.record["metric"].replace(f"-{_stream(other.record['metric'])}", "")
        plain.append(other.record | {"metric": metric})
        for name in ("protocol", "method", "preset", "metric"):
            if plain[-1][name] != plain[0][name]:
                raise SjepaError(f"{path} has {name} {plain[-1][name]}, {paths[0]} has "
                                 f"{plain[0][name]}: fuse runs that differ in their stream alone")
    return sources


def late_fusion(config: FuseConfig, command: str = "") -> list[dict]:
    """Fuse the class scores of evaluated runs, one a stream, and write the records.

    Raises:
        SjepaError: the files or the weights do not fit together.
    """
    sources = fusible(config.scores)
    first = sources[0]
    predicted = fuse([s.scores for s in sources], config.weights).argmax(1)
    streams = [_stream(s.record["metric"]) for s in sources]
    metric = "-".join((first.record["metric"].replace(f"-{streams[0]}", ""), "fused", *streams,
                       *(f"{w:g}" for w in config.weights)))
    ids = ", ".join(s.record["id"] for s in sources)
    records = []
    for part, mask in first.parts.items():
        value, interval = summary((predicted == first.wanted)[None, mask])
        named = (first.record[name] for name in ("protocol", "method", "preset"))
        record = first.record | {
            "id": record_id(part, *named, metric, *first.seeds), "split": part, "metric": metric,
            "value": value, "interval": interval, "paper": None,
            "hours": round(sum(s.record["hours"] for s in sources), 4),
            "peak_bytes": max(s.record["peak_bytes"] for s in sources),
            "command": command, "note": f"late fusion of {ids}",
        }
        publish(record, config.results)
        records.append(record)
    return records
