"""pyskl's pickles (`ntu60_3danno.pkl`, `gym_2d.pkl` and their like), read without running them.

A dict: `split` `{name: [frame_dir, …]}`, names like `xsub_train` and `xsub_val`, and `annotations`,
a list of dicts with `frame_dir` (the clip's name), `label`, `keypoint` `[M, T, V, 2 or 3]`, and in
two dimensions `keypoint_score` `[M, T, V]`, pixels, COCO's 17 joints.

Clips of 25 joints in three dimensions become NTU-25 with the spine's middle as the origin. Clips of
17 in two become COCO-17: y is turned up, the score is the third channel, and one number scales a
clip so that its trunk is half a metre long in the median over its frames; of one whose trunk is
never seen the picture is two metres high. The first two bodies are taken, as by pyskl's own feeder.
"""

import pickle
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sjepa.datasets.build import Source
from sjepa.datasets.layouts import COCO17, center_on_spine
from sjepa.datasets.specs import DatasetSpec
from sjepa.datasets.store import Clip, LeftOut
from sjepa.errors import SjepaError
from sjepa.skeleton import NTU25, Skeleton

TRUNK = 0.5  # metres from the shoulders to the hips
_PICTURE = 2.0  # metres that a picture is high where no trunk is seen
_BODIES = 2
MAX_CLASSES = 100_000
_SIDE = re.compile(r"(?:(?P<split>.+)_)?(?P<side>train|val|test)")

_NUMBERS = "biuf"  # kinds of values; nothing that points anywhere


class _Kind:
    """Stands for a `numpy.dtype` in a pickle, whose own way of loading believes what it is told."""

    def __init__(self, code: str, *_):
        self.dtype = np.dtype(str(code))

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


def _plain(kind: _Kind) -> np.dtype:
    if kind.dtype.kind not in _NUMBERS or not kind.dtype.itemsize:
        raise pickle.UnpicklingError(f"an array of {kind.dtype}")
    return kind.dtype


class _Array(np.ndarray):
    """An array that begins empty and is then filled from bytes: no size is believed."""

    def __setstate__(self, state: tuple) -> None:
        *_, shape, kind, fortran, raw = state
        if not isinstance(raw, bytes | bytearray):
            raise pickle.UnpicklingError("an array that is not made of bytes")
        super().__setstate__((1, shape, _plain(kind), bool(fortran), bytes(raw)))


#: All that a pickle may name: what numpy writes for an array, a number and a type of numbers.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): None, ("numpy", "dtype"): _Kind,
    # how older pickles write bytes, whatever encoding they name
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin-1")}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED |= {
        (f"{_core}.multiarray", "_reconstruct"): lambda *_: _Array((0,), np.uint8),
        (f"{_core}.multiarray", "scalar"): lambda kind, raw: np.frombuffer(raw, _plain(kind))[0],
        (f"{_core}.numeric", "_frombuffer"): lambda buffer, kind, shape, order: (
            np.frombuffer(buffer, _plain(kind)).reshape(shape, order=order))}


class _PlainUnpickler(pickle._Unpickler):
    """Gives plain values and arrays of numbers, and refuses everything else by its name.

    Python's own unpickler: the one in C makes room for as many values as a number in the file says.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _ALLOWED[module, name]

    def load_build(self) -> None:
        if not isinstance(self.stack[-2], _Kind | _Array):  # else it could change what is ours
            raise pickle.UnpicklingError("it sets the state of something else than an array")
        super().load_build()

    dispatch = pickle._Unpickler.dispatch | {pickle.BUILD[0]: load_build}


def load(path: Path) -> dict:
    """The plain values and arrays in a pickle; nothing of it is run, anything else is refused.

    Raises:
        SjepaError: it holds anything else, or is no pickle of this kind.
    """
    try:
        with path.open("rb") as file:
            data = _PlainUnpickler(file).load()
    except OSError as error:
        raise SjepaError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # the bytes of a damaged pickle raise anything
        why = " ".join(str(error).split())[:100] or type(error).__name__
        raise SjepaError(f"{path} is refused: not a pickle of plain values and arrays of numbers "
                         f"({why}): get it from its owners") from error
    if not (isinstance(data, dict) and isinstance(data.get("split"), dict)
            and isinstance(data.get("annotations"), list) and data["annotations"]):
        raise SjepaError(f"{path}: expected a dict with split and annotations, as pyskl has it")
    for each in data["annotations"]:
        # By type, as nested lists may stand for more than fits the memory.
        if not (isinstance(each, dict) and isinstance(each.get("frame_dir"), str)
                and isinstance(each.get("label"), int | np.integer) and each["label"] >= 0
                and isinstance(each.get("keypoint"), np.ndarray) and each["keypoint"].ndim == 4):
            raise SjepaError(f"{path}: an annotation without a frame_dir that is a text, a label "
                             "that is a number from 0, or a keypoint [M, T, V, 2 or 3]")
    return data


def source(path: Path, known: DatasetSpec | None) -> Source:
    """What a store is made from; `known` is None for a set of one's own, split as the file says.

    Raises:
        SjepaError: no pickle of this kind, or one of other joints than the set has.
    """
    data = load(path)
    annotations = data["annotations"]
    planar = annotations[0]["keypoint"].shape[-1] == 2
    highest = max(int(each["label"]) for each in annotations)
    if highest >= MAX_CLASSES:
        raise SjepaError(f"{path}: a label {highest}, more than any set has")
    skeleton = COCO17 if planar else NTU25
    if known and known.skeleton != skeleton:
        raise SjepaError(f"{path} has the skeleton {skeleton.name} and {known.name} "
                         f"{known.skeleton.name}: give the set a name of your own")
    numbers = known.numbers if known else None
    classes = known.classes if known and highest < len(known.classes) else [
        f"class {k + 1}" for k in range(highest + 1)]
    read_one = partial(read_clip, path=path, skeleton=skeleton, numbers=numbers,
                       sides={} if numbers else _sides(data["split"], path))
    return Source(annotations, read_one, classes, skeleton, parallel=False)


def _sides(splits: dict, path: Path) -> dict[str, dict[str, str]]:
    """Each clip's side in each split; `val` and `test` are one, `train` alone is of “default”."""
    sides: dict[str, dict[str, str]] = {}
    for key, clips in splits.items():
        match = _SIDE.fullmatch(key) if isinstance(key, str) else None
        if match is None or not (isinstance(clips, list)
                                 and all(isinstance(name, str) for name in clips)):
            raise SjepaError(f"{path}: a split is no list of names, or not called like xsub_train")
        split = re.sub(r"[^a-z0-9-]", "-", (match["split"] or "default").lower())
        side = "train" if match["side"] == "train" else "test"
        for name in clips:
            if sides.setdefault(name, {}).setdefault(split, side) != side:
                raise SjepaError(f"{path}: {name} is on both sides of split {split!r}")
    return sides


def read_clip(annotation: dict, path: Path, skeleton: Skeleton, sides: dict | None = None,
              numbers=None) -> list[Clip | LeftOut]:
    """The clip of one annotation."""
    try:
        name, label = annotation["frame_dir"], int(annotation["label"])
        x = np.asarray(annotation["keypoint"], np.float32)[:_BODIES]
        if skeleton.planar:
            score, picture = annotation["keypoint_score"], annotation["img_shape"]
            if not isinstance(score, np.ndarray) or not isinstance(picture[0], int | float):
                raise TypeError("keypoint_score or img_shape")
            x = upright(x, score[:_BODIES].astype(np.float32), float(picture[0]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SjepaError(f"{path}: an annotation lacks a part of a clip ({error!r})") from error
    if x.ndim != 4 or x.shape[2:] != (len(skeleton), 3) or not x.size:
        raise SjepaError(f"{path}: {name}: keypoint is no [M, T, {len(skeleton)}, 2 or 3]")
    x = np.moveaxis(np.nan_to_num(x), 0, 1)  # a point that is not a number was not seen
    if not x[:, 0].any():
        return [LeftOut(name, "its first body is in no frame")]
    said = numbers(name) if numbers else {"label": label}
    if said["label"] != label:
        raise SjepaError(f"{path}: {name}: label {label}, its name says {said['label']}")
    sides = (sides or {}).get(name, {})
    return [Clip(center_on_spine(x, skeleton), name=name, sides=sides, **said)]


def upright(x: np.ndarray, score: np.ndarray, height: float) -> np.ndarray:
    """Pixels `[M, T, 17, 2]`, y down, and scores `[M, T, 17]` → `[M, T, 17, 3]`, y up."""
    shoulders, hips = (5, 6), (11, 12)
    trunk = x[..., shoulders, :].mean(-2) - x[..., hips, :].mean(-2)
    seen = (score[..., shoulders + hips] > 0).all(-1)
    length = np.median(np.linalg.norm(trunk[seen], axis=-1)) if seen.any() else 0.0
    scale = TRUNK / length if length > 1e-6 else _PICTURE / height
    out = np.concatenate([x * np.float32((scale, -scale)), score[..., None]], axis=-1)
    out[score <= 0] = 0
    return out
