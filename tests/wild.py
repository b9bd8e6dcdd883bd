"""BVH files of many origins, made of a generated person: names, structures, axes, units, channels.

Each joint turns as the bones behind it do, so that a file holds rotations as real ones do; rest is
the first frame's pose.
"""

import numpy as np
from scipy.spatial.transform import Rotation
from sound import bvh_text

from sjepa.skeleton import NTU_JOINTS

SIDES = ("left", "right")
#: Where the joints of a limb lie, outwards, if nothing else is said.
ARM = ("collar", "shoulder", "elbow", "wrist", "hand", "hand tip")
LEG = ("hip", "knee", "ankle", "foot", "toe end")


def body(trunk: str, form: str, arm: str, leg: str, prefix: str = "") -> list[tuple]:
    """Joints (name, above, place) of a trunk, and of arms and legs of both sides.

    Args:
        trunk: joints `NAME=PLACE`, each on the one before it.
        form: makes a limb's name of its {part} and its side, which is {Left}, {left}, {L} and {l},
            or {Lf} and {左}.
        arm, leg: the joint on which it hangs, a colon, and parts outwards; `PART=PLACE` is one
            besides those of `ARM` and `LEG`.
    """
    out, above = [], ""
    for name, place in (joint.split("=") for joint in trunk.split()):
        out.append((name, above, place))
        above = name
    for k, side in enumerate(SIDES):
        names = {"left": side, "Left": side.title(), "l": side[0], "L": side[0].upper(),
                 "Lf": ("Lf", "Rt")[k], "左": "左右"[k]}
        for limb, usual in ((arm, iter(ARM)), (leg, iter(LEG))):
            above, parts = limb.split(":")
            for part, _, place in (each.partition("=") for each in parts.split()):
                name = form.format(part=part, **names)
                out.append((name, above, f"{side} {place or next(usual)}"))
                above = name
    return [(prefix + name, above and prefix + above, place) for name, above, place in out]


def called(joints, name) -> list[tuple]:
    """The same joints by other names."""
    return [(name(joint), above and name(above), place) for joint, above, place in joints]


def numbered(letter: str, joints) -> list[tuple]:
    numbers = {name: f"{letter}{k}" for k, (name, *_) in enumerate(joints)}
    return called(joints, numbers.get)


PLAIN = "Hips=base Spine=low Spine1=mid Neck=hub Head=skull"
MIXAMO = body(f"{PLAIN} HeadTop_End=top", "{Left}{part}",
              "Spine1: Shoulder Arm ForeArm Hand HandMiddle1 HandMiddle2",
              "Hips: UpLeg Leg Foot ToeBase Toe_End")

#: Name → joints (name, above, place), and how the file is written.
KINDS = {
    "mixamo": (called(MIXAMO, "mixamorig:{}".format), dict(unit=0.01)),
    "cgspeed": (body(
        "Hips=base LowerBack=low Spine=mid Spine1=chest Neck=hub Neck1=half Head=skull",
        "{Left}{part}", "Spine1: Shoulder Arm ForeArm Hand FingerBase",
        "Hips: HipJoint=base UpLeg Leg Foot ToeBase"), dict(unit=0.0254 / 0.45, order="ZYX")),
    "daz": ([*body("hip=base abdomen=low chest=mid neck=hub head=skull", "{l}{part}",
                   "chest: Collar Shldr ForeArm Hand Mid1", "hip: Buttock=base Thigh Shin Foot"),
             ("leftEye", "head", "head"), ("rightEye", "head", "top")],
            dict(unit=0.01, end="foot")),
    "iclone": ([*body(
        "Hip=base Waist=low Spine01=mid Spine02=chest NeckTwist01=hub NeckTwist02=half Head=skull",
        "{L}_{part}", "Spine02: Clavicle Upperarm Forearm Hand", "Pelvis: Thigh Calf Foot ToeBase",
        prefix="CC_Base_"),
        ("CC_Base_Pelvis", "CC_Base_Hip", "base"), ("CC_Base_JawRoot", "CC_Base_Head", "head"),
        ("CC_Base_L_CalfTwist01", "CC_Base_L_Calf", "left ankle"),
        ("CC_Base_R_CalfTwist01", "CC_Base_R_Calf", "right ankle")], dict(unit=0.01, order="YXZ")),
    "bandai": (body("joint_Root=floor Hips=base Spine=low Chest=mid Neck=hub Head=skull",
                    "{part}_{L}", "Chest: Shoulder UpperArm LowerArm Hand",
                    "Hips: UpperLeg LowerLeg Foot Toes"), dict(unit=0.01, channels="positions")),
    "rigify, z up": (body(
        "spine=base spine.001=low spine.002=mid spine.003=chest spine.004=hub head=skull",
        "{part}.{L}", "spine.003: shoulder upper_arm forearm hand", "spine: thigh shin foot toe"),
        dict(unit=1.0, up="z", order="XYZ")),
    "unreal, z up, twists": ([*body(
        "root=floor pelvis=base spine_01=low spine_02=mid spine_03=chest neck_01=hub head=skull",
        "{part}_{l}", "spine_03: clavicle upperarm lowerarm hand middle_01",
        "pelvis: thigh calf foot ball"),
        *((f"{part}_twist_01_{side[0]}", f"{part}_{side[0]}", f"{side} {place}")
          for part, place in (("upperarm", "elbow"), ("calf", "ankle")) for side in SIDES)],
        dict(unit=0.01, up="z", order="XZY")),
    "biped": (called(body(
        "Bip01=base Pelvis=base Spine=low Spine1=mid Neck=hub Head=skull HeadNub=top", "{L} {part}",
        "Neck: Clavicle UpperArm Forearm Hand Finger0", "Pelvis: Thigh Calf Foot Toe0"),
        lambda name: f"Bip01 {name}".removesuffix(" Bip01")), dict(unit=0.0254)),
    "perception neuron, no toes": (body(
        PLAIN, "{Left}{part}", "Spine1: Shoulder Arm ForeArm Hand InHandMiddle HandMiddle1",
        "Hips: UpLeg Leg Foot"), dict(unit=0.01, order="YXZ", end="none")),
    "optitrack": (body(
        "Hip=base Ab=low Chest=mid Neck=hub Head=skull", "{L}{part}",
        "Chest: Shoulder UArm FArm Hand", "Hip: Thigh Shin Foot Toe", prefix="Actor:"),
        dict(unit=0.001, order="XYZ")),
    "smpl, z up by its root's turn": (body(
        "Pelvis=base Spine1=low Spine2=mid Spine3=chest Neck=hub Head=skull", "{L}_{part}",
        "Spine3: Collar Shoulder Elbow Wrist Hand", "Pelvis: Hip Knee Ankle Foot"),
        dict(unit=1.0, up="z", rest_up="y")),
    "xsens": (body(
        "Hips=base Chest=low Chest2=mid Chest3=chest Chest4=chest Neck=hub Head=skull",
        "{Left}{part}", "Chest4: Collar Shoulder Elbow Wrist", "Hips: Hip Knee Ankle Toe"),
        dict(unit=0.01, order="YXZ")),
    "vicon": (body(
        "root=base lowerback=low upperback=mid thorax=chest lowerneck=hub upperneck=half "
        "head=skull", "{l}{part}", "thorax: clavicle humerus radius wrist hand fingers",
        "root: hipjoint=base femur tibia foot toes"), dict(unit=0.001, order="ZYX")),
    "motionbuilder": (body(
        f"Reference=floor {PLAIN}", "{Left}{part}", "Spine1: Shoulder Arm ForeArm Hand",
        "Hips: UpLeg Leg Foot ToeBase", prefix="Character1_"),
        dict(unit=0.01, channels="positions")),
    "rokoko": (body(
        "Hips=base Spine1=low Spine2=mid Spine3=chest Neck=hub Head=skull", "{Left}{part}",
        "Spine3: Shoulder Arm ForeArm Hand", "Hips: Thigh Shin Foot Toe"),
        dict(unit=1.0, order="YZX")),
    "numbers for names": (numbered("b", MIXAMO), dict(unit=0.01)),
    "numbers, z up, no toes": (numbered("j", [
        joint for joint in MIXAMO if not joint[2].endswith((" foot", " end"))]),
        dict(unit=1.0, up="z", end="none")),
    "kinect, wrists and ankles are ends": (body(
        "hips=base spine=mid head=skull", "{part}_{left}", "spine: clavicle arm forearm",
        "hips: thigh shin"), dict(unit=0.01, end="limb")),
    "Lf and Rt, metatarsals": (body(
        "Root=base Lumbar=low Thorax=mid Cervical=hub Skull=skull", "{part}_{Lf}",
        "Thorax: Clav Humerus Radius Palm", "Root: Femur Tibia Tarsal Metatarsals=arch Toe",
        prefix="Skel1_"), dict(unit=0.01)),
    "left-handed": (MIXAMO, dict(unit=1.0, mirror=True)),
    "small letters, CRLF": (called(MIXAMO, str.lower), dict(unit=0.01, line="\r\n")),
    "mmd": ([*body("センター=floor グルーブ=base 上半身=low 上半身2=mid 首=hub 頭=skull",
                   "{左}{part}", "上半身2: 肩 腕 ひじ 手首", "下半身: 足 ひざ 足首 つま先"),
             ("下半身", "グルーブ", "base")], dict(unit=0.08)),
}


def places(person: np.ndarray) -> dict[str, np.ndarray]:
    """Positions `[T, 3]` of NTU-25's joints, and of those that other skeletons have besides."""
    at = {name: person[:, k] for k, name in enumerate(NTU_JOINTS)}
    base, mid, hub, head = (at[name] for name in ("spine base", "spine mid", "spine shoulder",
                                                  "head"))
    skull = 0.6 * hub + 0.4 * head
    at |= {"base": base, "mid": mid, "hub": hub, "skull": skull, "top": 1.6 * head - 0.6 * skull,
           "low": 0.7 * base + 0.3 * mid, "chest": 0.4 * mid + 0.6 * hub,
           "half": 0.8 * hub + 0.2 * head, "floor": base * (1, 0, 1)}
    for side in SIDES:
        at[f"{side} collar"] = 0.8 * hub + 0.2 * at[f"{side} shoulder"]
        at[f"{side} toe end"] = 1.3 * at[f"{side} foot"] - 0.3 * at[f"{side} ankle"]
        at[f"{side} arch"] = 0.5 * at[f"{side} foot"] + 0.5 * at[f"{side} ankle"]
        at[f"{side} base"] = 0.6 * base + 0.4 * at[f"{side} hip"]
    return at


def _turns(x: np.ndarray, below: list[np.ndarray], rest: np.ndarray) -> Rotation:
    """How the bones behind a joint are turned from frame 0, all of them as well as it goes."""
    vectors = np.stack([child - x for child in below], 1) if below else np.zeros((len(x), 0, 3))
    start = vectors[0] @ rest.T
    use = np.linalg.norm(start, axis=-1) > 1e-6
    if not use.any():
        return Rotation.identity(len(x))
    return Rotation.concatenate([Rotation.align_vectors(v[use], start[use])[0] for v in vectors])


def wild_bvh(person: np.ndarray, joints, *, unit: float, up: str = "y", rest_up: str = "",
             order: str = "ZXY", channels: str = "", end: str = "", mirror: bool = False,
             line: str = "\n") -> str:
    """A BVH file of a person `[T, 25, 3]`.

    Args:
        unit: metres a unit.
        up: `y` or `z`, of the motion; `rest_up` of the OFFSETs, if another.
        order: of the rotations' axes.
        channels: `positions`: every joint has positions alone.
        end: what the End Sites of legs and arms are: nothing, `foot`, `limb`, or short ones.
    """
    room = np.array({"y": np.eye(3), "z": ((1, 0, 0), (0, 0, -1), (0, 1, 0))}[up]) / unit
    if mirror:
        room = room * np.array((-1, 1, 1))[:, None]
    at = {place: x @ room.T for place, x in places(person).items()}
    names = [name for name, *_ in joints]
    parents = [names.index(above) if above else -1 for _, above, _ in joints]
    x = [at[place] for *_, place in joints]
    rest = np.array(((1, 0, 0), (0, 0, 1), (0, -1, 0))) if rest_up and up == "z" else np.eye(3)
    behind = {"foot": {"ankle": "foot"}, "limb": {"knee": "ankle", "elbow": "wrist"}}.get(end, {})

    def outwards(k: int) -> list[np.ndarray]:
        """What hangs on a joint: others, or where its limb ends."""
        side, _, part = joints[k][2].partition(" ")
        return [x[c] for c, above in enumerate(parents) if above == k] or (
            [at[f"{side} {behind[part]}"]] if part in behind else [])

    below = [outwards(k) for k in range(len(joints))]
    turns = [_turns(x[k], below[k], rest) for k in range(len(joints))]
    listed, columns, ends = [], [], {}
    for k, above in enumerate(parents):
        moves = above < 0 or channels == "positions"
        offset = np.zeros(3) if moves else (x[k][0] - x[above][0]) @ rest.T
        named = [f"{axis}position" for axis in "XYZ" if moves]
        columns += [x[k] - (x[above] if above >= 0 else 0)] if moves else []
        if channels != "positions":
            named += [f"{axis}rotation" for axis in order]
            spin = turns[k] if above < 0 else turns[above].inv() * turns[k]
            columns.append((spin if below[k] else Rotation.identity(len(person))).as_euler(
                order, degrees=True))
        listed.append((names[k], above, offset, named))
        ends[names[k]] = (below[k][0][0] - x[k][0]) @ rest.T if below[k] else np.zeros(3)
    return bvh_text(listed, np.concatenate(columns, 1), 0.0333333, ends).replace("\n", line)
