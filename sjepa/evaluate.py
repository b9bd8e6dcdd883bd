"""Evaluation of a pretrained encoder: `python -m sjepa.evaluate PROTOCOL --params FILE`."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import torch

from .command import main_with_errors
from .config import CONFIGS, EvaluateConfig, KnnConfig, LinearConfig, load_params, make_config
from .datasets import load_store
from .datasets.splits import reported_parts, split
from .datasets.store import Store
from .device import describe, peak_bytes, pick_device, pick_precision
from .errors import SjepaError
from .protocols.features import extract, load_encoder, random_encoder
from .protocols.knn import knn
from .protocols.linear import linear_probe
from .records import PAPER, bootstrap, write_record


@dataclass
class Bench:
    """All that a protocol needs at hand: encoder, clips on the device, split, labels."""

    config: EvaluateConfig
    store: Store
    encoder: torch.nn.Module
    facts: dict
    train: np.ndarray
    test: np.ndarray

    def __post_init__(self):
        self.device = pick_device(self.config.device)
        self.dtype = pick_precision(self.config.precision, self.device)
        self.encoder.to(self.device)
        self.data = self.store.to(self.device)
        self.labels = torch.from_numpy(self.store.labels.astype(np.int64))
        self.classes = len(self.store.classes)

    def features(self, index: np.ndarray, rotation: float | None = None, generator=None):
        """Features `[N, D]` of clips, at test time or (with a rotation) augmented."""
        return extract(self.encoder, self.data, index, crop=self.config.test_crop,
                       rotation=rotation, generator=generator, dtype=self.dtype)


def set_up(config: EvaluateConfig) -> Bench:
    """Open what `config` names.

    Raises:
        SjepaError: no such store, split, run or method.
    """
    if config.method not in ("sjepa", "random"):
        raise SjepaError(f"parameter method = {config.method!r}: expected sjepa or random")
    if not config.run:
        raise SjepaError("parameter run is empty: give the folder of a pretraining")
    if config.method == "random":
        encoder, facts = random_encoder(config.run, config.seed)
    else:
        encoder, facts = load_encoder(config.run)
    store = load_store(config.dataset)
    return Bench(config, store, encoder, facts, *split(config.split, store))


def run_linear(config: LinearConfig) -> dict[str, torch.Tensor]:
    """The linear probe: predictions `top1` (last epoch) and `top1-best-epoch` (chosen on test)."""
    bench = set_up(config)
    generator = torch.Generator(bench.device).manual_seed(config.seed)
    kept: dict[int, torch.Tensor] = {}

    def passes(epoch: int) -> torch.Tensor:
        key = epoch % config.passes if config.passes else epoch
        if key not in kept:
            made = bench.features(bench.train, config.base_rotation, generator)
            if not config.passes:
                return made
            kept[key] = made
        return kept[key]

    made = linear_probe(
        passes, bench.labels[bench.train], bench.features(bench.test), bench.labels[bench.test],
        bench.classes, epochs=config.epochs, lr=config.lr, batch_size=config.batch_size,
        seed=config.seed,
    )
    return bench, {"top1": made["predicted"], "top1-best-epoch": made["best"]}


def run_knn(config: KnnConfig) -> dict[str, torch.Tensor]:
    """kNN with each K: predictions `top1-k1`, …"""
    bench = set_up(config)
    train, test = bench.features(bench.train), bench.features(bench.test)
    labels = bench.labels[bench.train]
    return bench, {f"top1-k{k}": knn(train, labels, test, k, bench.classes) for k in config.ks}


PROTOCOLS = {"linear": run_linear, "knn": run_knn}


def evaluate(protocol: str, config: EvaluateConfig, command: str = "") -> list[dict]:
    """Run a protocol and write one record for each metric and each reported part of the test clips.

    Args:
        protocol: `linear` or `knn`.
        config: its settings.
        command: the line that repeats the run, for the records.

    Returns:
        The records, the main one first.
    """
    begun = time.perf_counter()
    bench, metrics = PROTOCOLS[protocol](config)
    hours = (time.perf_counter() - begun) / 3600
    wanted = bench.labels[bench.test].numpy()
    settings = bench.facts["config"]
    records = []
    for part, mask in reported_parts(config.split, bench.store, bench.train, bench.test).items():
        for metric, predicted in metrics.items():
            right = (predicted.numpy() == wanted)[mask]
            name = "-".join((*part.split("/"), protocol, config.method, settings["preset"]))
            record = {
                "id": name if metric == "top1" else f"{name}-{metric}", "dataset": config.dataset,
                "split": part, "protocol": protocol, "method": config.method, "metric": metric,
                "value": round(float(right.mean() * 100), 2), "interval": bootstrap(right),
                "seeds": [settings["seed"] if config.method == "sjepa" else config.seed],
                "paper": PAPER.get((protocol, part)), "preset": settings["preset"],
                "epochs": settings["epochs"] if config.method == "sjepa" else 0,
                "device": describe(bench.device),
                "hours": round(hours + bench.facts["hours"], 4),
                "peak_bytes": max(peak_bytes(bench.device), bench.facts["peak_bytes"]),
                "command": command, "note": bench.store.meta["note"],
            }
            write_record(record, config.results or None)
            records.append(record)
            print(f"{part} {protocol} {metric} {config.method}: {record['value']:.1f} % "
                  f"[{record['interval'][0]:.1f}, {record['interval'][1]:.1f}]", flush=True)
    return records


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sjepa.evaluate", description=__doc__)
    parser.add_argument("protocol", choices=sorted(PROTOCOLS))
    parser.add_argument("--params", required=True, help="YAML file of parameters")
    args = parser.parse_args(argv)
    config = make_config(CONFIGS[args.protocol], load_params(args.params))
    command = f"python -m sjepa.evaluate {args.protocol} --params {args.params}"
    evaluate(args.protocol, config, command)


if __name__ == "__main__":
    main_with_errors(main)
