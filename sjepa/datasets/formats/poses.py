"""Poses as JSON, by shape: MediaPipe's, Azure Kinect's, OpenPose's, COCO's, and others like them.

A file is a list of frames, a frame a line, or a dict that holds the frames; a frame is a person, a
list of people, or a dict that holds them; a person is a list of points, a flat list of numbers, or
a dict of points by name; a point is a list of numbers or a dict of x, y, z. OpenPose writes a file
a frame: then the folder is given.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from sjepa.datasets.formats.points import FRAME, Points, by_joint, frame_order, looks_planar
from sjepa.datasets.text import MAX_BYTES, MAX_FRAMES
from sjepa.errors import SjepaError

_WORLD = ("worldLandmarks", "world_landmarks", "pose_world_landmarks", "poseWorldLandmarks")
_IMAGE = ("pose_landmarks", "poseLandmarks", "landmarks", "landmark")
_FRAMES = ("frames", "instance_info", "annotations", "skeletons", "data", "poses", "results",
           "sequence", "motion")
_PEOPLE = ("people", "bodies", "instances", "persons", "skeletons", "poses", "predictions",
           "tracked_bodies")
_POINTS = ("joint_positions", "joints", "keypoints", "keypoints3d", "keypoints_3d", "keypoints_2d",
           "pose_keypoints_3d", "pose_keypoints_2d", "positions", "joint_positions_3d", "points",
           "skeleton", "pose", "position", "translation")
_CROWD = 25
_SCORE = ("visibility", "score", "confidence", "c", "likelihood")


def read_poses(path: Path) -> Points:
    """The points of a JSON or JSON-lines file, or of a folder of JSON files, a frame each.

    Raises:
        SjepaError: it cannot be read, or nothing in it looks like people's joints; what it holds
            is said.
    """
    try:
        if path.is_dir():
            files = sorted(path.glob("*.json"), key=lambda file: _natural(file.name))
            if not files:
                raise SjepaError(f"{path} has no .json files: give OpenPose's folder of a video")
            data: Any = [json.loads(file.read_bytes()) for file in files[: MAX_FRAMES + 1]]
        else:
            if path.stat().st_size > MAX_BYTES:
                raise SjepaError(f"{path} has more than {MAX_BYTES >> 20} MiB: cut it")
            data = _load(path.read_bytes())
        frames, names = _frames(data)
        people = [_people(frame) for frame in frames]
        if not any(people):
            raise SjepaError("nobody is in it: expected a person's joints in a frame at least, "
                             f"found {_told(next(filter(None, frames), frames))}")
        return _points(people, names)
    except OSError as error:
        raise SjepaError(f"{path} cannot be read: {error.strerror}") from error
    except SjepaError as error:
        raise error if str(path) in str(error) else SjepaError(f"{path}: {error}") from error
    except Exception as error:  # damaged files raise anything
        raise SjepaError(f"{path} holds no landmarks ({error!r:.120}): expected a JSON list of "
                         "frames, or a frame a line, each with a person's joints") from error


def _natural(name: str) -> list:
    """Sorts names by the numbers in them: 2 before 10."""
    return [float(part) if k % 2 else part
            for k, part in enumerate(re.split(r"(\d+(?:\.\d+)?)", name))]


def _load(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except json.JSONDecodeError as error:
        lines = [line for line in raw.splitlines() if line.strip()]
        if len(lines) < 2 or not lines[0].lstrip().startswith((b"{", b"[")):
            raise error
        return [json.loads(line) for line in lines]


def _first(data: dict, names) -> str | None:
    """The first of the names under which something lies."""
    there = {str(n).lower(): n for n, value in data.items()
             if isinstance(value, list | dict) and value}
    return next((there[n.lower()] for n in names if n.lower() in there), None)


def _frames(data: Any) -> tuple[list, list[str] | None]:
    """The frames, and the joints' names where the file lists them once for all."""
    names = None
    if isinstance(data, dict):
        names = data.get("joint_names") or data.get("joints_names")
        if inside := _first(data, _FRAMES):
            data = data[inside]
        elif set(data) and all(re.search(r"\d", str(name)) for name in data):
            data = [data[name] for name in sorted(data, key=_natural)]  # "0": …, or frame_0001: …
        else:
            data = [data]
    if not isinstance(data, list) or len(data) > MAX_FRAMES:
        raise SjepaError(f"expected a list of at most {MAX_FRAMES} frames, found {_told(data)}")
    if data and all(isinstance(each, dict) and "image_id" in each for each in data):
        frames: dict[str, list] = {}  # COCO's results: an entry a person, of a picture
        for each in data:
            frames.setdefault(str(each["image_id"]), []).append(each)
        data = list(frames.values())
    elif data and all(isinstance(each, dict) for each in data):
        low = [{str(name).lower(): value for name, value in each.items()} for each in data]
        if name := next((name for name in FRAME if all(name in each for each in low)), ""):
            order = frame_order(name, [each[name] for each in low], "its frames")
            data = [data[k] for k in order]
    if data and _is_point(data[0]):
        data = [data]
    return data, names


def _is_point(data: Any) -> bool:
    """Whether this is one point: two to five numbers, or a dict of x and y."""
    if isinstance(data, dict):
        return {"x", "y"} <= {*_axes(data)}
    return (isinstance(data, list) and 2 <= len(data) <= 5
            and all(isinstance(each, int | float) for each in data))


def _axes(point: dict) -> dict[str, Any]:
    """A point's entries by x, y, z, whatever is said before: cameraX, X, position_x."""
    return {re.sub("camera|world|position|pos|_", "", str(name).lower()): value
            for name, value in point.items()}


def _people(frame: Any) -> list[tuple[list[str] | None, np.ndarray, str]]:
    """The people of a frame: names or None, points `[J, 2 to 5]`, and what they were called."""
    if not frame:
        return []
    if isinstance(frame, dict):
        world = bool({*_WORLD} & {*frame})  # where they are empty, nobody was found
        if called := _first(frame, _WORLD + _PEOPLE + (() if world else _POINTS + _IMAGE)):
            return [(names, x, called + called_in) for names, x, called_in in _people(
                _scored(frame[called], frame))]
        return [] if world else _named(frame)
    if not isinstance(frame, list):
        raise SjepaError(f"a frame is {_told(frame)}")
    if all(isinstance(each, int | float) for each in frame):
        return [(None, _flat(frame), "flat")]
    if _is_point(frame[0]):
        names = [each.get("name") or each.get("joint") or each.get("type") for each in frame
                 ] if isinstance(frame[0], dict) else []
        return [(names if names and all(isinstance(n, str) for n in names) else None,
                 np.array([_point(each) for each in frame], np.float64), "")]
    if isinstance(frame[0], dict) and _first(frame[0], ("position", "Position", "pos")):
        named = {str(each.get("name") or each.get("type") or each.get("JointType") or k): next(
            each[n] for n in ("position", "Position", "pos") if n in each)
            for k, each in enumerate(frame)}
        return _named(named)
    return [person for each in frame for person in _people(each)]


def _named(frame: dict) -> list:
    """A person as a dict of points by name, or of numbers called as a table's columns."""
    points = {name: value for name, value in frame.items() if _is_point(value)}
    if not points:
        flat = by_joint((name, value) for name, value in frame.items()
                        if isinstance(value, int | float))
        points = {name: point for name, point in flat.items() if len(point) == 3}
    if not points:
        inner = [value for value in frame.values() if isinstance(value, list | dict) and value]
        if len(inner) == 1:
            return _people(inner[0])
        if any(isinstance(value, int | float | str | list | None) for value in frame.values()):
            if not inner:
                return []  # a frame's number and time, and nobody
        raise SjepaError(f"a frame is {_told(frame)}")
    return [(list(points), np.array([_point(each) for each in points.values()], np.float64), "")]


def _point(point: Any) -> list[float]:
    """x, y, z and what follows; three numbers of a dict without z: its score is the third."""
    if isinstance(point, list):
        return [np.nan if value is None else value for value in point]
    low = _axes(point)
    score = [low[name] for name in _SCORE if name in low][:1]
    values = [low["x"], low["y"], *([low["z"]] if "z" in low else score or [1.0])]
    return [np.nan if value is None else value for value in values]


def _scored(points: Any, person: dict) -> Any:
    """Points of a picture with their scores, where these stand beside them."""
    scores = person.get("keypoint_scores")
    if scores and isinstance(points, list) and len(scores) == len(points) and len(points[0]) == 2:
        return [[*point, score] for point, score in zip(points, scores, strict=True)]
    return points


def _flat(values: list[float]) -> np.ndarray:
    """A flat list as points: threes, or MediaPipe's and other fours."""
    for each in (3, 4, 5, 2):
        if len(values) in {count * each for count in (17, 18, 20, 25, 26, 32, 33, 133, 136)}:
            return np.array(values, np.float64).reshape(-1, each)
    raise SjepaError(f"a person is a list of {len(values)} numbers, which are no whole joints")


def _told(data: Any) -> str:
    if isinstance(data, dict):
        return f"a dict of {', '.join(map(str, data))[:800] or 'nothing'}"
    if isinstance(data, list):
        return f"a list of {len(data)}, the first of which is {str(data[0])[:200] if data else ''}"
    return f"{data!r:.100}"


def _points(frames: list[list], names: list[str] | None) -> Points:
    """People of all frames in slots, each slot the person who moved least from frame to frame."""
    found = [person for people in frames for person in people]
    given, first, called = found[0]
    joints = tuple(names or given or map(str, range(len(first))))
    width = first.shape[1]
    if any(x.shape != first.shape or (theirs or given) != given for theirs, x, _ in found):
        raise SjepaError("its people have other joints in some frames than in the first")
    if len(joints) != len(first):
        raise SjepaError(f"it names {len(joints)} joints and a person has {len(first)}")
    planar = width == 2 or "2d" in called or looks_planar(np.stack([x for _, x, _ in found]))
    slots = max(map(len, frames))
    if slots > _CROWD:
        raise SjepaError(f"a frame has {slots} people: are those its frames? Give a list of frames")
    x = np.full((len(frames), slots, len(first), 3), np.nan)
    last: list[np.ndarray | None] = [None] * slots
    for t, people in enumerate(frames):
        free = list(range(slots))
        for _, pose, _ in people:
            pose = pose[:, :3] if width > 2 else np.pad(pose, ((0, 0), (0, 1)), constant_values=1)
            gap = [np.inf if last[s] is None else np.nan_to_num(np.abs(pose - last[s])).mean()
                   for s in free]
            slot = free.pop(int(np.argmin(gap)))
            x[t, slot] = last[slot] = pose
    return Points(joints, x, planar)
