"""UI-PRMD: ten people do ten rehabilitation exercises, right and wrong, before two systems at once.

Each repetition is there as a Kinect v2 (view 1, 30 Hz) and as a Vicon with markers (view 2, 100 Hz)
saw it. One file each, `mMM_sSS_eEE_positions.txt.gz`, `…_positions_inc.txt.gz` if done wrong, in
folders `Kinect/Positions` and `Vicon/Positions`; Kinect's angles are in `Kinect/Angles`. A row a
frame, separated by commas. The two were cut separately: their frames do not correspond.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.formats.kinematics import forward_kinematics, rotations
from sjepa.datasets.layouts import LAYOUTS, bridge, derive
from sjepa.datasets.specs import DatasetSpec, Origin, Split, across_subjects, by_subject, github
from sjepa.datasets.store import Clip, LeftOut, Store
from sjepa.datasets.text import read_text
from sjepa.errors import SjepaError
from sjepa.skeleton import NTU_JOINTS

EXERCISES = (
    "deep squat", "hurdle step", "inline lunge", "side lunge", "sit to stand",
    "standing active straight leg raise", "standing shoulder abduction",
    "standing shoulder extension", "standing shoulder internal-external rotation",
    "standing shoulder scaption")
CLASSES = tuple(f"{each}, {how}" for how in ("correct", "incorrect") for each in EXERCISES)
KINECT, VICON = 1, 2  # views
TRAIN = (1, 3, 5, 7, 9)
#: Vicon's files of one frame, or with markers missing beyond repair.
LOST = (
    "m03_s02_e01_positions", "m03_s10_e01_positions_inc", "m05_s10_e01_positions_inc",
    "m10_s03_e01_positions", "m10_s03_e01_positions_inc", "m10_s05_e01_positions_inc",
    "m10_s05_e09_positions_inc")


def read_kinect(path: Path) -> np.ndarray:
    """Positions `[T, 22, 3]` float64 in metres, joints as in `LAYOUTS["uiprmd22"]`, facing −z.

    The order of the rotations is not documented: of the six, this one brings the joints nearest to
    Vicon's.

    Raises:
        SjepaError: a file is off its grammar, or the one of the angles is not there or of another
            length.
    """
    folder, name = path.parent.with_name("Angles"), path.name.replace("positions", "angles")
    offsets, angles = (_table(each, 22) for each in (path, folder / name))
    if len(offsets) != len(angles):
        raise SjepaError(f"{path} has {len(offsets)} frames, its angles {folder / name} have "
                         f"{len(angles)}: get both again")
    # About y, then x, then z.
    turns = (rotations("zxy", degrees[:, [2, 0, 1]]) for degrees in np.moveaxis(angles, 1, 0))
    return forward_kinematics(LAYOUTS["uiprmd22"].parents, np.moveaxis(offsets, 1, 0),
                              turns) * (-0.01, 0.01, -0.01)


#: Vicon's markers in the order of a row.
MARKERS = ("LFHD RFHD LBHD RBHD C7 T10 CLAV STRN RBAK LSHO LUPA LELB LFRM LWRA LWRB LFIN RSHO RUPA "
           "RELB RFRM RWRA RWRB RFIN LASI RASI LPSI RPSI LTHI LKNE LTIB LANK LHEE LTOE RTHI RKNE "
           "RTIB RANK RHEE RTOE").split()
#: Those that stand for no joint, and may be missing.
UNUSED = [marker for marker in MARKERS if marker[1:] in ("BAK", "UPA", "FRM", "THI", "TIB", "HEE")]
#: Markers that move together, about.
PARTS = ("LFHD RFHD LBHD RBHD", "C7 T10 CLAV STRN RBAK LSHO RSHO", "LASI RASI LPSI RPSI",
         *(" ".join(side + marker for marker in part.split()) for side in "LR"
           for part in ("ELB FRM WRA WRB FIN", "KNE TIB ANK HEE TOE")))
HERTZ, KEPT = 100, 30  # frames a second in the files and in the store
SHORT = 30  # frames of a gap that is bridged in time


def _moved(points: np.ndarray, of: np.ndarray, to: np.ndarray) -> np.ndarray:
    """`points` `[K, 3]`, moved with the stiff body whose points `of` `[N, 3]` are now at `to`."""
    u, _, v = np.linalg.svd((of - of.mean(0)).T @ (to - to.mean(0)))
    u[:, -1] *= np.sign(np.linalg.det(u @ v))  # no mirror image
    return (points - of.mean(0)) @ u @ v + to.mean(0)


def repaired(x: np.ndarray) -> np.ndarray:
    """Markers `[T, 39, 3]` with their gaps filled; a missing one is 0 0 0.

    Short gaps are bridged in time. In longer ones a marker is put where three or more others of its
    part say, as they stood together in the nearest frame; else it stays missing.
    """
    from scipy.ndimage import label  # here: most sets are read without it

    seen = x.any(-1)
    gaps, _ = label(~seen, [[0, 1, 0]] * 3)  # numbered, along time alone
    short = np.bincount(gaps.ravel())[gaps] <= SHORT
    x = np.where(short[..., None], bridge(x, seen[..., None]), x)
    for part in PARTS:
        places = np.array([MARKERS.index(marker) for marker in part.split()])
        seen = x[:, places].any(-1)
        for frame, lost in np.argwhere(~seen):
            others = seen & seen[frame]
            like = np.flatnonzero(seen[:, lost] & (others.sum(1) >= 3))
            if len(like):
                near = like[np.abs(like - frame).argmin()]
                by = places[others[near]]
                x[frame, places[lost]] = _moved(x[near, places[lost]], x[near, by], x[frame, by])
    return x


def _hips(left: np.ndarray, right: np.ndarray, behind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hip joints, from the pelvis' markers in front and the middle of those behind."""
    middle, across = (left + right) / 2, right - left
    width = np.median(np.linalg.norm(across, axis=-1))
    side = across / np.linalg.norm(across, axis=-1, keepdims=True)
    back = behind - middle
    back -= (back * side).sum(-1, keepdims=True) * side
    back /= np.linalg.norm(back, axis=-1, keepdims=True)
    inside = middle + width * (0.22 * back + 0.30 * np.cross(side, back))
    return inside - 0.36 * width * side, inside + 0.36 * width * side


def read_vicon(path: Path) -> np.ndarray:
    """Positions `[T, 25, 3]` float64 in metres on NTU-25 at 30 Hz, facing −z.

    Shoulders, elbows, knees, ankles and feet are markers on the skin.

    Raises:
        SjepaError: the file is off its grammar, or lacks a marker for longer than can be rebuilt.
    """
    x = repaired(_table(path, len(MARKERS))[..., [1, 2, 0]] * (-0.001, 0.001, -0.001))
    lost = [MARKERS[k] for k in np.flatnonzero(~x.any(-1).all(0)) if MARKERS[k] not in UNUSED]
    if lost or len(x) < 2:
        raise SjepaError(f"{path} has {len(x)} frames, in which {', '.join(lost) or 'nothing'} is "
                         "missing beyond repair")
    at = dict(zip(MARKERS, np.moveaxis(x, 1, 0), strict=True))

    def mean(*names: str) -> np.ndarray:
        return np.mean([at[name] for name in names], 0)

    joints = {"spine base": mean("LASI", "RASI", "LPSI", "RPSI"), "spine mid": mean("T10", "STRN"),
              "spine shoulder": mean("C7", "CLAV"), "head": mean("LFHD", "RFHD", "LBHD", "RBHD")}
    joints["left hip"], joints["right hip"] = _hips(at["LASI"], at["RASI"], mean("LPSI", "RPSI"))
    for side, s in (("left", "L"), ("right", "R")):
        for joint, marker in (("shoulder", "SHO"), ("elbow", "ELB"), ("knee", "KNE"),
                              ("ankle", "ANK"), ("foot", "TOE"), ("hand", "FIN")):
            joints[f"{side} {joint}"] = at[s + marker]
        joints[f"{side} wrist"] = mean(f"{s}WRA", f"{s}WRB")
        joints[f"{side} thumb"] = at[f"{s}FIN"] + 0.7 * (at[f"{s}WRA"] - at[f"{s}WRB"])
    derive(joints)
    clip = np.stack([joints[joint] for joint in NTU_JOINTS], 1)
    times = np.arange((len(x) - 1) * KEPT // HERTZ + 1) * HERTZ / KEPT
    before = np.minimum(times.astype(int), len(x) - 2)
    share = (times - before)[:, None, None]
    return clip[before] * (1 - share) + clip[before + 1] * share


def _table(path: Path, points: int) -> np.ndarray:
    """Numbers `[T, points, 3]` of a file, a row a frame."""
    expected = f"x,y,z of {points} points"
    return read_text(path).frames(1, 3 * points, expected).reshape(-1, points, 3)


def read_clip(path: Path) -> np.ndarray | LeftOut:
    """Positions `[T, 25, 3]` in metres on NTU-25, of either system."""
    if path.parts[-3] == "Kinect":
        return LAYOUTS["uiprmd22"].map(read_kinect(path))
    if path.stem.removesuffix(".txt") in LOST:
        return LeftOut(path.stem, "one frame, or markers are missing beyond repair")
    return read_vicon(path)


FILES = ClipFiles(
    "m[0-9]*_positions*.txt.gz",
    r"(?P<view>Kinect|Vicon)/Positions/m(?P<label>0[1-9]|10)_s(?P<subject>0[1-9]|10)"
    r"_e(?P<rep>0[1-9]|10)_positions(?:_inc)?\.txt",
    "Vicon/Positions/m01_s03_e04_positions.txt.gz", "ntu25", read_clip,
    {"view": ("", "Kinect", "Vicon")}, "m{label:02d}_s{subject:02d}_e{rep:02d}")


def read(path: Path, options: PrepareConfig) -> list[Clip | LeftOut]:
    """The file's clip: the class is the exercise and how it was done, view the system."""
    (found,) = FILES.read(path, options)
    if isinstance(found, LeftOut):
        return [found]
    wrong, system = "_inc" in path.name, path.parts[-3].lower()
    name = f"{found.name}_{'incorrect' if wrong else 'correct'}_{system}"
    return [replace(found, name=name, label=found.label + len(EXERCISES) * wrong)]


def _seen(origin: int, goal: int, counts: tuple[int, int]) -> Split:
    """Training subjects as one system saw them, then the test subjects as the other did."""
    def takes(store: Store) -> np.ndarray:
        return np.where(by_subject(TRAIN)(store), store.views == origin, store.views == goal)

    return Split(by_subject(TRAIN), counts, takes)


SPEC = DatasetSpec(
    name="uiprmd", title="UI-PRMD", classes=CLASSES, files=FILES.files, read=read,
    needs="the owners' *_positions.txt.gz and *_angles.txt.gz files", converted="uiprmd_int16.npz",
    splits={
        **across_subjects(TRAIN, (1_976, 1_997), (5, 9), (1_178, 798)),
        "xsub-kinect": _seen(KINECT, KINECT, (1_000, 1_000)),
        "xsub-vicon": _seen(VICON, VICON, (976, 997)),
        "vicon-kinect": _seen(VICON, KINECT, (976, 1_000)),
        "kinect-vicon": _seen(KINECT, VICON, (1_000, 997)),
    },
    coarse=EXERCISES + EXERCISES, clips=3_973, content=(296_739, "0fbc2162d9f79d48"),
    origin=Origin(
        "UI-PRMD", "https://webpages.uidaho.edu/ui-prmd/", "ODC PDDL 1.0",
        "in the public domain by the section “Dataset License” of its descriptor: use, change and "
        "share it",
        "Vakanski, Jun, Paul, Baker: A Data Set of Human Body Movements for Physical "
        "Rehabilitation Exercises, Data 3(1), 2018",
        # A copy, file for file compressed; it has no licence text of its own.
        github("niemasd/UI-PRMD-Analysis", "2c5bf130697b4dd7c6aafc1e75f5cb4b60f651c3",
               ".gz", unpacked=430_000_000)))
