"""Your own motion: from a file to a clip in the NTU-25 layout, and what was understood of it."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path

import numpy as np

from sjepa.config import load_params
from sjepa.datasets import ntu
from sjepa.datasets.anatomy import SIDES, fill_in, find_person
from sjepa.datasets.arrays import read_arrays
from sjepa.datasets.formats import acclaim, npz, pyskl
from sjepa.datasets.formats.bvh import read_bvh
from sjepa.datasets.formats.mamp_cleaning import clip_from_skeleton
from sjepa.datasets.formats.mediapipe import in_a_room, mediapipe_clip
from sjepa.datasets.formats.points import Points, find_layout, find_parts, looks_planar
from sjepa.datasets.formats.poses import read_poses
from sjepa.datasets.formats.tables import read_table
from sjepa.datasets.layouts import COCO17, LAYOUTS, UPRIGHT, bridge, center_on_spine, check_clip
from sjepa.datasets.posture import settle, unlike_person
from sjepa.datasets.store import LeftOut
from sjepa.errors import SjepaError
from sjepa.skeleton import NTU25, NTU_JOINTS, Skeleton

#: A BVH file to try things on: a generated person who throws.
EXAMPLE = Path(__file__).resolve().parents[1] / "synthetic" / "throw.bvh"
_BODIES = 2
_KINDS = (".bvh", ".csv", ".tsv", ".txt", ".json", ".jsonl", ".npy", ".npz", ".pkl", ".skeleton",
          ".amc")
_SHAPES = ("[T, J, 3], [T, M, J, 3], [T, M * J * 3] or ST-GCN's [3, T, J, M] of one clip, or "
           "[N, T, M, J, 3], [N, T, M * J * 3] or [N, 3, T, J, M] of many")
_ROWS = 60, 75, 96, 99, 150  # numbers of all joints in a frame


class MotionWarning(UserWarning):
    """Something about a motion file was guessed: the sentence says what, and how to say it."""


@dataclass
class Motion:
    """A motion file as it was understood."""

    clip: np.ndarray  #: `[T, M, V, 3]` float32, metres
    skeleton: Skeleton  #: NTU-25, or COCO-17 of a picture
    source: dict[str, str]  #: joint to the file's joint; derived ones are not in it
    facts: list[str]  #: what was found: kind, axes, unit
    guesses: list[str] = field(default_factory=list)  #: what could be otherwise
    named: bool = True  #: whether the file itself says which joint is which
    stated: bool = False  #: whether its format sets joints, axes and unit

    @property
    def measured(self) -> np.ndarray:
        """`[V]` bool, False where a joint is derived and not measured."""
        return np.array([joint in self.source for joint in self.skeleton.joints])


def read_motion(path: str | os.PathLike, mapping: Mapping[str, str] | str | Path | None = None,
                unit: float | None = None, up: str | None = None, clip: int | str | None = None,
                show: bool = False) -> np.ndarray:
    """A motion file as a clip, with the spine's middle in the first frame as the origin.

    Joints, the axis that is up and the unit are found; what is not certain is said by a
    `MotionWarning`. The person is not turned to the camera: `sjepa.datasets.layouts.face_camera`
    does it. The frame rate is not read: the encoder resizes every clip.

    Args:
        path: BVH of any skeleton; a table (`.csv`, `.tsv`, `.txt`) or JSON of joints of a Kinect
            v1, v2, Azure Kinect, MediaPipe (world landmarks), OpenPose or COCO; a folder of
            OpenPose's files; pyskl's `.pkl`; NTU's `.skeleton`; `.amc` with its `.asf` beside it;
            `.npy`, or `.npz` with one such array or `x_train` and `x_test`: `[T, J, 3]`,
            `[T, M, J, 3]`, `[T, M * J * 3]`, ST-GCN's `[3, T, J, M]`, and of many clips
            `[N, T, M, J, 3]`, `[N, T, M * J * 3]`, `[N, 3, T, J, M]`.
        mapping: joint of NTU-25 to the file's joint, or a YAML file of it, where the names and the
            tree say too little.
        unit: metres a unit of the file, above 0; None: found from the person's size.
        up: the file's axis that is up: `x`, `y`, `z`, `-x`, `-y` or `-z`; None: found from how the
            person stands.
        clip: which one, where a file holds several: a number from 0, or its name.
        show: draw what was understood, by `sjepa.show.motion.show_motion`.

    Returns:
        `[T, M, 25, 3]` float32 metres; of joints in a picture `[T, M, 17, 3]`, x, y and score in
        the layout COCO-17, for an encoder of such clips.

    Raises:
        SjepaError: no such file, a fault in it, an argument that does not fit, or joints of which
            nothing is understood; then the mapping to fill in is told.
    """
    motion = open_motion(path, mapping, unit, up, clip)
    if motion.guesses:
        warnings.warn(f"{path}: {'; '.join(motion.guesses)}", MotionWarning, stacklevel=2)
    if show:
        from sjepa.show.motion import show_motion  # here: matplotlib is not needed to read

        show_motion(motion, Path(path).name)
    return motion.clip


def open_motion(path: str | os.PathLike, mapping: Mapping[str, str] | str | Path | None = None,
                unit: float | None = None, up: str | None = None,
                clip: int | str | None = None) -> Motion:
    """A motion file with what was understood of it; see `read_motion`."""
    if not isinstance(path, str | os.PathLike):
        raise SjepaError(f"path is of type {type(path).__name__}: give that of a motion file")
    path = Path(path)
    suffix = "" if os.path.isdir(path) else path.suffix.lower()  # False for a name too long
    if suffix not in _KINDS and not path.is_dir():
        raise SjepaError(f"{path}: expected one of {', '.join(_KINDS)} or a folder of JSON files")
    if up not in (None, *UPRIGHT):
        raise SjepaError(f"up is {up!r}: expected one of {', '.join(UPRIGHT)}")
    if unit is not None and not (isinstance(unit, Real) and 0 < unit < np.inf):
        raise SjepaError(f"unit is {unit!r}: expected metres a unit of the file, a number above 0, "
                         "0.01 for centimetres")
    if isinstance(mapping, str | Path):
        mapping = load_params(mapping)
    if not isinstance(mapping, Mapping | None):
        raise SjepaError(f"mapping is of type {type(mapping).__name__}: expected a dict, joint of "
                         "NTU-25 to the file's joint, or a YAML file of it")
    said = mapping, unit, up
    if suffix not in (".npz", ".pkl", ".npy"):
        _chosen(path, [path.name], clip)
    if suffix == ".pkl":
        motion = _pickled(path, clip)
    elif suffix in (".npz", ".npy"):
        motion = _arrays(path, clip, *said)
    elif suffix == ".skeleton":
        motion = _whole(clip_from_skeleton(ntu.read_skeleton(path)), "NTU's .skeleton")
    elif suffix == ".bvh":
        motion = _bvh(path, *said)
    elif suffix == ".amc":
        motion = _amc(path)
    else:
        read = read_table if suffix in (".csv", ".tsv", ".txt") else read_poses
        motion = _of_points(read(path), path, *said)
    if motion.stated and said != (None, None, None):
        raise SjepaError(f"{path}: {motion.facts[0]}: joints, axes and unit are known, leave out "
                         "mapping=, unit= and up=")
    check_clip(motion.clip, str(path), "pass unit=, metres a unit of the file", motion.skeleton)
    odd = unlike_person(motion.clip[:, 0]) if motion.skeleton == NTU25 else ""
    if odd and motion.named:
        motion.guesses.append(f"the body has no human proportions, {odd}: are joints hidden?")
    elif odd:
        raise SjepaError(f"{path}: read as {motion.facts[0]}, the body has no human proportions, "
                         f"{odd}. If its joints are others, {fill_in()}")
    return motion


def _settled(parts: dict[str, np.ndarray], source: dict[str, str], kind: str, where: Path,
             **known) -> Motion:
    """A person's parts `[T, M, 3]` as a motion."""
    if not all(np.isfinite(part).all() for part in parts.values()):
        raise SjepaError(f"{where}: a position is NaN or infinite")
    facts, guesses = [kind], []
    x = settle(parts, facts, guesses, **known)
    derived = [name for name in NTU_JOINTS if name not in source]
    facts.append(f"derived: {', '.join(derived) or 'nothing'}")
    if "left foot" in derived:
        guesses.append("the toes are not in the file: derived from the shins")
    return Motion(center_on_spine(x, NTU25, where), NTU25, source, facts, guesses)


def _bvh(path: Path, mapping: Mapping[str, str] | None, unit: float | None,
         up: str | None) -> Motion:
    """A BVH file's person, by the mapping or by names and tree."""
    bvh = read_bvh(path, ends=True)
    if mapping:
        points = Points(bvh.joints, bvh.positions)
        parts, places, sided = {}, find_parts(points, mapping, str(path)), True
    else:
        parts, places, sided = find_person(bvh, str(path))
    parts |= {name: bvh.positions[:, k] for name, k in places.items()}
    high, low = (sum(bvh.rest[places[f"{side} {part}"]] for side in SIDES)
                 for part in ("shoulder", "ankle"))
    motion = _settled(
        {name: part[:, None] for name, part in parts.items()},
        {name: bvh.joints[k] for name, k in places.items()},
        f"BVH of {sum(not name.endswith(' end') for name in bvh.joints)} joints", path,
        sided=sided, unit=unit, up=up, rest=high - low)
    motion.named = sided
    return motion


def _of_points(points: Points, path: Path, mapping: Mapping[str, str] | None,
               unit: float | None, up: str | None) -> Motion:
    """People's points, by the mapping, as a layout, or by names alone."""
    points = _people(points, path)
    name, order, named = ("", [], True) if mapping else find_layout(points)
    x = points.x[:, :, order]
    if name == COCO17.name:
        bodies = np.moveaxis(x, 1, 0).astype(np.float32)
        flat = pyskl.upright(bodies[..., :2], bodies[..., 2], float(max(bodies[..., 1].max(), 1)))
        motion = _whole(center_on_spine(np.moveaxis(flat, 0, 1), COCO17, path), name)
    elif name == "mediapipe33" and not in_a_room(x[:, 0]):
        motion = _whole(mediapipe_clip(x[:, 0], path), "MediaPipe's world landmarks", name)
    elif name:
        x25 = np.moveaxis(LAYOUTS[name].map(x), 2, 0)
        motion = _settled(dict(zip(NTU_JOINTS, x25, strict=True)), _sources(name),
                          f"joints as in {name}", path, unit=unit, up=up, mirror=False)
        motion.named = named
    else:
        places = find_parts(points, mapping, str(path))
        motion = _settled({part: points.x[:, :, k] for part, k in places.items()},
                          {part: points.joints[k] for part, k in places.items()},
                          f"{len(points.joints)} joints by their names", path, unit=unit, up=up)
    motion.guesses += points.notes
    return motion


def _sources(layout: str) -> dict[str, str]:
    """Joint of NTU-25 to the layout's, of those that are measured."""
    known = LAYOUTS[layout]
    return {joint: known.joints[int(row.argmax())] for joint, row, measured in zip(
        NTU_JOINTS, known.to_ntu25, known.measured, strict=True) if measured}


def _people(points: Points, where: Path) -> Points:
    """The one or two people who are seen most, without the frames in which none of them is.

    A joint that was not seen for a while moves straight from where it was to where it is again;
    one that was never seen is left out.
    """
    known = np.isfinite(points.x).all(-1)
    seen = known.any((0, 1))
    x, notes = points.x[:, :, seen], list(points.notes)
    there = known.any(-1) & np.nan_to_num(points.x).any((2, 3))
    people = sorted(range(x.shape[1]), key=lambda m: -there[:, m].sum())[:_BODIES]
    people = [m for m in people if there[:, m].any()]
    frames = there[:, people].any(1)
    if not frames.any() or x.shape[2] < 5:
        raise SjepaError(f"{where}: nobody is in it: expected landmarks of a person's joints")
    for lost, what in (((~frames).sum(), "frames without anybody"),
                       (there.any(0).sum() - len(people), "people beyond the second")):
        if lost:
            notes.append(f"{lost} {what} were left out")
    x, there, holes = x[frames][:, people], there[frames][:, people], 0
    for m in range(x.shape[1]):
        body = x[there[:, m], m]  # a copy [T, J, 3]
        good = np.isfinite(body).all(-1, keepdims=True)
        if points.planar:
            body = np.where(good, body, 0)
        else:
            holes += int((~good[:, good.any((0, 2))]).sum())
            body = bridge(body, good)
        x[there[:, m], m] = body
    x[~there] = 0
    if holes:
        notes.append(f"{holes} positions that are missing were filled in time")
    return Points(tuple(name for name, kept in zip(points.joints, seen, strict=True) if kept), x,
                  points.planar, tuple(notes))


def _whole(clip: np.ndarray, kind: str, layout: str = "ntu25") -> Motion:
    """A clip that is already as it has to be, on NTU-25 or, of a picture, COCO-17."""
    if clip.shape[2] != len(COCO17):
        return Motion(clip, NTU25, _sources(layout), [kind, "y is up", "the unit is metres"],
                      stated=True)
    return Motion(clip, COCO17, {joint: joint for joint in COCO17.joints}, ["joints in a picture"],
                  ["these are joints in a picture (COCO-17, 2D): no encoder that comes with the "
                   "package takes them; train one on such clips, and give embed skeleton=COCO17"],
                  stated=True)


def as_points(x: np.ndarray, where: str | Path, clip: int | str | None = None) -> Points:
    """An array of joints in one of the shapes that `read_motion` lists; of many clips one."""
    shape, known = list(x.shape), x.size > 0 and x.dtype.kind in "biuf"
    many = known and (x.ndim == 5 or x.ndim == 3 and shape[2] in _ROWS)
    place = _chosen(where, [str(k) for k in range(shape[0] if many else 1)], clip)
    x = (x[place] if many else x).astype(np.float64) if known else np.empty(0)
    if x.ndim == 4 and len(x) == 3 and x.shape[2] in (17, 18, 25) and x.shape[3] <= _BODIES:
        x = x.transpose(1, 3, 2, 0)
    elif x.ndim == 2 and x.shape[1] in _ROWS:
        x = x.reshape(len(x), 1 + (x.shape[1] == 150), -1, 3)
    elif x.ndim == 3:
        x = x[:, None]
    if x.ndim != 4 or not 2 <= x.shape[3] <= 5:
        raise SjepaError(f"{where}: expected joints {_SHAPES}; found {shape}")
    if x.shape[1] > max(len(x), _BODIES):
        raise SjepaError(f"{where}: {shape} would be {x.shape[1]} people in {len(x)} frames: "
                         f"expected joints {_SHAPES}; of [M, T, J, 3] save x.swapaxes(0, 1)")
    planar = x.shape[3] == 2 or x.shape[2] in (17, 18, 133) and looks_planar(x)
    if x.shape[3] == 2:
        x = np.concatenate([x, np.ones_like(x[..., :1])], -1)
    return Points(tuple(map(str, range(x.shape[2]))), x[..., :3], planar)


def _pickled(path: Path, clip: int | str | None) -> Motion:
    """The clip of this number or name in pyskl's pickle."""
    annotations = pyskl.load(path)["annotations"]
    each = annotations[_chosen(path, [each["frame_dir"] for each in annotations], clip)]
    skeleton = COCO17 if each["keypoint"].shape[-1] == 2 else NTU25
    (found,) = pyskl.read_clip(each, path, skeleton)
    if isinstance(found, LeftOut):
        raise SjepaError(f"{path}: {found.name}: {found.why}")
    return _whole(found.positions, "pyskl's pickle, 25 joints")


def _arrays(path: Path, clip: int | str | None, *said) -> Motion:
    """The clip of this number or name in an npz or npy; `said` as in `_of_points`."""
    arrays = read_arrays(path)
    if "to_ntu25" in arrays:
        clips = npz.read_conversion(path)
        found = clips[_chosen(path, [each.name for each in clips], clip)]
        return _whole(found.positions, "a conversion of an open set")
    sides = [name for name in ("x_train", "x_test") if name in arrays and arrays[name].ndim > 2]
    joints = [each for each in arrays.values() if each.ndim > 2] or [*arrays.values()]
    if not sides and len(joints) == 1:
        return _of_points(as_points(*joints, path, clip), path, *said)
    names = [f"{side[2:]}_{k:06d}" for side in sides for k in range(len(arrays[side]))]
    if not names:
        raise SjepaError(f"{path} holds {', '.join(arrays)}: expected x_train and x_test "
                         f"[N, 300, 150], or one array of joints, {_SHAPES}")
    side, k = names[_chosen(path, names, clip)].split("_")
    x = arrays[f"x_{side}"][int(k)]
    if x.shape[1:] not in ((75,), (150,)) or x.dtype.kind != "f":
        return _of_points(as_points(x, path), path, *said)
    return _whole(center_on_spine(npz.unpad(x), NTU25, path), "a clip of the N x 300 x 150 layout")


def _chosen(path: str | Path, names: list[str], clip: int | str | None) -> int:
    """The place of the clip that is asked for."""
    if clip is None and len(names) == 1:
        return 0
    if isinstance(clip, str) and clip in names:
        return names.index(clip)
    if not isinstance(clip, int | np.integer) or not 0 <= clip < len(names):
        what = (f"{len(names)} clips, {names[0]} to {names[-1]}: pass clip=, a name or a number "
                f"from 0 to {len(names) - 1}" if len(names) > 1 else
                f"{'one' if names else 'no'} clip: leave out clip=")
        raise SjepaError(f"{path} holds {what}"
                         + ("" if clip is None else f"; there is no {clip!r}"))
    return int(clip)


def _amc(path: Path) -> Motion:
    """An Acclaim motion, with the skeleton that lies beside it."""
    beside = sorted(path.parent.glob("*.[aA][sS][fF]"))
    fits = [each for each in beside if path.stem.startswith(each.stem)] or beside
    if len(fits) != 1:
        raise SjepaError(f"{path} needs its skeleton, an .asf file whose name begins as its own, "
                         f"in the same folder: found {len(beside)}")
    layout, skeleton = LAYOUTS["hdm31"], acclaim.read_asf(fits[0])
    order = layout.order(skeleton.joints, skeleton.parents, str(fits[0]))
    x = layout.map(acclaim.joint_positions(skeleton, acclaim.read_amc(path, skeleton))[:, order])
    return _whole(center_on_spine(x[:, None], NTU25, path), "Acclaim", layout.name)
