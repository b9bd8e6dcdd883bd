"""HDM05, the eleven classes of the cross-subject protocol, as ASF/AMC files at 120 Hz.

One `HDM_ACTOR_CLASS_TAKE_120.amc` a clip, and one `HDM_ACTOR.asf` an actor in some folder near it.
The public copy's folders `train` and `test` are not read: the actor tells (bd, bk and dg train;
Ofli et al. 2014). Every fourth frame is taken, 30 Hz.
"""

from pathlib import Path

import numpy as np

from sjepa.datasets.clipfiles import ClipFiles
from sjepa.datasets.formats.acclaim import joint_positions, read_amc, read_asf
from sjepa.datasets.layouts import LAYOUTS
from sjepa.datasets.specs import DatasetSpec, Origin, Split, by_subject, github
from sjepa.errors import SjepaError

CLASSES = (
    "depositFloorR", "elbowToKnee1RepsLelbowStart", "grabHighR", "hopBothLegs1hops",
    "jogLeftCircle4StepsRstart", "kickLFront1Reps", "lieDownFloor", "rotateArmsBothBackward1Reps",
    "sneak2StepsLStart", "squat1Reps", "throwBasketball")
#: A clip's subject is the place here.
ACTORS = ["bd", "bk", "dg", "mm", "tr"]
EVERY = 4  # of 120 frames a second


def skeleton_file(path: Path) -> Path:
    """The skeleton of an AMC file's actor: beside it, above it, or in a folder beside its own."""
    name, folder = f"HDM_{FILES.said(path)['subject']}.asf", path.absolute().parent
    above = [up / name for up in (folder, *folder.parents[:2])]
    # The public copy holds an actor's skeleton in one of the class folders only.
    found = next(filter(Path.is_file, above + sorted(folder.parent.glob(f"*/{name}"))), None)
    if found is None:
        raise SjepaError(f"{path} needs its actor's skeleton {name}, beside it, above it or in a "
                         "folder beside its own: get it from the same place")
    return found


def read_clip(path: Path) -> np.ndarray:
    """Positions `[T, 31, 3]` float64 in metres at 30 Hz, joints as in `LAYOUTS["hdm31"]`."""
    where = skeleton_file(path)
    skeleton = read_asf(where)
    order = LAYOUTS["hdm31"].order(skeleton.joints, skeleton.parents, str(where))
    return joint_positions(skeleton, read_amc(path, skeleton)[::EVERY])[:, order]


FILES = ClipFiles(
    "*.amc",
    rf"HDM_(?P<subject>{'|'.join(ACTORS)})_(?P<label>[A-Za-z0-9]+)_(?P<rep>[0-9]{{3}})_120",
    "HDM_mm_depositFloorR_019_120.amc", "hdm31", read_clip,
    {"label": CLASSES, "subject": ACTORS})
SPEC = DatasetSpec(
    name="hdm05", title="HDM05", classes=CLASSES, files=FILES.files, read=FILES.read,
    needs="the owners' .amc files", converted="hdm05_11.npz",
    splits={"xsub": Split(by_subject((0, 1, 2)), (189, 99))},
    clips=288, content=(17_951, "3a618b82e94e64a8"),
    origin=Origin(
        "HDM05, 11 classes", "http://resources.mpi-inf.mpg.de/HDM05/", "CC BY-SA 3.0",
        "share and adapt it, with attribution and under the same licence; say “The data used in "
        "this project was obtained from HDM05.”",
        "Müller, Röder, Clausen, Eberhardt, Krüger, Weber: Documentation Mocap Database HDM05, "
        "Technical report CG-2007-2, Universität Bonn, 2007",
        # A copy of the owners' cut files of these classes, with their skeletons, as the licence
        # allows. The owners' own HDM05_cut_amc.zip has all classes; see their page.
        github("zhangchi8620/JointLearning-HDM05",
               "b252ad65598e052c38f49490c1ac9dbadc283fd3", ".asf", ".amc", unpacked=56_000_000)))
