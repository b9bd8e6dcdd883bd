"""The N x 300 x 150 npz that CTR-GCN's feeder and its many descendants read, out and in.

`x_train`, `x_test` `[N, 300, 150]` float32: two bodies x 25 joints x 3 coordinates, metres, padded
with zeros behind; `y_train`, `y_test` `[N, classes]` one-hot. Both ways work a clip at a time: the
file of NTU120 has 20 GB and would not fit into memory.
"""

from __future__ import annotations

import struct
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sjepa.datasets.building import Job
from sjepa.datasets.items import Item, LeftOut
from sjepa.datasets.splits import SPLITS, split
from sjepa.datasets.store import Store
from sjepa.errors import SjepaError

FRAMES = 300
_SETS = {"ntu60": "NTU60", "ntu120": "NTU120", "pku1": "PKU1", "pku2": "PKU2", "nwucla": "NWUCLA",
         "kindergator": "KinderGator", "hdm05": "HDM05", "bandai": "Bandai",
         "synthetic": "Synthetic"}
_PROTOCOLS = {"xsub": "XSub", "xview": "XView", "xset": "XSet"}
_PARTS = ("train", "test")
_CLIPS = 1000  # a job reads so many: 180 MB


def file_name(split_name: str) -> str:
    """`NTU60_XSub.npz` for `ntu60/xsub`: the names that skeleton projects look for."""
    dataset, protocol = split_name.split("/")
    return f"{_SETS[dataset]}_{_PROTOCOLS.get(protocol, protocol)}.npz"


# ---------------------------------------------------------------------- out


def export_npz(store: Store, split_name: str, folder: str | Path) -> Path:
    """Write the clips of one protocol in this layout.

    Frames beyond 300 are cut, as the lineage cuts PKU-MMD's; a second body that is absent is zero.

    Returns:
        The file, `folder/NTU60_XSub.npz` for `ntu60/xsub`.

    Raises:
        SjepaError: the protocol is not one of the store's, or the file cannot be written.
    """
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


# ---------------------------------------------------------------------- in


def _map(path: Path, name: str) -> np.ndarray:
    """An array of an uncompressed npz, mapped and not read."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            info = archive.getinfo(f"{name}.npy")
            if info.compress_type != zipfile.ZIP_STORED:
                raise SjepaError(f"{path} is compressed: save it again with np.savez")
            file.seek(info.header_offset + 26)  # the local header: 30 bytes, a name, extras
            file.seek(sum(struct.unpack("<HH", file.read(4))), 1)
            major, _ = np.lib.format.read_magic(file)
            read_header = (np.lib.format.read_array_header_1_0 if major == 1
                           else np.lib.format.read_array_header_2_0)
            shape, fortran, dtype = read_header(file)
            if fortran or dtype.kind not in "fiu":
                raise SjepaError(f"{path}: {name} is {dtype} or column-major, expected numbers")
            return np.memmap(path, dtype, "r", file.tell(), shape)
    except (KeyError, ValueError, OSError, struct.error, zipfile.BadZipFile) as error:
        if isinstance(error, SjepaError):
            raise
        raise SjepaError(f"{path} has no readable {name} ({error}): get it again") from error


def _side(path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Clips `[N, T, 150]` and one-hot labels `[N, classes]` of one side."""
    x, y = _map(path, f"x_{part}"), _map(path, f"y_{part}")
    if x.ndim != 3 or x.shape[2] != 150 or y.ndim != 2 or len(x) != len(y):
        raise SjepaError(f"{path}: x_{part} is {list(x.shape)} and y_{part} {list(y.shape)}, "
                         f"expected [N, {FRAMES}, 150] and one-hot [N, classes]")
    if not ((y != 0).sum(1) == 1).all():
        raise SjepaError(f"{path}: y_{part} is not one-hot")
    return x, y


def classes(path: Path, known: list[str]) -> list[str]:
    """The names in `known`, or numbered ones if the file has another number of classes."""
    number = _side(path, "train")[1].shape[1]
    return known if len(known) == number else [f"class {k + 1}" for k in range(number)]


def read(path: Path, part: str, begin: int, end: int) -> list[Item | LeftOut]:
    """Clips `begin` to `end` of one side, `train` or `test`, up to their last frame that is not 0.

    Raises:
        SjepaError: the file is not of this layout.
    """
    x, y = _side(path, part)
    items: list[Item | LeftOut] = []
    for i in range(begin, min(end, len(x))):
        clip = x[i].reshape(-1, 2, 25, 3).astype(np.float32)
        there = np.flatnonzero(clip.any((1, 2, 3)))
        if len(there):
            items.append(Item(clip[: there[-1] + 1], int(y[i].argmax()), f"{part}_{i:06d}"))
        else:
            items.append(LeftOut(f"{part}_{i:06d}", "all its positions are zero"))
    return items


def jobs(path: Path) -> list[Job]:
    """A job a thousand clips."""
    return [
        Job(partial(read, path, part, begin, begin + _CLIPS), (path,), f"{part} {begin}")
        for part in _PARTS for begin in range(0, len(_side(path, part)[0]), _CLIPS)
    ]


def lists(name: str, path: Path) -> dict[str, list[str]]:
    """The training names of the protocol that the file's name tells: its `train` side.

    Raises:
        SjepaError: the name tells no protocol of data set `name`.
    """
    known = {file_name(each): each.split("/")[1] for each in SPLITS if each.startswith(f"{name}/")}
    if path.name not in known:
        raise SjepaError(f"{path.name} does not say which protocol it is: rename it to one of "
                         f"{', '.join(known)}")
    count = len(_side(path, "train")[0])
    return {known[path.name]: [f"train_{i:06d}" for i in range(count)]}
