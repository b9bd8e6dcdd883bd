"""Settings of a notebook: read from its parameters cell, and the line that repeats the run."""

from dataclasses import fields

from sjepa.config import make_config


def notebook_params(cls, variables: dict):
    """The configuration, of class `cls`, that a notebook's parameters cell (and papermill) set.

    `variables` is the notebook's `globals()`, read before anything else is defined. Papermill lets
    unknown parameters pass with a message; here they are refused.
    """
    ours = {"In", "Out", "exit", "quit", "open", "get_ipython"}
    plain = (bool, int, float, str, list, tuple, dict, type(None))
    return make_config(cls, {
        name: value for name, value in variables.items()
        if not name.startswith("_") and name not in ours and isinstance(value, plain)})


def papermill_command(notebook: str, config) -> str:
    """The papermill line that repeats a run: every parameter that is not its class's default."""
    default, named = type(config)(), ""
    for name in (field.name for field in fields(config)):
        value = getattr(config, name)
        if isinstance(value, tuple) and value != getattr(default, name):  # -p takes one value
            named += f' -y "{name}: {list(value)}"'
        elif value != getattr(default, name):
            named += f" -p {name} {value}"
    return f"papermill notebooks/full/{notebook}.ipynb runs/{notebook}.ipynb{named}"
