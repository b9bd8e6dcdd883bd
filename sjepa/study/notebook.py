"""Settings of a notebook: read from its parameters cell."""

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
