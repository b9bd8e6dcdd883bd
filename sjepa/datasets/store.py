"""One ragged, memory-mapped, checksummed store for every data set.

A store is a folder::

    frames.npy   float32 [F, 25, 3]   the bodies of all clips, one after the other, metres
    index.npz    a row a clip: where its bodies start, how long they are, label, subject, view, …
    store.json   format version, layout, class names, checksums

A body that is not there has offset -1 and costs no bytes. All bodies of a clip are equally long;
frames in which a present body was not seen are zero.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import SjepaError

VERSION = 1
COLUMNS = ("labels", "subjects", "views", "reps", "setups")


class StoreError(SjepaError):
    """A store that is missing, damaged, of another version, or of another layout."""


def content_hash(clip: np.ndarray) -> str:
    """Hash of a clip's exact positions, by which copied clips are found."""
    return hashlib.sha256(np.ascontiguousarray(clip, dtype=np.float32).tobytes()).hexdigest()


def _file_hash(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class StoreWriter:
    """Writes a store beside its final place and moves it there once it is whole.

    Use as a context manager; an exception inside leaves nothing behind.
    """

    def __init__(self, path: str | Path, name: str, classes: list[str], note: str = "",
                 recipe: str = ""):
        self.path, self.name, self.classes = Path(path), name, list(classes)
        self.note, self.recipe = note, recipe
        self.rows: dict[str, list] = {key: [] for key in (*COLUMNS, "names", "offsets", "lengths")}
        self.frames = 0

    def __enter__(self) -> StoreWriter:
        self.partial = self.path.with_name(self.path.name + f".partial-{os.getpid()}")
        self.partial.mkdir(parents=True)
        self.handle = (self.partial / "frames.npy").open("wb")
        self._write_header()
        return self

    def _write_header(self) -> None:
        # numpy pads the header so that the first axis can grow in place.
        shape = {"descr": "<f4", "fortran_order": False, "shape": (self.frames, 25, 3)}
        self.handle.seek(0)
        np.lib.format.write_array_header_1_0(self.handle, shape)

    def add(self, clip: np.ndarray, *, label: int, name: str, subject: int = -1, view: int = 0,
            rep: int = 0, setup: int = 0) -> None:
        """Append one clip.

        Args:
            clip: `[T, M, 25, 3]` metres, M bodies; a body that is zero throughout is dropped.
            label: class, from 0.
            name: the owners' name of the clip.
            subject, view, rep, setup: as the owners number them; -1 where unknown.

        Raises:
            StoreError: the shape is another one, or a value is not finite.
        """
        clip = np.asarray(clip, dtype="<f4")
        if clip.ndim != 4 or clip.shape[2:] != (25, 3) or not 1 <= clip.shape[1] <= 2:
            raise StoreError(f"{name}: expected a clip [T, 1 or 2, 25, 3], found {clip.shape}")
        if len(clip) == 0 or not np.isfinite(clip).all():
            raise StoreError(f"{name}: the clip is empty or holds NaN or infinite positions")
        offsets = [-1, -1]
        for body in range(clip.shape[1]):
            if clip[:, body].any():
                offsets[body] = self.frames
                self.handle.write(np.ascontiguousarray(clip[:, body]).tobytes())
                self.frames += len(clip)
        values = {"labels": label, "subjects": subject, "views": view, "reps": rep,
                  "setups": setup, "names": name, "offsets": offsets, "lengths": len(clip)}
        for key, value in values.items():
            self.rows[key].append(value)

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self._write_header()
        self.handle.close()
        if kind is not None:
            shutil.rmtree(self.partial)
            return
        columns = {key: np.array(self.rows[key], np.int32) for key in (*COLUMNS, "lengths")}
        columns["offsets"] = np.array(self.rows["offsets"], np.int64).reshape(-1, 2)
        np.savez(self.partial / "index.npz", names=np.array(self.rows["names"], str), **columns)
        meta = {"format": "sjepa-store", "version": VERSION, "name": self.name, "layout": "ntu25",
                "units": "m", "classes": self.classes, "clips": len(self.rows["names"]),
                "frames": self.frames, "note": self.note, "recipe": self.recipe,
                "sha256": {f: _file_hash(self.partial / f) for f in ("frames.npy", "index.npz")}}
        (self.partial / "store.json").write_text(json.dumps(meta, indent=1))
        if self.path.exists():
            shutil.rmtree(self.path)
        os.replace(self.partial, self.path)


@dataclass
class Store:
    """An open store. Opening maps the frames; nothing is read until it is used."""

    path: Path
    meta: dict
    frames: np.ndarray  # [F, 25, 3] float32, memory-mapped
    offsets: np.ndarray  # [N, 2] int64, first frame of a body or -1
    lengths: np.ndarray  # [N] int32
    labels: np.ndarray
    subjects: np.ndarray
    views: np.ndarray
    reps: np.ndarray
    setups: np.ndarray
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def classes(self) -> list[str]:
        return self.meta["classes"]

    @property
    def bodies(self) -> int:
        """Body slots a clip, 2 if any clip has a second body."""
        return 2 if (self.offsets[:, 1] >= 0).any() else 1

    def clip(self, index: int) -> np.ndarray:
        """Clip `index` as `[T, M, 25, 3]` float32 metres, absent bodies zero."""
        length = self.lengths[index]
        clip = np.zeros((length, self.bodies, 25, 3), np.float32)
        for body, start in enumerate(self.offsets[index, : self.bodies]):
            if start >= 0:
                clip[:, body] = self.frames[start : start + length]
        return clip

    def to(self, device: torch.device | str) -> DeviceStore:
        """The whole store as tensors on `device`: batches are then cut there, with no loader."""
        at = torch.device(device)
        return DeviceStore(
            torch.from_numpy(np.array(self.frames)).to(at),
            torch.from_numpy(self.offsets[:, : self.bodies].copy()).to(at),
            torch.from_numpy(self.lengths.astype(np.int64)).to(at),
            torch.from_numpy(self.labels.astype(np.int64)).to(at),
        )


@dataclass
class DeviceStore:
    """The arrays of a store that training needs, as tensors on one device."""

    frames: torch.Tensor  # [F, 25, 3] float32
    offsets: torch.Tensor  # [N, M] int64, -1 where the body is absent
    lengths: torch.Tensor  # [N] int64
    labels: torch.Tensor  # [N] int64

    def __post_init__(self):
        #: `[N, M]` bool on the host: which bodies are there, known without asking the device.
        self.present = (self.offsets >= 0).cpu()


def open_store(path: str | Path, verify: bool = False) -> Store:
    """Open a store.

    Args:
        path: the store's folder.
        verify: also compare the checksums of the files, which reads them whole.

    Raises:
        StoreError: there is none at `path`, or it is of another version or layout, or damaged.
    """
    path = Path(path)
    if not (path / "store.json").is_file():
        raise StoreError(
            f"no store at {path}: make one with `python -m sjepa.prepare NAME --raw DIR --out DIR`"
        )
    try:
        meta = json.loads((path / "store.json").read_text())
        version, layout = meta["version"], meta["layout"]
    except (ValueError, KeyError) as error:
        raise StoreError(f"{path / 'store.json'} is damaged: prepare the store again") from error
    if version != VERSION:
        raise StoreError(f"{path} has store version {version}, this code reads {VERSION}: "
                         "prepare the store again")
    if layout != "ntu25":
        raise StoreError(f"{path} has the joint layout {layout!r}, the encoder needs 'ntu25': "
                         "map it with sjepa.skeleton.LAYOUTS and prepare the store again")
    try:
        frames = np.load(path / "frames.npy", mmap_mode="r")
        index = dict(np.load(path / "index.npz"))
        store = Store(path=path, meta=meta, frames=frames, **index)
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{path} is damaged ({error}): prepare the store again") from error
    if len(frames) != meta["frames"] or len(store) != meta["clips"]:
        raise StoreError(f"{path} holds other counts than its store.json: prepare it again")
    if verify:
        for name, expected in meta["sha256"].items():
            if _file_hash(path / name) != expected:
                raise StoreError(f"{path / name} has another checksum than when it was written: "
                                 "prepare the store again")
    return store
