"""WMFT-Kinect2: 24 people do the 15 tasks of the Wolf Motor Function Test, seated, three times.

One file a clip, `SSUBJECT_CONDITION_taskTASK.bin`: little-endian float32 `[T, 25, 3]`, metres,
camera space, joints in NTU's order. Two of the three conditions are impairments, acted as it
seems. The table hides the legs, which the sensor guesses.
Source: github.com/alexandrebarachant/WMFT_JBHI (BSD-3-Clause).
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.layouts import map_clip
from sjepa.datasets.specs import (
    Content,
    DatasetSpec,
    Origin,
    Split,
    by_subject,
    github_commit,
    held_out,
)
from sjepa.datasets.store import Clip
from sjepa.datasets.text import MAX_NUMBER, find_files, parse_name
from sjepa.errors import SjepaError

CLASSES = (
    "forearm to table", "forearm to box", "extend elbow 1", "extend elbow 2", "hand to table",
    "hand to box", "reach and retrieve", "lift can", "lift pencil", "lift paper clip",
    "stack checkers", "flip cards", "turn key", "fold towel", "lift basket",
)
#: A clip's rep is the place here.
CONDITIONS = ["healthy", "mild", "moderate"]
TRAIN = tuple(range(1, 24, 2))
VALIDATION = (5, 11, 17, 23)  # of those, to choose a recipe; 17 works with the right hand
MAX_BYTES = 1 << 22  # 4 MiB; the longest clip has 0.8
_FRAME = 25 * 3 * 4  # bytes
_LIKE = "S01_healthy_task08.bin"
_NAME = re.compile(rf"S([0-9]{{2}})_({'|'.join(CONDITIONS)})_task(0[1-9]|1[0-5])")
files = partial(find_files, glob="*.bin", scheme=_NAME, like=_LIKE)


def read(path: Path, options: PrepareConfig) -> list[Clip]:
    """The file's clip; rep is the condition's place in `CONDITIONS`.

    Raises:
        SjepaError: the file is no whole number of frames, or holds what is no position.
    """
    subject, condition, task = parse_name(path, _NAME, _LIKE)
    try:
        size = path.stat().st_size
        if size % _FRAME or not 0 < size <= MAX_BYTES:
            raise SjepaError(f"{path} has {size:,} bytes, expected a multiple of {_FRAME}, a "
                             f"frame of 25 joints, at most {MAX_BYTES >> 20} MiB: get it again")
        clip = np.fromfile(path, "<f4").reshape(-1, 25, 3)
    except OSError as error:
        raise SjepaError(f"{path} cannot be read: {error.strerror}") from error
    bad = np.flatnonzero(~(np.abs(clip) <= MAX_NUMBER).all((1, 2)))
    if len(bad):
        raise SjepaError(f"{path}, frame {bad[0] + 1}: expected finite positions in metres, found "
                         "NaN or huge ones")
    return [Clip(map_clip(path, "ntu25", clip), int(task) - 1, path.stem, int(subject),
                 rep=CONDITIONS.index(condition))]


SPEC = DatasetSpec(
    name="wmft", title="WMFT", classes=CLASSES, files=files, read=read,
    needs="the owners' .bin files or wmft_int16.npz", converted="wmft_int16.npz",
    splits={
        "xsub": Split(by_subject(TRAIN), (540, 540)),
        "val": held_out(VALIDATION, TRAIN, (360, 180)),
    },
    clips=1_080, content=Content(
        1_080, 309_214, "b2cde2e0032682c50be1f97aabac190353a975ed23c5a83a87376ffde746170a"),
    origin=Origin(
        "WMFT-Kinect2", "https://github.com/alexandrebarachant/WMFT_JBHI", "BSD-3-Clause",
        "use, change and share it, with its copyright notice, conditions and disclaimer; "
        "© 2016 Alexandre Barachant",
        "Dehbandi, Barachant et al.: Using Data From the Microsoft Kinect 2 to Quantify Upper Limb "
        "Behavior: A Feasibility Study, IEEE Journal of Biomedical and Health Informatics, 2016",
        github_commit("alexandrebarachant/WMFT_JBHI", "47da8b27504bd9e851c21537d29e623796d928a7",
                      ".bin", unpacked=93_000_000),
    ), feeder="WMFT",
)
