"""Skeletons in one npz: the N x 300 x 150 layout, out and in, and conversions of the open sets.

The layout is that of CTR-GCN's feeder and its many descendants: `x_train`, `x_test`
`[N, 300, 150]` float32, two bodies x 25 joints x 3 coordinates, metres, padded with zeros behind
(`[N, T, 75]` of one body is read too); `y_train`, `y_test` `[N, classes]` one-hot, or `[N]` labels
from 0. Both ways work a clip at a time: the file of NTU120 has 20 GB and would not fit into memory.

A conversion holds a set in its own joints, ragged: `x` `[F, J, 3]` (times `x_scale`, where it is
there), `offsets` `[N + 1]`, `labels`, `subjects`, `views`, `reps`, `class_names`, and `to_ntu25`
`[25, J]`, which maps them onto NTU-25.
"""

from __future__ import annotations

import re
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sjepa.datasets.build import Clip, LeftOut, Source
from sjepa.datasets.layouts import center_on_spine
from sjepa.datasets.specs import DatasetSpec
from sjepa.datasets.specs import known as known_set
from sjepa.datasets.splits import split
from sjepa.datasets.store import Store
from sjepa.errors import SjepaError
from sjepa.skeleton import NTU25

FRAMES = 300
_PROTOCOLS = {"xsub": "XSub", "xview": "XView", "xset": "XSet"}
_PARTS = ("train", "test")
_CLIPS = 1000  # a process reads so many at a time: 180 MB
_CONVERSION = ("x", "offsets", "labels", "subjects", "views", "reps", "to_ntu25", "class_names")


def file_name(split_name: str) -> str:
    """`NTU60_XSub.npz` for `ntu60/xsub`: the names that skeleton projects look for."""
    dataset, protocol = split_name.split("/")
    title = getattr(known_set(dataset), "feeder", "") or dataset
    return f"{title}_{_PROTOCOLS.get(protocol, protocol)}.npz"


# --- out ----------------------------------------------------------------------------------------


def export_npz(store: Store, split_name: str, folder: str | Path) -> Path:
    """Write the clips of one protocol in the N x 300 x 150 layout.

    Frames beyond 300 are cut, as the lineage cuts PKU-MMD's; a second body that is absent is zero.

    Returns:
        The file, `folder/NTU60_XSub.npz` for `ntu60/xsub`.

    Raises:
        SjepaError: the protocol is not one of the store's, its clips have other joints, or the
            file cannot be written.
    """
    if len(store.skeleton) != len(NTU25):
        raise SjepaError(f"{store.path} has {len(store.skeleton)} joints, the layout takes 25")
    sides = dict(zip(_PARTS, split(split_name, store), strict=True))
    path = Path(folder) / file_name(split_name)
    partial_path = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(partial_path, "w", allowZip64=True) as archive:
            for part, index in sides.items():
                _write_clips(archive, f"x_{part}", store, index)
                one_hot = np.eye(len(store.classes), dtype=np.float32)[store.labels[index]]
                with archive.open(f"y_{part}.npy", "w") as member:
                    np.lib.format.write_array(member, one_hot)
        partial_path.replace(path)
    except OSError as error:
        raise SjepaError(f"cannot write {path}: {error.strerror}") from error
    finally:
        partial_path.unlink(missing_ok=True)
    return path


def _write_clips(archive: zipfile.ZipFile, name: str, store: Store, index: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        shape = {"descr": "<f4", "fortran_order": False, "shape": (len(index), FRAMES, 150)}
        np.lib.format.write_array_header_1_0(member, shape)
        for i in tqdm(index, f"{store.meta['name']} {name}", unit="clip", mininterval=0.5):
            clip = store.clip(i)[:FRAMES]
            padded = np.zeros((FRAMES, 2, 25, 3), "<f4")
            padded[: len(clip), : clip.shape[1]] = clip
            member.write(padded.tobytes())


# --- in -----------------------------------------------------------------------------------------


def source(path: Path, known: DatasetSpec | None) -> Source:
    """What a store is made from: either kind of file.

    Args:
        path: the npz.
        known: the data set that it holds; None: a set of one's own.

    Raises:
        SjepaError: the file is of neither kind, or does not say which protocol it is.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            keys = set(file.files)
            if set(_CONVERSION) <= keys:
                classes = [str(name) for name in file["class_names"]]
                return Source([path], read_conversion, classes)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SjepaError(f"{path} is no readable npz ({error}): get it again") from error
    wanted = {f"{axis}_{part}" for axis in "xy" for part in _PARTS}
    if not wanted <= keys:
        raise SjepaError(f"{path} lacks {', '.join(sorted(wanted - keys))} of the N x 300 x 150 "
                         f"layout, and is no conversion with {', '.join(_CONVERSION)} either: "
                         "give the folder of the owners' files")
    labels = {part: _labels(path, part) for part in _PARTS}
    number = max(classes for _, classes in labels.values())
    classes = known.classes if known and len(known.classes) == number else [
        f"class {k + 1}" for k in range(number)]
    units = [(part, begin) for part in _PARTS
             for begin in range(0, len(labels[part][0]), _CLIPS)]
    return Source(units, partial(read_clips, path, _protocol(path, known)), classes)


def _protocol(path: Path, known: DatasetSpec | None) -> str:
    """The protocol whose two sides the file holds, which its name tells: `MySet_XSub.npz`."""
    if known is None:
        return re.sub(r"[^a-z0-9-]", "-", path.stem.rpartition("_")[2].lower())
    protocols = {file_name(f"{known.name}/{each}"): each for each in known.splits}
    if path.name not in protocols:
        raise SjepaError(f"{path.name} does not say which protocol of {known.name} it is: rename "
                         f"it to one of {', '.join(protocols)}, or give the set a name of your own")
    return protocols[path.name]


def _map(path: Path, name: str) -> np.ndarray:
    """An array of an uncompressed npz, mapped and not read."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            info = archive.getinfo(f"{name}.npy")
            if info.compress_type != zipfile.ZIP_STORED:
                raise SjepaError(f"{path} is compressed: save it again with np.savez")
            major, _ = np.lib.format.read_magic(member)
            read_header = (np.lib.format.read_array_header_1_0 if major == 1
                           else np.lib.format.read_array_header_2_0)
            shape, fortran, dtype = read_header(member)
            if fortran or dtype.kind not in "fiub":
                raise SjepaError(f"{path}: {name} is {dtype} or column-major, expected numbers")
            header = member.tell()
        with path.open("rb") as file:  # the local header: 30 bytes, then a name and extras
            file.seek(info.header_offset + 26)
            sizes = np.frombuffer(file.read(4), "<u2")
        return np.memmap(path, dtype, "r", info.header_offset + 30 + int(sizes.sum()) + header,
                         shape)
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, SjepaError):
            raise
        raise SjepaError(f"{path} has no readable {name} ({error}): get it again") from error


def _labels(path: Path, part: str) -> tuple[np.ndarray, int]:
    """Labels `[N]` of one side, and how many classes there are."""
    y = _map(path, f"y_{part}")
    if y.ndim == 2:
        if not ((y != 0).sum(1) == 1).all():
            raise SjepaError(f"{path}: y_{part} is not one-hot")
        return y.argmax(1), y.shape[1]
    if y.ndim != 1 or not len(y) or (y != np.floor(y)).any() or y.min() < 0:
        raise SjepaError(f"{path}: y_{part} is {list(y.shape)}, expected one-hot [N, classes] or "
                         "labels [N] from 0")
    return y.astype(np.int64), int(y.max()) + 1


def read_clips(path: Path, protocol: str, unit: tuple[str, int]) -> list[Clip | LeftOut]:
    """Some clips of one side, each up to its last frame that is not 0.

    Args:
        path: the npz.
        protocol: the split whose sides the file holds.
        unit: the side, `train` or `test`, and the first clip's number; a thousand are read.

    Raises:
        SjepaError: the file is not of this layout.
    """
    part, begin = unit
    x, (y, _) = _map(path, f"x_{part}"), _labels(path, part)
    if x.ndim != 3 or x.shape[2] not in (75, 150) or len(x) != len(y):
        raise SjepaError(f"{path}: x_{part} is {list(x.shape)} and y_{part} has {len(y)} rows, "
                         f"expected [N, {FRAMES}, 150] and N")
    items: list[Clip | LeftOut] = []
    for i in range(begin, min(begin + _CLIPS, len(x))):
        clip = x[i].reshape(len(x[i]), -1, 25, 3).astype(np.float32)
        there = np.flatnonzero(clip.any((1, 2, 3)))
        name = f"{part}_{i:06d}"
        if len(there):
            items.append(Clip(clip[: there[-1] + 1], int(y[i]), name, sides={protocol: part}))
        else:
            items.append(LeftOut(name, "all its positions are zero"))
    return items


def read_conversion(path: Path) -> list[Clip]:
    """All clips, on NTU-25, with the spine's middle in the first frame as the origin.

    The origin is that of the NTU lineage, so that one way of the data serves every set.

    Raises:
        SjepaError: the file is no such npz.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            data = dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SjepaError(f"{path} is no readable npz ({error}): get it again") from error
    if data["x"].ndim != 3 or data["to_ntu25"].shape != (25, data["x"].shape[1]):
        raise SjepaError(f"{path}: x is {list(data['x'].shape)}, expected [F, J, 3], one body, and "
                         "to_ntu25 [25, J]")
    scale = np.float32(data.get("x_scale", 1.0))
    setups = data.get("style", np.zeros_like(data["labels"]))
    clips = []
    for i, (begin, end) in enumerate(zip(data["offsets"][:-1], data["offsets"][1:], strict=True)):
        x = data["x"][begin:end].astype(np.float32) * scale
        clip = np.einsum("kj,tjc->tkc", data["to_ntu25"], x).astype(np.float32)
        view, rep, subject = (int(data[key][i]) for key in ("views", "reps", "subjects"))
        label = int(data["labels"][i])
        name = f"a{label:02d}_s{subject:02d}_e{rep:02d}_v{view:02d}_{i:05d}"
        clips.append(Clip(center_on_spine(clip[:, None]), label, name, subject,
                          int(data["dataset"][i]) if "dataset" in data else view, rep,
                          int(setups[i])))
    return clips
