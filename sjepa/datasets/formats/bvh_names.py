"""Any BVH skeleton as Bandai-Namco's, by the names of its joints: one map onto NTU-25 serves all.

Bandai-Namco's names say what a joint is: `UpperArm_L` is where the left upper arm begins, which is
the shoulder. Programs that write BVH have their own names; those of three are known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sjepa.datasets.formats.bvh import Bvh, read_bvh
from sjepa.datasets.layouts import LAYOUTS
from sjepa.errors import SjepaError

_LAYOUT = LAYOUTS["bandai21"]
#: The joints that the map onto NTU-25 reads; Spine and the collar bones are not among them.
NEEDED = tuple(joint for joint, column in zip(_LAYOUT.joints, _LAYOUT.to_ntu25.T, strict=True)
               if column.any())
_LIMBS = {"Shoulder": "Shoulder", "UpperArm": "Arm", "LowerArm": "ForeArm", "Hand": "Hand",
          "UpperLeg": "UpLeg", "LowerLeg": "Leg", "Foot": "Foot", "Toes": "ToeBase"}
_SIDES = {f"{ours}_{side[0]}": side + theirs for ours, theirs in _LIMBS.items()
          for side in ("Left", "Right")}


@dataclass(frozen=True)
class Convention:
    """How files of one origin name their joints.

    Attributes:
        joints: joint of `bandai21` to the file's, without what stands before the file's `Hips`.
        metres: a unit of the file.
    """

    joints: dict[str, str]
    metres: float


#: The first whose joints are all there is taken: a CMU skeleton has most of Mixamo's names. CMU's
#: head begins two joints above the neck; the first of them is where Bandai-Namco's begins.
CONVENTIONS = {
    "Bandai-Namco": Convention({joint: joint for joint in _LAYOUT.joints}, 0.01),
    "CMU": Convention({"Hips": "Hips", "Spine": "LowerBack", "Chest": "Spine1", "Neck": "Neck",
                       "Head": "Neck1"} | _SIDES, 0.0254 / 0.45),
    "Mixamo": Convention({"Hips": "Hips", "Spine": "Spine", "Chest": "Spine1", "Neck": "Neck",
                          "Head": "Head"} | _SIDES, 0.01),
}


def read_joints(path: Path, mapping: dict[str, str] | None = None,
                unit: float | None = None) -> np.ndarray:
    """Positions `[T, 21, 3]` float64 in metres, joints as in `LAYOUTS["bandai21"]`.

    Args:
        path: a BVH file, y up.
        mapping: joint of `bandai21` to the file's joint, at least for each of `NEEDED`; None: the
            names are those of one of `CONVENTIONS`. What is not named is zero and not read.
        unit: metres a unit of the file; None: as the convention has it, else centimetres.

    Raises:
        SjepaError: no BVH file, joints of no known convention, or a mapping that does not fit.
    """
    bvh = read_bvh(path)
    known = Convention(mapping, 0.01) if mapping else _recognised(bvh, path)
    places = _places(bvh)
    lost = [joint for joint in NEEDED if joint not in known.joints]
    odd = sorted(set(known.joints) - set(_LAYOUT.joints))
    absent = [joint for joint in known.joints.values() if joint not in places]
    for what, names in (("no joint for", lost), ("the unknown key", odd),
                        ("a joint that the file lacks:", absent)):
        if names:
            raise SjepaError(f"{path}: the mapping has {what} {', '.join(names)}; it takes "
                             f"{', '.join(NEEDED)} to joints of the file: {', '.join(bvh.joints)}")
    positions = np.zeros((len(bvh.positions), len(_LAYOUT.joints), 3))
    for joint, name in known.joints.items():
        positions[:, _LAYOUT.joints.index(joint)] = bvh.positions[:, places[name]]
    return positions * (known.metres if unit is None else unit)


def _places(bvh: Bvh) -> dict[str, int]:
    """Where each joint stands, by its name and by what is left of it without the file's prefix."""
    root = next((joint for joint in bvh.joints if joint.endswith("Hips")), "Hips")
    prefix = root.removesuffix("Hips")  # such as mixamorig: or Character1_
    short = {joint.removeprefix(prefix): k for k, joint in enumerate(bvh.joints)}
    return short | {joint: k for k, joint in enumerate(bvh.joints)}


def _recognised(bvh: Bvh, path: Path) -> Convention:
    places = _places(bvh)
    for convention in CONVENTIONS.values():
        if set(convention.joints.values()) <= set(places):
            return convention
    raise SjepaError(
        f"{path}: the joints are not named as those of {', '.join(CONVENTIONS)}; found "
        f"{', '.join(bvh.joints)}: pass mapping={{'Hips': a joint of the file, …}} for each of "
        f"{', '.join(NEEDED)}, a limb's name standing for the joint at which it begins")
