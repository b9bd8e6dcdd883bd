"""How a setting is declared: its default, and where that comes from.

`source` says how far a default can be trusted: `authors` (their page), `readers` (people who read
the PDF and cite its sections), `lineage` (MAMP's code, which the method follows), `guess` (nobody
says; the Deviations page lists these), `ours` (this project's machinery).
"""

from __future__ import annotations

from dataclasses import field


def setting(default, source: str, why: str):
    """A field that carries its provenance (see the module's docstring) and its reason."""
    return field(default=default, metadata={"source": source, "why": why})
