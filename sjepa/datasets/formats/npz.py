"""Skeletons in one npz: the N x 300 x 150 layout, out and in, and conversions of the open sets.

The layout is that of CTR-GCN's feeder and its many descendants: `x_train`, `x_test`
`[N, 300, 150]` float32, two bodies x 25 joints x 3 coordinates, metres, padded with zeros behind
(`[N, T, 75]` of one body is read too); `y_train`, `y_test` `[N, classes]` one-hot, or `[N]` labels
from 0.

A conversion holds a set in its own joints, ragged: `x` `[F, J, 3]` (times `x_scale`), `offsets`
`[N + 1]`, `labels`, `subjects`, `views`, `reps`, `class_names`, and `to_ntu25` `[25, J]`, its map
onto NTU-25; `to_ntu25_body2` of sets that show two people; perhaps `clip_names`.
"""

import re
import zipfile
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sjepa.datasets.arrays import read_arrays
from sjepa.datasets.build import Source
from sjepa.datasets.layouts import center_on_spine
from sjepa.datasets.specs import DatasetSpec
from sjepa.datasets.specs import known as known_set
from sjepa.datasets.splits import split
from sjepa.datasets.store import Clip, LeftOut, Store
from sjepa.errors import SjepaError
from sjepa.files import save_atomically
from sjepa.skeleton import NTU25

FRAMES = 300
NO_CLASS = "motion"  # the one class of a conversion without classes, whose labels are all -1
_PROTOCOLS = {"xsub": "XSub", "xview": "XView", "xset": "XSet"}
_PARTS = ("train", "test")


def file_name(split_name: str) -> str:
    """`NTU60_XSub.npz` for `ntu60/xsub`: the names that skeleton projects look for."""
    dataset, protocol = split_name.split("/")
    title = dataset.upper() if known_set(dataset) else dataset
    return f"{title}_{_PROTOCOLS.get(protocol, protocol)}.npz"


def export_npz(store: Store, split_name: str, folder: str | Path) -> Path:
    """Write the clips of one protocol in the N x 300 x 150 layout, `folder/NTU60_XSub.npz`.

    Frames beyond 300 are cut, as the lineage cuts PKU-MMD's; a second body that is absent is zero.
    The clips go to the disk one by one: those of NTU120 take 20 GB.

    Raises:
        SjepaError: the protocol is not one of the store's, its clips have other joints, or the
            file cannot be written.
    """
    if len(store.skeleton) != len(NTU25):
        raise SjepaError(f"{store.path} has {len(store.skeleton)} joints, the layout takes 25")
    sides = dict(zip(_PARTS, split(split_name, store), strict=True))
    path = Path(folder) / file_name(split_name)

    def write(partial_path: Path) -> None:
        with zipfile.ZipFile(partial_path, "w") as archive:
            for part, index in sides.items():
                _write_clips(archive, f"x_{part}", store, index)
                one_hot = np.eye(len(store.classes), dtype=np.float32)[store.labels[index]]
                with archive.open(f"y_{part}.npy", "w") as member:
                    np.lib.format.write_array(member, one_hot)

    save_atomically(write, path)
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


def source(path: Path, known: DatasetSpec | None) -> Source:
    """What a store is made from: either kind of file; `known` is None for a set of one's own.

    Raises:
        SjepaError: the file is of neither kind, or does not say which protocol it is.
    """
    arrays = read_arrays(path, "class_names", "y_train", "y_test")
    if "class_names" in arrays:
        return Source([path], read_conversion, [*map(str, arrays["class_names"])] or [NO_CLASS])
    number = max(_labels(path, arrays.get(f"y_{part}"))[1] for part in _PARTS)
    classes = known.classes if known and len(known.classes) == number else [
        f"class {k + 1}" for k in range(number)]
    return Source(_PARTS, partial(read_clips, path, _protocol(path, known)), classes)


def _protocol(path: Path, known: DatasetSpec | None) -> str:
    """The protocol whose two sides the file holds, which its name tells: `MySet_XSub.npz`."""
    if known is None:
        return re.sub("[^a-z0-9-]", "-", path.stem.rpartition("_")[2].lower())
    protocols = {file_name(f"{known.name}/{each}"): each for each in known.splits}
    if path.name not in protocols:
        raise SjepaError(f"{path.name} does not say which protocol of {known.name} it is: rename "
                         f"it to one of {', '.join(protocols)}, or give the set a name of your own")
    return protocols[path.name]


def _labels(path: Path, y: np.ndarray | None) -> tuple[np.ndarray, int]:
    """Labels `[N]` of one side, and how many classes there are."""
    if y is not None and y.ndim == 2 and ((y != 0).sum(1) == 1).all():
        return y.argmax(1), y.shape[1]
    if y is None or y.ndim != 1 or not len(y) or (y % 1).any() or y.min() < 0:
        raise SjepaError(f"{path}: expected x_train, x_test [N, {FRAMES}, 150] and y_train, y_test "
                         "of it, one-hot [N, classes] or labels [N] from 0, or a conversion with "
                         "class_names")
    return y.astype(np.int64), int(y.max()) + 1


def read_clips(path: Path, protocol: str, part: str) -> list[Clip | LeftOut]:
    """The clips of one side, each up to its last frame that is not 0, split as `protocol` has it.

    They are views of one array, which the side takes whole: 7 GB for the training half of NTU60.
    """
    arrays = read_arrays(path, f"x_{part}", f"y_{part}")
    x, (labels, _) = arrays.get(f"x_{part}"), _labels(path, arrays.get(f"y_{part}"))
    if x is None or x.ndim != 3 or x.shape[2] not in (75, 150) or len(x) != len(labels):
        raise SjepaError(f"{path}: x_{part} is {list(np.shape(x))} and y_{part} has {len(labels)} "
                         f"rows, expected [N, {FRAMES}, 150] and N")
    items: list[Clip | LeftOut] = []
    for i, label in enumerate(labels):
        clip, name = unpad(x[i]), f"{part}_{i:06d}"
        if len(clip):
            items.append(Clip(clip, int(label), name, sides={protocol: part}))
        else:
            items.append(LeftOut(name, "all its positions are zero"))
    return items


def unpad(x: np.ndarray) -> np.ndarray:
    """A clip `[300, 150]` up to its last frame that is not 0, `[T, M, 25, 3]` float32."""
    clip = x.reshape(len(x), -1, 25, 3).astype(np.float32, copy=False)
    there = np.flatnonzero(clip.any((1, 2, 3)))
    return clip[: there[-1] + 1 if len(there) else 0]


def read_conversion(path: Path) -> list[Clip]:
    """All clips, on NTU-25, with the spine's middle in the first frame as the origin.

    Raises:
        SjepaError: the file is no such npz.
    """
    names = "x", "offsets", "labels", "subjects", "views", "reps", "to_ntu25"
    of = read_arrays(path, *names, "x_scale", "to_ntu25_body2", "clip_names", "dataset", "style")
    if not {*names} <= {*of} or of["to_ntu25"].shape != (25, *of["x"].shape[1:2]):
        raise SjepaError(f"{path} is no conversion: expected {', '.join(names)}, x [F, J, 3] and "
                         "to_ntu25 [25, J]")
    labels = of["labels"] + (of["labels"] == -1).all()  # without classes: all are of the first
    views, styles = of.get("dataset", of["views"]), of.get("style", np.zeros(len(labels)))
    maps = np.stack([of["to_ntu25"], *([of["to_ntu25_body2"]] if "to_ntu25_body2" in of else [])])
    clips = []
    for i, (begin, end) in enumerate(pairwise(of["offsets"])):
        x = of["x"][begin:end].astype(np.float32) * np.float32(of.get("x_scale", 1))
        clip = np.einsum("mkj,tjc->tmkc", maps, x).astype(np.float32)
        label, subject, view, rep, style = (int(each[i]) for each in (
            labels, of["subjects"], views, of["reps"], styles))
        name = (str(of["clip_names"][i]) if "clip_names" in of else
                f"a{label:02d}_s{subject:02d}_e{rep:02d}_v{int(of['views'][i]):02d}_{i:05d}")
        clip = center_on_spine(clip, where=path)
        clips.append(Clip(clip, label, name, subject, view, rep, style))
    return clips
