"""Kinder-Gator: ten children and ten adults act out 58 prompts before a Kinect v1, as CSV files.

One file a trial, `POSE-pSUBJECT_ORDER-CLASS-STAMP.csv` (a second hyphen may precede the stamp). A
header, then a row a frame: time stamp in ms, x y z of 20 joints in metres, camera space, then the
subject and the class once more. Time stamps are not read: a few repeat or go back, and the public
conversion keeps the rows as they are.
Source: github.com/hayeesha/Kinder-Gator (Aloba et al., Eurographics 2018).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sjepa.datasets.items import Item
from sjepa.datasets.mapped import mapped_clip
from sjepa.datasets.text import MAX_FRAMES, find_files, parse_name, read_text

_TABLE = [
    line.split("\t")
    for line in (Path(__file__).parents[1] / "lists" / "kindergator_classes.tsv")
    .read_text(encoding="utf-8").splitlines()
]
CLASSES = [name for name, _ in _TABLE]
#: The classes without the other side, the other way and more effort: 42.
COARSE = list(dict.fromkeys(coarse for _, coarse in _TABLE))
#: Place in `COARSE` of each class.
COARSE_OF_CLASS = [COARSE.index(coarse) for _, coarse in _TABLE]
#: Subjects of 5 to 9 years; the others are adults.
CHILDREN = (103, 106, 169, 290, 337, 342, 474, 595, 644, 723)

JOINTS = (
    "HipCenter", "Spine", "ShoulderCenter", "Head", "ShoulderLeft", "ElbowLeft", "WristLeft",
    "HandLeft", "ShoulderRight", "ElbowRight", "WristRight", "HandRight", "HipLeft", "KneeLeft",
    "AnkleLeft", "FootLeft", "HipRight", "KneeRight", "AnkleRight", "FootRight",
)
_HEADER = ["Timestamp", *(joint + axis for joint in JOINTS for axis in "XYZ")]
_WIDTH, _WIDEST = len(_HEADER), len(_HEADER) + 3  # subject, class, and an empty field
MAX_BYTES = 1 << 24  # 16 MiB; the longest trial has 0.4
_LIKE = "POSE-p342_05-Bow-1455372223852.csv"
_NAME = re.compile(rf"POSE-p([0-9]{{3}})_([0-9]{{2}})-({'|'.join(CLASSES)})--?([0-9]+)")


def files(raw: Path) -> list[Path]:
    """The CSV files below `raw`, by name.

    Raises:
        SjepaError: a name off the scheme, an unknown class, or a name that stands twice.
    """
    return find_files(raw, "*.csv", _NAME, _LIKE)


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 20, 3]` float64 in metres, joints as in `LAYOUTS["kinect20"]`.

    Rows of fewer than 61 fields are skipped, as in the public conversion.

    Raises:
        SjepaError: the file cannot be read, or is off the grammar, which the error says.
    """
    text = read_text(path, MAX_BYTES)
    head, *lines = ([field.strip() for field in line.split(",")] for line in text.lines)
    for wanted, found in zip(_HEADER, head + [""] * _WIDTH, strict=False):
        if wanted != found:
            text.fail(1, f"the header {_HEADER[0]},{_HEADER[1]},… with {wanted}", repr(found))
    rows = [(n, fields) for n, fields in enumerate(lines, 2) if len(fields) >= _WIDTH]
    if not 1 <= len(rows) <= MAX_FRAMES:
        text.fail(len(text.lines), f"1 to {MAX_FRAMES} rows of {_WIDTH} fields", f"{len(rows)}")
    for n, fields in rows:
        if len(fields) > _WIDEST:
            text.fail(n, f"{_WIDTH} to {_WIDEST} fields", f"{len(fields)}")
    values = [(n, " ".join(field or "nothing" for field in fields[1:_WIDTH])) for n, fields in rows]
    return text.table(values, _WIDTH - 1, "60 coordinates").reshape(-1, len(JOINTS), 3)


def read(path: Path) -> list[Item]:
    """The file's clip; one camera, one repetition.

    Raises:
        SjepaError: as `read_clip`, or a name off the scheme.
    """
    subject, _, name, _ = parse_name(path, _NAME, _LIKE)
    clip = mapped_clip(path, "kinect20", read_clip(path))
    return [Item(clip, CLASSES.index(name), path.stem, int(subject))]
