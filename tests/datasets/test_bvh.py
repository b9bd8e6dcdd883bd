"""BVH files: the general reader, and Bandai-Namco's set. Every file here is generated."""

import pickle
import re

import numpy as np
import pytest
from formats import swap

from sjepa.datasets.formats.bvh import read_bvh
from sjepa.datasets.layouts import LAYOUTS, center_on_spine
from sjepa.datasets.sources import bandai, cmu14
from sjepa.datasets.store import LeftOut
from sjepa.datasets.text import TextFormatError
from sjepa.errors import SjepaError

ALL = "Xposition Yposition Zposition Zrotation Xrotation Yrotation".split()


def bvh_text(joints: list[tuple], values, time: float = 1 / 30) -> str:
    """A BVH file of joints (name, parent, offset, channels), parents first, and values `[T, C]`."""

    def block(k: int) -> str:
        name, parent, offset, channels = joints[k]
        below = [block(child) for child in range(len(joints)) if joints[child][1] == k]
        return (
            f"{'JOINT' if parent >= 0 else 'ROOT'} {name}\n{{\n"
            f"OFFSET {' '.join(map(repr, map(float, offset)))}\n"
            f"CHANNELS {len(channels)} {' '.join(channels)} \n"
            + ("".join(below) or "End Site\n{\nOFFSET 0 1 0\n}\n") + "}\n"
        )

    rows = "".join(" ".join(map(repr, map(float, row))) + " \n" for row in values)
    return f"HIERARCHY\n{block(0)}MOTION\nFrames:\t{len(values)}\nFrame Time:\t{time!r}\n{rows}"


def write(path, text: str):
    path.write_bytes(text.encode())
    return path


def turned(point, axis: str, degrees: float):
    """A point after a right-handed turn about one axis."""
    x, y, z = point
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return {"X": (x, c * y - s * z, s * y + c * z), "Y": (c * x + s * z, y, c * z - s * x),
            "Z": (c * x - s * y, s * x + c * y, z)}[axis.upper()]


def literal(joints: list[tuple], values) -> np.ndarray:
    """Joint positions one at a time: a point is carried outwards from frame to frame."""
    starts = np.cumsum([0] + [len(channels) for *_, channels in joints])

    def channels(k: int, row):
        return list(zip(joints[k][3], row[starts[k] : starts[k + 1]], strict=True))

    def place(k: int, row) -> np.ndarray:
        spot = dict(zip("XYZ", joints[k][2], strict=True))
        spot |= {c[0]: value for c, value in channels(k, row) if c.endswith("position")}
        return np.array([spot[axis] for axis in "XYZ"])

    def point(k: int, row) -> np.ndarray:
        at, above = place(k, row), joints[k][1]
        while above >= 0:
            for channel, angle in reversed(channels(above, row)):
                if channel.endswith("rotation"):
                    at = turned(at, channel[0], angle)
            at, above = place(above, row) + at, joints[above][1]
        return at

    return np.array([[point(k, row) for k in range(len(joints))] for row in values])


def random_motion(seed: int) -> tuple[list[tuple], np.ndarray]:
    """Joints with channels of all kinds and orders, each on the last or on the root; values."""
    rng = np.random.default_rng(seed)
    joints = []
    for k in range(int(rng.integers(1, 9))):
        listed = rng.permutation(ALL)[: rng.integers(1 if k == 0 else 0, 7)].tolist()
        above = int(rng.choice([0, k - 1])) if k else -1  # depth first, as the file nests
        joints.append((f"j{k}", above, rng.normal(0, 10, 3), listed))
    columns = sum(len(channels) for *_, channels in joints)
    return joints, rng.normal(0, 90, (int(rng.integers(1, 6)), columns))


ARM = [
    ("hip", -1, (7, 7, 7), ["Xposition", "Yposition", "Zposition", "Zrotation", "Xrotation"]),
    ("knee", 0, (0, 10, 0), ["Yrotation"]),
    ("ankle", 1, (2, 5, 0), []),
]


@pytest.mark.parametrize("seed", range(6))
def test_any_tree_and_order_equals_the_literal_way(tmp_path, seed):
    joints, values = random_motion(seed)
    bvh = read_bvh(write(tmp_path / "a.bvh", bvh_text(joints, values)))
    assert list(zip(bvh.joints, bvh.parents, strict=True)) == [joint[:2] for joint in joints]
    np.testing.assert_allclose(bvh.positions, literal(joints, values), atol=1e-9)


def test_other_spellings_read_the_same(tmp_path):
    text = bvh_text(ARM, [[1, 2, 3, 90, -30, 15]] * 3)
    other = "\ufeff" + text.replace("\n{", " {").replace("Xposition", "XPOSITION")
    other = other.replace("ROOT", "root").replace("End Site", "End site toe").replace("\n", "\r\n")
    plain, other = (read_bvh(write(tmp_path / "a.bvh", each)) for each in (text, other + "\n \n"))
    assert plain.joints == other.joints and plain.fps == other.fps
    np.testing.assert_array_equal(plain.positions, other.positions)


FAULTS = {  # what is done to the file, the line that must be named, part of what was expected there
    "empty": (lambda text: "", 1, "HIERARCHY"),
    "second root": (swap("MOTION", "ROOT b\nMOTION"), 21, "ROOT, JOINT, End Site"),
    "brace gone": (swap("}\nMOTION", "MOTION"), 26, "a whole ROOT"),
    "channel twice": (swap("Zrotation X", "Xrotation X"), 5, "CHANNELS"),
    "time of zero": (swap("0.02", "0"), 23, "Frame Time:"),
    "frame gone": (lambda text: text[: text.rindex("1.0 2.0")], 26, "as many lines as frames"),
    "five numbers": (swap("90.0 0.0 ", "90.0 "), 25, "the 6 numbers of a frame"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_with_their_line(tmp_path, fault):
    change, line, expected = FAULTS[fault]
    text = bvh_text(ARM, [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 90, 0], [1, 2, 3, 4, 5, 6.25]], 0.02)
    path = write(tmp_path / "a.bvh", change(text))
    with pytest.raises(TextFormatError) as caught:
        read_bvh(path)
    error = caught.value
    assert (error.path, error.line) == (str(path), line)
    assert expected in error.expected and len(error.found) <= 60
    message = f"{path}, line {line}: expected {error.expected}, found {error.found}"
    assert str(pickle.loads(pickle.dumps(error))) == message  # workers send it to their parent


def random_person(layout: str, frames: int, before: list, channels):
    """A layout's joints behind those of `before`, with `channels(name)` each, and their values."""
    rng, tree = np.random.default_rng(0), LAYOUTS[layout]
    joints = [*before] + [(name, above + len(before), rng.normal(0, 20, 3), channels(name))
                          for name, above in zip(tree.joints, tree.parents, strict=True)]
    return joints, rng.uniform(-180, 180, (frames, sum(len(each[3]) for each in joints)))


def of_bandai() -> tuple[str, np.ndarray]:
    """The set's file, with its extra root, and the positions that it should give in metres."""
    joints, values = random_person("bandai21", 4, [("joint_Root", -1, (0, 0, 0), ALL)],
                                   lambda name: ALL)
    return bvh_text(joints, values), literal(joints, values)[:, 1:] / 100


def of_cmu() -> tuple[str, np.ndarray]:
    """A file for Daz with a tail that is not read, and its toes as End Sites; every 4th frame."""
    joints, values = random_person("cmu_daz31", 17, [], lambda name: (
        [] if name.endswith("Toe") else ALL if name == "hip" else ALL[3:]))
    joints.append(("tail", 0, (0, 0, 0), []))
    toe = r"JOINT [lr]Toe\n{\n(.*\n)CHANNELS 0 \nEnd Site\n{\n.*\n}\n}"
    text = re.sub(toe, r"End Site\n{\n\1}", bvh_text(joints, values, 0.00833333))
    return text, literal(joints, values)[8::4, :31] * (-0.01, 0.01, -0.01)


OWN = {  # reader, a file with and one without a clip, its text, layout; label and numbers
    "bandai": (bandai.SPEC, "dataset-2_wave-left-hand_active_011",
               "dataset-1_dance-long_normal_001", of_bandai, "bandai21",
               (bandai.CLASSES.index("wave-left-hand"), -1, 2, 11, bandai.STYLES.index("active"))),
    "cmu14": (cmu14.SPEC, "13_40", "13_02", of_cmu, "cmu_daz31", (0, 13, 0, 40, 0)),
}


@pytest.mark.parametrize("name", OWN)
def test_a_clip_equals_the_literal_way(tmp_path, name):
    spec, file, other, make, layout, told = OWN[name]
    text, metres = make()
    (item,) = spec.read(write(tmp_path / f"{file}.bvh", text), None)
    assert item.positions.dtype == np.float32 and item.positions.shape == (len(metres), 1, 25, 3)
    np.testing.assert_allclose(
        item.positions, center_on_spine(LAYOUTS[layout].map(metres)[:, None]), atol=5e-6)
    assert (item.label, item.subject, item.view, item.rep, item.setup) == told
    assert item.name == file
    (left,) = spec.read(tmp_path / f"{other}.bvh", None)
    assert isinstance(left, LeftOut) and left.name == other


@pytest.mark.parametrize("name, change, said", [
    ("bandai", swap("joint_Root", "Root"), "expected the root joint_Root and 30 .* found Root"),
    ("bandai", swap("JOINT Chest", "JOINT Breast"), "skeleton .* Breast on Spine, Chest on Spine"),
    ("bandai", swap(repr(1 / 30), "0.0083333"), "found joint_Root and 120"),
    ("bandai", lambda text: text[:5000], "bvh, line"),
    ("cmu14", swap("JOINT lShin", "JOINT lCalf"), "joints lack lShin"),
    ("cmu14", swap("0.00833333", "0.0333333"), "found 17, 30 a second"),
    ("cmu14", lambda text: text[:3000], "bvh, line"),
])
def test_another_skeleton_or_rate_is_refused(tmp_path, name, change, said):
    spec, file, _, make, *_ = OWN[name]
    path = write(tmp_path / f"{file}.bvh", change(make()[0]))
    with pytest.raises(SjepaError, match=said) as caught:
        spec.read(path, None)
    assert str(path) in str(caught.value)
