"""Writes a store: whole or not at all.

Clips go into the folder `NAME.partial` beside the store's place, and only a whole store is moved
there. What a killed process left is thrown away: reading again takes a minute. A lock beside the
store keeps two processes, on two machines that share the folder too, from writing it at once.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock

from sjepa.datasets.build import Clip, LeftOut
from sjepa.datasets.store import COLUMNS, SIDE_COLUMN, SIDES, VERSION, StoreError, file_hash
from sjepa.skeleton import NTU25, Skeleton

_HEADER = 128  # bytes: numpy pads the header so that the first axis can grow in place


@contextmanager
def alone(path: Path):
    """One process at a time makes the store at `path`; within one it may be entered again."""
    lock = FileLock(path.with_name(f".{path.name}.lock"), is_singleton=True)
    with lock:
        try:
            yield
        finally:
            if lock.lock_counter == 1:  # a process that waits for the file notices that it went
                Path(lock.lock_file).unlink(missing_ok=True)


class StoreWriter:
    """A store in the making. Use as a context manager.

    Args:
        path: the store's place.
        name: the set, as split names begin.
        classes: class names, in the order of the labels.
        dtype: `float32`, or `int16` with a scale a clip: a position then errs by at most half a
            step, the clip's largest coordinate / 65534 (0.06 mm at 4 m).
        skeleton: of all clips.
        about: more entries for `store.json`: `note`, `recipe`, `options`.
    """

    def __init__(self, path: str | Path, name: str, classes: Sequence[str],
                 dtype: str = "float32", skeleton: Skeleton = NTU25, **about):
        self.path, self.name, self.classes = Path(path), name, list(classes)
        self.dtype, self.skeleton = np.dtype(dtype).newbyteorder("<"), skeleton
        self.about = {"note": "", "recipe": "", "options": {}} | about
        self.partial = self.path.with_name(self.path.name + ".partial")
        self.old = self.path.with_name(self.path.name + ".old")
        self.lock = alone(self.path)
        self.rows: dict[str, list] = {
            key: [] for key in (*COLUMNS, "names", "offsets", "lengths", "scales")}
        self.sides: dict[str, dict[int, str]] = {}  # split, then row, to the side
        self.left_out: list[LeftOut] = []
        self.names: set[str] = set()
        self.frames = 0

    def __enter__(self) -> StoreWriter:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.lock.__enter__()
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {error.strerror}") from error
        try:
            if self.old.exists() and not self.path.exists():
                os.replace(self.old, self.path)  # a kill struck between the two moves of the end
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir()
            self.handle = (self.partial / "frames.npy").open("wb")
            self.handle.write(bytes(_HEADER))
        except OSError as error:
            self.lock.__exit__(None, None, None)
            raise StoreError(f"cannot write {self.partial}: {error.strerror}") from error
        return self

    def add(self, clip: Clip) -> None:
        """Append one clip.

        A body that is zero throughout is dropped; a second body that equals the first shares its
        frames.

        Raises:
            StoreError: the shape is another one, a value is not finite, nobody is in it, the
                label has no class, or there is a clip of that name.
        """
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
        if name in self.names:
            raise StoreError(f"two clips have the name {name}: remove one")
        scale = np.float32(1)
        if self.dtype == np.int16:
            scale = np.abs(x).max() / np.float32(32767)
            x = np.rint(x.astype(np.float64) / scale).astype(self.dtype)
        values = {"labels": clip.label, "subjects": clip.subject, "views": clip.view,
                  "reps": clip.rep, "setups": clip.setup, "names": name,
                  "offsets": self._append(x), "lengths": len(x), "scales": float(scale)}
        for split, side in clip.sides.items():
            self.sides.setdefault(split, {})[len(self.names)] = side
        for key, value in values.items():
            self.rows[key].append(value)
        self.names.add(name)

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

    def __exit__(self, kind, error, trace) -> None:
        try:
            self.handle.close()
            if kind is None:
                self._complete()
        except OSError as fault:
            error = fault
        finally:
            shutil.rmtree(self.partial, ignore_errors=True)
            self.lock.__exit__(None, None, None)
        if isinstance(error, OSError):
            where = error.filename or self.path
            raise StoreError(f"cannot write {where}: {error.strerror}") from error

    def _complete(self) -> None:
        if not self.frames:
            raise StoreError(f"{self.path}: there is no clip to store")
        with (self.partial / "frames.npy").open("r+b") as handle:
            shape = {"descr": self.dtype.str, "fortran_order": False,
                     "shape": (self.frames, len(self.skeleton), 3)}
            np.lib.format.write_array_header_1_0(handle, shape)
            assert handle.tell() == _HEADER
        columns = {key: np.array(self.rows[key], np.int32) for key in (*COLUMNS, "lengths")}
        columns["offsets"] = np.array(self.rows["offsets"], np.int64).reshape(-1, 2)
        columns["scales"] = np.array(self.rows["scales"], np.float32)
        for split, sides in self.sides.items():
            columns[SIDE_COLUMN + split] = np.array(
                [SIDES.index(sides.get(row, "")) for row in range(len(self.names))], np.uint8)
        np.savez(self.partial / "index.npz", names=np.array(self.rows["names"], str), **columns)
        # Half a step, and a little for float32's own rounding.
        bound = float(columns["scales"].max() * 0.503) if self.dtype == np.int16 else 0.0
        meta = {"format": "sjepa-store", "version": VERSION, "name": self.name, "units": "m",
                "skeleton": self.skeleton.as_dict(), "classes": self.classes,
                "clips": len(self.names), "frames": self.frames, "error_bound": bound,
                "left_out": [[each.name, each.why] for each in self.left_out], **self.about,
                "sha256": {f: file_hash(self.partial / f) for f in ("frames.npy", "index.npz")}}
        (self.partial / "store.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
        shutil.rmtree(self.old, ignore_errors=True)
        if self.path.exists():
            os.replace(self.path, self.old)
        os.replace(self.partial, self.path)
        shutil.rmtree(self.old, ignore_errors=True)


def write_store(path: str | Path, clips: Sequence[np.ndarray], labels: Sequence[int], *,
                classes: Sequence[str] | None = None, skeleton: Skeleton = NTU25,
                splits: Mapping[str, tuple | np.ndarray] | None = None,
                names: Sequence[str] | None = None, subjects: Sequence[int] | None = None,
                views: Sequence[int] | None = None, reps: Sequence[int] | None = None,
                setups: Sequence[int] | None = None, dtype: str = "float32") -> Path:
    """Make a store of arrays: a data set of one's own, called as the folder is.

    In `$SJEPA_DATA` it is found by its name, and its splits are called `NAME/SPLIT`. Positions are
    stored as they come: `sjepa.clips.center_on_spine` moves the origin as in the other stores.

    Args:
        path: the store's folder, which is written whole or not at all; its last part is the name.
        clips: N clips `[T, V, 3]` or `[T, M <= 2, V, 3]`, metres, y up, absent bodies zero.
        labels: N class numbers, from 0.
        classes: class names; None: numbered ones.
        skeleton: of the clips.
        splits: name to `[N]` bool, True for clips that train, the others test; or to a pair of
            lists with the numbers of the training and of the test clips.
        names: N names, each another; None: numbered ones.
        subjects, views, reps, setups: N whole numbers each, where they are known.
        dtype: see `StoreWriter`.

    Returns:
        `path`.

    Raises:
        StoreError: columns of other lengths, a clip of another shape or with NaN in it, a label
            without a class, a clip on both sides of a split.
    """
    path = Path(path)
    names = [f"{k:06d}" for k in range(len(clips))] if names is None else names
    columns = {"labels": labels, "names": names,
               "subjects": subjects, "views": views, "reps": reps, "setups": setups}
    for column, values in columns.items():
        if values is not None and len(values) != len(clips):
            raise StoreError(f"{path}: {len(clips)} clips and {len(values)} {column}: "
                             "give one each")
    if classes is None:
        classes = [f"class {k + 1}" for k in range(max(labels, default=-1) + 1)]
    sides = {split: _sides(f"{path}: split {split!r}", value, len(clips))
             for split, value in (splits or {}).items()}
    keys = {"subject": subjects, "view": views, "rep": reps, "setup": setups}
    with StoreWriter(path, path.name, classes, dtype, skeleton) as writer:
        for k, clip in enumerate(clips):
            x = np.asarray(clip)
            writer.add(Clip(
                x[:, None] if x.ndim == 3 else x, int(labels[k]), str(names[k]),
                **{key: int(values[k]) for key, values in keys.items() if values is not None},
                sides={split: side[k] for split, side in sides.items() if side[k]},
            ))
    return path


def _sides(where: str, value, count: int) -> list[str]:
    """Each clip's side in a split, `train`, `test` or nothing."""
    if isinstance(value, tuple) and len(value) == 2:
        train, test = (np.asarray(side, np.int64).ravel() for side in value)
    else:
        mask = np.asarray(value)
        if mask.dtype != bool or mask.shape != (count,):
            raise StoreError(f"{where}: expected {count} times True or False, or a pair of lists "
                             "with the numbers of the clips")
        train, test = np.flatnonzero(mask), np.flatnonzero(~mask)
    both = np.concatenate([train, test])
    if len(np.unique(both)) < len(both) or not ((both >= 0) & (both < count)).all():
        raise StoreError(f"{where}: expected numbers of clips from 0 to {count - 1}, each once")
    sides = np.full(count, "", object)
    sides[train], sides[test] = "train", "test"
    return sides.tolist()
