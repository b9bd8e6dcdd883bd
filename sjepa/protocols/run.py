"""Evaluation of a pretrained encoder: run a protocol and leave one result in the run's folder."""

import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from sjepa.checkpoint import read_result, write_result
from sjepa.config import command_line, command_params, make_config
from sjepa.datasets import load_store
from sjepa.datasets.splits import leaked_between, split
from sjepa.device import computing, describe, peak_bytes, pick_precision
from sjepa.errors import Parser, SjepaError
from sjepa.files import make_writable
from sjepa.protocols.config import CONFIGS, EvaluateConfig, FuseConfig
from sjepa.protocols.context import Context, Reading, set_up
from sjepa.protocols.finetune import run_finetune, run_semi, run_transfer
from sjepa.protocols.fusion import late_fusion, predictions_of, save_predictions, stated
from sjepa.protocols.knn import run_knn, run_retrieval
from sjepa.protocols.linear import run_linear
from sjepa.protocols.metrics import share

PROTOCOLS = {
    "linear": run_linear, "knn": run_knn, "retrieval": run_retrieval,
    "finetune": run_finetune, "semi": run_semi, "transfer": run_transfer,
}


def seen_before(context: Context) -> str:
    """How many test clips an encoder from another data set met in its pretraining, as a note."""
    origin = context.pretraining
    if not context.trained or origin["dataset"] == context.config.dataset:
        return ""  # copies within a set are reported apart
    try:
        store = load_store(origin["dataset"])
        train, _ = split(origin["split"], store)
    except SjepaError:
        return f"not checked against the clips of {origin['split']}, whose store is not at hand"
    copies = int(leaked_between(store, train, context.store, context.test).sum())
    return f"{copies} of {len(context.test)} test clips are copies of clips of {origin['split']}"


def coarse_readings(context: Context, readings: dict[str, Reading]) -> dict[str, Reading]:
    """The same predictions judged by a data set's coarse classes; of a set without them none."""
    coarse, labels = np.array(context.coarse), context.test_labels.numpy()
    return {f"{metric}-coarse": Reading(coarse[one.predicted] == coarse[labels])
            for metric, one in readings.items() if len(coarse) and one.predicted is not None}


def facts_of(context: Context) -> dict:
    """What a result states besides settings and readings."""
    config, run, sides = context.config, context.run, (context.train, context.test, context.store)
    behind = run and {"run": run["run"], "settings": run["settings"],
                      "stage": run["stages"]["pretrain"] if context.trained else None}
    return {
        "dataset": config.dataset, "split": config.split, "method": context.method,
        "preset": context.pretraining.get("preset", "none"), "pretraining": behind,
        "seed": context.pretraining["seed"] if context.trained else config.seed,
        "clips": dict(zip(("train", "test", "store"), map(len, sides), strict=True)),
    }


def claim(folder: Path, step: str, settings: dict, pretraining: dict | None = None) -> None:
    """Refuse at the start of a run a folder that its result cannot be written into at the end.

    Raises:
        SjepaError: the folder cannot be written, or holds the result of another run.
    """
    if (folder / "result.json").is_file():
        old = stated(read_result(folder))
        new = stated({"step": step, "settings": settings, "pretraining": pretraining})
        if other := [name for name in old | new if old.get(name) != new.get(name)]:
            raise SjepaError(f"{folder} holds the result of a run with {other[0]} = "
                             f"{old.get(other[0])}, not {new.get(other[0])}: choose another out, "
                             "or delete the folder")
    make_writable(folder)


def evaluate(protocol: str, config: EvaluateConfig | FuseConfig) -> dict:
    """Run a protocol and leave `result.json` and the predictions behind it in `config.folder`.

    What can be known to fail at the end is refused at the start.

    Returns:
        The result; its readings have the main one first.

    Raises:
        SjepaError: no such run, store or split; the folder cannot be written, or holds the result
            of other settings.
    """
    begun, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    if protocol == "fuse":
        facts, settings, clips, result = late_fusion(config)
        claim(config.folder, protocol, settings)
        device = torch.device("cpu")
    else:
        context = set_up(config)
        device, facts, clips = context.device, facts_of(context), predictions_of(context)
        settings = asdict(config) | {"precision": pick_precision(config.precision, device)}
        claim(config.folder, protocol, settings, facts["pretraining"])
        seen = seen_before(context)
        if device.type == "cuda":  # the peak is this stage's own, whatever ran here before
            torch.cuda.reset_peak_memory_stats(device)
        with computing(device):
            result = PROTOCOLS[protocol](context)
        result.readings |= coarse_readings(context, result.readings)
        facts["note"] = "; ".join(filter(None, (context.store.meta["note"], result.note, seen)))
    stage = {"seconds": round(time.perf_counter() - begun + result.seconds, 2),
             "device": describe(device),
             "peak_bytes": max(peak_bytes(device) or 0, result.peak_bytes) or None}
    named = {"protocol": protocol} | {key: facts[key] for key in ("method", "preset", "seed")}
    readings = [{"split": part, **named, "metric": metric}
                | share(reading.right[:, mask], clips.subjects[mask])
                for part, mask in zip(clips.parts.tolist(), clips.masks, strict=True)
                for metric, reading in result.readings.items()]
    save_predictions(clips, result, config.folder / "scores")
    write_result(config.folder, protocol, settings, {"evaluate": stage}, readings, **facts,
                 started=started)
    for row in readings:
        print(f"{row['split']} {protocol} {row['metric']} {row['method']}: {row['value']:.1f} % "
              f"[{row['low']:.1f}, {row['high']:.1f}]", flush=True)
    return read_result(config.folder)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    argv = sys.argv[1:] if argv is None else argv
    parser = Parser("python -m sjepa.evaluate", description=__doc__)
    parser.add_argument("protocol", choices=list(CONFIGS), help="its --help lists its settings")
    protocol = parser.parse_args(argv[:1]).protocol
    settings = CONFIGS[protocol]
    parser = command_line(f"python -m sjepa.evaluate {protocol}", settings.__doc__, settings)
    config = make_config(settings, command_params(parser.parse_args(argv[1:])))
    evaluate(protocol, config)
