"""How a setting is declared: its default, where that comes from, and what it may be.

`source` says how far a default can be trusted: `authors` (their page), `readers` (people who read
the PDF and cite its sections), `lineage` (MAMP's code, which the method follows), `guess` (nobody
says; the Deviations page lists these), `ours` (this project's machinery).
"""

from __future__ import annotations

import math
from dataclasses import field

from .errors import SjepaError

_POSITIVE = (
    "epochs", "batch_size", "dim", "depth", "heads", "frames", "segment", "accumulate", "hidden",
    "subsets", "test_every", "checkpoint_every",
)
_RATES = ("drop_path", "dropout", "label_smoothing")  # from 0, below 1
_SHARES = ("share", "layer_decay")  # above 0, to 1


def setting(default, source: str, why: str):
    """A field that carries its provenance (see the module's docstring) and its reason."""
    return field(default=default, metadata={"source": source, "why": why})


def written(value) -> str:
    """A setting's value, as pages show it."""
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def checked(config):
    """The configuration `config` itself.

    Raises:
        SjepaError: a value outside its range.
    """
    for name in _POSITIVE:
        if getattr(config, name, 1) < 1:
            raise SjepaError(f"parameter {name} = {getattr(config, name)}: expected at least 1")
    if not 0 < getattr(config, "mask_ratio", 0.5) < 1:
        raise SjepaError(f"parameter mask_ratio = {config.mask_ratio}: expected between 0 and 1")
    for name in _RATES:
        if not 0 <= getattr(config, name, 0) < 1:
            raise SjepaError(f"parameter {name} = {getattr(config, name)}: expected 0 or more, "
                             "below 1")
    for name in _SHARES:
        if not 0 < getattr(config, name, 1) <= 1:
            raise SjepaError(f"parameter {name} = {getattr(config, name)}: expected above 0, "
                             "at most 1")
    if any(type(k) is not int or k < 1 for k in getattr(config, "ks", ())):
        raise SjepaError(f"parameter ks = {list(config.ks)}: expected whole numbers from 1")
    if hasattr(config, "more_lrs"):
        _check_more_lrs(config.more_lrs, config.lr)
    if hasattr(config, "METHODS") and config.method not in config.METHODS:
        known = " or ".join(config.METHODS)
        raise SjepaError(f"parameter method = {config.method!r}: expected {known}")
    return config


def _check_more_lrs(more: tuple, lr: float) -> None:
    if not all(type(rate) is float and 0 < rate < math.inf for rate in more):
        raise SjepaError(f"parameter more_lrs = {list(more)}: expected numbers above 0")
    if len({f"{rate:g}" for rate in (*more, lr)}) <= len(more):  # as their metrics are named
        raise SjepaError(f"parameter more_lrs = {list(more)}: expected each once, and lr = {lr:g} "
                         "not among them")
