"""Tables of joints as text, by their header: a line a frame, or a line a joint of each frame.

Of a line a frame, a column is called by a joint and an axis in either order: `x0`, `NOSE_x`,
`landmark_0_x`, `HipCenterX`, `Head Position X (m)`. Of a line a joint, there are columns x, y, z,
one of the joint, and perhaps those of frame and person. All other columns are left out.
Without a header, the number of columns has to tell.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable
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


_Rows = list[tuple[int, list[str]]]  # line number and fields of each line


def read_table(path: Path) -> Points:
    """The points in a table of commas, semicolons, tabs or blanks.

    Where there are no columns of joints, a `SjepaError` names those that there are.
    """
    text = read_text(path)
    lines = text.rows()
    if not lines:
        text.fail(1, "a header and a line a frame", "nothing")
    while len(lines) > 1 and lines[0][1].startswith("#"):  # a comment, or the header behind a #
        first = lines[0][1].lstrip("# ")
        whole, below = (len(re.split("[\t;, ]+", each)) for each in (first, lines[1][1].strip()))
        lines = [(lines[0][0], first), *lines[1:]] if whole == below else lines[1:]
    line, first = lines[0]
    mark = max("\t;,", key=first.count)
    if first.count(mark) > _WIDEST:
        text.fail(line, f"at most {_WIDEST} fields a line", f"{first.count(mark) + 1}")
    rows = [(n, [field.strip(' "\'') for field in row.split(mark if mark in first else None)])
            for n, row in lines]
    (_, header), *body = rows = _one_header(rows)
    plain = [k for k, field in enumerate(header) if not field or _number(field) is not None]
    if len(plain) == len(header):
        values = [value for value in map(_number, header) if value == value]
        numbered = len(values) >= 60 and values[0] < 2 and {*np.diff(values)} == {1}
        return _bare(text, body if numbered else rows)  # columns that pandas numbered
    if len(plain) >= 60 and len(header) - len(plain) <= 2:  # besides words, such as a class
        return _bare(text, [(n, [row[k] for k in plain if k < len(row)]) for n, row in rows])
    if body and len(header) < len(body[0][1]):  # it names a few columns only
        return _bare(text, body)
    low = [re.sub(r"[\s.-]+", "_", re.sub(r"[\[(].*", "", name).strip().lower()) for name in header]
    columns = [_place(names, low) for names in (_JOINT, *_XYZ)]
    if min(columns) >= 0:
        return _long(text, body, columns, low)
    return _wide(text, body, header, low)


def _one_header(rows: _Rows) -> _Rows:
    """The rows with one header for several lines above axes, as motion capture exports it.

    Of the lines above the axes count the one that names most, and kinds.
    """
    at = next((at for at, (_, row) in enumerate(rows[:10])
               if at and sum(field.lower() in ("x", "y", "z") for field in row) >= 15), 0)
    if not at:
        return rows
    above = [row for _, row in rows[:at]]
    named = [max(above, key=lambda row: len({*row})),
             next((row for row in above if "Position" in row), [])]
    header = [" ".join([*(row[k] for row in named if k < len(row)), axis])
              for k, axis in enumerate(rows[at][1])]
    return [(rows[at][0], header), *rows[at + 1 :]]


def _place(names: Collection[str], low: list[str]) -> int:
    """The column of the first of these names that is there, or -1."""
    return next((low.index(name) for name in names if name in low), -1)


def _number(field: str) -> float | None:
    """A field as a number, NaN where it is empty or says so; None for other words."""
    try:
        return float(field.replace(",", ".")) if field else np.nan  # 0,5 as some write it
    except ValueError:
        return np.nan if field.lower() in ("none", "null", "na") else None


def _values(text: TextFile, line: int, row: list[str], columns: Iterable[int]) -> list[float]:
    """Numbers of a row in some columns, NaN where there is none or a huge one."""
    values = []
    for k in columns:
        value = _number(row[k]) if k < len(row) else np.nan
        if value is None:
            text.fail(line, f"a number in column {k + 1}", repr(row[k]))
        values.append(value if abs(value) <= MAX_NUMBER else np.nan)
    return values


def _wide(text: TextFile, body: _Rows, header: list[str], low: list[str]) -> Points:
    """A line a frame."""
    joints = by_joint((name, column) for column, name in enumerate(header)
                      if not _OTHER.search(name))
    world = {joint for joint in joints if "world" in joint.lower()}
    axes = "xyz" if any("z" in found for found in joints.values()) else "xy"
    whole = {joint: [found[a] for a in axes] for joint, found in joints.items()
             if len(found) == len(axes) and (not world or joint in world)}
    if len(whole) < 5:
        raise SjepaError(f"{text.path}: found no columns of joints, such as x0,y0,z0 or NOSE_x or "
                         f"HeadX, in the header {', '.join(header)[:1500]}")
    columns = sum(whole.values(), [])
    kept = [(n, row) for n, row in body if len(row) > max(columns)]
    if not 1 <= len(kept) <= MAX_FRAMES:
        text.fail(len(text.lines), f"1 to {MAX_FRAMES} lines of {max(columns) + 1} fields or more",
                  f"{len(kept)}")
    x = np.array([_values(text, n, row, columns) for n, row in kept])
    x = x.reshape(len(x), 1, len(whole), -1)
    if (at := _place(_BODY[:-1], low)) >= 0:  # pose may be a word for what somebody does
        who = ["".join(row[at:][:1]) for _, row in kept]
        if sum(map(ne, who, who[1:])) >= max(len({*who}), 2):  # else one was lost and found
            raise SjepaError(f"{text.path}: its lines are of several people in turn: keep one's")
    if (at := _place(FRAME, low)) >= 0:
        x = x[frame_order(low[at], [_number("".join(row[at:][:1])) for _, row in kept], text.path)]
    if axes == "xy":
        x = np.concatenate([x, np.isfinite(x[..., :1])], axis=-1)
    short = len(body) - len(kept)
    return Points(tuple(whole), x, axes == "xy",
                  (f"{short} lines that are too short were left out",) if short else ())


def _long(text: TextFile, body: _Rows, columns: list[int], low: list[str]) -> Points:
    """A line a joint of each frame."""
    frame_at, body_at = (_place(names, low) for names in (FRAME, _BODY))
    cells: dict[tuple[str, str, str], list[float]] = {}
    turn: Counter[str] = Counter()  # without frames, a joint that comes again begins the next one
    for line, row in body:
        if len(row) <= max(columns):
            continue
        joint = row[columns[0]]
        frame = row[frame_at] if frame_at >= 0 else str(turn[joint])
        turn[joint] += 1
        cell = frame, row[body_at] if body_at >= 0 else "", joint
        if cell in cells:
            text.fail(line, f"joint {joint} once in frame {frame}", "it again")
        cells[cell] = _values(text, line, row, columns[1:])
    frames, people, joints = (list(dict.fromkeys(cell[k] for cell in cells)) for k in range(3))
    if not frames or len(joints) < 5 or len(joints) > 1000 or len(people) > 50:
        raise SjepaError(f"{text.path}: a table with a line a joint has {len(frames)} frames, "
                         f"{len(people)} people and {len(joints)} joints, "
                         f"{', '.join(joints)[:900]}")
    if frame_at >= 0:
        order = frame_order(low[frame_at], [_number(frame) for frame in frames], text.path)
        frames = [frames[k] for k in order]
    x = np.full((len(frames), len(people), len(joints), 3), np.nan)
    at = [{name: k for k, name in enumerate(names)} for names in (frames, people, joints)]
    for cell, values in cells.items():
        x[tuple(place[name] for place, name in zip(at, cell, strict=True))] = values
    return Points(tuple(joints), x)


_WIDTHS = {(33, 3), (33, 4), (33, 5), (25, 3), (25, 4), (32, 3), (32, 4), (20, 3), (20, 4)}


def _bare(text: TextFile, rows: _Rows) -> Points:
    """A table without a header, a line a frame; a frame's number or time may come first."""
    if not rows:
        text.fail(len(text.lines), "a line a frame below the numbers of the columns", "the end")
    width = len(rows[0][1])
    table = np.array([_values(text, n, row, range(width)) for n, row in rows])
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
