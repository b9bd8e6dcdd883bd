"""Poses as JSON, by shape: MediaPipe's, Azure Kinect's, OpenPose's, COCO's, and others like them.

A file is a list of frames, a frame a line, or a dict that holds the frames; a frame is a person, a
list of people, or a dict that holds them; a person is a list of points, a flat list of numbers, or
a dict of points by name; a point is a list of numbers or a dict of x, y, z. OpenPose writes a file
a frame: then the folder is given.
"""

import json
import re
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from sjepa.datasets.formats.points import FRAME, Points, by_joint, frame_order, looks_planar
from sjepa.datasets.text import MAX_FRAMES, read_text
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
_NAME = ("name", "joint", "type", "JointType")
_SCORE = ("visibility", "score", "confidence", "c", "likelihood")
_CROWD = 25
_Person = tuple[dict[str, list[float]], str]  # points by name, and what they were called


def read_poses(path: Path) -> Points:
    """The points of a JSON or JSON-lines file, or of a folder of JSON files, a frame each.

    Where nothing in it looks like people's joints, a `SjepaError` says what it holds.
    """
    try:
        if path.is_dir():
            files = sorted(path.glob("*.json"), key=lambda file: _natural(file.name))
            if not files:
                raise SjepaError("there are no .json files: give OpenPose's folder of a video")
            data: Any = [_load(file) for file in files[: MAX_FRAMES + 1]]
        else:
            data = _load(path)
        frames, names = _frames(data)
        people = [_people(frame) for frame in frames]
        if not any(people):
            raise SjepaError("nobody is in it: expected a person's joints in a frame at least, "
                             f"found {_told(next(filter(None, frames), frames))}")
        return _points(people, names)
    except SjepaError as error:
        raise error if str(path) in str(error) else SjepaError(f"{path}: {error}") from error
    except Exception as error:  # damaged files raise anything
        raise SjepaError(f"{path} holds no landmarks ({error!r:.120}): expected a JSON list of "
                         "frames, or a frame a line, each with a person's joints") from error


def _natural(name: str) -> list:
    """Sorts names by the numbers in them: 2 before 10."""
    return [float(part) if k % 2 else part
            for k, part in enumerate(re.split(r"(\d+(?:\.\d+)?)", name))]


def _load(path: Path) -> Any:
    lines = [line for line in read_text(path).lines if line.strip()]
    try:
        return json.loads("\n".join(lines))
    except json.JSONDecodeError:
        return [json.loads(line) for line in lines]


def _first(data: dict, names: tuple[str, ...]) -> str | None:
    """The first of the names, in any case, under which something lies."""
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
        elif data and all(re.search(r"\d", str(name)) for name in data):
            data = [data[name] for name in sorted(data, key=_natural)]  # "0": …, or frame_0001: …
        else:
            data = [data]
    if not isinstance(data, list) or len(data) > MAX_FRAMES:
        raise SjepaError(f"expected a list of at most {MAX_FRAMES} frames, found {_told(data)}")
    if data and all(isinstance(each, dict) for each in data):
        low = [{str(name).lower(): value for name, value in each.items()} for each in data]
        if all("image_id" in each for each in low):
            frames: dict[str, list] = {}  # COCO's results: an entry a person, of a picture
            for each in low:
                frames.setdefault(str(each["image_id"]), []).append(each)
            data = list(frames.values())
        elif name := next((name for name in FRAME if all(name in each for each in low)), ""):
            data = [data[k] for k in frame_order(name, [each[name] for each in low], "its frames")]
    return [data] if data and _is_point(data[0]) else data, names


def _axes(point: dict) -> dict[str, Any]:
    """A point's entries by x, y, z, whatever is said before: cameraX, X, position_x."""
    return {re.sub("camera|world|position|pos|_", "", str(name).lower()): value
            for name, value in point.items()}


def _is_point(data: Any) -> bool:
    """Whether this is one point: two to five numbers, or a dict of x and y."""
    if isinstance(data, dict):
        return {"x", "y"} <= {*_axes(data)}
    return (isinstance(data, list) and 2 <= len(data) <= 5
            and all(isinstance(each, int | float) for each in data))


def _point(point: Any) -> list[float]:
    """x, y, z and what follows; three numbers of a dict without z: its score is the third."""
    if isinstance(point, dict):
        low = _axes(point)
        score = [low[name] for name in _SCORE if name in low][:1]
        point = [low["x"], low["y"], *([low["z"]] if "z" in low else score or [1.0])]
    return [np.nan if value is None else value for value in point]


def _people(frame: Any, called: str = "") -> list[_Person]:
    """The people of a frame, whose points lie under `called`."""
    if not frame:
        return []
    if isinstance(frame, dict):
        world = bool({*_WORLD} & {*frame})  # where they are empty, nobody was found
        if name := _first(frame, _WORLD + _PEOPLE + (() if world else _POINTS + _IMAGE)):
            points, scores = frame[name], frame.get("keypoint_scores")
            if scores and len(points[0]) == 2:  # of a picture, the scores beside them
                points = [[*xy, score] for xy, score in zip(points, scores, strict=True)]
            return _people(points, called + name)
        return [] if world else _named(frame, called)
    if not isinstance(frame, list):
        raise SjepaError(f"a frame is {_told(frame)}")
    if all(isinstance(each, int | float) for each in frame):
        frame = _parted(frame)
    points = [each[inside] if isinstance(each, dict)
              and (inside := _first(each, ("position", "pos"))) else each for each in frame]
    if not _is_point(points[0]):
        return [person for each in frame for person in _people(each, called)]
    names = [next((str(each[n]) for n in _NAME if each.get(n) is not None), "")
             if isinstance(each, dict) else "" for each in frame]
    if len({*names}) < len(names):
        names = list(map(str, range(len(points))))
    return [(dict(zip(names, map(_point, points), strict=True)), called)]


def _named(frame: dict, called: str) -> list[_Person]:
    """A person as a dict of points by name, or of numbers called as a table's columns."""
    points = {name: value for name, value in frame.items() if _is_point(value)}
    if not points:
        columns = by_joint((name, value) for name, value in frame.items()
                           if isinstance(value, int | float))
        points = {name: point for name, point in columns.items() if len(point) == 3}
    if points:
        return [({name: _point(each) for name, each in points.items()}, called)]
    inner = [value for value in frame.values() if isinstance(value, list | dict) and value]
    if len(inner) > 1:
        raise SjepaError(f"a frame is {_told(frame)}")
    return _people(inner[0], called) if inner else []  # a frame's number and time, and nobody


def _parted(values: list[float]) -> list[list[float]]:
    """A flat list as points: threes, or MediaPipe's and other fours."""
    for each in (3, 4, 5, 2):
        if len(values) in {count * each for count in (17, 18, 20, 25, 26, 32, 33, 133, 136)}:
            return [values[k : k + each] for k in range(0, len(values), each)]
    raise SjepaError(f"a person is a list of {len(values)} numbers, which are no whole joints")


def _told(data: Any) -> str:
    if isinstance(data, dict):
        return f"a dict of {', '.join(map(str, data))[:800] or 'nothing'}"
    if isinstance(data, list):
        return f"a list of {len(data)}, the first of which is {str(data[0])[:200] if data else ''}"
    return f"{data!r:.100}"


def _points(frames: list[list[_Person]], names: list[str] | None) -> Points:
    """People of all frames in slots, each slot the person who moved least from frame to frame."""
    found = [person for people in frames for person in people]
    given = list(found[0][0])
    if any(list(points) != given for points, _ in found):
        raise SjepaError("its people have other joints in some frames than in the first")
    if names and len(names) != len(given):
        raise SjepaError(f"it names {len(names)} joints and a person has {len(given)}")
    slots = max(map(len, frames))
    if slots > _CROWD:
        raise SjepaError(f"a frame has {slots} people: are those its frames? Give a list of frames")
    poses = np.array([list(points.values()) for points, _ in found], np.float64)
    planar = poses.shape[2] == 2 or "2d" in found[0][1] or looks_planar(poses)
    if poses.shape[2] == 2:
        poses = np.pad(poses, ((0, 0), (0, 0), (0, 1)), constant_values=1)
    x = np.full((len(frames), slots, len(given), 3), np.nan)
    last, rest = np.full_like(x[0], np.inf), iter(poses[..., :3])
    for t, people in enumerate(frames):
        free = list(range(slots))
        for pose in islice(rest, len(people)):
            gap = [np.nan_to_num(np.abs(pose - last[s]), posinf=np.inf).mean() for s in free]
            slot = free.pop(int(np.argmin(gap)))
            x[t, slot] = last[slot] = pose
    return Points(tuple(names or given), x, planar)
