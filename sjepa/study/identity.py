"""Whether a run is the experiment that it is named after: by its settings, and by its code."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from pathlib import Path

from sjepa.checkpoint import what_counts
from sjepa.config import as_dict
from sjepa.study.experiments import Experiment, config_of, experiments

#: Behind every pretraining and evaluation on the built-in data.
ENTRIES = ("sjepa.pretrain", "sjepa.evaluate", "sjepa.synthetic", "sjepa.datasets.store",
           "sjepa.datasets.splits")
#: Imported from there, and of no effect on their numbers.
APART = ("sjepa.study", "sjepa.show", "sjepa.datasets.sources", "sjepa.datasets.formats")


@functools.cache
def code_behind(entries: tuple[str, ...] = ENTRIES) -> tuple[str, tuple[Path, ...]]:
    """The code that modules import, themselves included, but for what is `APART`.

    Args:
        entries: names of modules of this package.

    Returns:
        A hash of it without comments and docstrings, and the files.
    """
    home, waiting, found = Path(__file__).parents[2], list(entries), {}
    while waiting:
        stem = home.joinpath(*waiting.pop().split("."))
        path = stem / "__init__.py" if stem.is_dir() else stem.with_name(f"{stem.name}.py")
        if path in found or not path.is_file():
            continue
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
                waiting += [name for name in names
                            if name.startswith("sjepa") and not name.startswith(APART)]
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                node.body = node.body[ast.get_docstring(node) is not None:]
        found[path] = ast.dump(tree)
    text = "\n".join(found[path] for path in sorted(found))
    return hashlib.sha256(text.encode()).hexdigest(), tuple(sorted(found))


def other_settings(row: Experiment, result: dict) -> dict[str, tuple]:
    """Where a run is not the experiment: settings that count, each as it ran and as planned.

    Args:
        row: what is planned; `auto` of it may come out as anything.
        result: with `settings`, and in `pretraining` those of the run behind an evaluation.
    """
    planned = json.loads(json.dumps(what_counts(as_dict(config_of(row.name)))))
    found = json.loads(json.dumps(result["settings"]))
    other = {name: (found.get(name), value) for name, value in planned.items()
             if value not in ("auto", found.get(name))}
    if result.get("pretraining"):
        before = experiments(row.name)[row.after[0]]
        behind = other_settings(before, result["pretraining"])
        other |= {f"{name} of the pretraining": pair for name, pair in behind.items()}
    return other
