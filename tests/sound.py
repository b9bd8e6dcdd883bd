"""A sound file of every kind that is read, all of them generated, and what reads it."""

import gzip
import itertools
import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as fields
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from dialects import LANDMARKS, as_mediapipe

from sjepa import synthetic
from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.formats import npz, pku, pyskl
from sjepa.datasets.formats.acclaim import joint_positions, read_amc, read_asf
from sjepa.datasets.formats.bvh import read_bvh
from sjepa.datasets.layouts import LAYOUTS
from sjepa.datasets.motion import EXAMPLE, read_motion
from sjepa.datasets.ntu import read_skeleton, write_skeleton
from sjepa.datasets.sources import florence, islkinect, kindergator, uiprmd
from sjepa.datasets.specs import spec


def put(path: Path, content) -> Path:
    """A file of text, of bytes, or of what `content(path)` writes; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(content):
        content(path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def line(values, between: str = " ") -> str:
    return between.join(f"{float(value):.17g}" for value in values)


def rows(x: np.ndarray, between: str = " ") -> str:
    """A line of text for each of the numbers `[..., columns]`; nine digits name every float32."""
    table = x.reshape(-1, x.shape[-1])
    return "".join(between.join(f"{value:.9g}" for value in row) + "\n" for row in table)


def flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


def clouds(frames: int, bodies: int = 1, seed: int = 0) -> np.ndarray:
    """`[T, M, 25, 3]` float32: tall, narrow, slowly drifting clouds of joints."""
    rng = np.random.default_rng(seed)
    rest = rng.normal(size=(1, bodies, 25, 3)) * (0.1, 0.5, 0.1) + (0.3, 0.1, 3)
    drift = rng.normal(size=(frames, bodies, 1, 3)).cumsum(0) * 0.02
    return (rest + drift).astype(np.float32)


def some_clips(joints: int = 25) -> list[np.ndarray]:
    """A clip of one, of two of whom one comes later, and of one beside an absent one."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(7, 1, joints, 3)).astype(np.float32)
    two = rng.normal(size=(9, 2, joints, 3)).astype(np.float32)
    two[:4, 1] = 0
    return [one, two, np.concatenate((one, np.zeros_like(one)), 1)]


def ntu_folder(folder: Path, **which) -> dict[str, np.ndarray]:
    """Genuine `.skeleton` files of generated clips; returns the clips by name."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = {clip.name: clip.positions for clip in synthetic.iterate_clips(**which)}
    for name, clip in clips.items():
        write_skeleton(folder / f"{name}.skeleton", clip)
    return clips


def change_meta(store: Path, **values) -> None:
    """Let the description of a store say something else."""
    meta = json.loads((store / "store.json").read_text())
    del meta["own_sha256"]
    (store / "store.json").write_text(json.dumps(meta | values))


# --- trees of joints --------------------------------------------------------------------------

ALL = "Xposition Yposition Zposition Zrotation Xrotation Yrotation".split()


def turned(point, axis: str, degrees: float):
    """A point after a right-handed turn about one axis."""
    x, y, z = point
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return {"x": (x, c * y - s * z, s * y + c * z), "y": (c * x + s * z, y, c * z - s * x),
            "z": (c * x - s * y, s * x + c * y, z)}[axis.lower()]


def literal(parents, steps, turns, own: bool = False) -> np.ndarray:
    """Positions `[J, 3]`, one at a time: each step is carried out by the joints above it.

    `turns` has the (axis, degrees) of each joint, the first of which acts first; with `own` a step
    is turned by its own joint too, unless that is the root.
    """
    out = []
    for k, above in enumerate(parents):
        v, at = steps[k], k if own and above >= 0 else above
        while at >= 0:
            for axis, degrees in turns[at]:
                v = turned(v, axis, degrees)
            at = parents[at]
        out.append(np.array(v) + (out[above] if above >= 0 else 0))
    return np.array(out)


def bvh_text(joints: list[tuple], values, time: float = 1 / 30, ends=None) -> str:
    """A BVH file of joints (name, parent, offset, channels) and their values `[T, C]`.

    Parents come first; `ends` has the offsets of End Sites by joint.
    """
    starts = np.cumsum([0] + [len(channels) for *_, channels in joints])
    columns = []  # depth first, as the file nests

    def block(k: int) -> str:
        name, _, offset, channels = joints[k]
        columns.extend(range(starts[k], starts[k + 1]))
        inside = "".join(block(c) for c, child in enumerate(joints) if child[1] == k) or (
            f"End Site\n{{\nOFFSET {line((ends or {}).get(name, (0, 1, 0)))}\n}}\n")
        return (f"{'JOINT' if k else 'ROOT'} {name}\n{{\nOFFSET {line(offset)}\n"
                f"CHANNELS {len(channels)} {' '.join(channels)} \n{inside}}}\n")

    tree = block(0)
    table = "".join(line(row) + " \n" for row in np.asarray(values)[:, columns])
    return f"HIERARCHY\n{tree}MOTION\nFrames:\t{len(values)}\nFrame Time:\t{time!r}\n{table}"


class Bone(NamedTuple):
    """A bone of an ASF file."""

    name: str
    parent: str
    direction: Sequence[float] = (1, 0, 0)
    length: float = 1.0
    angles: Sequence[float] = (0, 0, 0)
    axis: str = "XYZ"
    dof: Sequence[str] = ()


class Root(NamedTuple):
    order: str = "TX TY TZ RX RY RZ"
    position: Sequence[float] = (0, 0, 0)


ROOT = Root()


def asf_text(bones: list[Bone], root: Root = ROOT) -> str:
    """An ASF file; the children of a parent stand together."""
    data = "".join(
        f"  begin\n     id {k}\n     name {bone.name}\n     direction {line(bone.direction)}\n"
        f"     length {bone.length!r}\n     axis {line(bone.angles)}  {bone.axis} \n"
        + (f"    dof {' '.join(bone.dof)}\n    limits (-20.0 45.0)\n" if bone.dof else "")
        + "           (-30.0 30.0)\n" * (len(bone.dof) - 1) + "  end\n"
        for k, bone in enumerate(bones, 1))
    tree = "".join(f"    {parent} {' '.join(bone.name for bone in group)}\n"
                   for parent, group in itertools.groupby(bones, key=lambda bone: bone.parent))
    return ("# made for a test\n:version 1.10\n:name VICON\n:units\n  mass 1.0\n  length 0.45\n"
            "  angle deg\n:documentation\n   begin of a text\n:root\n"
            f"   order {root.order}\n   axis XYZ\n   position {line(root.position)}\n"
            f"   orientation 0 0 0 \n:bonedata\n{data}:hierarchy\n  begin\n{tree}  end\n")


def amc_text(frames: list[dict], first: int = 1) -> str:
    """An AMC file of frames, each bone name → its values."""
    return "#!OML:ASF made\n:FULLY-SPECIFIED\n:DEGREES\n" + "".join(
        f"{number}\n" + "".join(f"{name} {line(values)}\n" for name, values in frame.items())
        for number, frame in enumerate(frames, first))


def read_acclaim(path: Path) -> np.ndarray:
    """Positions of a motion with its skeleton, either of which `path` may be."""
    skeleton = read_asf(path.with_suffix(".asf"))
    return joint_positions(skeleton, read_amc(path.with_suffix(".amc"), skeleton))


LEG = [("hip", -1, (7, 7, 7), ALL[:5]), ("knee", 0, (0, 10, 0), ["Yrotation"]),
       ("ankle", 1, (2, 5, 0), [])]
BVH = bvh_text(LEG, [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 90, 0], [1, 2, 3, 4, 5, 6.25]], 0.02)
ARM = [Bone("upper", "root", (0, -1, 0), 3.0, dof=("rx", "ry", "rz")),
       Bone("clavicle", "root", (1, 0, 0), 2.0), Bone("lower", "upper", dof=("rz",))]
ACCLAIM = {"a.asf": asf_text(ARM), "a.amc": amc_text(
    [{"root": [1, 2, 3, 4, 5, 6], "upper": [10, 20, 30], "lower": [40]}] * 2)}


# --- PKU-MMD ----------------------------------------------------------------------------------

#: Videos of `write_pku`, and the part of a name by which a protocol tests a video.
VIDEOS = {
    1: ["0001-L", "0001-M", "0001-R", "0290-M", "0291-L", "0291-M"],
    2: ["A01N01-L", "A01N01-M", "A01N02-R", "A02N03-L", "A02N03-M"],
}
TESTED = {(1, "xsub"): "0291", (2, "xsub"): "N03", (1, "xview"): "-L", (2, "xview"): "-L"}


def pair(frames: int, seed: int = 0, second: slice = slice(0, 0)) -> np.ndarray:
    """Clouds `[T, 2, 25, 3]`, of which body 2 is there in the frames `second`."""
    x = clouds(frames, 2, seed)
    there = np.zeros(frames, bool)
    there[second] = True
    x[~there, 1] = 0
    return x


def write_video(raw: Path, name: str, x: np.ndarray, instances: Sequence[tuple], *,
                skeleton: str = "skeleton", label: str = "label") -> None:
    """The two files of a video `[T, 2, 25, 3]` in two folders below `raw`.

    `instances` are (action from 1, start, end); the confidence alternates, as both occur.
    """
    put(raw / skeleton / f"{name}.txt", rows(flat(x)))
    put(raw / label / f"{name}.txt", "".join(
        f"{action},{start},{end},{1 + k % 2}\n"
        for k, (action, start, end) in enumerate(instances)))


def write_split(path: Path, training: Sequence[str], validation: Sequence[str]) -> None:
    """A split file; the owners' own header misspells its word."""
    put(path, f"Training videos: \n{', '.join(training)}, \n"
              f"Validataion videos: \n{', '.join(validation)}\n")


def write_pku(raw: Path, phase: int, frames: int = 6) -> None:
    """A few videos that each hold every class of a phase once, and both split files."""
    actions = [a for a in range(1, pku.ACTIONS + 1) if phase == 1 or a not in pku.NOT_IN_PHASE_2]
    cuts = [(a, k * frames, (k + 1) * frames) for k, a in enumerate(actions)]
    for seed, name in enumerate(VIDEOS[phase]):
        write_video(raw, name, pair(frames * len(cuts), seed, slice(0, None, 2)), cuts)
    names = {"xsub": ["cross-subject.txt", "cross_subject_v2.txt"],
             "xview": ["cross-view.txt", "cross_view_v2.txt"]}
    for protocol, files in names.items():
        tests = [name for name in VIDEOS[phase] if TESTED[phase, protocol] in name]
        trains = [name for name in VIDEOS[phase] if name not in tests]
        write_split(raw / "Split" / files[phase - 1], trains, tests)


def _read_video(path: Path) -> list:
    skeleton, label = (path.with_name(name) for name in ("rows.txt", "cuts.txt"))
    return pku.read(pku.Video(1, "0001-L", skeleton, label), PrepareConfig())


# --- open sets of a file a clip ---------------------------------------------------------------


def joints(frames: int = 5, count: int = 25, bodies: int = 0) -> np.ndarray:
    """`[T, (bodies,) J, 3]` metres with as few digits as text has."""
    shape = (frames, bodies, count, 3) if bodies else (frames, count, 3)
    return np.random.default_rng(0).normal((0, 0, 3), 0.4, shape).round(5)


def ordered(x: np.ndarray, layout: str, names) -> np.ndarray:
    """Joints `[..., J, 3]` of a layout in a file's order."""
    return x[..., [LAYOUTS[layout].joints.index(name) for name in names], :]


def numbered(x: np.ndarray) -> np.ndarray:
    """Before each joint of `[T, J, 3]` its frame's number and its own, both from 1."""
    places = np.moveaxis(np.indices(x.shape[:2]), 0, -1) + 1
    return np.concatenate([places, x], axis=-1)


def shares(x: np.ndarray) -> np.ndarray:
    """SBU's rows of `[T, 2, 15, 3]`: a number and shares of the picture, from its upper right."""
    x = (ordered(x, "openni15", florence.JOINTS) - (1.28, 0.96, 0)) / (-2.56, -1.92, 1.28)
    return np.concatenate([np.arange(len(x))[:, None] + 566, flat(x)], axis=1)


HEADER = ",".join(["Timestamp", *(joint + axis for joint in kindergator.JOINTS for axis in "XYZ"),
                   "User-ID,Action,"])


def jumps(x: np.ndarray) -> str:
    """Kinder-Gator's file of `[T, 20, 3]`."""
    lines = (",".join([f"{50621269 + 32 * k}.5", *map(repr, frame.ravel().tolist()), "888,Jump,"])
             for k, frame in enumerate(x))
    return "\n".join([HEADER, *lines]) + "\n"


def walk(x: np.ndarray, change=lambda table: table) -> str:
    """Gait's file of `[T, 25, 3]`, in the owners' axes; `change` may spoil its table `[T, 101]`."""
    numbers = np.insert(x[..., [0, 2, 1]] * (1, -1, 1), 0, np.arange(25)[:, None].T, axis=2)
    return rows(change(np.hstack([np.arange(len(x))[:, None] / 30, flat(numbers)])), "\t")


@dataclass
class Kind:
    """How a set's files are made and called, and what is read off the name."""

    layout: str
    place: str
    text: Callable  # of metres in the layout's order
    told: tuple  # name, class, subject, view, rep, setup
    more: dict = fields(default_factory=dict)  # for `joints`


KINDS = {
    "kard": Kind("openni15", "a07_s10_e02_realworld.txt", lambda x: rows(x * (-1000, 1000, 1000)),
                 ("a07_s10_e02", "draw tick", 10, 0, 2, 0)),
    "florence": Kind("openni15", "a09_s9_id191.txt",
                     lambda x: rows(ordered(x, "openni15", florence.JOINTS) * 1000),
                     ("a09_s09_id191", "bow", 9, 0, 191, 0)),
    "msrdaily": Kind("kinect20", "a13_s08_e02_skeleton_proj.txt", lambda x: rows(numbered(x)),
                     ("a13_s08_e02", "walk", 8, 0, 2, 0)),
    "sbu": Kind("openni15", "s02s01/08/003/skeleton_pos.txt", lambda x: rows(shares(x), ","),
                ("s02s01_a08_e003", "punch", 3, 0, 3, 0), {"bodies": 2}),
    "kindergator": Kind("kinect20", "POSE-p888_37-Jump-1466764773148.csv", jumps,
                        ("POSE-p888_37-Jump-1466764773148", "Jump", 888, 0, 0, 0)),
    "nwucla": Kind("kinect20", "a12_s03_e04_v02.json",
                   lambda x: json.dumps({"skeletons": x.tolist(), "label": 10}),
                   ("a12_s03_e04_v02", "carry", 3, 2, 4, 0)),
    "wmft": Kind("ntu25", "S17_moderate_task09.bin", lambda x: x.astype("<f4").tobytes(),
                 ("S17_moderate_task09", "lift pencil", 17, 0, 2, 0)),
    "islkinect": Kind("kinect20", "born__Zoe_7.txt",
                      lambda x: rows(flat(ordered(x, "kinect20", islkinect.JOINTS)), ","),
                      ("born_s01_e07", "born", 1, 3, 7, 0)),
    "gait": Kind("ntu25", "human10_stiff_legged20_SkeletonData5.csv", walk,
                 ("human10_stiff_legged20_sensor5", "stiff_legged", 10, 5, 20, 0)),
}


def people(name: str) -> np.ndarray:
    """Somebody's joints, in metres, in the layout of a set."""
    kind = KINDS[name]
    x = joints(count=len(LAYOUTS[kind.layout].joints), **kind.more)
    return x * 0.5 + (0, 1, 1) if name == "gait" else x  # no joint is two metres from the hips


def read_set(name: str, path: Path) -> list:
    """The clips of the one file of a set in the folder in which `path` lies as it should."""
    (unit,) = spec(name).files(path.parents[KINDS[name].place.count("/")])
    return spec(name).read(unit, None)


def uiprmd_file(folder: Path, system: str, kind: str, x: np.ndarray,
                name: str = "m10_s03_e02_{}_inc.txt.gz") -> Path:
    """A file of points `[T, N, 3]`, where and as the owners of UI-PRMD have it."""
    path = folder / "Incorrect Segmented Movements" / system / kind / name.format(kind.lower())
    return put(path, gzip.compress(rows(flat(x), ",").encode()))


def markers(frames: int = 101) -> np.ndarray:
    """Markers `[T, 39, 3]` in metres, y up, facing −z, that go ahead at 0.5 m a second."""
    x = np.random.default_rng(0).normal((0, 1, 0), 0.3, (39, 3)).round(4)
    for marker, place in (("LASI", (-0.12, 1, -0.1)), ("RASI", (0.12, 1, -0.1)),
                          ("LPSI", (-0.04, 1, 0.1)), ("RPSI", (0.04, 1, 0.1))):
        x[uiprmd.MARKERS.index(marker)] = place
    return x + np.arange(frames)[:, None, None] * (0, 0, -0.005)


def vicon(folder: Path, x: np.ndarray) -> Path:
    """The file of these markers; a missing one is 0 0 0 there too."""
    return uiprmd_file(folder, "Vicon", "Positions", x[..., [2, 0, 1]] * (-1000, -1000, 1000))


# --- arrays and pickles -----------------------------------------------------------------------


def feeder(**changes) -> Callable[[Path], None]:
    """An npz of two and one clips as feeders read it, in part overwritten by `changes`."""
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.normal(size=(2, 300, 150)).astype("f4"), "y_train": np.eye(2),
              "x_test": rng.normal(size=(1, 300, 150)).astype("f4"), "y_test": np.eye(2)[:1]}
    arrays = {name: x for name, x in (arrays | changes).items() if x is not None}
    return lambda path: np.savez(path, **arrays)


def three_d(subjects=(0, 1, 2, 3), actions=(0, 3)) -> dict:
    """`ntu60_3danno.pkl`-like: Kinect's coordinates, one array a clip."""
    annotations = [
        {"frame_dir": clip.name, "label": clip.label, "total_frames": len(clip.positions),
         "keypoint": clip.positions.transpose(1, 0, 2, 3).astype(np.float16)}
        for clip in synthetic.iterate_clips(subjects=subjects, actions=actions)]
    names = [each["frame_dir"] for each in annotations]
    return {"split": {"xsub_train": names[::2], "xsub_val": names[1::2]},
            "annotations": annotations}


def two_d(frames: int = 10) -> dict:
    """Pixels of a person who stands upright in a picture of 640 x 480, 150 pixels of trunk."""
    x = np.zeros((1, frames, 17, 2), np.float32)
    x[..., 0], x[..., 1] = 320, 100  # head
    x[..., (5, 6), :] = (290, 200), (350, 200)
    x[..., (7, 8, 9, 10), :] = (280, 260), (360, 260), (270, 320), (370, 320)
    x[..., (11, 12), :] = (300, 350), (340, 350)
    x[..., (13, 14, 15, 16), :] = (300, 400), (340, 400), (300, 450), (340, 450)
    x += np.arange(frames)[:, None, None] * np.float32((3, 0))  # walks to the right
    return {"frame_dir": "v1", "label": 0, "img_shape": (480, 640), "total_frames": frames,
            "keypoint": x, "keypoint_score": np.full(x.shape[:3], 0.9, np.float32)}


# --- all of them ------------------------------------------------------------------------------


@cache
def throw() -> np.ndarray:
    """Frames `[T, 1, 25, 3]` of somebody who throws, without a sensor's noise."""
    return synthetic.generate_clip(synthetic.ACTIONS.index("throw"), 5, 1, noise=False)[10:]


def _short_example(path: Path) -> None:
    hierarchy, motion = EXAMPLE.read_text().split("MOTION")
    path.write_text("\n".join([f"{hierarchy}MOTION", "Frames: 3",
                               *motion.strip().splitlines()[1:5], ""]))


def _few(path: Path) -> None:
    x = {f"x_{side}": np.pad(throw()[None, :6, 0].reshape(1, 6, 75), ((0, n), (0, 0), (0, 75)),
                             "edge").astype("f4") for side, n in (("train", 1), ("test", 0))}
    feeder(**x)(path)


def _conversion(path: Path) -> None:
    np.savez(path, x=joints(2, 20).astype("f4"), offsets=[0, 1, 2], labels=[0, 0],
             subjects=[1, 2], views=[0, 0], reps=[0, 0], to_ntu25=np.eye(25, 20),
             class_names=["a"])


def _clips(source) -> list:
    return [list(source.read(unit)) for unit in source.units]


def _npz(path: Path) -> list:
    return _clips(npz.source(path, None))


NTU = "S001C002P003R001A013.skeleton"
UIPRMD = "Incorrect Segmented Movements/{}/{}/m10_s03_e02_{}_inc.txt.gz"
_PKU = {"rows.txt": rows(flat(pair(4))), "cuts.txt": "1,0,2,1\n12,1,3,2\n51, 2, 4, 1\n7,3,3,1\n"}
_PICKLE = pickle.dumps({"split": {"x_train": ["a"], "x_val": []}, "annotations": [two_d(2)]})
_KINECT = gzip.compress(rows(flat(joints(2, 22)), ",").encode())
_VICON = gzip.compress(rows(flat(markers(8)[..., [2, 0, 1]] * (-1000, -1000, 1000)), ",").encode())

#: Kind → the file by name, then what has to lie beside it; and what reads it.
SOUND: dict[str, tuple[dict, Callable]] = {
    "BVH": ({"a.bvh": BVH}, read_bvh),
    "ASF": (ACCLAIM, read_acclaim), "AMC": (dict(reversed(ACCLAIM.items())), read_acclaim),
    **{f"landmarks {name}": ({name: lambda path, write=write: write(
        path, as_mediapipe(throw()[:3, 0].astype(np.float64)))}, read_motion)
        for name, write in LANDMARKS.items()},
    "BVH of a person": ({"throw.bvh": _short_example}, read_motion),
    "NTU .skeleton": ({NTU: lambda path: write_skeleton(path, clouds(3))}, read_skeleton),
    "NTU .skeleton, as motion": ({NTU: lambda path: write_skeleton(path, throw()[:2])},
                                 read_motion),
    "PKU-MMD skeletons": (_PKU, _read_video),
    "PKU-MMD labels": (dict(reversed(_PKU.items())), _read_video),
    **{name: ({kind.place: kind.text(people(name))}, partial(read_set, name))
       for name, kind in KINDS.items()},
    "UI-PRMD Kinect gz": ({UIPRMD.format("Kinect", "Positions", "positions"): _KINECT,
                           UIPRMD.format("Kinect", "Angles", "angles"): _KINECT},
                          partial(uiprmd.read, options=None)),
    "UI-PRMD Vicon gz": ({UIPRMD.format("Vicon", "Positions", "positions"): _VICON},
                         partial(uiprmd.read, options=None)),
    "feeder npz": ({"a_xsub.npz": _few}, _npz),
    "feeder npz, as motion": ({"a_xsub.npz": _few}, partial(read_motion, clip=0)),
    "conversion npz": ({"c.npz": _conversion}, _npz),
    "pyskl pickle": ({"a.pkl": _PICKLE}, lambda path: _clips(pyskl.source(path, None))),
    "pyskl pickle, as motion": ({"a.pkl": _PICKLE}, read_motion),
}


def made(folder: Path, kind: str) -> tuple[Path, Callable]:
    """A sound file of a kind in `folder`, and what reads it."""
    files, read = SOUND[kind]
    return [put(folder / name, content) for name, content in files.items()][0], read
