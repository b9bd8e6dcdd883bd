"""Named points of people, as tables and JSON files have them, and the layout that they are of."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sjepa.datasets.anatomy import NEEDED, bare, fill_in, side_of, words
from sjepa.datasets.layouts import COCO17, LAYOUTS
from sjepa.errors import SjepaError
from sjepa.skeleton import NTU_JOINTS


@dataclass(frozen=True)
class Points:
    """Points of people over time."""

    joints: tuple[str, ...]  #: J names as the file has them; numbers where it has none
    x: np.ndarray  #: `[T, M, J, 3]` float64, NaN for nothing; of a picture: x, y and a score
    planar: bool = False  #: whether they are a picture's, in pixels
    notes: tuple[str, ...] = ()  #: what the file says or lacks, a sentence each


#: What tables and JSON call a frame's number or time; the first that is there counts.
FRAME = ("frame", "frame_id", "frameid", "frame_idx", "frame_index", "frameindex", "frame_number",
         "framenumber", "frameno", "frame_num", "timestamp", "time", "timestamp_ms", "time_ms",
         "timestamp_usec", "image_id", "image")


def frame_order(name: str, stated: Sequence, where: str | Path) -> np.ndarray:
    """In which order frames stand whose numbers or times are `stated` under `name`.

    Words, as names of pictures are, say nothing of it: the order is the file's. A number that
    stands twice, and time that goes back, as a clock does after a minute, are a `SjepaError`.
    """
    try:
        values = np.array(stated, np.float64)
    except (TypeError, ValueError, OverflowError):
        values = np.zeros(0)
    if "image" in name or values.shape != (len(stated),) or not np.isfinite(values).all():
        return np.arange(len(stated))
    order = values.argsort(kind="stable")
    if "time" in name and (order != np.arange(len(order))).any():
        raise SjepaError(f"{where}: {name} {values[np.diff(values).argmin() + 1]:g} comes after a "
                         f"later one: sort the frames, or leave {name} out")
    twice = np.flatnonzero(np.diff(values[order]) == 0)
    if len(twice) and "time" not in name:
        raise SjepaError(f"{where}: {name} {values[order][twice[0]]:g} stands twice: expected one "
                         f"recording and each frame once, with all its people, or no {name}")
    return order


_PICTURE = 4.0  # of a picture in pixels, points lie further from each other


def looks_planar(x: np.ndarray) -> bool:
    """Whether the third number is a score or a flag: from 0 to 2, beside numbers of pixels."""
    third, y = x[..., 2], x[..., 1]
    return bool(np.nanmin(third) >= 0 and np.nanmax(third) <= 2
                and np.nanmedian(np.nanmax(y, -1) - np.nanmin(y, -1)) > _PICTURE)


#: Words that say nothing about which joint it is.
_NOISE = {"joint", "k", "4", "abt", "pos", "position", "world", "landmark", "landmarks", "kp",
          "keypoint", "type", "pose", "point", "marker", "d", "lm", "m", "mm", "cm"}
#: Layout → names that recorders give to its joints besides its own.
ALIASES = {
    "kinect20": {"hip center": "spine base", "spine": "spine mid",
                 "shoulder center": "spine shoulder"},
    "azure32": {"spine naval": "spine navel"},
    "mediapipe33": {"left foot index": "left toe", "right foot index": "right toe"},
}
#: Names that stand for a joint of NTU-25 where no layout is whole.
_LIKE = {"pelvis": "spine base", "hips": "spine base", "hip": "spine base", "root": "spine base",
         "mid hip": "spine base", "hip center": "spine base", "spine": "spine mid",
         "torso": "spine mid", "thorax": "spine shoulder", "shoulder center": "spine shoulder",
         "nose": "head", "left toe": "left foot", "right toe": "right foot",
         "left big toe": "left foot", "right big toe": "right foot",
         "left foot index": "left foot", "right foot index": "right foot"}
#: Of a picture's joints by their number: where COCO's 17 stand. Larger sets begin with them.
PLANAR = {17: range(17), 18: (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10),
          25: (0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11),
          33: (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28),
          26: range(17), 133: range(17), 136: range(17)}
_RICHEST_FIRST = ("azure32", "mediapipe33", "ntu25", "kinect20")
_NUMBERED = {len(LAYOUTS[name].joints): name for name in _RICHEST_FIRST}
_UNIT = r"\s*[\[(]?(?:m|mm|cm|meters?)?[\])]?"
_COLUMNS = [re.compile(form, re.I) for form in (
    r"(?P<axis>[xyz])[\s_.-]?(?P<joint>\d+)",
    rf"(?P<joint>.*[^\s_.:/-])[\s_.:/-]*[\[(]?(?P<axis>[xyz])[\])]?{_UNIT}",
    r"(?P<axis>[xyz])[\s_.-](?P<joint>.+)")]


def by_joint(columns: Iterable[tuple[str, object]]) -> dict[str, dict[str, object]]:
    """What stands under the names of columns, by joint and axis; other columns are left out.

    A column is called by both in either order: `x0`, `NOSE_x`, `Head Position X (m)`.
    """
    joints: dict[str, dict] = {}
    for name, value in columns:
        match = next(filter(None, (form.fullmatch(name.strip()) for form in _COLUMNS)), None)
        if match:
            joints.setdefault(match["joint"], {}).setdefault(match["axis"].lower(), value)
    return joints


def key(name: str) -> str:
    """A joint's name without order, case and noise: `ShoulderLeft` and `L_Shoulder` are one."""
    return "".join(sorted(side_of(name) + bare(name, _NOISE)))


def _numbers(joints: Sequence[str]) -> list[int] | None:
    """The joints' numbers from 0, if that is all that their names say."""
    found = [re.sub("[^0-9]", "", name) if not set(re.findall("[a-z]+", words(name))) - _NOISE
             else "" for name in joints]
    if not all(0 < len(each) < 10 for each in found):
        return None
    values = [int(each) for each in found]
    first = min(values)
    return [value - first for value in values] if first <= 1 else None


def _place(keys: Sequence[str], joint: str, also: dict[str, str]) -> int | None:
    """Where a joint stands among the names with these `keys`, by its own or another name."""
    names = [joint, *(other for other, same in also.items() if same == joint)]
    return next((keys.index(key(name)) for name in names if key(name) in keys), None)


def find_layout(points: Points) -> tuple[str, list[int], bool]:
    """Name of the layout that the points are of, and where each of its joints stands, or nothing.

    A joint that is not there, because no joint of NTU-25 is made of it, stands at 0. Besides,
    whether the joints have names, and not only numbers.
    """
    keys = [key(joint) for joint in points.joints]
    if (by_number := _numbers(points.joints)) is not None:
        ranks = {value: place for place, value in enumerate(by_number)}
        count = max(ranks) + 1
        if len(ranks) == count and not points.planar and count in _NUMBERED:
            return _NUMBERED[count], [ranks[k] for k in range(count)], False
        if len(ranks) == count and points.planar and count in PLANAR:
            return COCO17.name, [ranks[k] for k in PLANAR[count]], False
        return "", [], False
    for name in (COCO17.name,) if points.planar else _RICHEST_FIRST:
        layout = COCO17 if points.planar else LAYOUTS[name]
        used = [True] * len(COCO17) if points.planar else layout.to_ntu25.any(0)
        places = [_place(keys, joint, ALIASES.get(name, {})) for joint in layout.joints]
        if all(place is not None for place, needed in zip(places, used, strict=True) if needed):
            return name, [place or 0 for place in places], True
    return "", [], True


def find_parts(points: Points, mapping: Mapping[str, str] | None, where: str) -> dict[str, int]:
    """Where joints of NTU-25 stand, by a mapping of them to the file's or by the names alone.

    A mapping that does not fit, and names that say too little, are a `SjepaError`.
    """
    joints = list(points.joints)
    if mapping:
        names = [str(mapping[joint]) for joint in NEEDED if joint in mapping]
        lost = ", ".join(joint for joint in NEEDED if joint not in mapping)
        faults = [f"it lacks {lost}"] if lost else []
        faults += [f"no joint of NTU-25 is {str(joint)!r}" for joint in mapping
                   if joint not in NTU_JOINTS]
        faults += [f"the file has no joint {str(name)!r}" for name in mapping.values()
                   if str(name) not in joints]
        faults += [f"{name!r} stands for two joints" for name in names if names.count(name) > 1]
        if faults:
            raise SjepaError(f"{where}: the mapping does not fit: {faults[0]}; the file has "
                             f"{', '.join(joints)[:1500]}")
        found = {joint: joints.index(str(name)) for joint, name in mapping.items()}
    else:
        keys = [key(joint) for joint in joints]
        places = {joint: _place(keys, joint, _LIKE) for joint in NTU_JOINTS}
        found = {joint: place for joint, place in places.items() if place is not None}
    if points.planar or not {*NEEDED} <= {*found}:
        raise SjepaError(f"{where}: its {len(joints)} joints are of no known layout: "
                         f"{', '.join(joints)[:1500]}: {fill_in()}")
    return found
