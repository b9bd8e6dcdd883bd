"""Files of joints in the many ways in which trackers, and people, write them."""

import json
import pickle
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from sjepa.datasets.anatomy import SIDES
from sjepa.datasets.formats.points import PLANAR
from sjepa.datasets.layouts import COCO17, LAYOUTS
from sjepa.skeleton import NTU_JOINTS

MEDIAPIPE, AZURE = LAYOUTS["mediapipe33"], LAYOUTS["azure32"]
AT = NTU_JOINTS.index
Writer = Callable[[Path, np.ndarray], object]  #: of `[T, J, 3]`


def recorded(layout, person: np.ndarray) -> np.ndarray:
    """The person `[T, 25, 3]` in another layout's joints, as far as that goes."""
    return np.linalg.pinv(layout.to_ntu25.astype(np.float64)) @ person


def as_mediapipe(person: np.ndarray) -> np.ndarray:
    """World landmarks of the person: x to the right of the picture, y down, from the hips."""
    x = recorded(MEDIAPIPE, person)
    return (x - x[:, 23:25].mean(1, keepdims=True)) * (-1, -1, 1)


def as_azure(person: np.ndarray) -> np.ndarray:
    """Joints of an Azure Kinect: y down, in millimetres."""
    return recorded(AZURE, person) * (-1000, -1000, 1000) + 5


def in_picture(person: np.ndarray) -> np.ndarray:
    """COCO's joints in a picture of 1000 pixels, y down, and scores `[T, 17, 3]`."""
    names = COCO17.joints
    x = person[:, [AT(j if j in NTU_JOINTS else "head") for j in names]] * (-400, -400, 0)
    face = [9 * (j.startswith("left") and j not in NTU_JOINTS) for j in names]
    return x + np.stack([np.array(face) + 500, np.full(17, 900), np.full(17, 0.8)], -1)


def side_last(joint: str) -> str:
    """`hand tip left` of `left hand tip`."""
    side, _, part = joint.partition(" ")
    return f"{part} {side}" if side in SIDES else joint


CAMEL = [side_last(joint).title().replace(" ", "") for joint in NTU_JOINTS]
K4A = ["K4ABT_JOINT_" + side_last(joint).upper().replace(" ", "_") for joint in AZURE.joints]
POSE = [joint.upper().replace(" ", "_").replace("TOE", "FOOT_INDEX") for joint in MEDIAPIPE.joints]
for _side in ("LEFT", "RIGHT"):
    POSE = [name.replace(f"{_side}_MOUTH", f"MOUTH_{_side}").replace(
        f"{_side}_INNER_EYE", f"{_side}_EYE_INNER").replace(
        f"{_side}_OUTER_EYE", f"{_side}_EYE_OUTER") for name in POSE]


def table(path: Path, *lines: Iterable, mark: str = ",") -> None:
    path.write_text("".join(mark.join(map(str, line)) + "\n" for line in lines))


def wide(form: str, before: Sequence[str] = (), axes: str = "xyz", joints: Iterable = range(33),
         numbers: Iterable | None = None) -> Writer:
    """A line a frame under a header of the form `{a}{j}`; `numbers` is what frames are called."""
    def write(path, x):
        x = np.pad(x, ((0, 0), (0, 0), (0, len(axes) - 3)), constant_values=0.9)
        table(path, [*before, *(form.format(a=a, j=j) for j in joints for a in axes)], *(
            [*(number for _ in before), *frame.ravel()]
            for number, frame in zip(numbers or range(len(x)), x, strict=True)))
    return write


def long(joints: Iterable, head: Sequence[str] = ("frame", "landmark", "x", "y", "z", "visibility"),
         numbers: Iterable | None = None) -> Writer:
    """A line a joint."""
    def write(path, x):
        table(path, head, *([number, joint, *point, *[0.9] * (len(head) - 5)]
                            for number, frame in zip(numbers or range(len(x)), x, strict=True)
                            for joint, point in zip(joints, frame, strict=True)))
    return write


def dump(make: Callable, whole: Callable = lambda frames: frames) -> Writer:
    """JSON of what is made of each frame, in what `whole` makes of their list."""
    return lambda path, x: path.write_text(json.dumps(whole([make(frame) for frame in x])))


def lines(make: Callable) -> Writer:
    """A line of JSON a frame."""
    return lambda path, x: path.write_text("\n".join(json.dumps(make(frame)) for frame in x))


def points(frame: np.ndarray, axes: str = "xyz", **more) -> list[dict]:
    return [dict(zip(axes, point, strict=True)) | more for point in frame.tolist()]


def seen(frame: np.ndarray) -> list[dict]:
    return points(frame, visibility=0.9)


def bare(path, x, **how):
    np.savetxt(path, x.reshape(len(x), -1), **how)


LANDMARKS: dict[str, Writer] = {
    "visible.npy": lambda path, x: np.save(path, np.pad(x, ((0, 0), (0, 0), (0, 1)))),
    "plain.csv": lambda path, x: bare(path, x, delimiter=","),
    "x0.csv": wide("{a}{j}", axes="xyzv"),
    "landmark_0_x.csv": wide("landmark_{j}_{a}", ("frame", "timestamp")),
    "NOSE_x.csv": wide("{j}_{a}", ("timestamp",), "xyzv", POSE),
    "nose.x.csv": wide("{j}.{a}", joints=[name.lower() for name in POSE]),
    "x1.csv": wide("{a}{j}", ("class",), "xyzv", range(1, 34)),
    "pandas.csv": lambda path, x: table(
        path, ["", *range(99)], *([t, *frame.ravel()] for t, frame in enumerate(x))),
    "walking.csv": lambda path, x: table(path, *(["Walking", *frame.ravel()] for frame in x)),
    "long.csv": long(range(33)),
    "names.csv": long(POSE, ("frame_id", "landmark_name", "X", "Y", "Z", "visibility")),
    "dicts.json": dump(seen),
    "lines.jsonl": lines(lambda frame: {"fps": 3, "pose_world_landmarks": seen(frame)}),
    "lines.json": lines(lambda frame: {"pose_landmarks": [],
                                       "pose_world_landmarks": {"landmark": seen(frame)}}),
    "flat.json": dump(lambda frame: {"world_landmarks": frame.ravel().tolist()}),
    "frames.json": dump(seen, lambda frames: {"fps": 30, "frames": [
        {"frame": t, "landmarks": frame} for t, frame in enumerate(frames)]}),
    "numbered.json": dump(lambda frame: dict(zip(POSE, seen(frame), strict=True)),
                          lambda frames: dict(enumerate(frames))),
    "columns.json": dump(lambda frame: {"t": 0.1} | {
        f"{a}{j}": v for j, p in enumerate(frame.tolist()) for a, v in zip("xyz", p, strict=True)}),
}


#: Writers of joints of a Kinect: 25, or of an Azure Kinect (`k4a`) 32.
KINECTS: dict[str, Writer] = {
    "v2.csv": wide("{j}{a}", ("Time",), joints=CAMEL),
    "v2_.csv": lambda path, x: wide("{j}_{a}", ("frame", "body"), joints=CAMEL)(path, 1000 * x),
    "v2 long.tsv": long(CAMEL, ("Frame", "JointType", "X", "Y", "Z", "TrackingState")),
    "comma.csv": lambda path, x: table(
        path, [f"{j}_{a}" for j in CAMEL for a in "xyz"],
        *([f"{v:.4f}".replace(".", ",") for v in frame.ravel()] for frame in x), mark=";"),
    "comment.txt": lambda path, x: bare(path, x, header="v2, 25 joints"),
    "header.txt": lambda path, x: bare(path, x, delimiter=",", header=",".join(
        f"{a}{k}" for k in range(25) for a in "xyz")),
    "unity.json": dump(lambda frame: {"Joints": [
        {"JointType": joint, "Position": point}
        for joint, point in zip(CAMEL, points(frame, "XYZ"), strict=True)]},
        lambda frames: {"Frames": frames}),
    "array.npy": lambda path, x: np.save(path, x.reshape(len(x), 75)),
    "one stgcn.npz": lambda path, x: np.savez(
        path, data=x.transpose(2, 0, 1)[None, ..., None], label=[3]),
    "stgcn.npy": lambda path, x: np.save(path, x.transpose(2, 0, 1)[..., None]),
    "k4a.csv": wide("{j}_{a}", ("timestamp",), joints=K4A),
    "k4a.json": dump(lambda frame: {"num_bodies": 1, "bodies": [
        {"body_id": 7, "joint_orientations": [[1, 0, 0, 0]] * 32,
         "joint_positions": frame.tolist()}]}, lambda frames: {"joint_names": K4A, "frames": [
             {"frame_id": t, "timestamp_usec": 33 * t} | frame for t, frame in enumerate(frames)]}),
    "k4a.npy": lambda path, x: np.save(path, x / 1000),
    "v2.json": dump(lambda frame: {"bodies": [
        {"joints": dict(zip(CAMEL, points(frame, "XYZ"), strict=True))}]}),
    "node.json": dump(lambda frame: {"bodies": [{"tracked": True, "joints": [
        {"depthX": 0.1, "cameraX": x, "cameraY": y, "cameraZ": z}
        for x, y, z in frame.tolist()]}]}),
}


def openpose(path: Path, x: np.ndarray) -> None:
    """A folder of a file a frame, BODY_25."""
    path.mkdir()
    for t, frame in enumerate(x):
        body = np.zeros((25, 3))
        body[list(PLANAR[25])] = frame
        (path / f"v_{t}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": [
            {"person_id": [-1], "pose_keypoints_2d": body.ravel().tolist(),
             "face_keypoints_2d": [], "pose_keypoints_3d": []}]}))


#: Writers of COCO's joints in a picture, with their scores.
PICTURES: dict[str, Writer] = {
    "openpose": openpose,
    "coco.json": dump(lambda frame: {"image_id": str(frame[0, 0]), "category_id": 1, "score": 0.9,
                                     "keypoints": frame.ravel().tolist()}),
    "mmpose.json": dump(lambda frame: {"instances": [
        {"keypoints": frame[:, :2].tolist(), "keypoint_scores": frame[:, 2].tolist()}]},
        lambda frames: {"instance_info": [
            {"frame_id": t} | frame for t, frame in enumerate(frames)]}),
    "array.npy": np.save,
    "pyskl.pkl": lambda path, x: path.write_bytes(pickle.dumps({"split": {}, "annotations": [{
        "frame_dir": "a", "label": 0, "img_shape": (1000, 1000), "total_frames": len(x),
        "keypoint": x[None, ..., :2], "keypoint_score": x[None, ..., 2]}]})),
}


def called(name: str, numbers: Sequence) -> dict[str, Writer]:
    """Writers of a person's joints whose frames are called by `numbers` in a column `name`."""
    def frames(path, x):
        path.write_text("\n".join(json.dumps({name: n, "joints": frame.tolist()})
                                  for n, frame in zip(numbers, x, strict=True)))

    def keys(path, x):
        path.write_text(json.dumps({f"{name}_{n}": frame.tolist()
                                    for n, frame in zip(numbers, x, strict=True)}))
    return {"lines.csv": wide("{j}_{a}", (name,), joints=CAMEL, numbers=numbers),
            "joints.csv": long(CAMEL, (name, "joint", "x", "y", "z"), numbers),
            "frames.jsonl": frames, "keys.json": keys}
