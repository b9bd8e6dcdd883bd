"""WMFT-Kinect2: 24 people do the 15 tasks of the Wolf Motor Function Test, seated, three times.

One file a clip, `SSUBJECT_CONDITION_taskTASK.bin`: little-endian float32 `[T, 25, 3]`, metres,
camera space, joints in NTU's order. Two of the three conditions are impairments, acted as it
seems. The table hides the legs, which the sensor guesses.
"""

from pathlib import Path

import numpy as np

from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.specs import DatasetSpec, Origin, across_subjects, github
from sjepa.datasets.text import MAX_NUMBER
from sjepa.errors import SjepaError

CLASSES = (
    "forearm to table", "forearm to box", "extend elbow 1", "extend elbow 2", "hand to table",
    "hand to box", "reach and retrieve", "lift can", "lift pencil", "lift paper clip",
    "stack checkers", "flip cards", "turn key", "fold towel", "lift basket")
#: A clip's rep is the place here.
CONDITIONS = ["healthy", "mild", "moderate"]
MAX_BYTES = 1 << 22  # 4 MiB; the longest clip has 0.8
_FRAME = 25 * 3 * 4  # bytes


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 25, 3]` float32 in metres."""
    size = path.stat().st_size
    if size % _FRAME or not 0 < size <= MAX_BYTES:
        raise SjepaError(f"{path} has {size:,} bytes, expected a multiple of {_FRAME}, a frame of "
                         f"25 joints, at most {MAX_BYTES >> 20} MiB: get it again")
    clip = np.fromfile(path, "<f4").reshape(-1, 25, 3)
    bad = np.flatnonzero(~(np.abs(clip) <= MAX_NUMBER).all((1, 2)))
    if len(bad):
        raise SjepaError(f"{path}, frame {bad[0] + 1}: expected finite positions in metres, found "
                         "NaN or huge ones")
    return clip


FILES = ClipFiles(
    "*.bin", rf"S(?P<subject>[0-9]{{2}})_(?P<rep>{'|'.join(CONDITIONS)})"
    "_task(?P<label>0[1-9]|1[0-5])", "S01_healthy_task08.bin", "ntu25", read_clip,
    {"rep": CONDITIONS})
SPEC = DatasetSpec(
    name="wmft", title="WMFT", classes=CLASSES, files=FILES.files, read=FILES.read,
    needs="the owners' .bin files", converted="wmft_int16.npz",
    splits=across_subjects(range(1, 24, 2), (540, 540), (5, 11, 17, 23), (360, 180)),
    clips=1_080, content=(309_214, "b2cde2e0032682c5"),
    origin=Origin(
        "WMFT-Kinect2", "https://github.com/alexandrebarachant/WMFT_JBHI", "BSD-3-Clause",
        "use, change and share it, with its copyright notice, conditions and disclaimer; "
        "© 2016 Alexandre Barachant",
        "Dehbandi, Barachant et al.: Using Data From the Microsoft Kinect 2 to Quantify Upper Limb "
        "Behavior: A Feasibility Study, IEEE Journal of Biomedical and Health Informatics, 2016",
        github("alexandrebarachant/WMFT_JBHI", "47da8b27504bd9e851c21537d29e623796d928a7",
               ".bin", unpacked=93_000_000)))
