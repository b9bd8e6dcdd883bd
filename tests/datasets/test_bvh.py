"""BVH files: the general reader, and Bandai-Namco's set. Every file here is generated."""

from __future__ import annotations

import itertools
import pickle
from functools import partial

import numpy as np
import pytest
from formats import damaged, equals_conversion, fuzz, raw_samples, survives
from hypothesis import given
from hypothesis import strategies as st

from sjepa.datasets.build import LeftOut
from sjepa.datasets.formats.bvh import read_bvh
from sjepa.datasets.layouts import LAYOUTS, center_on_spine
from sjepa.datasets.sources import bandai
from sjepa.datasets.text import TextFormatError
from sjepa.errors import SjepaError

ALL = "Xposition Yposition Zposition Zrotation Xrotation Yrotation".split()


def bvh_text(joints: list[tuple], values, time: float = 1 / 30) -> str:
    """A BVH file of joints (name, parent, offset, channels), parents first, and values `[T, C]`."""

    def block(k: int) -> str:
        name, parent, offset, channels = joints[k]
        below = [block(child) for child in range(len(joints)) if joints[child][1] == k]
        numbers = " ".join(map(repr, map(float, offset)))
        return (
            f"{'JOINT' if parent >= 0 else 'ROOT'} {name}\n{{\nOFFSET {numbers}\n"
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
            "Z": (c * x - s * y, s * x + c * y, z)}[axis]


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
    """A tree of joints with channels of all kinds and orders, and values for them."""
    rng = np.random.default_rng(seed)
    joints = []
    for k in range(int(rng.integers(1, 9))):
        listed = rng.permutation(ALL)[: rng.integers(1 if k == 0 else 0, 7)].tolist()
        joints.append((f"j{k}", int(rng.integers(k)) if k else -1, rng.normal(0, 10, 3), listed))
    # The file nests, so its order is depth first: number the joints as they will be read.
    order = list(itertools.chain([0], below(joints, 0)))
    place = {old: new for new, old in enumerate(order)} | {-1: -1}
    joints = [(joints[k][0], place[joints[k][1]], *joints[k][2:]) for k in order]
    columns = sum(len(channels) for *_, channels in joints)
    return joints, rng.normal(0, 90, (int(rng.integers(1, 6)), columns))


def below(joints: list[tuple], k: int):
    for child in range(len(joints)):
        if joints[child][1] == k:
            yield child
            yield from below(joints, child)


# --- the general reader ---------------------------------------------------------------------------

ARM = [
    ("hip", -1, (7, 7, 7), ["Xposition", "Yposition", "Zposition", "Zrotation", "Xrotation"]),
    ("knee", 0, (0, 10, 0), ["Yrotation"]),
    ("ankle", 1, (2, 5, 0), []),
]


def test_two_bones_by_hand(tmp_path):
    values = [[1, 2, 3, 0, 0, 0], [1, 2, 3, 90, 90, 0], [0, 0, 0, 0, 0, 90]]
    bvh = read_bvh(write(tmp_path / "a.bvh", bvh_text(ARM, values, time=0.02)))
    assert (bvh.joints, bvh.parents, bvh.fps) == (("hip", "knee", "ankle"), (-1, 0, 1), 50)
    np.testing.assert_allclose(bvh.positions, [
        [[1, 2, 3], [1, 12, 3], [3, 17, 3]],
        # X acts first, as it is listed last: up becomes forward, and Z leaves it there.
        [[1, 2, 3], [1, 2, 13], [1, 4, 18]],
        [[0, 0, 0], [0, 10, 0], [0, 15, -2]],
    ], atol=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_any_tree_and_order_equals_the_literal_way(tmp_path, seed):
    joints, values = random_motion(seed)
    bvh = read_bvh(write(tmp_path / "a.bvh", bvh_text(joints, values)))
    assert list(zip(bvh.joints, bvh.parents, strict=True)) == [joint[:2] for joint in joints]
    np.testing.assert_allclose(bvh.positions, literal(joints, values), atol=1e-9)


@pytest.mark.parametrize("change", [
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("\n", "\r\n", 9),  # mixed
    lambda text: "\ufeff" + text,
    lambda text: text.replace(" ", "\t").replace("Frame\tTime", "Frame Time"),
    lambda text: text.replace("Frames:\t", "Frames: ").replace("Time:\t", "Time:"),
    lambda text: text.replace("\n{", " {").replace("\nOFFSET", "\n\n  OFFSET"),
    lambda text: text.replace("JOINT knee", "JOINT  knee").replace("End Site", "End site toe"),
    lambda text: text.rstrip() + "\n\n \n",
    lambda text: text.rstrip(),
    lambda text: text.replace("Xposition", "XPOSITION").replace("ROOT", "root"),
    lambda text: text.replace("90.0", "+9e1"),
])
def test_legal_spellings_read_the_same(tmp_path, change):
    text = bvh_text(ARM, [[1, 2, 3, 90, -30, 15]] * 3)
    assert change(text) != text
    plain = read_bvh(write(tmp_path / "a.bvh", text))
    other = read_bvh(write(tmp_path / "b.bvh", change(text)))
    assert plain.joints == other.joints and plain.fps == other.fps
    np.testing.assert_array_equal(plain.positions, other.positions)


def swap(old: str, new: str, count: int = 1):
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, count)

    return change


FAULTS = {  # what is done to the file, the line that must be named, part of what was expected there
    "empty": (lambda text: "", 1, "HIERARCHY"),
    "no root": (swap("ROOT hip", "JOINT hip"), 2, "ROOT and a name"),
    "nameless joint": (swap("JOINT knee", "JOINT"), 6, "JOINT and a name, End Site, or } to end"),
    "name twice": (swap("JOINT ankle", "JOINT hip"), 10, "a name of its own"),
    "brace gone": (swap("}\nMOTION", "MOTION"), 20, "or } to end hip"),
    "second root": (swap("MOTION", "ROOT b\nMOTION"), 21, "MOTION after the only ROOT"),
    "offset of two": (swap("0.0 10.0 0.0", "0.0 10.0"), 8, "OFFSET of knee and three numbers"),
    "no offset": (swap("OFFSET 0.0 10.0 0.0\n", ""), 8, "OFFSET of knee"),
    "channel twice": (swap("Zrotation X", "Xrotation X"), 5, "CHANNELS of hip"),
    "channel count": (swap("CHANNELS 5", "CHANNELS 6"), 5, "CHANNELS of hip"),
    "no motion": (lambda text: text[: text.index("MOTION")], 21, "MOTION"),
    "no frames": (swap("Frames:\t3", "Frames:\t0"), 22, "1 to 100000"),
    "time of zero": (swap("0.02", "0"), 23, "Frame Time:"),
    "cut after a frame": (lambda text: text[:-10], 26, "the 6 numbers of a frame"),
    "frame gone": (lambda text: text[: text.rindex("1.0 2.0")], 26, "3 frames"),
    "frame too many": (lambda text: text + "0 0 0 0 0 0\n", 27, "the end of the file"),
    "five numbers": (swap("90.0 0.0 ", "90.0 "), 25, "the 6 numbers of a frame"),
    "a word": (swap("90.0", "ninety"), 25, "the 6 numbers of a frame"),
    "NaN": (swap("90.0", "NaN"), 25, "the 6 numbers of a frame"),
    "Python's spelling": (swap("90.0", "9_0.0"), 25, "the 6 numbers of a frame"),
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
    assert str(error) == message and isinstance(error, SjepaError)
    assert str(pickle.loads(pickle.dumps(error))) == message  # workers send it to their parent


@fuzz
@given(st.data())
def test_fuzz_positions_or_a_named_fault(tmp_path_factory, data):
    raw = bvh_text(ARM, [[1, 2, 3, 90, -30, 15]] * 3).encode()
    path = tmp_path_factory.getbasetemp() / "fuzz.bvh"
    survives(lambda path: read_bvh(path).positions, path, data.draw(damaged(raw)))


# --- Bandai-Namco --------------------------------------------------------------------------------

read = partial(bandai.read, options=None)
NAME = "dataset-2_wave-left-hand_active_011.bvh"


def actor(seed: int = 0, frames: int = 4) -> tuple[list[tuple], np.ndarray]:
    """The set's skeleton with its extra root, every joint with six channels, in centimetres."""
    rng, layout = np.random.default_rng(seed), LAYOUTS["bandai21"]
    joints = [("joint_Root", -1, (0, 0, 0), ALL)]
    joints += [(name, above + 1, (9, 9, 9), ALL)
               for name, above in zip(layout.joints, layout.parents, strict=True)]
    values = np.concatenate([rng.normal(0, 20, (frames, 22, 3)),
                             rng.uniform(-180, 180, (frames, 22, 3))], axis=2)
    return joints, values.reshape(frames, -1)


def test_bandai_clip_equals_the_literal_way(tmp_path):
    joints, values = actor()
    (item,) = read(write(tmp_path / NAME, bvh_text(joints, values)))
    metres = literal(joints, values)[:, 1:] / 100
    wanted = center_on_spine(LAYOUTS["bandai21"].map(metres)[:, None])
    assert item.positions.dtype == np.float32 and item.positions.shape == (4, 1, 25, 3)
    np.testing.assert_allclose(item.positions, wanted, atol=2e-6)
    assert (item.name, item.subject, item.view, item.rep) == (NAME[:-4], -1, 2, 11)
    assert bandai.CLASSES[item.label] == "wave-left-hand" and bandai.STYLES[item.setup] == "active"


def test_bandai_siblings_may_stand_in_another_order(tmp_path):
    joints, values = actor()
    right_first = [*range(6), *range(10, 14), *range(6, 10), *range(14, 22)]
    place = {old: new for new, old in enumerate(right_first)} | {-1: -1}
    moved = [(joints[k][0], place[joints[k][1]], *joints[k][2:]) for k in right_first]
    columns = values.reshape(len(values), 22, 6)[:, right_first].reshape(len(values), -1)
    (tmp_path / "b").mkdir()
    one, other = write(tmp_path / NAME, bvh_text(joints, values)), tmp_path / "b" / NAME
    write(other, bvh_text(moved, columns))
    np.testing.assert_array_equal(bandai.read_clip(one), bandai.read_clip(other))


@pytest.mark.parametrize("change, said", [
    (swap("joint_Root", "Root"), "expected the root joint_Root and 30 frames a second, found Root"),
    (swap("JOINT Chest", "JOINT Breast"), "parent of 'Chest' is: Spine; found: no such joint"),
    (swap(repr(1 / 30), "0.0083333"), "found joint_Root and 120"),
    (lambda text: text[:5000], "bvh, line"),
])
def test_bandai_refuses_another_skeleton_or_rate(tmp_path, change, said):
    path = write(tmp_path / NAME, change(bvh_text(*actor())))
    with pytest.raises(SjepaError, match=said) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_bandai_leaves_out_the_content_without_a_class(tmp_path):
    (left,) = read(tmp_path / "dataset-1_dance-long_normal_001.bvh")
    assert isinstance(left, LeftOut) and "dance-long" in left.why


@pytest.mark.parametrize("name", [
    "walk.bvh", "dataset-3_walk_sad_001.bvh", "dataset-1_juggle_sad_001.bvh",
    "dataset-1_walk_merry_001.bvh", "dataset-1_walk_sad_1.bvh", "dataset-1_walk_sad_001 (2).bvh",
])
def test_bandai_names_off_the_scheme(tmp_path, name):
    (tmp_path / name).touch()
    for call in (lambda: bandai.files(tmp_path), lambda: read(tmp_path / name)):
        with pytest.raises(SjepaError, match="naming scheme: expected a name like") as caught:
            call()
        assert str(tmp_path / name) in str(caught.value)


def test_bandai_lists_and_samples_equal_the_conversion():
    folder, samples = raw_samples("bandai")
    npz = folder / "bandai_int16.npz"
    with np.load(npz) as data:
        assert tuple(data["class_names"]) == bandai.CLASSES
        assert data["style_names"].tolist() == bandai.STYLES
        half = float(data["x_scale"]) / 2
    equals_conversion(npz, bandai, samples, "bandai21", half)
