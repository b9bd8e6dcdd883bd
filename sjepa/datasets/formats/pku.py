"""PKU-MMD, Phase I and II: from the owners' long videos to one clip an annotated instance.

A video is two text files of one name (the owners' README; Liu et al. 2017)::

    skeleton  a row a frame: x y z of the 25 joints of body 1, then of body 2, which is zero where
              absent; metres, camera space, joints in NTU order
    labels    a row an instance: action, start frame, end frame, confidence, comma-separated

Names: Phase I `NNNN-V` (video, view), Phase II `AaaNnn-V` (recording, subject, view), V being L, M
or R. A split file has a header, the training videos, a header, the validation videos.

Clips are cut as by MAMP's scripts `pku_gendata.py`: the rows [start, end), counted from 0, of which
the first 300; no centring, no denoising; an instance whose values sum to 0 is left out.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.store import Clip, LeftOut
from sjepa.datasets.text import TextFile, read_list, read_text, walk_files
from sjepa.errors import SjepaError

ACTIONS = 51
#: Ids of the classes that Phase II lacks: what needs a second person, or a pocket.
NOT_IN_PHASE_2 = (12, 14, 16, 18, 21, 24, 26, 27, 29, 38)
MAX_ROWS = 300  # the lineage cuts longer clips to their beginning
MAX_METRES = 1000.0  # a Kinect sees 8 m; a kilometre is a broken number, or millimetres
VIEWS = "LMR"  # 1 left, 2 middle, 3 right
SCHEMES = {
    1: re.compile(r"(?P<setup>\d{4})-(?P<view>[LMR])", re.ASCII),
    2: re.compile(r"A(?P<setup>\d\d)N(?P<subject>\d\d)-(?P<view>[LMR])", re.ASCII),
}


def _label_of(phase: int, pku2_labels: str) -> dict[int, int]:
    """Label, from 0, of each action id, from 1."""
    lacking = NOT_IN_PHASE_2 if (phase, pku2_labels) == (2, "dense") else ()
    ids = [action for action in range(1, ACTIONS + 1) if action not in lacking]
    return {action: label for label, action in enumerate(ids)}


def classes(phase: int, pku2_labels: str = "original") -> tuple[str, ...]:
    """Class names, in the order of the labels."""
    names = [row[1] for row in read_list("pku_classes.tsv")]
    return tuple(names[action - 1] for action in _label_of(phase, pku2_labels))


@dataclass(frozen=True)
class Video:
    """A video's two files, and its side in each split."""

    phase: int
    name: str
    skeleton: Path
    labels: Path
    sides: Mapping[str, str] = field(default_factory=dict)


def files(raw: Path, phase: int) -> list[Video]:
    """The videos of a phase below `raw`, sorted by name, wherever the archives were unpacked.

    The names tell the phases apart, and commas labels from skeletons.

    Raises:
        SjepaError: a video without labels or the reverse, two files of the same name, a folder
            that cannot be read, or a split file that is missing or wrong.
    """
    skeletons: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    for path in sorted(walk_files(raw, "*.txt")):
        if SCHEMES[phase].fullmatch(path.stem):
            with path.open("rb") as file:
                of_kind = labels if b"," in file.readline(1 << 16) else skeletons
            if first := of_kind.get(path.stem):
                raise SjepaError(f"{path} and {first} are the same video: remove one")
            of_kind[path.stem] = path
    if alone := sorted(set(skeletons) ^ set(labels)):
        raise SjepaError(f"{len(alone)} videos have a skeleton or labels but not both, {alone[0]} "
                         f"first: unpack both archives below {raw}")
    names = sorted(skeletons)
    training = {protocol: _training(raw, phase, across, names) for protocol, across in
                (("xsub", "subject"), ("xview", "view")) if names}
    return [Video(phase, name, skeletons[name], labels[name],
                  {protocol: "train" if name in these else "test"
                   for protocol, these in training.items()}) for name in names]


def _training(raw: Path, phase: int, across: str, there: list[str]) -> set[str]:
    """The videos that train, as the split file says (its name also with `_`); the others test."""
    wanted = f"cross-{across}{'-v2' if phase == 2 else ''}.txt"
    found = [path for path in walk_files(raw, "*.txt")
             if path.name.lower().replace("_", "-") == wanted]
    if len(found) != 1:
        raise SjepaError(f"{raw} has {len(found)} files {wanted}, expected one: put it there")
    path, rows = found[0], read_text(found[0]).rows()
    lists = [{name.strip() for name in text.split(",") if name.strip()} for _, text in rows[1::2]]
    if len(rows) != 4 or not all(map(SCHEMES[phase].fullmatch, lists[0] | lists[1])):
        raise SjepaError(f"{path}: expected four lines: a header, training videos, a header, "
                         f"validation videos, with names like {there[0]}")
    training, validation = lists
    if both := sorted(training & validation):
        raise SjepaError(f"{path} has {len(both)} videos in both lists, {both[0]} first: "
                         "get it again")
    if absent := sorted((training | validation) - set(there)):
        raise SjepaError(f"{path} lists {len(absent)} videos that are not below {raw}, "
                         f"{absent[0]} first: unpack all of the skeletons and labels")
    if neither := sorted(set(there) - training - validation):
        print(f"{path} lists {len(neither)} videos in neither part, {neither[0]} first: they "
              "test, as in the published lineage", file=sys.stderr)
    return training


def _rows(file: TextFile) -> list[tuple[int, str]]:
    """Line number, from 1, and text of each line up to the last that is not blank."""
    # A blank line between others is a fault: public readers disagree on whether it counts as a row.
    rows = file.rows()
    if not rows:
        raise SjepaError(f"{file.path} is empty: get it again")
    return list(enumerate(file.lines[: rows[-1][0]], 1))


def _instances(path: Path, label_of: Mapping[int, int]) -> list[tuple[int, int, int]]:
    """Label, start frame and end frame of each instance of a video, in the order of the file."""
    file, found = read_text(path), []
    expected = f"one of {len(label_of)} action ids, start frame, end frame, confidence"
    for line, text in _rows(file):
        action, start, end, _ = numbers = file.numbers(line, text.split(","), 4, expected)
        if action not in label_of or min(numbers) < 0 or start % 1 or end % 1:
            file.fail(line, expected, repr(text))
        found.append((label_of[action], int(start), int(end)))
    return found


def read(video: Video, options: PrepareConfig) -> list[Clip | LeftOut]:
    """The instances of one video, in the order of its label file.

    Returns:
        A clip `[T <= 300, 2, 25, 3]` an instance, bodies in the file's order, zeros where absent.
        `name` is that of the video and the instance's number, from 1 (`0001-L_007`); `rep` is that
        number, `view` 1 left, 2 middle or 3 right, `setup` NNNN or aa, `subject` nn, or -1 in
        Phase I. Or what the lineage does not cut: an instance of no rows, or whose values
        sum to 0.

    Raises:
        SjepaError: a file is off its grammar, or labels are `dense` and an id is one of the ten.
    """
    said = SCHEMES[video.phase].fullmatch(video.name).groupdict()
    file = read_text(video.skeleton)
    frames = file.table(_rows(file), 150, "150 numbers, x y z of 25 joints of two bodies in metres",
                        MAX_METRES)
    labels = _label_of(video.phase, options.pku2_labels)
    found: list[Clip | LeftOut] = []
    for number, (label, start, end) in enumerate(_instances(video.labels, labels), 1):
        name = f"{video.name}_{number:03d}"
        rows = frames[start : end + (options.pku_slice == "inclusive")]
        clip = rows[:MAX_ROWS].reshape(-1, 2, 25, 3).astype(np.float32)
        # The lineage keeps a clip of no body in 300 rows, and its feeder then breaks on it.
        if rows.sum() == 0 or not clip.any():
            found.append(LeftOut(name, f"frames {start} to {end} of {len(frames)}: there are none, "
                                       "or their values sum to 0"))
        else:
            found.append(Clip(
                clip, label, name, int(said.get("subject", -1)), VIEWS.index(said["view"]) + 1,
                number, int(said["setup"]), video.sides))
    return found
