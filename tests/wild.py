"""BVH files of many origins, made of a generated person: names, structures, axes, units, channels.

Each joint turns as the bones behind it do, so that a file holds rotations as real ones do; rest is
the first frame's pose.
"""

import numpy as np
from scipy.spatial.transform import Rotation
from sound import bvh_text

from sjepa.skeleton import NTU_JOINTS

LEFT_RIGHT = ("left", "right")


def chain(above: str, links: str) -> list[tuple[str, str, str]]:
    """Joints `NAME=PLACE / …`, each on the one before it, the first on `above`."""
    out = []
    for link in links.split(" / "):
        name, _, place = link.partition("=")
        out.append((name, above, place))
        above = name
    return out


def body(trunk: str, form: str, above_arm: str, arm: str, above_leg: str, leg: str,
         prefix: str = "") -> list[tuple[str, str, str]]:
    """Joints (name, above, place) of a trunk, and of arms and legs of both sides.

    `form` makes a limb's name of its {part} and its side, which is {Left}, {left}, {L} and {l}, or
    {Lf} and {左}.
    """
    out = chain("", trunk)
    for k, side in enumerate(LEFT_RIGHT):
        names = {"left": side, "Left": side.title(), "l": side[0], "L": side[0].upper(),
                 "Lf": ("Lf", "Rt")[k], "左": "左右"[k]}
        for above, limb in ((above_arm, arm), (above_leg, leg)):
            links = (link.split("=") for link in limb.split(" / "))
            out += chain(above, " / ".join(f"{form.format(part=part, **names)}={side} {place}"
                                           for part, place in links))
    return [(prefix + name, above and prefix + above, place) for name, above, place in out]


def numbered(letter: str, joints) -> list[tuple[str, str, str]]:
    """The same joints with numbers for names."""
    number = {name: f"{letter}{k}" for k, (name, *_) in enumerate(joints)}
    return [(number[name], above and number[above], place) for name, above, place in joints]


ARM = "Shoulder=collar / Arm=shoulder / ForeArm=elbow / Hand=wrist"
LEG = "UpLeg=hip / Leg=knee / Foot=ankle / ToeBase=foot"
SPINE = "Spine=low / Spine1=spine mid / Neck=spine shoulder / Head=skull"
FINGERS = " / HandMiddle1=hand / HandMiddle2=hand tip"
SIDE_FIRST = "{Left}{part}", "Spine1"
MIXAMO = body(f"Hips=spine base / {SPINE} / HeadTop_End=top", *SIDE_FIRST, ARM + FINGERS, "Hips",
              LEG + " / Toe_End=toe end")

#: Name → joints (name, above, place), and how the file is written.
KINDS = {
    "mixamo": ([(f"mixamorig:{name}", above and f"mixamorig:{above}", place)
                for name, above, place in MIXAMO], dict(unit=0.01)),
    "cgspeed": (body(
        "Hips=spine base / LowerBack=low / Spine=spine mid / Spine1=chest / Neck=spine shoulder / "
        "Neck1=half / Head=skull", *SIDE_FIRST, ARM + " / FingerBase=hand", "Hips",
        "HipJoint=spine base / " + LEG), dict(unit=0.0254 / 0.45, order="ZYX")),
    "daz": ([*body(
        "hip=spine base / abdomen=low / chest=spine mid / neck=spine shoulder / head=skull",
        "{l}{part}", "chest",
        "Collar=collar / Shldr=shoulder / ForeArm=elbow / Hand=wrist / Mid1=hand", "hip",
        "Buttock=spine base / Thigh=hip / Shin=knee / Foot=ankle"),
        ("leftEye", "head", "head"), ("rightEye", "head", "top")], dict(unit=0.01, end="foot")),
    "iclone": ([*body(
        "Hip=spine base / Waist=low / Spine01=spine mid / Spine02=chest / "
        "NeckTwist01=spine shoulder / NeckTwist02=half / Head=skull", "{L}_{part}", "Spine02",
        "Clavicle=collar / Upperarm=shoulder / Forearm=elbow / Hand=wrist", "Pelvis",
        "Thigh=hip / Calf=knee / Foot=ankle / ToeBase=foot", prefix="CC_Base_"),
        ("CC_Base_Pelvis", "CC_Base_Hip", "spine base"),
        ("CC_Base_JawRoot", "CC_Base_Head", "head"),
        ("CC_Base_L_CalfTwist01", "CC_Base_L_Calf", "left ankle"),
        ("CC_Base_R_CalfTwist01", "CC_Base_R_Calf", "right ankle")], dict(unit=0.01, order="YXZ")),
    "bandai": (body(
        "joint_Root=floor / Hips=spine base / Spine=low / Chest=spine mid / Neck=spine shoulder / "
        "Head=skull", "{part}_{L}", "Chest",
        "Shoulder=collar / UpperArm=shoulder / LowerArm=elbow / Hand=wrist", "Hips",
        "UpperLeg=hip / LowerLeg=knee / Foot=ankle / Toes=foot"),
        dict(unit=0.01, channels="positions")),
    "rigify, z up": (body(
        "spine=spine base / spine.001=low / spine.002=spine mid / spine.003=chest / "
        "spine.004=spine shoulder / head=skull", "{part}.{L}", "spine.003",
        "shoulder=collar / upper_arm=shoulder / forearm=elbow / hand=wrist", "spine",
        "thigh=hip / shin=knee / foot=ankle / toe=foot"), dict(unit=1.0, up="z", order="XYZ")),
    "unreal, z up, twists": ([*body(
        "root=floor / pelvis=spine base / spine_01=low / spine_02=spine mid / spine_03=chest / "
        "neck_01=spine shoulder / head=skull", "{part}_{l}", "spine_03",
        "clavicle=collar / upperarm=shoulder / lowerarm=elbow / hand=wrist / middle_01=hand",
        "pelvis", "thigh=hip / calf=knee / foot=ankle / ball=foot"),
        *((f"{part}_twist_01_{side[0]}", f"{part}_{side[0]}", f"{side} {place}")
          for part, place in (("upperarm", "elbow"), ("calf", "ankle")) for side in LEFT_RIGHT)],
        dict(unit=0.01, up="z", order="XZY")),
    "biped": (body(
        "Bip01=spine base / Bip01 Pelvis=spine base / Bip01 Spine=low / Bip01 Spine1=spine mid / "
        "Bip01 Neck=spine shoulder / Bip01 Head=skull / Bip01 HeadNub=top", "Bip01 {L} {part}",
        "Bip01 Neck",
        "Clavicle=collar / UpperArm=shoulder / Forearm=elbow / Hand=wrist / Finger0=hand",
        "Bip01 Pelvis", "Thigh=hip / Calf=knee / Foot=ankle / Toe0=foot"), dict(unit=0.0254)),
    "perception neuron, no toes": (body(
        f"Hips=spine base / {SPINE}", *SIDE_FIRST,
        ARM + " / InHandMiddle=hand / HandMiddle1=hand tip", "Hips",
        "UpLeg=hip / Leg=knee / Foot=ankle"), dict(unit=0.01, order="YXZ", end="none")),
    "optitrack": (body(
        "Hip=spine base / Ab=low / Chest=spine mid / Neck=spine shoulder / Head=skull",
        "{L}{part}", "Chest", "Shoulder=collar / UArm=shoulder / FArm=elbow / Hand=wrist", "Hip",
        "Thigh=hip / Shin=knee / Foot=ankle / Toe=foot", prefix="Actor:"),
        dict(unit=0.001, order="XYZ")),
    "smpl, z up by its root's turn": (body(
        "Pelvis=spine base / Spine1=low / Spine2=spine mid / Spine3=chest / Neck=spine shoulder / "
        "Head=skull", "{L}_{part}", "Spine3",
        "Collar=collar / Shoulder=shoulder / Elbow=elbow / Wrist=wrist / Hand=hand", "Pelvis",
        "Hip=hip / Knee=knee / Ankle=ankle / Foot=foot"), dict(unit=1.0, up="z", rest_up="y")),
    "xsens": (body(
        "Hips=spine base / Chest=low / Chest2=spine mid / Chest3=chest / Chest4=chest / "
        "Neck=spine shoulder / Head=skull", "{Left}{part}", "Chest4",
        "Collar=collar / Shoulder=shoulder / Elbow=elbow / Wrist=wrist", "Hips",
        "Hip=hip / Knee=knee / Ankle=ankle / Toe=foot"), dict(unit=0.01, order="YXZ")),
    "vicon": (body(
        "root=spine base / lowerback=low / upperback=spine mid / thorax=chest / "
        "lowerneck=spine shoulder / upperneck=half / head=skull", "{l}{part}", "thorax",
        "clavicle=collar / humerus=shoulder / radius=elbow / wrist=wrist / hand=hand / "
        "fingers=hand tip", "root",
        "hipjoint=spine base / femur=hip / tibia=knee / foot=ankle / toes=foot"),
        dict(unit=0.001, order="ZYX")),
    "motionbuilder": (body(
        f"Reference=floor / Hips=spine base / {SPINE}", *SIDE_FIRST, ARM, "Hips", LEG,
        prefix="Character1_"), dict(unit=0.01, channels="positions")),
    "rokoko": (body(
        "Hips=spine base / Spine1=low / Spine2=spine mid / Spine3=chest / Neck=spine shoulder / "
        "Head=skull", "{Left}{part}", "Spine3", ARM, "Hips",
        "Thigh=hip / Shin=knee / Foot=ankle / Toe=foot"), dict(unit=1.0, order="YZX")),
    "numbers for names": (numbered("b", MIXAMO), dict(unit=0.01)),
    "numbers, z up, no toes": (numbered("j", [
        joint for joint in MIXAMO if not joint[2].endswith((" foot", " end"))]),
        dict(unit=1.0, up="z", end="none")),
    "kinect, wrists and ankles are ends": (body(
        "hips=spine base / spine=spine mid / head=skull", "{part}_{left}", "spine",
        "clavicle=collar / arm=shoulder / forearm=elbow", "hips", "thigh=hip / shin=knee"),
        dict(unit=0.01, end="limb")),
    "Lf and Rt, metatarsals": (body(
        "Root=spine base / Lumbar=low / Thorax=spine mid / Cervical=spine shoulder / Skull=skull",
        "{part}_{Lf}", "Thorax", "Clav=collar / Humerus=shoulder / Radius=elbow / Palm=wrist",
        "Root", "Femur=hip / Tibia=knee / Tarsal=ankle / Metatarsals=arch / Toe=foot",
        prefix="Skel1_"), dict(unit=0.01)),
    "left-handed": (MIXAMO, dict(unit=1.0, mirror=True)),
    "small letters, CRLF": ([(name.lower(), above.lower(), place) for name, above, place in MIXAMO],
                            dict(unit=0.01, line="\r\n")),
    "mmd": ([*body(
        "センター=floor / グルーブ=spine base / 上半身=low / 上半身2=spine mid / "
        "首=spine shoulder / 頭=skull", "{左}{part}", "上半身2",
        "肩=collar / 腕=shoulder / ひじ=elbow / 手首=wrist", "下半身",
        "足=hip / ひざ=knee / 足首=ankle / つま先=foot"), ("下半身", "グルーブ", "spine base")],
        dict(unit=0.08)),
}


def places(person: np.ndarray) -> dict[str, np.ndarray]:
    """Positions `[T, 3]` of NTU-25's joints, and of those that other skeletons have besides."""
    at = {name: person[:, k] for k, name in enumerate(NTU_JOINTS)}
    base, hub, head = at["spine base"], at["spine shoulder"], at["head"]
    at |= {"low": 0.7 * base + 0.3 * at["spine mid"], "chest": 0.4 * at["spine mid"] + 0.6 * hub,
           "skull": 0.6 * hub + 0.4 * head, "half": 0.8 * hub + 0.2 * head,
           "top": 1.6 * head - 0.6 * (0.6 * hub + 0.4 * head), "floor": base * (1, 0, 1)}
    for side in LEFT_RIGHT:
        at[f"{side} collar"] = 0.8 * hub + 0.2 * at[f"{side} shoulder"]
        at[f"{side} toe end"] = 1.3 * at[f"{side} foot"] - 0.3 * at[f"{side} ankle"]
        at[f"{side} arch"] = 0.5 * at[f"{side} foot"] + 0.5 * at[f"{side} ankle"]
        at[f"{side} spine base"] = 0.6 * base + 0.4 * at[f"{side} hip"]
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
