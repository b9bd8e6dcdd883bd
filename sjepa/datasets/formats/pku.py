"""PKU-MMD, Phase I and II: from the owners' long videos to one clip an annotated instance.

A video is two text files of one name (the owners' README; Liu et al. 2017)::

    skeleton  a row a frame: 150 numbers, blank-separated: x y z of the 25 joints of body 1, then of
              body 2; an absent body is 75 zeros; metres, camera space, joints in NTU order
    labels    a row an instance: action, start frame, end frame, confidence, comma-separated
    split     four lines: a header, the training videos, a header, the validation videos; names
              without `.txt`, comma-separated

A blank line between rows is refused: frames are counted in rows, and public readers disagree on
whether it counts. Names: Phase I `NNNN-V` (video, view), Phase II `AaaNnn-V` (recording, subject,
view), V being L, M or R. Who performs in Phase I is not published, so both cross-subject splits are
lists of videos.

Clips are cut as the published lineage does it (MAMP's scripts `pku_gendata.py`): the rows [start,
end), frames counted from 0, of which the first 300; no centring, no denoising; an instance whose
values sum to 0 is left out. Two choices are options: whether row `end` belongs to the instance, and
whether Phase II, which lacks ten of the 51 classes, keeps their ids.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sjepa.datasets.build import Clip, LeftOut, PrepareConfig
from sjepa.datasets.text import MAX_FRAMES, TextFile, read_list, read_text, to_number, walk_files
from sjepa.errors import SjepaError

ACTIONS = 51
#: Ids of the classes that Phase II lacks: what needs a second person, or a pocket.
NOT_IN_PHASE_2 = (12, 14, 16, 18, 21, 24, 26, 27, 29, 38)
MAX_ROWS = 300  # the lineage cuts longer clips to their beginning
MAX_METRES = 1000.0  # as for NTU: a Kinect sees 8 m; a kilometre is a broken number
COLUMNS = 150  # 2 bodies x 25 joints x 3
VIDEOS = {1: 1_076, 2: 1_009}
VIEWS = "LMR"  # 1 left, 2 middle, 3 right
SCHEMES = {
    1: re.compile(r"(?P<setup>\d{4})-(?P<view>[LMR])", re.ASCII),
    2: re.compile(r"A(?P<setup>\d\d)N(?P<subject>\d\d)-(?P<view>[LMR])", re.ASCII),
}
LIKE = {1: "0001-L", 2: "A01N01-L"}
_SPLIT_FILES = {
    (1, "xsub"): "cross-subject.txt", (1, "xview"): "cross-view.txt",
    (2, "xsub"): "cross-subject-v2.txt", (2, "xview"): "cross-view-v2.txt",
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


# --- finding videos -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Video:
    """A video's two files, and its side in each split."""

    phase: int
    name: str
    skeleton: Path
    labels: Path
    sides: Mapping[str, str] = field(default_factory=dict)


def _kind(path: Path, raw: Path) -> str:
    """`skeleton` or `label`: by the name of the file's folder, else by its first line."""
    says = [kind for kind in ("skeleton", "label") if kind in path.parent.name.lower()]
    if len(says) == 1 and path.parent != raw:
        return says[0]
    try:
        with path.open("rb") as file:
            line = file.readline(1 << 16)
    except OSError as error:
        raise SjepaError(f"{path} cannot be read: {error.strerror}") from error
    if line.count(b",") == 3:
        return "label"
    if len(line.split()) == COLUMNS:
        return "skeleton"
    raise SjepaError(f"{path.parent} holds neither rows of {COLUMNS} numbers nor rows of four "
                     "fields: call the two folders “skeleton” and “label”")


def files(raw: Path, phase: int) -> list[Video]:
    """The videos of a phase below `raw`, sorted by name, wherever the archives were unpacked.

    The names tell the phases apart; the folder's name (`PKU_Skeleton_Renew`,
    `Train_Label_PKU_final`, …), or the content where that says nothing, tells which of a video's
    files is which. Other text files may lie beside them.

    Raises:
        SjepaError: a video without labels or the reverse, two files of the same name, a folder
            that cannot be read, or as `split_lists`.
    """
    found: dict[str, dict[str, Path]] = {"skeleton": {}, "label": {}}
    kinds: dict[Path, str] = {}
    for path in sorted(walk_files(raw, "*.txt")):
        if not SCHEMES[phase].fullmatch(path.stem):
            continue
        if path.parent not in kinds:
            kinds[path.parent] = _kind(path, raw)
        first = found[kinds[path.parent]].setdefault(path.stem, path)
        if first != path:
            raise SjepaError(f"{path} and {first} are the same video: remove one")
    skeletons, labels = found["skeleton"], found["label"]
    for have, lack, what in ((skeletons, labels, "labels"), (labels, skeletons, "a skeleton")):
        if alone := sorted(set(have) - set(lack)):
            raise SjepaError(f"{len(alone)} of {len(have)} videos have a file but not {what}, "
                             f"{have[alone[0]]} first: unpack both archives below {raw}")
    names = sorted(skeletons)
    lists = split_lists(raw, phase, names) if names else {}
    return [Video(phase, name, skeletons[name], labels[name],
                  {split: "train" if name in training else "test"
                   for split, training in lists.items()}) for name in names]


# --- the text -----------------------------------------------------------------------------------


def _rows(file: TextFile, expected: str) -> list[tuple[int, str]]:
    """Line number, from 1, and text of each row; blank lines may only follow the last."""
    last = max((at for at, line in enumerate(file.lines, 1) if line.strip()), default=0)
    if not last:
        file.fail(1, expected, "the end of the file")
    rows = list(enumerate(file.lines[:last], 1))
    for at, line in rows:
        if not line.strip():
            file.fail(at, expected, "a blank line")
    return rows


def read_rows(path: Path) -> np.ndarray:
    """All frames of a video: `[T, 150]` float64, metres.

    Raises:
        SjepaError: the file cannot be read or is absurdly large; `TextFormatError` for the first
            row that is not 150 finite numbers below a kilometre.
    """
    file, expected = read_text(path), f"{COLUMNS} numbers, x y z of 25 joints of two bodies"
    rows = _rows(file, expected)
    if len(rows) > MAX_FRAMES:
        file.fail(MAX_FRAMES + 1, f"at most {MAX_FRAMES} frames", "another one")
    values = file.table(rows, COLUMNS, expected)
    far = np.abs(values) >= MAX_METRES
    if far.any():
        row, column = np.argwhere(far)[0]
        at, text = rows[row]
        file.fail(at, f"metres, each below {MAX_METRES:g}", repr(text.split()[column]))
    return values


def read_labels(path: Path, label_of: Mapping[int, int]) -> list[tuple[int, int, int]]:
    """The instances of a video, in the order of the file.

    Args:
        path: the label file.
        label_of: action id, from 1, to label, from 0; other ids are faults.

    Returns:
        Label, start frame and end frame of each, frames as in the file. The confidence only has
        to be a number.

    Raises:
        SjepaError: as `read_rows`, for rows that are not `action, start, end, confidence`.
    """
    file, expected = read_text(path), "an instance: action, start frame, end frame, confidence"
    actions = f"one of {len(label_of)} action ids, {min(label_of)} to {max(label_of)}"
    found = []
    for at, text in _rows(file, expected):
        fields = [field.strip() for field in text.split(",")]
        if len(fields) != 4 or math.isnan(to_number(fields[3])):
            file.fail(at, expected, repr(text))
        for each in fields[:3]:
            if not re.fullmatch("[0-9]{1,9}", each):
                file.fail(at, f"{expected}, as whole numbers from 0", repr(each))
        action, start, end = map(int, fields[:3])
        if action not in label_of:
            file.fail(at, actions, repr(fields[0]))
        found.append((label_of[action], start, end))
    return found


def read_split(path: Path, phase: int) -> tuple[list[str], list[str]]:
    """The training and the validation videos that a split file lists.

    Raises:
        SjepaError: as `read_rows`, for another number of lines, or names off the scheme.
    """
    file, expected = read_text(path), "four lines: header, training videos, header, validation ones"
    rows = _rows(file, expected)
    if len(rows) != 4:
        at = min(len(rows), 4) + 1
        file.fail(at, expected, repr(rows[4][1]) if at == 5 else "the end of the file")
    lists = []
    for at, text in rows[1::2]:
        names = [name for name in (part.strip() for part in text.split(",")) if name]
        off = [name for name in names if not SCHEMES[phase].fullmatch(name)]
        if off or not names:
            file.fail(at, f"names of videos like {LIKE[phase]}", repr((off or [text])[0]))
        lists.append(names)
    return lists[0], lists[1]


# --- clips and splits ---------------------------------------------------------------------------


def read(video: Video, options: PrepareConfig) -> list[Clip | LeftOut]:
    """The instances of one video, in the order of its label file.

    Args:
        video: its files.
        options: `pku_slice` and `pku2_labels` count.

    Returns:
        A clip `[T <= 300, 2, 25, 3]` an instance, bodies in the file's order, zeros where absent.
        `name` is that of the video and the instance's number, from 1 (`0001-L_007`); `rep` is that
        number, `view` 1 left, 2 middle or 3 right, `setup` NNNN or aa, `subject` nn, or -1 in
        Phase I. Or what the lineage does not cut: an instance that begins at its end or behind
        the video's, or whose values sum to 0.

    Raises:
        SjepaError: a file is off its grammar, or labels are `dense` and an id is one of the ten.
    """
    said = SCHEMES[video.phase].fullmatch(video.name).groupdict()
    rows = read_rows(video.skeleton)
    instances = read_labels(video.labels, _label_of(video.phase, options.pku2_labels))
    found: list[Clip | LeftOut] = []
    for number, (label, start, end) in enumerate(instances, 1):
        name = f"{video.name}_{number:03d}"
        clip = rows[start : end + (options.pku_slice == "inclusive")]
        if why := _why_not(clip, start, len(rows)):
            found.append(LeftOut(name, f"frames {start} to {end} of {len(rows)}: {why}"))
            continue
        clip = clip[:MAX_ROWS].reshape(-1, 2, 25, 3).astype(np.float32)
        found.append(Clip(clip, label, name, int(said.get("subject", -1)),
                          VIEWS.index(said["view"]) + 1, number, int(said["setup"]), video.sides))
    return found


def _why_not(clip: np.ndarray, start: int, frames: int) -> str:
    """Why rows `clip` are no clip; empty if they are one."""
    if not len(clip):
        return "it begins behind the video" if start >= frames else "it begins at its end or later"
    if clip.sum() == 0:
        return "its values sum to 0"
    # The lineage keeps this one, and its feeder then breaks on a clip of no valid frame.
    return "" if clip[:MAX_ROWS].any() else f"nobody is there in its first {MAX_ROWS} frames"


def trains_by_rule(protocol: str, name: str) -> bool:
    """Whether a video of Phase I trains, by the published rule.

    Cross-subject tests on the videos 0291 to 0334 in all views, cross-view on the left view.
    """
    number, view = name.split("-")
    return not 291 <= int(number) <= 334 if protocol == "xsub" else view != "L"


def split_lists(raw: Path, phase: int, there: list[str]) -> dict[str, set[str]]:
    """The training videos of the protocols `xsub` and `xview`; every other video tests.

    The owners' split files below `raw` tell them, with `-` or `_` in their names. Phase I has a
    published rule that stands in for a missing file. What is odd but harmless is said on stderr.

    Raises:
        SjepaError: a split file of Phase II is missing, one is there twice or off its grammar,
            has a video in both lists, or lists videos that are not there.
    """
    if len(there) != VIDEOS[phase]:
        _say(f"pku{phase}: {len(there)} videos, the owners have {VIDEOS[phase]}")
    return {protocol: _training(raw, phase, protocol, there) for protocol in ("xsub", "xview")}


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _training(raw: Path, phase: int, protocol: str, there: list[str]) -> set[str]:
    """The videos of `there` that train."""
    wanted = _SPLIT_FILES[phase, protocol]
    same = sorted(path for path in walk_files(raw, "*.txt")
                  if path.name.lower().replace("_", "-") == wanted)
    if len(same) > 1:
        raise SjepaError(f"{same[0]} and {same[1]} are the same split file: remove one")
    if not same and phase == 2:
        raise SjepaError(f"{raw} lacks the owners' split file {wanted.replace('-', '_')}: "
                         "put it there")
    if not same:
        _say(f"pku1/{protocol}: no {wanted} below {raw}, the published rule tells who trains")
        return {name for name in there if trains_by_rule(protocol, name)}
    path = same[0]
    training, validation = map(set, read_split(path, phase))
    if both := sorted(training & validation):
        raise SjepaError(f"{path} has {len(both)} videos in both lists, {both[0]} first: "
                         "get it again")
    if absent := sorted((training | validation) - set(there)):
        raise SjepaError(f"{path} lists {len(absent)} videos that are not below {raw}, "
                         f"{absent[0]} first: unpack all of the skeletons and labels")
    if neither := sorted(set(there) - training - validation):
        _say(f"{path} lists {len(neither)} videos in neither part, {neither[0]} first: they test, "
             "as in the published lineage")
    others = [name for name in there
              if phase == 1 and trains_by_rule(protocol, name) != (name in training)]
    if others:
        _say(f"{path} differs from the published rule in {len(others)} videos, {others[0]} first: "
             "the file is followed")
    return training
