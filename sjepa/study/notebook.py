"""Settings of a notebook: read from its parameters cell, and the line that repeats the run."""

from __future__ import annotations

from dataclasses import fields

from sjepa.config import make_config


def notebook_params(cls, variables: dict):
    """The configuration that a notebook's parameters cell (and papermill) set.

    Papermill lets unknown parameters pass with a message; here they are refused.

    Args:
        cls: the configuration's class.
        variables: the notebook's `globals()`, read before anything else is defined.
    """
    ours = {"In", "Out", "exit", "quit", "open", "get_ipython"}
    plain = (bool, int, float, str, list, tuple, dict, type(None))
    return make_config(cls, {
        name: value for name, value in variables.items()
        if not name.startswith("_") and name not in ours and isinstance(value, plain)
    })


def papermill_command(notebook: str, config) -> str:
    """The papermill line that repeats a run: every parameter that is not its class's default."""
    default, named = type(config)(), ""
    for f in fields(config):
        value = getattr(config, f.name)
        if value != getattr(default, f.name) and f.name != "results":
            several = isinstance(value, tuple)  # -p takes one value
            named += f' -y "{f.name}: {list(value)}"' if several else f" -p {f.name} {value}"
    return f"papermill notebooks/full/{notebook}.ipynb runs/{notebook}.ipynb{named}"
