"""Tables of joints as text, by their header: a line a frame, or a line a joint of each frame.

Of a line a frame, a column is called by a joint and an axis in either order: `x0`, `NOSE_x`,
`landmark_0_x`, `HipCenterX`, `Head Position X (m)`. Of a line a joint, there are columns x, y, z,
one of the joint, and perhaps those of frame and person. All other columns are left out.
Without a header, the number of columns has to tell.
"""

import re
from operator import ne
from pathlib import Path

import numpy as np

from sjepa.datasets.formats.points import FRAME, Points, by_joint, frame_order
from sjepa.datasets.text import MAX_FRAMES, MAX_NUMBER, TextFile, read_text
from sjepa.errors import SjepaError

_WIDEST = 20_000  # fields a line, far more than the joints of two people take
_OTHER = re.compile("rot|orient|quat|veloc|colou?r|depth|pixel|project|angle|norm|accel|screen|2d",
                    re.I)
_JOINT = ("joint", "joint_name", "joint_id", "jointid", "jointtype", "joint_type", "joint_index",
          "landmark", "landmark_id", "landmark_index", "landmark_name", "landmarkid", "keypoint",
          "keypoint_id", "id", "index", "name", "type", "part", "marker", "point")
_BODY = ("body", "body_id", "bodyid", "body_index", "bodyindex", "person", "person_id", "personid",
         "pose_id", "tracking_id", "trackingid", "skeleton", "skeleton_id", "user_id", "pose")
_XYZ = [{axis, f"{axis}_world", f"world_{axis}", f"pos_{axis}", f"position_{axis}", f"{axis}_m",
         f"camera_{axis}", f"camera{axis}"} for axis in "xyz"]


def read_table(path: Path) -> Points:
    """The points in a table of commas, semicolons, tabs or blanks.

    Raises:
        SjepaError: it cannot be read, or has no columns of joints; the columns are named.
    """
    text = read_text(path)
    rows = text.rows()
    if not rows:
        text.fail(1, "a header and a line a frame", "nothing")
    while len(rows) > 1 and rows[0][1].startswith("#"):  # a comment, or the header behind a #
        line, first = rows[0][0], rows[0][1].lstrip("# ")
        whole = len(re.split("[\t;, ]+", first)) == len(re.split("[\t;, ]+", rows[1][1].strip()))
        rows = [(line, first), *rows[1:]] if whole else rows[1:]
    first = rows[0][1]
    mark = max("\t;,", key=first.count)
    if first.count(mark) > _WIDEST:
        text.fail(rows[0][0], f"at most {_WIDEST} fields a line", f"{first.count(mark) + 1}")
    fields = [[field.strip(' "\'') for field in line.split(mark if mark in first else None)]
              for _, line in rows]
    if at := _axes_below(fields):
        rows, fields = rows[at:], [_joined(fields[:at], fields[at]), *fields[at + 1 :]]
    plain = [k for k, field in enumerate(fields[0]) if not field or _number(field) is not None]
    if len(plain) == len(fields[0]):
        values = [value for value in map(_number, fields[0]) if value == value]
        numbered = int(len(values) >= 60 and values[0] < 2 and {*np.diff(values)} == {1})
        return _bare(text, rows[numbered:], fields[numbered:])  # columns that pandas numbered
    if len(plain) >= 60 and len(fields[0]) - len(plain) <= 2:  # besides words, such as a class
        return _bare(text, rows, [[row[k] for k in plain if k < len(row)] for row in fields])
    header, body = fields[0], fields[1:]
    if body and len(header) < len(body[0]):  # it names a few columns only
        return _bare(text, rows[1:], body)
    low = [re.sub(r"[\s.-]+", "_", re.sub(r"[\[(].*", "", name).strip().lower()) for name in header]
    xyz = [next((k for k, name in enumerate(low) if name in names), -1) for names in _XYZ]
    joint = next((low.index(name) for name in _JOINT if name in low), -1)
    if min(*xyz, joint) >= 0:
        return _long(text, rows[1:], body, [joint, *xyz], low)
    return _wide(text, rows[1:], body, header, low)


def _axes_below(fields: list[list[str]]) -> int:
    """The line of axes in a header of several lines, as motion capture exports it, or 0."""
    return next((at for at, row in enumerate(fields[:10])
                 if at and sum(field.lower() in ("x", "y", "z") for field in row) >= 15), 0)


def _joined(above: list[list[str]], axes: list[str]) -> list[str]:
    """One header of several lines: of those above the axes the one that names most, and kinds."""
    lines = [max(above, key=lambda line: len({*line})),
             next((line for line in above if "Position" in line), [])]
    return [" ".join([*(line[k] for line in lines if k < len(line)), axis])
            for k, axis in enumerate(axes)]


def _number(field: str) -> float | None:
    """A field as a number, NaN where it is empty or says so; None for other words."""
    try:
        value = float(field.replace(",", ".")) if field else np.nan  # 0,5 as some write it
    except ValueError:
        return np.nan if field.lower() in ("none", "null", "na") else None
    return value


def _values(text: TextFile, line: int, row: list[str], columns: list[int]) -> list[float]:
    """Numbers of a row in some columns, NaN where there is none or a huge one."""
    values = [_number(row[k]) if k < len(row) else np.nan for k in columns]
    for k, value in zip(columns, values, strict=True):
        if value is None:
            text.fail(line, f"a number in column {k + 1}", repr(row[k]))
    return [value if abs(value) <= MAX_NUMBER else np.nan for value in values]


def _stated(names: tuple[str, ...], low: list[str], rows) -> tuple[str, list[str]]:
    """The first column of these names, and what stands in it; nothing where there is none."""
    name = next((name for name in names if name in low), "")
    return name, ["".join(row[low.index(name) :][:1]) for _, row in rows] if name else []


def _wide(text: TextFile, rows, body: list[list[str]], header: list[str],
          low: list[str]) -> Points:
    """A line a frame."""
    joints = by_joint((name, column) for column, name in enumerate(header)
                      if not _OTHER.search(name))
    world = {joint for joint in joints if "world" in joint.lower()}
    planar = not any("z" in axes for axes in joints.values())
    whole = {joint: [axes[a] for a in "xyz"[: 3 - planar]] for joint, axes in joints.items()
             if len(axes) == 3 - planar and (not world or joint in world)}
    if len(whole) < 5:
        raise SjepaError(f"{text.path}: found no columns of joints, such as x0,y0,z0 or NOSE_x or "
                         f"HeadX, in the header {', '.join(header)[:1500]}")
    columns = [k for axes in whole.values() for k in axes]
    kept = [(line, row) for (line, _), row in zip(rows, body, strict=False)
            if len(row) > max(columns)]
    if not 1 <= len(kept) <= MAX_FRAMES:
        text.fail(len(text.lines), f"1 to {MAX_FRAMES} lines of {max(columns) + 1} fields or more",
                  f"{len(kept)}")
    x = np.array([_values(text, line, row, columns) for line, row in kept])
    x = x.reshape(len(x), 1, len(whole), -1)
    _, who = _stated(_BODY[:-1], low, kept)  # pose may be a word for what somebody does
    if sum(map(ne, who, who[1:])) >= max(len({*who}), 2):  # else it is one who was lost and found
        raise SjepaError(f"{text.path}: its lines are of several people in turn: keep those of one")
    name, numbers = _stated(FRAME, low, kept)
    if name:
        x = x[frame_order(name, [*map(_number, numbers)], text.path)]
    if planar:
        x = np.concatenate([x, np.isfinite(x[..., :1])], axis=-1)
    short = len(body) - len(kept)
    return Points(tuple(whole), x, planar,
                  (f"{short} lines that are too short were left out",) if short else ())


def _long(text: TextFile, rows, body: list[list[str]], columns: list[int],
          low: list[str]) -> Points:
    """A line a joint of each frame."""
    frame_at, body_at = (next((low.index(name) for name in names if name in low), None)
                         for names in (FRAME, _BODY))
    cells: dict[tuple[str, str], dict[str, list[float]]] = {}
    turn: dict[str, int] = {}  # without frames, a joint that comes again begins the next one
    for (line, _), row in zip(rows, body, strict=False):
        if len(row) <= max(columns):
            continue
        joint = row[columns[0]]
        turn[joint] = turn.get(joint, -1) + 1
        frame = row[frame_at] if frame_at is not None else str(turn[joint])
        who = row[body_at] if body_at is not None else ""
        points = cells.setdefault((frame, who), {})
        if joint in points:
            text.fail(line, f"joint {joint} once in frame {frame}", "it again")
        points[joint] = _values(text, line, row, columns[1:])
    joints = tuple(dict.fromkeys(joint for points in cells.values() for joint in points))
    frames = list(dict.fromkeys(frame for frame, _ in cells))
    people = list(dict.fromkeys(who for _, who in cells))
    if not frames or len(joints) < 5 or len(joints) > 1000 or len(people) > 50:
        raise SjepaError(f"{text.path}: a table with a line a joint has {len(frames)} frames, "
                         f"{len(people)} people and {len(joints)} joints, "
                         f"{', '.join(joints)[:900]}")
    if frame_at is not None:
        order = frame_order(low[frame_at], [_number(frame) for frame in frames], text.path)
        frames = [frames[k] for k in order]
    x = np.full((len(frames), len(people), len(joints), 3), np.nan)
    at = {frame: k for k, frame in enumerate(frames)}
    for (frame, who), points in cells.items():
        for joint, values in points.items():
            x[at[frame], people.index(who), joints.index(joint)] = values
    return Points(joints, x)


_WIDTHS = {(33, 3), (33, 4), (33, 5), (25, 3), (25, 4), (32, 3), (32, 4), (20, 3), (20, 4)}


def _bare(text: TextFile, rows, fields: list[list[str]]) -> Points:
    """A table without a header, a line a frame; a frame's number or time may come first."""
    if not fields:
        text.fail(len(text.lines), "a line a frame below the numbers of the columns", "the end")
    width = len(fields[0])
    table = np.array([_values(text, line, row, list(range(width)))
                      for (line, _), row in zip(rows, fields, strict=True)])
    climbs = len(table) > 1 and (np.diff(table[:, 0]) > 0).all()
    for before in (1, 0, 2) if climbs else (0, 1, 2):
        for joints, each in sorted(_WIDTHS):
            if width - before == joints * each:
                x = table[:, before:].reshape(len(table), 1, joints, each)
                counted = each == 4 and not np.ptp(np.diff(x[..., 0]), axis=(0, 1, 2))
                x = x[..., 1:] if counted else x[..., :3]  # the joint's number may come first
                return Points(tuple(map(str, range(joints))), x)
    raise SjepaError(f"{text.path}: a table of {width} numbers a line and no header says of no "
                     "joints: give it a header such as x0,y0,z0,x1,… or NOSE_x,NOSE_y,NOSE_z,…")
