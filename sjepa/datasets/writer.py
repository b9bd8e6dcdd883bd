"""Writes a store: whole or not at all, and from where it stood after a kill.

Clips go into the folder `NAME.partial` beside the store's place. After each job (a file of the
owners, say) a line of `journal.jsonl` says what it gave and where the frames then ended. A process
that is killed leaves that folder; the next one keeps the jobs that are still the same and goes on
behind them. An error removes it. Only a whole store is moved to its place.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sjepa.datasets.items import Item, LeftOut
from sjepa.datasets.store import COLUMNS, VERSION, StoreError, file_hash

_ROW = (*COLUMNS, "names", "offsets", "lengths", "scales")
_HEADER = 128  # bytes: numpy pads the header so that the first axis can grow in place


class Interrupted(StoreError):
    """The work stopped half-way through no fault of the data: what is done is kept."""


_KEEPS = (Interrupted, KeyboardInterrupt, SystemExit, GeneratorExit)


class StoreWriter:
    """A store in the making. Use as a context manager.

    Args:
        path: the store's place; its last part is the set's name or any other.
        name: the set, as split names begin.
        classes: class names, in the order of the labels.
        dtype: `float32`, or `int16` with a scale a clip: a position then errs by at most half a
            step, the clip's largest coordinate / 65534 (0.06 mm at 4 m).
        stamps: what tells each job, in order: its files with their sizes and times. The first
            `done` of them were finished by an earlier process that was killed.
        about: more entries for `store.json`: `note`, `recipe`, `options`, `lists`.
    """

    def __init__(self, path: str | Path, name: str, classes: list[str], dtype: str = "float32",
                 stamps: Sequence[str] = (), **about):
        self.path, self.name, self.classes = Path(path), name, list(classes)
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.about = {"note": "", "recipe": "", "options": {}, "lists": {}} | about
        self.partial = self.path.with_name(self.path.name + ".partial")
        self.stamps, self.done = list(stamps), 0
        self.rows: dict[str, list] = {key: [] for key in _ROW}
        self.left_out: list[LeftOut] = []
        self.frames, self.written = 0, 0  # frames so far; rows that the journal holds

    def __enter__(self) -> StoreWriter:
        try:
            self.partial.mkdir(parents=True, exist_ok=True)
            self.journal = (self.partial / "journal.jsonl").open("a+")
            self.handle = (self.partial / "frames.npy").open("ab")
        except OSError as error:
            raise StoreError(f"cannot write {self.partial}: {error.strerror}") from error
        self._resume()
        return self

    # ------------------------------------------------------------------ going on after a kill

    def _resume(self) -> None:
        """Keep what an earlier, killed process wrote of the same jobs."""
        self.journal.seek(0)
        settings = json.dumps([VERSION, self.name, self.classes, self.dtype.str, self.about])
        if self.journal.readline() != settings + "\n":
            self._keep([], 0)
            self.journal.write(settings + "\n")
            return
        kept, end = [], self.journal.tell()
        for stamp in self.stamps:
            line = self.journal.readline()
            if not line.endswith("\n"):  # cut by the kill
                break
            entry = json.loads(line)
            if entry["job"] != stamp or entry["frames"] > self._frames_on_disk():
                break
            kept.append(entry)
            end = self.journal.tell()
        self._keep(kept, end)

    def _frames_on_disk(self) -> int:
        size = (self.partial / "frames.npy").stat().st_size
        return max(size - _HEADER, 0) // (75 * self.dtype.itemsize)

    def _keep(self, entries: list[dict], journal: int) -> None:
        """Take over the rows of `entries`; cut the journal behind them, and the frames."""
        self.journal.seek(journal)
        self.journal.truncate()
        for entry in entries:
            for key, values in zip(_ROW, zip(*entry["rows"], strict=True), strict=False):
                self.rows[key].extend(values)
            self.left_out += [LeftOut(*pair) for pair in entry["left_out"]]
        self.done, self.written = len(entries), len(self.rows["names"])
        self.frames = entries[-1]["frames"] if entries else 0
        used = _HEADER + self.frames * 75 * self.dtype.itemsize
        self.handle.truncate(used if self.frames else 0)

    def finish_job(self, stamp: str, left_out: list[LeftOut]) -> None:
        """Note in the journal that a job's clips are all on disk."""
        self.handle.flush()
        rows = list(zip(*(self.rows[key][self.written :] for key in _ROW), strict=True))
        entry = {"job": stamp, "frames": self.frames, "rows": rows,
                 "left_out": [(each.name, each.why) for each in left_out]}
        self.journal.write(json.dumps(entry) + "\n")
        self.journal.flush()
        self.left_out += left_out
        self.written = len(self.rows["names"])

    # ------------------------------------------------------------------ clips

    def add(self, clip: np.ndarray, *, label: int, name: str, subject: int = -1, view: int = 0,
            rep: int = 0, setup: int = 0) -> None:
        """Append one clip; the arguments are those of `Item`.

        A body that is zero throughout is dropped; a second body that equals the first shares its
        frames.

        Raises:
            StoreError: the shape is another one, or a value is not finite, or nobody is in it.
        """
        clip = np.asarray(clip, dtype="<f4")
        if clip.ndim != 4 or clip.shape[2:] != (25, 3) or not 1 <= clip.shape[1] <= 2:
            raise StoreError(f"{name}: expected a clip [T, 1 or 2, 25, 3], found {clip.shape}")
        if len(clip) == 0 or not np.isfinite(clip).all():
            raise StoreError(f"{name}: the clip is empty or holds NaN or infinite positions")
        if not clip.any():
            raise StoreError(f"{name}: nobody is in the clip, all its positions are zero")
        scale = np.float32(1)
        if self.dtype == np.int16:
            scale = np.abs(clip).max() / np.float32(32767)
            clip = np.rint(clip.astype(np.float64) / scale).astype(self.dtype)
        offsets = [-1, -1]
        for body in range(clip.shape[1]):
            if body and offsets[0] >= 0 and np.array_equal(clip[:, 0], clip[:, 1]):
                offsets[1] = offsets[0]
            elif clip[:, body].any():
                offsets[body] = self.frames
                self._append(clip[:, body])
        values = {"labels": label, "subjects": subject, "views": view, "reps": rep,
                  "setups": setup, "names": name, "offsets": offsets, "lengths": len(clip),
                  "scales": float(scale)}
        for key, value in values.items():
            self.rows[key].append(value)

    def _append(self, body: np.ndarray) -> None:
        if self.frames == 0:
            self.handle.write(bytes(_HEADER))
        self.handle.write(np.ascontiguousarray(body).tobytes())
        self.frames += len(body)

    def add_item(self, item: Item) -> None:
        """Append a clip as readers hand it over."""
        self.add(item.clip, label=item.label, name=item.name, subject=item.subject,
                 view=item.view, rep=item.rep, setup=item.setup)

    # ------------------------------------------------------------------ the end

    def __exit__(self, kind, error, trace) -> None:
        try:
            self.handle.close()
            self.journal.close()
            if kind is None:
                self._complete()
        except (OSError, StoreError) as fault:
            kind, error = type(fault), fault
        if kind is None or issubclass(kind, _KEEPS):
            return
        shutil.rmtree(self.partial, ignore_errors=True)
        if issubclass(kind, OSError):
            where = getattr(error, "filename", None) or self.path
            raise StoreError(f"cannot write {where}: {error.strerror}") from error
        if kind is not None and trace is None:
            raise error

    def _complete(self) -> None:
        if not self.frames:
            raise StoreError(f"{self.path}: there is no clip to store")
        with (self.partial / "frames.npy").open("r+b") as handle:
            shape = {"descr": self.dtype.str, "fortran_order": False,
                     "shape": (self.frames, 25, 3)}
            np.lib.format.write_array_header_1_0(handle, shape)
            assert handle.tell() == _HEADER
        columns = {key: np.array(self.rows[key], np.int32) for key in (*COLUMNS, "lengths")}
        columns["offsets"] = np.array(self.rows["offsets"], np.int64).reshape(-1, 2)
        columns["scales"] = np.array(self.rows["scales"], np.float32)
        np.savez(self.partial / "index.npz", names=np.array(self.rows["names"], str), **columns)
        # Half a step, and a little for float32's own rounding.
        bound = float(columns["scales"].max() * 0.503) if self.dtype == np.int16 else 0.0
        meta = {"format": "sjepa-store", "version": VERSION, "name": self.name, "layout": "ntu25",
                "units": "m", "classes": self.classes, "clips": len(self.rows["names"]),
                "frames": self.frames, "error_bound": bound,
                "left_out": [[each.name, each.why] for each in self.left_out], **self.about,
                "sha256": {f: file_hash(self.partial / f) for f in ("frames.npy", "index.npz")}}
        (self.partial / "store.json").write_text(json.dumps(meta, indent=1))
        (self.partial / "journal.jsonl").unlink()
        if self.path.exists():
            old = self.path.with_name(self.path.name + ".old")
            os.replace(self.path, old)
            os.replace(self.partial, self.path)
            shutil.rmtree(old)
        else:
            os.replace(self.partial, self.path)
