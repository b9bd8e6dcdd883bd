"""One JSON a result: the only numbers that the book's prose may show."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path

import numpy as np

from .checkpoint import save_atomically
from .errors import SjepaError
from .paths import RESULTS, ROOT

FIELDS = {
    "id": str, "dataset": str, "split": str, "protocol": str, "method": str, "metric": str,
    "value": (float, type(None)), "interval": (list, type(None)), "seeds": list,
    "paper": (float, type(None)), "preset": str, "epochs": int, "device": str, "hours": float,
    "peak_bytes": int, "commit": str, "versions": dict, "command": str, "note": str,
}

#: The paper's own figures (authors' project page, tables 1 and 2; joint stream, top-1 %).
PAPER = {
    ("linear", "ntu60/xsub"): 85.3, ("linear", "ntu60/xview"): 89.8,
    ("linear", "ntu120/xsub"): 79.6, ("linear", "ntu120/xset"): 79.9,
    ("linear", "pku1/xsub"): 92.2, ("linear", "pku2/xsub"): 53.5,
    ("finetune", "ntu60/xsub"): 93.1, ("finetune", "ntu60/xview"): 97.6,
    ("finetune", "ntu120/xsub"): 90.3, ("finetune", "ntu120/xset"): 91.3,
}


def bootstrap(right: np.ndarray, draws: int = 2000, seed: int = 0) -> list[float]:
    """95 % interval of an accuracy in percent, by resampling the test clips.

    Args:
        right: `[M]` bool, which test clips were classified rightly.
    """
    rng = np.random.default_rng(seed)
    means = rng.binomial(len(right), np.mean(right), draws) / len(right) * 100
    return [round(float(q), 2) for q in np.percentile(means, (2.5, 97.5))]


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
