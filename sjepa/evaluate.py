"""Evaluation of a pretrained encoder: `python -m sjepa.evaluate PROTOCOL --params FILE`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from sjepa.config import RUNS, load_params, make_config
from sjepa.datasets import load_store
from sjepa.datasets.sources.kindergator import COARSE_OF_CLASS
from sjepa.datasets.splits import leaked_between, reported_parts, split
from sjepa.device import describe, peak_bytes
from sjepa.errors import SjepaError, main_with_errors
from sjepa.protocols.config import CONFIGS, EvaluateConfig
from sjepa.protocols.context import Bench, Reading, Result
from sjepa.protocols.frozen import run_knn, run_linear, run_retrieval
from sjepa.protocols.fusion import late_fusion
from sjepa.protocols.scores import Predictions, save_predictions
from sjepa.protocols.tuned import run_finetune, run_semi, run_transfer
from sjepa.study.records import paper_value, publish, record_id, summary

PROTOCOLS = {
    "linear": run_linear, "knn": run_knn, "retrieval": run_retrieval,
    "finetune": run_finetune, "semi": run_semi, "transfer": run_transfer,
}


def variant(bench: Bench) -> str:
    """What sets a row apart from the plain one, as metrics end with it: stream, origin, ablation.

    An encoder that was pretrained on another split than it is judged on says so, in whatever
    protocol: rows of transfer must not pass for rows of the set's own encoder.
    """
    named = "" if bench.stream == "joint" else f"-{bench.stream}"
    if bench.config.method != "sjepa":
        return named
    if bench.pretraining.split != bench.config.split:
        named += f"-from-{bench.pretraining.split.replace('/', '-')}"
    return named + (f"-{bench.pretraining.variant}" if bench.pretraining.variant else "")


def seen_before(bench: Bench) -> str:
    """Which test clips an encoder from another data set met in its pretraining, for the record.

    Empty where the encoder is untrained or of the same set, whose copies are reported apart.
    """
    origin = bench.pretraining
    if bench.config.method != "sjepa" or origin.dataset == bench.config.dataset:
        return ""
    try:
        store = load_store(origin.dataset)
    except SjepaError:
        return f"not checked against the clips of {origin.split}, whose store is not at hand"
    copies = int(leaked_between(store, split(origin.split, store)[0], bench.store,
                                bench.test).sum())
    return f"{copies} of {len(bench.test)} test clips are copies of clips of {origin.split}"


def coarse_readings(bench: Bench, readings: dict[str, Reading]) -> dict[str, Reading]:
    """The same predictions judged by Kinder-Gator's 42 coarse classes; of other sets none.

    They merge the classes that differ by side or effort alone, which a subject chose freely.
    """
    if bench.config.dataset != "kindergator":
        return {}
    coarse = np.array(COARSE_OF_CLASS)
    wanted = coarse[bench.wanted.numpy()]
    return {f"{metric}-coarse": Reading(coarse[seen.predicted] == wanted)
            for metric, seen in readings.items() if seen.predicted is not None}


def make_record(protocol: str, bench: Bench, result: Result, part: str, metric: str,
                right: np.ndarray, common: dict) -> dict:
    """The record of one metric on one part of the test clips."""
    config, pretraining = bench.config, bench.pretraining
    trained = config.method == "sjepa"
    preset = "none" if config.method == "classical" else pretraining.preset
    full = metric + variant(bench)
    value, interval = summary(right)
    notes = [bench.store.meta["note"], result.note]
    if bench.stream != "joint":
        notes.append(f"{bench.stream} stream")
    if "-from-" in full:
        notes.append(f"from {pretraining.split}")
    origin = bench.facts.get("device", "")  # of a CPU with its threads, which are no other machine
    if trained and origin and origin.partition(",")[0] != common["device"].partition(",")[0]:
        notes.append(f"pretrained on {origin}")
    if len(right) > 1:
        each = ", ".join(f"{v:.2f}" for v in right.mean(1) * 100)
        notes.append(f"interval: mean ± one standard deviation over {len(right)} seeds ({each})")
    seeds = [pretraining.seed] if trained and protocol != "semi" else result.seeds
    return {
        "id": record_id(part, protocol, bench.method, preset, full, bench.encoder_seed,
                        config.seed),
        "dataset": config.dataset, "split": part, "protocol": protocol, "method": bench.method,
        "metric": full, "value": value, "interval": interval, "seeds": seeds,
        "paper": paper_value(protocol, part, full) if trained else None,
        "preset": preset, "epochs": pretraining.epochs if trained else 0,
        "note": "; ".join(n for n in notes if n),
    } | common


def evaluate(protocol: str, config: EvaluateConfig, command: str = "") -> list[dict]:
    """Run a protocol and write one record for each metric and each reported part of the test clips.

    The predictions behind them go to `RUN/scores/ID.npz`, one file a metric and seed.

    Args:
        protocol: a name in `PROTOCOLS`.
        config: its settings.
        command: the line that repeats the run, for the records.

    Returns:
        The records, the main one first.
    """
    begun = time.perf_counter()
    bench, result = PROTOCOLS[protocol](config)
    result.readings |= coarse_readings(bench, result.readings)
    result.note = "; ".join(filter(None, (result.note, seen_before(bench))))
    hours = (time.perf_counter() - begun) / 3600 + result.hours
    common = {
        "device": describe(bench.device), "hours": round(hours + bench.facts["hours"], 4),
        "peak_bytes": max(peak_bytes(bench.device), result.peak_bytes, bench.facts["peak_bytes"]),
        "command": command,
    }
    parts = reported_parts(config.split, bench.store, bench.train, bench.test)
    records = []
    for part, mask in parts.items():
        for metric, seen in result.readings.items():
            record = make_record(protocol, bench, result, part, metric, seen.right[:, mask], common)
            publish(record, config.results)
            records.append(record)
            if part == config.split and seen.predicted is not None:
                _keep(bench, result, seen, parts, record)
    return records


def _keep(bench: Bench, result: Result, seen: Reading, parts: dict, record: dict) -> None:
    """Save the predictions of a metric, a file a seed."""
    for row, seed in enumerate(result.seeds):
        name, facts = record["id"], record
        if len(result.seeds) > 1:
            name, facts = f"{name}-seed-{seed}", record | {"seeds": [seed]}
        save_predictions(Predictions(
            bench.store.names[bench.test], bench.wanted.numpy(), seen.predicted[row],
            None if seen.scores is None else seen.scores[row], bench.store.classes, parts,
            (bench.encoder_seed, seed), facts,
        ), Path(bench.config.run or RUNS) / "scores" / f"{name}.npz")


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sjepa.evaluate", description=__doc__)
    parser.add_argument("protocol", choices=[*PROTOCOLS, "fuse"])
    parser.add_argument("--params", required=True, help="YAML file of parameters")
    args = parser.parse_args(argv)
    config = make_config(CONFIGS[args.protocol], load_params(args.params))
    command = f"python -m sjepa.evaluate {args.protocol} --params {args.params}"
    if args.protocol == "fuse":
        late_fusion(config, command)
    else:
        evaluate(args.protocol, config, command)


if __name__ == "__main__":
    main_with_errors(main)
