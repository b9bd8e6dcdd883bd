"""One JSON a result: the only numbers that the book's prose may show."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path

import numpy as np

from sjepa.checkpoint import save_atomically
from sjepa.config import RESULTS, ROOT
from sjepa.errors import SjepaError

FIELDS = {
    "id": str, "dataset": str, "split": str, "protocol": str, "method": str, "metric": str,
    "value": (float, type(None)), "interval": (list, type(None)), "seeds": list,
    "paper": (float, type(None)), "preset": str, "epochs": int, "device": str, "hours": float,
    "peak_bytes": int, "commit": str, "versions": dict, "command": str, "note": str,
}

#: The paper's own figures, joint stream, top-1 %. The protocol's name carries what sets a row
#: apart, as the metric of its record does (`paper_value`).
PAPER = {
    # Authors' project page, table 1.
    ("linear", "ntu60/xsub"): 85.3, ("linear", "ntu60/xview"): 89.8,
    ("linear", "ntu120/xsub"): 79.6, ("linear", "ntu120/xset"): 79.9,
    ("linear", "pku1/xsub"): 92.2, ("linear", "pku2/xsub"): 53.5,
    # Authors' project page, table 2.
    ("finetune", "ntu60/xsub"): 93.1, ("finetune", "ntu60/xview"): 97.6,
    ("finetune", "ntu120/xsub"): 90.3, ("finetune", "ntu120/xset"): 91.3,
    # The first is on the authors' page too; all four as GFP (ICCV 2025) quotes the paper.
    ("semi-1pct", "ntu60/xsub"): 67.5, ("semi-10pct", "ntu60/xsub"): 88.4,
    ("semi-1pct", "ntu60/xview"): 69.1, ("semi-10pct", "ntu60/xview"): 91.4,
    # Authors' page, «NTU120 to PKU-II»; that both are cross-subject is the lineage's custom.
    ("transfer-from-ntu120-xsub", "pku2/xsub"): 74.2,
}


def paper_value(protocol: str, split: str, metric: str) -> float | None:
    """The paper's figure beside a record, or None: `semi` with `top1-1pct` is `semi-1pct`."""
    if not metric.startswith("top1"):
        return None
    apart = metric.removeprefix("top1").replace("-best-epoch", "")
    return PAPER.get((protocol + apart, split))


def record_id(split: str, protocol: str, method: str, preset: str, metric: str,
              seed: int = 0, evaluation_seed: int = 0) -> str:
    """The id of a record; other seeds than 0, of pretraining and evaluation, are named."""
    parts = [*split.split("/"), protocol, method, preset]
    if seed:
        parts.append(f"seed{seed}")
    if evaluation_seed:
        parts.append(f"evalseed{evaluation_seed}")
    return "-".join(parts if metric == "top1" else [*parts, metric])


def bootstrap(right: np.ndarray, draws: int = 2000, seed: int = 0) -> list[float]:
    """95 % interval of an accuracy in percent, by resampling the test clips.

    Args:
        right: `[M]` bool, which test clips were classified rightly.
    """
    rng = np.random.default_rng(seed)
    means = rng.binomial(len(right), np.mean(right), draws) / len(right) * 100
    return [round(float(q), 2) for q in np.percentile(means, (2.5, 97.5))]


def spread(values: np.ndarray) -> tuple[float, list[float]]:
    """Mean of several seeds, and mean ± one standard deviation, cut off at 0 and 100.

    Args:
        values: `[S]` accuracies in percent, S at least 2.
    """
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    ends = (max(mean - deviation, 0.0), min(mean + deviation, 100.0))
    return round(mean, 2), [round(end, 2) for end in ends]


def summary(right: np.ndarray) -> tuple[float, list[float]]:
    """Value and interval, in percent, of the clips `[S, M]` that S seeds took rightly.

    One seed: the bootstrap interval over test clips. Several: mean ± one standard deviation.
    """
    if len(right) == 1:
        return round(float(right.mean() * 100), 2), bootstrap(right[0])
    return spread(right.mean(1) * 100)


def commit() -> str:
    """The commit that runs, with a + if the tree differs from it; `unknown` outside git."""
    try:
        named = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty=+"],
                               capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return named.stdout.strip()


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    names = ("torch", "numpy", "sjepa")
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version()} | found


def write_record(record: dict, folder: str | Path | None = None) -> Path:
    """Write a record as `folder/ID.json`, whole or not at all.

    Raises:
        SjepaError: a field is missing, unknown, or of the wrong type.
    """
    folder = Path(folder) if folder else RESULTS
    record = {"commit": commit(), "versions": versions()} | record
    _check(record, record.get("id", "a record"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record['id']}.json"
    ordered = {name: record[name] for name in FIELDS}
    save_atomically(lambda p: p.write_text(json.dumps(ordered, indent=1) + "\n"), path)
    return path


def publish(record: dict, folder: str | Path | None = None) -> None:
    """Write a record and say its value in one line."""
    write_record(record, folder)
    low, high = record["interval"]
    print(f"{record['split']} {record['protocol']} {record['metric']} {record['method']}: "
          f"{record['value']:.1f} % [{low:.1f}, {high:.1f}]", flush=True)


def _check(record: dict, where) -> None:
    if set(record) != set(FIELDS):
        wrong = sorted(set(record) ^ set(FIELDS))
        raise SjepaError(f"{where}: missing or unknown record fields: {', '.join(wrong)}")
    for name, kind in FIELDS.items():
        if not isinstance(record[name], kind):
            raise SjepaError(f"{where}: {name} = {record[name]!r} is of the wrong type")


def read_records(folder: str | Path | None = None) -> list[dict]:
    """All records of a folder, by id.

    Raises:
        SjepaError: a file that is no record.
    """
    records = []
    for path in sorted((Path(folder) if folder else RESULTS).glob("*.json")):
        if path.name.startswith("bench-"):
            continue  # benchmarks have fields of their own
        try:
            record = json.loads(path.read_text())
        except ValueError as error:
            raise SjepaError(f"{path} is not JSON: run its command again") from error
        _check(record, path)
        records.append(record)
    return records
