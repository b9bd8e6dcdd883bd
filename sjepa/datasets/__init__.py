"""Data sets: from the owners' files, or from arrays, to one kind of store for all of them."""

from importlib import import_module

_HOME = {
    "load_store": "build", "prepare_store": "build", "open_store": "store",
    "write_store": "store", "split": "splits", "spec": "specs", "known": "specs",
    "names": "specs", "titles": "specs",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    """The names above when they are first asked for: readers load only where they are used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
