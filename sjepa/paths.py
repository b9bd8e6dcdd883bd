"""Where things lie: the project's root, the data folder, the records."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "book" / "results"
RUNS = ROOT / "runs"


def data_dir() -> Path:
    """The folder that holds stores and open data: `$SJEPA_DATA`, else `data/` of the project."""
    return Path(os.environ.get("SJEPA_DATA") or ROOT / "data").expanduser()
