"""One ragged, memory-mapped, checksummed store for every data set.

A store is a folder::

    frames.npy   float32 or int16 [F, V, 3]   the bodies of all clips, one after the other
    index.npz    a row a clip: where its bodies start, how long they are, label, subject, view, …,
                 and its side in each split that the store itself carries
    store.json   format version, skeleton, class names, options, checksums

Positions are metres; int16 frames times the clip's `scales` are metres. A body that is not there
has offset -1 and costs no bytes, and neither does a second body that is a copy of the first. All
bodies of a clip are equally long; frames in which a present body was not seen are zero. The third
channel of a planar skeleton is a confidence.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sjepa.errors import SjepaError
from sjepa.skeleton import Skeleton

VERSION = 3
COLUMNS = ("labels", "subjects", "views", "reps", "setups")
SIDES = ("", "train", "test")  # a clip's side in a split is stored as its place here
SIDE_COLUMN = "split-"  # begins the name of such a column


class StoreError(SjepaError):
    """A store that is missing, damaged, or of another version."""


class OldStore(StoreError):
    """A store of another version of the format."""


def content_hash(clip: np.ndarray) -> str:
    """Hash of a clip's exact positions, by which copied clips are found."""
    return hashlib.sha256(np.ascontiguousarray(clip, dtype=np.float32).tobytes()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@dataclass
class Store:
    """An open store. Opening maps the frames; nothing is read until it is used."""

    path: Path
    meta: dict
    skeleton: Skeleton
    sides: dict[str, np.ndarray]  # split to [N] uint8, places in `SIDES`
    frames: np.ndarray  # [F, V, 3] float32 or int16, memory-mapped
    offsets: np.ndarray  # [N, 2] int64, first frame of a body or -1
    lengths: np.ndarray  # [N] int32
    scales: np.ndarray  # [N] float32, metres a unit of `frames`
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
        """Clip `index` as `[T, M, V, 3]` float32 metres, absent bodies zero."""
        length = self.lengths[index]
        clip = np.zeros((length, self.bodies, *self.frames.shape[1:]), np.float32)
        for body, start in enumerate(self.offsets[index, : self.bodies]):
            if start >= 0:
                clip[:, body] = self.frames[start : start + length]
        return clip * self.scales[index]

    def to(self, device):
        """The whole store as tensors on `device` (`sjepa.clips.DeviceStore`): no loader needed."""
        import torch  # here: processes that read files have no use for it

        from sjepa.clips import DeviceStore

        frames = np.array(self.frames, np.float32)
        if self.frames.dtype == np.int16:
            for body in range(2):
                present = self.offsets[:, body] >= 0
                if body:  # a copy of the first body is the same frames
                    present &= self.offsets[:, 1] != self.offsets[:, 0]
                starts, lengths = self.offsets[present, body], self.lengths[present]
                rows = np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
                rows += np.arange(len(rows))
                frames[rows] *= np.repeat(self.scales[present], lengths)[:, None, None]
        arrays = (frames, self.offsets[:, : self.bodies].copy(), self.lengths.astype(np.int64),
                  self.labels.astype(np.int64))
        return DeviceStore(*(torch.from_numpy(array).to(device) for array in arrays),
                           skeleton=self.skeleton)


def open_store(path: str | Path, verify: bool = False) -> Store:
    """Open a store.

    Args:
        path: the store's folder.
        verify: also compare the checksums of the files and check every row and position, which
            reads them whole.

    Raises:
        StoreError: there is none at `path`, or it is of another version, or damaged.
    """
    path = Path(path)
    if not (path / "store.json").is_file():
        raise StoreError(
            f"no store at {path}: make one with `python -m sjepa.prepare NAME --raw DIR --out DIR`"
        )
    try:
        meta = json.loads((path / "store.json").read_text(encoding="utf-8"))
        version = meta["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path / 'store.json'} is damaged: prepare the store again") from error
    if version != VERSION:
        raise OldStore(f"{path} has store version {version}, this code reads {VERSION}: "
                       "prepare the store again")
    try:
        frames = np.load(path / "frames.npy", mmap_mode="r", allow_pickle=False)
        index = dict(np.load(path / "index.npz", allow_pickle=False))
        sides = {column.removeprefix(SIDE_COLUMN): index.pop(column)
                 for column in list(index) if column.startswith(SIDE_COLUMN)}
        store = Store(path, meta, Skeleton.from_dict(meta["skeleton"]), sides, frames, **index)
        counts = frames.shape[:2] + (len(store),)
        expected = meta["frames"], len(store.skeleton), meta["clips"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path} is damaged ({error}): prepare the store again") from error
    if counts != expected:
        raise StoreError(f"{path} holds other counts than its store.json: prepare it again")
    if verify:
        for name, expected in meta["sha256"].items():
            if file_hash(path / name) != expected:
                raise StoreError(f"{path / name} has another checksum than when it was written: "
                                 "prepare the store again")
        _check_rows(store)
    return store


def _check_rows(store: Store) -> None:
    """What checksums cannot tell: a store that was written wrong."""
    present = store.offsets >= 0
    ends = np.where(present, store.offsets + store.lengths[:, None], 0)
    wrong = {
        "a clip without frames": (store.lengths < 1).any(),
        "a clip without any body": not present.any(1).all(),
        "a body beyond the last frame": (ends > len(store.frames)).any(),
        "a label without a class": not np.isin(store.labels, range(len(store.classes))).all(),
        "two clips of one name": len(np.unique(store.names)) < len(store),
        "a position that is not finite": not all(
            np.isfinite(part).all() for part in np.array_split(store.frames, 64)
        ),
    }
    for what, found in wrong.items():
        if found:
            raise StoreError(f"{store.path} holds {what}: prepare it again")
