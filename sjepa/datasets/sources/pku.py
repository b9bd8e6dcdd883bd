"""PKU-MMD, Phase I and II: from the owners' long videos to one clip an annotated instance.

A video is two files of one name, its skeleton rows and its label rows (grammar: `pku_text.py`).
Clips are cut as the published lineage does it (MAMP's scripts `pku_gendata.py`): the rows [start,
end), frames counted from 0, of which the first 300; no centring, no denoising; an instance whose
values sum to 0 is left out. Two choices are named options of `sjepa.prepare`: whether row `end`
belongs to the instance, and whether Phase II, which lacks ten of the 51 classes, keeps their ids.

Names: Phase I `NNNN-V` (video, view), Phase II `AaaNnn-V` (recording, subject, view), V being L, M
or R. Who performs in Phase I is not published, so both cross-subject splits are lists of videos.

Public pages count 1,076 and 1,009 videos. The counts of clips that go round for the cross-subject
splits (18,841 and 2,704 in Phase I, 5,332 and 1,613 in Phase II) are recalled: no public list of
names confirms them.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np

from sjepa.datasets.building import Job
from sjepa.datasets.items import Item, LeftOut
from sjepa.datasets.sources.pku_text import read_labels, read_rows, read_split
from sjepa.datasets.sources.pku_videos import LIKE, SCHEMES, Video, files, text_folders
from sjepa.errors import SjepaError

ACTIONS = 51
#: Ids of the classes that Phase II lacks: what needs a second person, or a pocket.
NOT_IN_PHASE_2 = (12, 14, 16, 18, 21, 24, 26, 27, 29, 38)
MAX_ROWS = 300  # the lineage cuts longer clips to their beginning
VIDEOS = {1: 1_076, 2: 1_009}
VIEWS = "LMR"  # 1 left, 2 middle, 3 right
_SPLIT_FILES = {
    (1, "xsub"): "cross-subject.txt", (1, "xview"): "cross-view.txt",
    (2, "xsub"): "cross_subject_v2.txt", (2, "xview"): "cross_view_v2.txt",
}


def _label_of(phase: int, pku2_labels: str) -> dict[int, int]:
    """Label, from 0, of each action id, from 1."""
    lacking = {"original": (), "dense": NOT_IN_PHASE_2 if phase == 2 else ()}[pku2_labels]
    ids = [action for action in range(1, ACTIONS + 1) if action not in lacking]
    return {action: label for label, action in enumerate(ids)}


def classes(phase: int, pku2_labels: str = "original") -> list[str]:
    """Class names, in the order of the labels."""
    text = (Path(__file__).parents[1] / "lists" / "pku_classes.tsv").read_text(encoding="utf-8")
    names = [line.split("\t")[1] for line in text.splitlines()]
    return [names[action - 1] for action in _label_of(phase, pku2_labels)]


# --- cutting clips ------------------------------------------------------------------------------


def read(
    video: Video, pku_slice: str = "exclusive", pku2_labels: str = "original"
) -> list[Item | LeftOut]:
    """The instances of one video, in the order of its label file.

    Args:
        video: its files.
        pku_slice: `exclusive` cuts the rows [start, end), `inclusive` row `end` too; both stop at
            the end of the video.
        pku2_labels: `original` keeps the 51 ids in Phase II too, `dense` renumbers the 41.

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
    instances = read_labels(video.labels, _label_of(video.phase, pku2_labels))
    found: list[Item | LeftOut] = []
    for number, (label, start, end) in enumerate(instances, 1):
        name = f"{video.name}_{number:03d}"
        clip = rows[start : end + {"exclusive": 0, "inclusive": 1}[pku_slice]]
        if why := _why_not(clip, start, len(rows)):
            found.append(LeftOut(name, f"frames {start} to {end} of {len(rows)}: {why}"))
            continue
        clip = clip[:MAX_ROWS].reshape(-1, 2, 25, 3).astype(np.float32)
        found.append(Item(clip, label, name, int(said.get("subject", -1)),
                          VIEWS.index(said["view"]) + 1, number, int(said["setup"])))
    return found


def _why_not(clip: np.ndarray, start: int, frames: int) -> str:
    """Why rows `clip` are no clip; empty if they are one."""
    if not len(clip):
        return "it begins behind the video" if start >= frames else "it begins at its end or later"
    if clip.sum() == 0:
        return "its values sum to 0"
    # The lineage keeps this one, and its feeder then breaks on a clip of no valid frame.
    return "" if clip[:MAX_ROWS].any() else f"nobody is there in its first {MAX_ROWS} frames"


def jobs(phase: int, raw: Path, pku_slice: str = "exclusive",
         pku2_labels: str = "original") -> list[Job]:
    """A job a video."""
    return [Job(partial(read, video, pku_slice, pku2_labels), (video.skeleton, video.labels))
            for video in files(phase, raw)]


# --- splits -------------------------------------------------------------------------------------


def trains_by_rule(protocol: str, name: str) -> bool:
    """Whether a video of Phase I trains, by the published rule.

    Cross-subject tests on the videos 0291 to 0334 in all views, cross-view on the left view.
    """
    number, view = name.split("-")
    return not 291 <= int(number) <= 334 if protocol == "xsub" else view != "L"


def split_lists(phase: int, raw: Path) -> dict[str, list[str]]:
    """The training videos of the protocols `xsub` and `xview`; every other video tests.

    The owners' split files below `raw` tell them, with `-` or `_` in their names. Phase I has a
    published rule that stands in for a missing file. What is odd but harmless is said on stderr.

    Raises:
        SjepaError: a split file of Phase II is missing, one is there twice or off its grammar,
            has a video in both lists, or lists videos that are not there.
    """
    there = [video.name for video in files(phase, raw)]
    if len(there) != VIDEOS[phase]:
        _say(f"pku{phase}: {len(there)} videos, the owners have {VIDEOS[phase]}")
    return {protocol: _training(phase, raw, protocol, there) for protocol in ("xsub", "xview")}


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _split_file(raw: Path, wanted: str) -> Path | None:
    """The split file below `raw`, if there is one."""
    same = [folder / name for folder, names in text_folders(raw) for name in names
            if name.lower().replace("_", "-") == wanted.replace("_", "-")]
    if len(same) > 1:
        raise SjepaError(f"{same[0]} and {same[1]} are the same split file: remove one")
    return same[0] if same else None


def _training(phase: int, raw: Path, protocol: str, there: list[str]) -> list[str]:
    """The videos of `there` that train."""
    wanted = _SPLIT_FILES[phase, protocol]
    path = _split_file(raw, wanted)
    if path is None and phase == 2:
        raise SjepaError(f"{raw} lacks the owners' split file {wanted}: put it there")
    if path is None:
        _say(f"pku1/{protocol}: no {wanted} below {raw}, the published rule tells who trains")
        return [name for name in there if trains_by_rule(protocol, name)]
    training, validation = map(set, read_split(path, SCHEMES[phase], LIKE[phase]))
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
    return sorted(training)
