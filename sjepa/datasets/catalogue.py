"""Which data sets there are, where their stores lie, and how each store is made."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import SjepaError
from ..paths import ROOT, data_dir
from . import camera, converted, mannequin, motions, ntu_clips, nwucla, synthetic
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
        recipe: changes when a store made before is out of date; only the built-in set has one.
    """

    fill: Callable[[StoreWriter, Path], None]
    classes: Callable[[Path], list[str]]
    found: Callable[[Path], bool]
    needs: str
    recipe: str = ""


def _built_in() -> Source:
    def fill(writer: StoreWriter, raw: Path) -> None:
        for info, clip in synthetic.iterate_clips(reps=1):
            writer.add(center_on_spine(clip), label=info.action, name=info.name,
                       subject=info.subject, view=info.view, rep=info.rep)

    code = b"".join(Path(m.__file__).read_bytes() for m in (synthetic, motions, mannequin, camera))
    recipe = hashlib.sha256(code).hexdigest()[:16]
    return Source(fill, lambda raw: list(synthetic.ACTIONS), lambda raw: True, "nothing", recipe)


def _ntu(name: str) -> Source:
    return Source(
        lambda writer, raw: ntu_clips.fill(name, writer, raw),
        lambda raw: ntu_clips.classes(name),
        lambda raw: any(raw.rglob("*.skeleton")),
        "the owners' .skeleton files",
    )


def _npz(file: str) -> Source:
    return Source(
        lambda writer, raw: converted.fill(writer, raw / file),
        lambda raw: converted.classes(raw / file),
        lambda raw: (raw / file).is_file(),
        file,
    )


def _nwucla() -> Source:
    """The JSON release, or its conversion to one npz."""
    npz = _npz("nwucla.npz")
    return Source(
        lambda writer, raw: (npz if npz.found(raw) else nwucla).fill(writer, raw),
        lambda raw: list(nwucla.CLASSES),
        lambda raw: npz.found(raw) or bool(nwucla.files(raw)),
        "the JSON clips aAA_sSS_eEE_vVV.json or nwucla.npz",
    )


SOURCES = {
    "synthetic": _built_in(),
    "ntu60": _ntu("ntu60"),
    "ntu120": _ntu("ntu120"),
    "nwucla": _nwucla(),
    "kindergator": _npz("kindergator_int16.npz"),
    "hdm05": _npz("hdm05_11.npz"),
    "bandai": _npz("bandai_int16.npz"),
}


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise SjepaError(f"unknown data set {name!r}: known are {', '.join(SOURCES)}")
    return SOURCES[name]


def prepare_store(name: str, raw: str | Path, out: str | Path) -> Path:
    """Make the store of data set `name` from the files in `raw`, at `out/name`.

    Raises:
        SjepaError: unknown data set, or `raw` lacks its files; nothing is then written.
    """
    source, raw, path = _source(name), Path(raw), Path(out) / name
    if not source.found(raw):
        raise SjepaError(f"{raw} does not hold {source.needs}, which {name} is made from: "
                         "see the book's page «Data and licences»")
    note = "procedurally generated, no human data" if name == "synthetic" else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    with StoreWriter(path, name, source.classes(raw), note, source.recipe) as writer:
        source.fill(writer, raw)
    return path


def load_store(name: str) -> Store:
    """Open the store of `name`: in `$SJEPA_DATA`, or in `data/` of the project.

    What can be made at once is made at once: the built-in set, and a store of any open set whose
    files lie in `$SJEPA_DATA`.

    Raises:
        SjepaError: unknown name, or there is neither a store nor files to make one from.
    """
    source, home = _source(name), data_dir()
    for folder in (home, ROOT / "data"):
        if (folder / name / "store.json").is_file():
            store = open_store(folder / name)
            if store.meta.get("recipe", "") == source.recipe:
                return store
    if not source.found(home):
        raise SjepaError(
            f"no store of {name} in {home}: set SJEPA_DATA to the folder that holds it, or make "
            f"it with `python -m sjepa.prepare {name} --raw DIR --out {home}`"
        )
    # Into the project's own folder: the one that holds the owners' files may be shared. On
    # stderr, because the book shows what a chapter prints and a path is not worth showing.
    print(f"making the store of {name} in {ROOT / 'data'}", file=sys.stderr, flush=True)
    return open_store(prepare_store(name, home, ROOT / "data"))
