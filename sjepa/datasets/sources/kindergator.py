"""Kinder-Gator: ten children and ten adults act out 58 prompts before a Kinect v1, as CSV files.

One file a trial, `POSE-pSUBJECT_ORDER-CLASS-STAMP.csv` (a second hyphen may precede the stamp). A
header, then a row a frame: time stamp in ms, x y z of 20 joints in metres, camera space, then the
subject and the class once more. Time stamps are not read: a few repeat or go back, and the public
conversion keeps the rows as they are.
"""

from pathlib import Path

import numpy as np

from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.specs import DatasetSpec, Origin, Split, across_subjects, github
from sjepa.datasets.text import MAX_FRAMES, read_list, read_text

#: Classes, and each one without the other side, the other way and more effort: 42 of those.
CLASSES, COARSE = zip(*read_list("kindergator_classes.tsv"), strict=True)
#: Subjects of 5 to 9 years; the others are adults.
CHILDREN = (103, 106, 169, 290, 337, 342, 474, 595, 644, 723)
#: Five adults and five children, every other id of each sorted group.
TRAIN = (565, 604, 876, 921, 970, 103, 169, 337, 474, 644)
JOINTS = (
    "HipCenter", "Spine", "ShoulderCenter", "Head", "ShoulderLeft", "ElbowLeft", "WristLeft",
    "HandLeft", "ShoulderRight", "ElbowRight", "WristRight", "HandRight", "HipLeft", "KneeLeft",
    "AnkleLeft", "FootLeft", "HipRight", "KneeRight", "AnkleRight", "FootRight")
_HEADER = ["Timestamp", *(joint + axis for joint in JOINTS for axis in "XYZ")]
_WIDTH, _WIDEST = len(_HEADER), len(_HEADER) + 3  # subject, class, and an empty field


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 20, 3]` float64 in metres, joints as in `LAYOUTS["kinect20"]`.

    Rows of fewer than 61 fields are skipped, as in the public conversion.
    """
    text = read_text(path)
    head, *lines = ([field.strip() for field in line.split(",", _WIDEST)] for line in text.lines)
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


FILES = ClipFiles(
    "*.csv", rf"POSE-p(?P<subject>[0-9]{{3}})_[0-9]{{2}}-(?P<label>{'|'.join(CLASSES)})--?[0-9]+",
    "POSE-p342_05-Bow-1455372223852.csv", "kinect20", read_clip, {"label": CLASSES})


def _all_but_fold(fold: int):
    """Fold k of five tests every fifth of the sorted subjects, from the k-th on."""
    return lambda store: ~np.isin(store.subjects, np.unique(store.subjects)[fold::5])


SPEC = DatasetSpec(
    name="kindergator", title="Kinder-Gator", classes=CLASSES, files=FILES.files, read=FILES.read,
    needs="the owners' .csv files", converted="kindergator_int16.npz",
    splits={
        # For choosing a recipe one adult and two children are held out.
        **across_subjects(TRAIN, (579, 580), (970, 474, 644), (405, 174)),
        **{f"fold{k + 1}": Split(_all_but_fold(k)) for k in range(5)},
    },
    clips=1_159, content=(194_523, "eef749dae6653ae2"),  # of a later commit than the one below
    coarse=COARSE, frontal=True,
    origin=Origin(
        "Kinder-Gator", "https://github.com/hayeesha/Kinder-Gator", "no licence file",
        "the authors offer it “for use in animation and whole-body recognition and interaction”; "
        "half of the people are children, of whom only joints were published: use it for "
        "research, and ask the authors before passing it on",
        "Aloba et al.: Kinder-Gator: The UF Kinect Database of Child and Adult Motion, "
        "Eurographics 2018, Short Papers",
        # The commit at which all trials are indexed publicly; later ones edit the read-me.
        github("hayeesha/Kinder-Gator", "936be575b518ed9c112cd03695527133c48d4dc4",
               ".csv", unpacked=127_000_000)))
