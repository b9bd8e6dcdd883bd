"""One ragged, memory-mapped, checksummed store for every data set; written whole or not at all.

A store is a folder::

    frames.npy   float32 or int16 [F, V, 3]   the bodies of all clips, one after the other
    index.npz    a row a clip: where its bodies start, how long they are, label, subject, view, …,
                 and its side in each split that the store itself carries
    store.json   format version, skeleton, class names, options, checksums

Positions are metres; int16 frames times the clip's `scales` are metres. A body that is not there
has offset -1 and costs no bytes, and neither does a second body that is a copy of the first. Frames
in which a body was not seen are zero. The third channel of a planar skeleton is a confidence.

Clips go into a folder `NAME.partial-…` beside the store's place, and only a whole store is moved
there. What a killed process left is thrown away: reading again takes a minute. A lock beside the
store (`files.alone`) keeps two processes from making it at once; on a file system without locks the
second throws away the folder of the first, which ends with an error.
"""

import hashlib
import json
import operator
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from sjepa.datasets.arrays import read_arrays
from sjepa.errors import SjepaError
from sjepa.files import alone, make_writable, read_json
from sjepa.skeleton import NTU25, Skeleton

VERSION = 3
SIDES = ("", "train", "test")  # a clip's side in a split is stored as its place here
_SIDE = "split-"  # begins the name of such a column
_COLUMNS = {"labels": "label", "subjects": "subject", "views": "view", "reps": "rep",
            "setups": "setup"}  # what a clip calls them
_FILES = {"frames.npy", "index.npz", "store.json", "counts.json"}  # what a store's folder may hold
_TALL = 10  # metres from one joint of a person to another, which nobody has
_HEADER = 128  # bytes: numpy pads the header so that the first axis can grow in place


class StoreError(SjepaError):
    """A store that is missing, damaged, or of another version."""


class OldStore(StoreError):
    """No store, or none that this code reads: it may be made again."""


@dataclass(frozen=True)
class Clip:
    """A clip and what its owners say about it, in their numbers: -1 unknown, 0 where single."""

    positions: np.ndarray  # [T, M, V, 3] float32, metres; M bodies, absent ones zero
    label: int  # class, from 0
    name: str  # unique in its set
    subject: int = -1
    view: int = 0
    rep: int = 0
    setup: int = 0
    sides: Mapping[str, str] = field(default_factory=dict)  # split to `train` or `test`


@dataclass(frozen=True)
class LeftOut:
    """A clip that the published pipeline has no place for: counted and listed, not an error."""

    name: str
    why: str


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
            for starts, length, scale in zip(self.offsets, self.lengths, self.scales, strict=True):
                for start in set(starts.tolist()) - {-1}:  # a copied body is the same frames
                    frames[start : start + length] *= scale
        arrays = (frames, self.offsets[:, : self.bodies].copy(), self.lengths.astype(np.int64),
                  self.labels.astype(np.int64))
        return DeviceStore(*(torch.from_numpy(array).to(device) for array in arrays),
                           skeleton=self.skeleton)


def open_store(path: str | Path, verify: bool = False) -> Store:
    """Open the store at `path`; with `verify`, read all of it and compare its checksums.

    None, or one of another version, is an `OldStore`; a damaged one is a `StoreError`.
    """
    path = home = Path(path)
    if not path.exists():  # a kill struck between the two moves of `new_store`
        home = _old(path)
    if not (home / "store.json").is_file():
        raise OldStore(
            f"no store at {path}: make one with `python -m sjepa.prepare NAME --raw DIR --out DIR`")
    try:
        meta = read_json(home / "store.json")
        if meta["version"] != VERSION:
            raise OldStore(f"{path} has store version {meta['version']!r:.20}, this code reads "
                           f"{VERSION}: prepare the store again")
        if meta.get("own_sha256", _own_hash(meta)) != _own_hash(meta):
            raise ValueError("store.json has another checksum than when it was written")
        frames = np.load(home / "frames.npy", mmap_mode="r", allow_pickle=False)
        index = read_arrays(home / "index.npz")
        sides = {column.removeprefix(_SIDE): index.pop(column)
                 for column in list(index) if column.startswith(_SIDE)}
        store = Store(home, meta, Skeleton.from_dict(meta["skeleton"]), sides, frames, **index)
        expected = meta["frames"], len(store.skeleton), meta["clips"]
        if (*frames.shape[:2], len(store)) != expected:
            raise ValueError("it holds other counts than its store.json")
        for name in ("frames.npy", "index.npz") if verify else ():
            if file_hash(home / name) != meta["sha256"][name]:
                raise ValueError(f"{name} has another checksum than when it was written")
        return store
    except OldStore:
        raise
    except Exception as error:  # damaged files raise anything
        raise StoreError(f"{path} is damaged ({error!s:.160}): prepare the store again") from error


def _old(path: Path) -> Path:
    """Where the store at `path` waits while another takes its place."""
    return path.with_name(path.name + ".old")


def _own_hash(meta: dict) -> str:
    """What `store.json` says, without the hash that it carries of itself."""
    rest = {name: value for name, value in meta.items() if name != "own_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


@contextmanager
def new_store(path: str | Path, name: str, classes: Sequence[str], dtype: str = "float32",
              skeleton: Skeleton = NTU25, **about) -> Iterator["StoreWriter"]:
    """A store in the making: `with new_store(…) as writer: writer.add(clip)`.

    What is at `path` stays until the new one is whole. With `int16` each clip has a scale, and a
    position errs by at most half a step, the clip's largest coordinate / 65534 (0.06 mm at 4 m).
    `about` has more for `store.json`: `note`, `recipe`, `options`. No clip is a `StoreError`.
    """
    path = Path(path)
    old, begun = _old(path), f"{path.name}.partial"
    for there in filter(Path.exists, (path, old)):
        # A killed `prepare` may leave the beginning of its counts.
        names = {each.name for each in there.glob("*") if ".counts.json." not in each.name}
        if not there.is_dir() or names - _FILES:
            raise StoreError(f"{there} holds something else than a store, which would be lost: "
                             "choose another place, or move it away")
    try:
        make_writable(path.parent)
        with alone(path):
            if old.exists() and not path.exists():
                os.replace(old, path)  # a kill struck between the two moves of the end
            for left in path.parent.iterdir():
                if left.name.startswith(begun):
                    shutil.rmtree(left, ignore_errors=True)
            partial = Path(tempfile.mkdtemp(prefix=begun, dir=path.parent))
            try:
                partial.chmod(path.parent.stat().st_mode & 0o777)  # else its owner's alone
                writer = StoreWriter(partial, classes, dtype, skeleton)
                with writer.handle:
                    yield writer
                if not writer.clips:
                    raise StoreError(f"{path}: there is no clip to store")
                writer.finish({"name": name, "note": "", "recipe": "", "options": {}} | about)
                shutil.rmtree(old, ignore_errors=True)
                if path.exists():
                    os.replace(path, old)
                os.replace(partial, path)
                shutil.rmtree(old, ignore_errors=True)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise StoreError(f"cannot write {error.filename or path}: {error.strerror}") from error


class StoreWriter:
    """Writes the files of a store into a folder; `new_store` opens it."""

    def __init__(self, folder: Path, classes: Sequence[str], dtype: str, skeleton: Skeleton):
        self.folder, self.classes, self.skeleton = folder, list(classes), skeleton
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.clips: dict[str, Clip] = {}  # by name, without their positions
        self.left_out: list[LeftOut] = []
        self.offsets, self.lengths, self.scales, self.frames = [], [], [], 0
        self.handle = (folder / "frames.npy").open("wb")
        self.handle.write(bytes(_HEADER))

    def add(self, clip: Clip) -> None:
        """Append one clip, or raise a `StoreError` that says what is wrong with it."""
        x, name, joints = np.asarray(clip.positions, "<f4"), clip.name, len(self.skeleton)
        if x.ndim != 4 or x.shape[2:] != (joints, 3) or not 1 <= x.shape[1] <= 2:
            raise StoreError(f"{name}: expected a clip [T, 1 or 2, {joints}, 3], found "
                             f"{list(x.shape)}")
        if len(x) == 0 or not np.isfinite(x).all():
            raise StoreError(f"{name}: the clip is empty or holds NaN or infinite positions")
        if not x.any():
            raise StoreError(f"{name}: nobody is in the clip, all its positions are zero")
        if not 0 <= clip.label < len(self.classes):
            raise StoreError(f"{name}: label {clip.label}, expected 0 to {len(self.classes) - 1}, "
                             "a place among the classes")
        if name in self.clips:
            raise StoreError(f"two clips have the name {name}: remove one")
        scale = np.float32(1)
        if self.dtype == np.int16:
            scale = np.abs(x).max() / np.float32(32767)
            x = np.rint(x.astype(np.float64) / scale).astype(self.dtype)
        self.offsets.append(self._append(x))
        self.lengths.append(len(x))
        self.scales.append(scale)
        self.clips[name] = replace(clip, positions=None)

    def _append(self, x: np.ndarray) -> list[int]:
        """Write the bodies of a clip `[T, M, V, 3]`; where each of two begins, or -1."""
        offsets = [-1, -1]
        for body in range(x.shape[1]):
            if body and offsets[0] >= 0 and np.array_equal(x[:, 0], x[:, 1]):
                offsets[1] = offsets[0]
            elif x[:, body].any():
                offsets[body] = self.frames
                self.handle.write(np.ascontiguousarray(x[:, body]).tobytes())
                self.frames += len(x)
        return offsets

    def finish(self, about: dict) -> None:
        """Write the header of the frames, the index and the description."""
        with (self.folder / "frames.npy").open("r+b") as handle:
            shape = {"descr": self.dtype.str, "fortran_order": False,
                     "shape": (self.frames, len(self.skeleton), 3)}
            np.lib.format.write_array_header_1_0(handle, shape)
            assert handle.tell() == _HEADER
        clips = list(self.clips.values())
        columns = {column: np.array([getattr(clip, key) for clip in clips], np.int32)
                   for column, key in _COLUMNS.items()}
        columns |= {"names": np.array(list(self.clips)), "lengths": np.array(self.lengths, "i4"),
                    "offsets": np.array(self.offsets, "i8"), "scales": np.array(self.scales, "f4")}
        for split in dict.fromkeys(split for clip in clips for split in clip.sides):
            columns[_SIDE + split] = np.array(
                [SIDES.index(clip.sides.get(split, "")) for clip in clips], np.uint8)
        np.savez(self.folder / "index.npz", **columns)
        # Half a step, and a little for float32's own rounding.
        bound = float(columns["scales"].max() * 0.503) if self.dtype == np.int16 else 0.0
        meta = {"format": "sjepa-store", "version": VERSION, "units": "m", "error_bound": bound,
                "skeleton": asdict(self.skeleton), "classes": self.classes,
                "clips": len(clips), "frames": self.frames,
                "left_out": [[each.name, each.why] for each in self.left_out], **about,
                "sha256": {f: file_hash(self.folder / f) for f in ("frames.npy", "index.npz")}}
        meta["own_sha256"] = _own_hash(meta)
        (self.folder / "store.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")


def write_store(path: str | Path, clips: Sequence[np.ndarray], labels: Sequence[int], *,
                classes: Sequence[str] | None = None, skeleton: Skeleton = NTU25,
                splits: Mapping[str, tuple | np.ndarray] | None = None,
                names: Sequence[str] | None = None, dtype: str = "float32",
                subjects: Sequence[int] | None = None, views: Sequence[int] | None = None,
                reps: Sequence[int] | None = None, setups: Sequence[int] | None = None) -> Path:
    """Make a store of arrays at `path`: a data set of one's own, called as the folder is.

    In `$SJEPA_DATA` it is found by its name, and its splits are called `NAME/SPLIT`. Positions are
    stored as they come: `layouts.center_on_spine` moves the origin as in the other stores.

    Args:
        path: the store's folder, which is written whole or not at all; it is returned.
        clips: N clips `[T, V, 3]` or `[T, M <= 2, V, 3]`, metres, y up, absent bodies zero.
        labels: N class numbers, from 0; `classes` and `names` are numbered where not given.
        splits: name to `[N]` bool, True for clips that train, the others test; or to a pair of
            lists with the numbers of the training and of the test clips.
        subjects, views, reps, setups: N whole numbers each, where they are known.

    Raises:
        StoreError: columns of other lengths, a clip of another shape or with NaN in it, a label
            or another number that is no whole one or without a class, a clip on both sides of a
            split, two classes of one name, people of more than ten metres; or other files lie at
            `path`.
    """
    path = Path(path)
    names = [f"{k:06d}" for k in range(len(clips))] if names is None else names
    columns = {"label": labels, "name": names,
               "subject": subjects, "view": views, "rep": reps, "setup": setups}
    columns = {key: values for key, values in columns.items() if values is not None}
    for key, values in columns.items():
        if len(values) != len(clips):
            raise StoreError(f"{path}: {len(clips)} clips and {len(values)} {key}s: give one each")
        columns[key] = [str(value) if key == "name" else _whole(f"{path}: {key} of clip {k}", value)
                        for k, value in enumerate(values)]
    if classes is None:
        classes = [f"class {k + 1}" for k in range(max(columns["label"], default=-1) + 1)]
    classes = [str(each) for each in classes]
    if twice := sorted({each for each in classes if classes.count(each) > 1}):
        raise StoreError(f"{path}: two classes are called {twice[0]!r}: give each its own name")
    if not isinstance(splits or {}, Mapping):
        raise StoreError(f"{path}: splits: expected a dictionary, a split's name to its clips")
    sides = {split: _sides(f"{path}: split {split!r}", value, len(clips))
             for split, value in (splits or {}).items()}
    with new_store(path, path.name, classes, dtype, skeleton) as writer:
        for k, clip in enumerate(clips):
            x = np.asarray(clip)
            if x.ndim >= 3 and x.size and not skeleton.planar:
                tall = np.median(np.ptp(x, -2).max(-1))
                if tall > _TALL:
                    raise StoreError(f"{path}: the person of clip {k} measures {tall:,.0f} m: give "
                                     "positions in metres")
            of = {key: values[k] for key, values in columns.items()}
            writer.add(Clip(x[:, None] if x.ndim == 3 else x, **of, sides={
                split: side[k] for split, side in sides.items() if side[k]}))
    return path


def _whole(where: str, value) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise StoreError(f"{where} is {value!r}: expected a whole number") from None


def _sides(where: str, value, count: int) -> list[str]:
    """Each clip's side in a split, `train`, `test` or nothing."""
    if not isinstance(value, tuple):
        mask = np.asarray(value)
        if mask.dtype != bool or mask.shape != (count,):
            raise StoreError(f"{where}: expected {count} times True or False, or a pair of lists "
                             "with the numbers of the clips")
        value = np.flatnonzero(mask), np.flatnonzero(~mask)
    sides = [""] * count
    for side, numbers in zip(SIDES[1:], value, strict=True):
        for k in numbers:
            if not 0 <= k < count or sides[k]:
                raise StoreError(f"{where}: expected numbers of clips from 0 to {count - 1}, each "
                                 "once")
            sides[k] = side
    return sides
