"""The choices of preparing, by name: where published pipelines differ, and how a store is kept."""

from __future__ import annotations

from dataclasses import dataclass

from sjepa.config import setting
from sjepa.errors import SjepaError


@dataclass(frozen=True)
class PrepareConfig:
    """Settings of `python -m sjepa.prepare`; each is a flag of the command line."""

    dtype: str = setting(
        "float32", "ours", "int16 halves a store; each position then errs by at most half a step"
    )
    second_body: str = setting(
        "lineage", "lineage",
        "of NTU clips with one person: lineage leaves it absent on NTU60 and copies the first body "
        "on NTU120, as MAMP and CTR-GCN do; absent or copied do the same on both"
    )
    pku_slice: str = setting(
        "exclusive", "lineage", "MAMP takes PKU-MMD's rows [start, end); inclusive adds row end"
    )
    pku2_labels: str = setting(
        "original", "lineage",
        "MAMP keeps the 51 class ids in phase II, ten of them empty; dense renumbers the 41"
    )


@dataclass(frozen=True)
class PrepareRun(PrepareConfig):
    """One run of preparing: which set, from where, to where."""

    name: str = setting("synthetic", "ours", "a data set")
    raw: str = setting(".", "ours", "folder of the owners' files, or one npz")
    out: str = setting(
        "", "ours", "folder of stores; empty: take the store that is there, or make one of what "
        "lies in $SJEPA_DATA"
    )
    workers: int | None = setting(None, "ours", "processes that read; empty: one a core")


CHOICES = {
    "dtype": ("float32", "int16"), "second_body": ("lineage", "absent", "copied"),
    "pku_slice": ("exclusive", "inclusive"), "pku2_labels": ("original", "dense"),
}


def check_options(options: PrepareConfig) -> PrepareConfig:
    """`options` again.

    Raises:
        SjepaError: a value that is none of the choices.
    """
    for name, choices in CHOICES.items():
        value = getattr(options, name)
        if value not in choices:
            raise SjepaError(f"{name} = {value!r}: expected one of {', '.join(choices)}")
    return options
