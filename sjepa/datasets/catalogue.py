"""Which data sets there are, where their stores lie, and how each store is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import SjepaError
from ..paths import ROOT, data_dir
from . import converted, synthetic
from .lineage import center_on_spine
from .store import Store, StoreWriter, open_store


@dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
        fill: `fill(writer, raw)` adds its clips to a `StoreWriter`.
        classes: `classes(raw)` names them.
        found: `found(raw)` is True if `raw` holds the set's files.
        needs: what `raw` must hold, in words.
    """

    fill: Callable[[StoreWriter, Path], None]
    classes: Callable[[Path], list[str]]
    found: Callable[[Path], bool]
    needs: str


def _built_in() -> Source:
    def fill(writer: StoreWriter, raw: Path) -> None:
        for info, clip in synthetic.iterate_clips(reps=1):
            writer.add(center_on_spine(clip), label=info.action, name=info.name,
                       subject=info.subject, view=info.view, rep=info.rep)

    return Source(fill, lambda raw: list(synthetic.ACTIONS), lambda raw: True, "nothing")


def _from_npz(file: str) -> Source:
    return Source(
        lambda writer, raw: converted.fill(writer, raw / file),
        lambda raw: converted.classes(raw / file),
        lambda raw: (raw / file).is_file(),
        file,
    )


SOURCES = {
    "synthetic": _built_in(),
    "nwucla": _from_npz("nwucla.npz"),
    "kindergator": _from_npz("kindergator_int16.npz"),
    "hdm05": _from_npz("hdm05_11.npz"),
    "bandai": _from_npz("bandai_int16.npz"),
}


def prepare_store(name: str, raw: str | Path, out: str | Path) -> Path:
    """Make the store of data set `name` from the files in `raw`, at `out/name`.

    Raises:
        SjepaError: unknown data set, or `raw` lacks its files; nothing is then written.
    """
    if name not in SOURCES:
        raise SjepaError(f"unknown data set {name!r}: known are {', '.join(SOURCES)}")
    source, raw, path = SOURCES[name], Path(raw), Path(out) / name
    if not source.found(raw):
        raise SjepaError(f"{raw} does not hold {source.needs}, which {name} is made from: "
                         "see the book's page «Data and licences»")
    note = "procedurally generated, no human data" if name == "synthetic" else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    with StoreWriter(path, name, source.classes(raw), note) as writer:
        source.fill(writer, raw)
    return path


def load_store(name: str) -> Store:
    """Open the store of `name`: in `$SJEPA_DATA`, or in `data/` of the project.

    What can be made at once is made at once: the built-in set, and a store of any set whose files
    lie in `$SJEPA_DATA`.

    Raises:
        SjepaError: unknown name, or there is neither a store nor files to make one from.
    """
    if name not in SOURCES:
        raise SjepaError(f"unknown data set {name!r}: known are {', '.join(SOURCES)}")
    home = data_dir()
    for folder in (home, ROOT / "data"):
        if (folder / name / "store.json").is_file():
            return open_store(folder / name)
    if not SOURCES[name].found(home):
        raise SjepaError(
            f"no store of {name} in {home}: set SJEPA_DATA to the folder that holds it, or make "
            f"it with `python -m sjepa.prepare {name} --raw DIR --out {home}`"
        )
    # Into the project's own folder: the one that holds the owners' files may be shared.
    print(f"making the store of {name} in {ROOT / 'data'}", flush=True)
    return open_store(prepare_store(name, home, ROOT / "data"))
