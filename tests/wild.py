"""BVH files of many origins, made of a generated person: names, structures, axes, units, channels.

Each joint turns as the bones behind it do, so that a file holds rotations as real ones do; rest is
the first frame's pose.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from sjepa.skeleton import NTU_JOINTS

AT = NTU_JOINTS.index
LEFT_RIGHT = ("left", "right")


def chain(above: str, *links: str) -> list[tuple[str, str, str]]:
    """Joints `NAME=PLACE`, each on the one before it, the first on `above`."""
    out = []
    for link in links:
        name, _, place = link.partition("=")
        out.append((name, above, place))
        above = name
    return out


def both(form, above_arm: str, arm: str, above_leg: str, leg: str) -> list[tuple[str, str, str]]:
    """Arms and legs of both sides; `form(part, side)` writes a joint's name."""
    out = []
    for side in LEFT_RIGHT:
        for above, limb in ((above_arm, arm), (above_leg, leg)):
            links = [link.partition("=") for link in limb.split(" / ")]
            out += chain(above, *(f"{form(part, side)}={side} {place}" for part, _, place in links))
    return out


def before(part: str, side: str) -> str:
    return side.capitalize() + part


def letter(part: str, side: str) -> str:
    return side[0] + part


def trunk(*links: str) -> list[tuple[str, str, str]]:
    return chain("", *links)


ARM = "Shoulder=collar / Arm=shoulder / ForeArm=elbow / Hand=wrist"
LEG = "UpLeg=hip / Leg=knee / Foot=ankle / ToeBase=foot"
FINGERS = " / HandMiddle1=hand / HandMiddle2=hand tip"
SPINE = ("Spine=low", "Spine1=spine mid", "Neck=spine shoulder", "Head=skull")


def prefixed(prefix: str, joints):
    return [(prefix + name, above and prefix + above, place) for name, above, place in joints]


MIXAMO = [*trunk("Hips=spine base", *SPINE, "HeadTop_End=top"),
          *both(before, "Spine1", ARM + FINGERS, "Hips", LEG + " / Toe_End=toe end")]
BIPED = both(lambda part, side: f"Bip01 {side[0].upper()} {part}", "Bip01 Neck",
             "Clavicle=collar / UpperArm=shoulder / Forearm=elbow / Hand=wrist / Finger0=hand",
             "Bip01 Pelvis", "Thigh=hip / Calf=knee / Foot=ankle / Toe0=foot")
ASF_ARM = ("clavicle=collar / humerus=shoulder / radius=elbow / wrist=wrist / hand=hand / "
           "fingers=hand tip")
JAPAN = both(lambda part, side: ("左" if side == "left" else "右") + part, "上半身2",
             "肩=collar / 腕=shoulder / ひじ=elbow / 手首=wrist", "下半身",
             "足=hip / ひざ=knee / 足首=ankle / つま先=foot")


def kind(joints, **how):
    return joints, how


#: Name → joints (name, above, place), and how the file is written.
KINDS = {
    "mixamo": kind(prefixed("mixamorig:", MIXAMO), unit=0.01),
    "cgspeed": kind(
        [*trunk("Hips=spine base", "LowerBack=low", "Spine=spine mid", "Spine1=chest",
                "Neck=spine shoulder", "Neck1=half", "Head=skull"),
         *both(before, "Spine1", ARM + " / FingerBase=hand", "Hips",
               "HipJoint=spine base / " + LEG)], unit=0.0254 / 0.45, order="ZYX"),
    "daz": kind(
        [*trunk("hip=spine base", "abdomen=low", "chest=spine mid", "neck=spine shoulder",
                "head=skull"), ("leftEye", "head", "head"), ("rightEye", "head", "top"),
         *both(letter, "chest", "Collar=collar / Shldr=shoulder / ForeArm=elbow / Hand=wrist / "
               "Mid1=hand", "hip", "Buttock=spine base / Thigh=hip / Shin=knee / Foot=ankle")],
        unit=0.01, end="foot"),
    "iclone": kind(
        [*trunk("CC_Base_Hip=spine base", "CC_Base_Waist=low", "CC_Base_Spine01=spine mid",
                "CC_Base_Spine02=chest", "CC_Base_NeckTwist01=spine shoulder",
                "CC_Base_NeckTwist02=half", "CC_Base_Head=skull"),
         ("CC_Base_Pelvis", "CC_Base_Hip", "spine base"),
         ("CC_Base_JawRoot", "CC_Base_Head", "head"),
         *both(lambda part, side: f"CC_Base_{side[0].upper()}_{part}", "CC_Base_Spine02",
               "Clavicle=collar / Upperarm=shoulder / Forearm=elbow / Hand=wrist",
               "CC_Base_Pelvis", "Thigh=hip / Calf=knee / Foot=ankle / ToeBase=foot"),
         *((f"CC_Base_{s}_CalfTwist01", f"CC_Base_{s}_Calf", f"{side} ankle")
           for s, side in zip("LR", LEFT_RIGHT, strict=True))], unit=0.01, order="YXZ"),
    "bandai": kind(
        [*trunk("joint_Root=floor", "Hips=spine base", "Spine=low", "Chest=spine mid",
                "Neck=spine shoulder", "Head=skull"),
         *both(lambda part, side: f"{part}_{side[0].upper()}", "Chest",
               "Shoulder=collar / UpperArm=shoulder / LowerArm=elbow / Hand=wrist", "Hips",
               "UpperLeg=hip / LowerLeg=knee / Foot=ankle / Toes=foot")],
        unit=0.01, channels="positions"),
    "rigify, z up": kind(
        [*trunk("spine=spine base", "spine.001=low", "spine.002=spine mid", "spine.003=chest",
                "spine.004=spine shoulder", "head=skull"),
         *both(lambda part, side: f"{part}.{side[0].upper()}", "spine.003",
               "shoulder=collar / upper_arm=shoulder / forearm=elbow / hand=wrist", "spine",
               "thigh=hip / shin=knee / foot=ankle / toe=foot")], unit=1.0, up="z", order="XYZ"),
    "unreal, z up, twists": kind(
        [*trunk("root=floor", "pelvis=spine base", "spine_01=low", "spine_02=spine mid",
                "spine_03=chest", "neck_01=spine shoulder", "head=skull"),
         *both(lambda part, side: f"{part}_{side[0]}", "spine_03",
               "clavicle=collar / upperarm=shoulder / lowerarm=elbow / hand=wrist / "
               "middle_01=hand", "pelvis", "thigh=hip / calf=knee / foot=ankle / ball=foot"),
         *((f"{part}_twist_01_{side[0]}", f"{part}_{side[0]}", f"{side} {place}")
           for part, place in (("upperarm", "elbow"), ("calf", "ankle")) for side in LEFT_RIGHT)],
        unit=0.01, up="z", order="XZY"),
    "biped": kind([*trunk("Bip01=spine base", "Bip01 Pelvis=spine base", "Bip01 Spine=low",
                          "Bip01 Spine1=spine mid", "Bip01 Neck=spine shoulder",
                          "Bip01 Head=skull", "Bip01 HeadNub=top"), *BIPED], unit=0.0254),
    "xsens": kind(
        [*trunk("Hips=spine base", "Chest=low", "Chest2=spine mid", "Chest3=chest",
                "Chest4=chest", "Neck=spine shoulder", "Head=skull"),
         *both(before, "Chest4", "Collar=collar / Shoulder=shoulder / Elbow=elbow / Wrist=wrist",
               "Hips", "Hip=hip / Knee=knee / Ankle=ankle / Toe=foot")], unit=0.01, order="YXZ"),
    "perception neuron, no toes": kind(
        [*trunk("Hips=spine base", *SPINE), *both(
            before, "Spine1", ARM + " / InHandMiddle=hand / HandMiddle1=hand tip", "Hips",
            "UpLeg=hip / Leg=knee / Foot=ankle")], unit=0.01, order="YXZ", end="none"),
    "optitrack": kind(prefixed("Actor:", [
        *trunk("Hip=spine base", "Ab=low", "Chest=spine mid", "Neck=spine shoulder",
               "Head=skull"),
        *both(lambda part, side: side[0].upper() + part, "Chest",
              "Shoulder=collar / UArm=shoulder / FArm=elbow / Hand=wrist", "Hip",
              "Thigh=hip / Shin=knee / Foot=ankle / Toe=foot")]), unit=0.001, order="XYZ"),
    "smpl, z up by its root's turn": kind(
        [*trunk("Pelvis=spine base", "Spine1=low", "Spine2=spine mid", "Spine3=chest",
                "Neck=spine shoulder", "Head=skull"),
         *both(lambda part, side: f"{side[0].upper()}_{part}", "Spine3",
               "Collar=collar / Shoulder=shoulder / Elbow=elbow / Wrist=wrist / Hand=hand",
               "Pelvis", "Hip=hip / Knee=knee / Ankle=ankle / Foot=foot")],
        unit=1.0, up="z", rest_up="y"),
    "vicon": kind(
        [*trunk("root=spine base", "lowerback=low", "upperback=spine mid", "thorax=chest",
                "lowerneck=spine shoulder", "upperneck=half", "head=skull"),
         *both(letter, "thorax", ASF_ARM, "root",
               "hipjoint=spine base / femur=hip / tibia=knee / foot=ankle / toes=foot")],
        unit=0.001, order="ZYX"),
    "motionbuilder": kind(prefixed("Character1_", [
        *trunk("Reference=floor", "Hips=spine base", *SPINE),
        *both(before, "Spine1", ARM, "Hips", LEG)]), unit=0.01, channels="positions"),
    "rokoko": kind(
        [*trunk("Hips=spine base", "Spine1=low", "Spine2=spine mid", "Spine3=chest",
                "Neck=spine shoulder", "Head=skull"),
         *both(before, "Spine3", ARM, "Hips",
               "Thigh=hip / Shin=knee / Foot=ankle / Toe=foot")], unit=1.0, order="YZX"),
    "numbers for names": kind(
        [(f"b{k}", above and f"b{[n for n, *_ in MIXAMO].index(above)}", place)
         for k, (_, above, place) in enumerate(MIXAMO)], unit=0.01),
    "numbers, z up, no toes": kind(
        [(f"j{k}", above and f"j{[n for n, *_ in MIXAMO[:6] + MIXAMO[6:]].index(above)}", place)
         for k, (_, above, place) in enumerate(MIXAMO)
         if place.split()[-1] not in ("foot", "end")], unit=1.0, up="z", end="none"),
    "kinect, wrists and ankles are ends": kind(
        [*trunk("hips=spine base", "spine=spine mid", "head=skull"),
         *both(lambda part, side: f"{part}_{side}", "spine",
               "clavicle=collar / arm=shoulder / forearm=elbow", "hips", "thigh=hip / shin=knee")],
        unit=0.01, end="limb"),
    "Lf and Rt, metatarsals": kind(
        [*trunk("Skel1_Root=spine base", "Skel1_Lumbar=low", "Skel1_Thorax=spine mid",
                "Skel1_Cervical=spine shoulder", "Skel1_Skull=skull"),
         *both(lambda part, side: f"Skel1_{part}_{'Lf' if side == 'left' else 'Rt'}",
               "Skel1_Thorax", "Clav=collar / Humerus=shoulder / Radius=elbow / Palm=wrist",
               "Skel1_Root", "Femur=hip / Tibia=knee / Tarsal=ankle / Metatarsals=arch / Toe=foot")
         ], unit=0.01),
    "left-handed": kind(MIXAMO, unit=1.0, mirror=True),
    "small letters, CRLF": kind(
        [(name.lower(), above.lower(), place) for name, above, place in MIXAMO], unit=0.01,
        line="\r\n"),
    "mmd": kind([*trunk("センター=floor", "グルーブ=spine base", "上半身=low", "上半身2=spine mid",
                        "首=spine shoulder", "頭=skull"),
                 ("下半身", "グルーブ", "spine base"), *JAPAN], unit=0.08),
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
    vectors = np.stack([child - x for child in below], 1)  # [T, K, 3]
    start = np.stack([child[0] - x[0] for child in below]) @ rest.T
    lengths = np.linalg.norm(start, axis=-1)
    use = lengths > 1e-6
    if not use.any():
        return Rotation.identity(len(x))
    return Rotation.concatenate([Rotation.align_vectors(v[use], start[use])[0] for v in vectors])


def wild_bvh(person: np.ndarray, joints, *, unit: float, up: str = "y", rest_up: str = "",
             order: str = "ZXY", channels: str = "", end: str = "", mirror: bool = False,
             line: str = "\n") -> tuple[str, dict[str, np.ndarray]]:
    """A BVH file of a person `[T, 25, 3]`, and where its joints are, by place, as the file has it.

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
    rest = np.eye(3)
    if rest_up == "y" and up == "z":
        rest = np.array(((1, 0, 0), (0, 0, 1), (0, -1, 0)))
    behind = {"foot": {"ankle": "foot"}, "limb": {"knee": "ankle", "elbow": "wrist"}}.get(end, {})

    def outwards(k: int) -> list[np.ndarray]:
        """What hangs on a joint: others, or where its limb ends."""
        side, _, part = joints[k][2].partition(" ")
        return [x[c] for c, above in enumerate(parents) if above == k] or (
            [at[f"{side} {behind[part]}"]] if part in behind else [])

    below = [outwards(k) for k in range(len(joints))]
    turns = [_turns(x[k], below[k], rest) if below[k] else Rotation.identity(len(person))
             for k in range(len(joints))]
    values, fields, made = [None] * len(joints), [None] * len(joints), [None] * len(joints)
    for k, above in enumerate(parents):
        step = x[k] - (made[above] if above >= 0 else 0)
        if channels == "positions" or above < 0:
            offset, spins = np.zeros(3), "positions" != channels
            local = step if above < 0 or channels == "positions" else None
            fields[k] = (offset, "Xposition Yposition Zposition".split())
            values[k], made[k] = local, x[k]
        else:
            offset, spins = (x[k][0] - x[above][0]) @ rest.T, True
            fields[k] = (offset, [])
            values[k] = np.empty((len(person), 0))
            made[k] = made[above] + turns[above].apply(offset)
        if spins:
            spin = turns[k] if above < 0 else turns[above].inv() * turns[k]
            if not below[k]:
                spin = Rotation.identity(len(person))
            values[k] = np.concatenate([values[k], spin.as_euler(order, degrees=True)], 1)
            fields[k] = (offset, [*fields[k][1], *(f"{axis}rotation" for axis in order)])

    depth_first: list[int] = []

    def block(k: int) -> str:
        depth_first.append(k)
        offset, listed = fields[k]
        inside = "".join(block(c) for c, above in enumerate(parents) if above == k)
        if not inside:
            last = (below[k][0][0] - x[k][0]) @ rest.T if below[k] else np.zeros(3)
            inside = f"End Site\n{{\nOFFSET {' '.join(f'{v:.7f}' for v in last)}\n}}\n"
        return (f"{'ROOT' if parents[k] < 0 else 'JOINT'} {names[k]}\n{{\n"
                f"OFFSET {' '.join(f'{v:.7f}' for v in offset)}\n"
                f"CHANNELS {len(listed)} {' '.join(listed)}\n{inside}}}\n")

    tree = block(0)
    rows = np.concatenate([values[k] for k in depth_first], 1)
    text = (f"HIERARCHY\n{tree}MOTION\nFrames: {len(rows)}\nFrame Time: 0.0333333\n"
            + "".join(" ".join(f"{v:.6f}" for v in row) + "\n" for row in rows))
    return text.replace("\n", line), {joint[2]: m for joint, m in zip(joints, made, strict=True)}
