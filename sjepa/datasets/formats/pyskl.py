"""pyskl's pickles (`ntu60_3danno.pkl`, `gym_2d.pkl` and their like), read without running them.

A dict: `split` `{name: [frame_dir, …]}`, names like `xsub_train` and `xsub_val`, and `annotations`,
a list of dicts with `frame_dir` (the clip's name), `label`, `keypoint` `[M, T, V, 2 or 3]`, and in
two dimensions `keypoint_score` `[M, T, V]`, pixels, COCO's 17 joints.

Clips of 25 joints in three dimensions become NTU-25 with the spine's middle as the origin. Clips of
17 in two become COCO-17: y is turned up, the score is the third channel, a point with score 0 is
zero, and a clip is scaled by one number so that its trunk, from the middle of the shoulders to the
middle of the hips, is half a metre long in the median over its frames; of one whose trunk is never
seen the picture is two metres high. The first two bodies are taken, as pyskl's own feeder does.
"""

from __future__ import annotations

import pickle
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sjepa.datasets.build import Source
from sjepa.datasets.layouts import center_on_spine
from sjepa.datasets.specs import DatasetSpec
from sjepa.datasets.store import Clip, LeftOut
from sjepa.errors import SjepaError
from sjepa.skeleton import COCO17, NTU25, Skeleton

TRUNK = 0.5  # metres from the shoulders to the hips
_PICTURE = 2.0  # metres that a picture is high where no trunk is seen
_BODIES = 2
_SIDE = re.compile(r"(?:(?P<split>.+)_)?(?P<side>train|val|test)")

#: All that a pickle may name: what numpy writes for an array, a number and a type of numbers. An
#: array begins empty and is then filled: no size that the file names is believed.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): None, ("numpy", "dtype"): np.dtype,
    # how older pickles write bytes, whatever encoding they name
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin-1")}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED |= {
        (f"{_core}.multiarray", "_reconstruct"): lambda *_: np.ndarray((0,), np.uint8),
        (f"{_core}.multiarray", "scalar"): lambda dtype, raw: np.frombuffer(raw, dtype)[0],
        (f"{_core}.numeric", "_frombuffer"): lambda buffer, dtype, shape, order: (
            np.frombuffer(buffer, dtype).reshape(shape, order=order))}


class _PlainUnpickler(pickle.Unpickler):
    """Gives plain values and arrays of numbers, and refuses everything else by its name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _ALLOWED[module, name]


def load(path: Path) -> dict:
    """The plain values and arrays in a pickle; nothing of it is run.

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
    return data


def source(path: Path, known: DatasetSpec | None) -> Source:
    """What a store is made from; `known` is None for a set of one's own, split as the file says.

    Raises:
        SjepaError: no pickle of this kind, or one of other joints than the set has.
    """
    data = load(path)
    annotations = data["annotations"]
    try:
        planar = np.shape(annotations[0]["keypoint"])[-1] == 2
        highest = max(int(each["label"]) for each in annotations)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SjepaError(f"{path}: an annotation without keypoint or label ({error!r})") from error
    skeleton = COCO17 if planar else NTU25
    if known and known.skeleton != skeleton:
        raise SjepaError(f"{path} has the skeleton {skeleton.name} and {known.name} "
                         f"{known.skeleton.name}: give the set a name of your own")
    numbers = known.numbers if known else None
    classes = known.classes if known and highest < len(known.classes) else [
        f"class {k + 1}" for k in range(highest + 1)]
    read_one = partial(_clip, path=path, skeleton=skeleton, numbers=numbers,
                       sides={} if numbers else _sides(data["split"], path))
    return Source(annotations, read_one, classes, skeleton, parallel=False)


def _sides(splits: dict, path: Path) -> dict[str, dict[str, str]]:
    """Each clip's side in each split; `val` and `test` are one, `train` alone is of “default”."""
    sides: dict[str, dict[str, str]] = {}
    for key, clips in splits.items():
        match = _SIDE.fullmatch(str(key))
        if match is None or not isinstance(clips, list):
            raise SjepaError(f"{path}: split {key!r}, expected lists named like xsub_train and "
                             "xsub_val")
        split = re.sub(r"[^a-z0-9-]", "-", (match["split"] or "default").lower())
        side = "train" if match["side"] == "train" else "test"
        for name in clips:
            if sides.setdefault(str(name), {}).setdefault(split, side) != side:
                raise SjepaError(f"{path}: {name} is on both sides of split {split!r}")
    return sides


def _clip(annotation: dict, path: Path, skeleton: Skeleton, sides: dict,
          numbers) -> list[Clip | LeftOut]:
    """The clip of one annotation."""
    try:
        name, label = str(annotation["frame_dir"]), int(annotation["label"])
        x = np.asarray(annotation["keypoint"], np.float32)[:_BODIES]
        if skeleton.planar:
            score = np.asarray(annotation["keypoint_score"], np.float32)[:_BODIES]
            x = _upright(x, score, float(annotation["img_shape"][0]))
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
    return [Clip(center_on_spine(x, skeleton), name=name, sides=sides.get(name, {}), **said)]


def _upright(x: np.ndarray, score: np.ndarray, height: float) -> np.ndarray:
    """Pixels `[M, T, 17, 2]`, y down, and scores `[M, T, 17]` → `[M, T, 17, 3]`, y up."""
    shoulders, hips = (5, 6), (11, 12)
    trunk = x[..., shoulders, :].mean(-2) - x[..., hips, :].mean(-2)
    seen = (score[..., shoulders + hips] > 0).all(-1)
    length = np.median(np.linalg.norm(trunk[seen], axis=-1)) if seen.any() else 0.0
    scale = TRUNK / length if length > 1e-6 else _PICTURE / height
    out = np.concatenate([x * np.float32((scale, -scale)), score[..., None]], axis=-1)
    out[score <= 0] = 0
    return out
