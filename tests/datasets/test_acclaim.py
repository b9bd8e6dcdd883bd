"""ASF/AMC files: the general reader, and HDM05. Every file here is generated."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
from formats import damaged, equals_conversion, fuzz, raw_samples, survives
from hypothesis import given
from hypothesis import strategies as st

from sjepa.datasets.formats.acclaim import joint_positions, read_amc, read_asf
from sjepa.datasets.layouts import LAYOUTS, center_on_spine
from sjepa.datasets.sources import hdm05
from sjepa.datasets.text import TextFormatError
from sjepa.errors import SjepaError

ROOT = dict(order="TX TY TZ RX RY RZ", position=(0, 0, 0))


def numbers(values) -> str:
    return " ".join(map(repr, map(float, values)))


def asf_text(bones: list[dict], root: dict = ROOT, length: float = 0.45) -> str:
    """An ASF file of bones with name, parent, direction, length, angles, axis and dof."""
    data = "".join(
        f"  begin\n     id {k}\n     name {bone['name']}\n"
        f"     direction {numbers(bone['direction'])}\n     length {bone['length']!r}\n"
        f"     axis {numbers(bone['angles'])}  {bone['axis']} \n"
        + (f"    dof {' '.join(bone['dof'])}\n    limits (-20.0 45.0)\n" if bone["dof"] else "")
        + "           (-30.0 30.0)\n" * (len(bone["dof"]) - 1) + "  end\n"
        for k, bone in enumerate(bones, 1)
    )
    tree = "".join(
        f"    {parent} {' '.join(bone['name'] for bone in group)}\n"
        for parent, group in itertools.groupby(bones, key=lambda bone: bone["parent"])
    )
    return (
        "# made for a test\n:version 1.10\n:name VICON\n:units\n  mass 1.0\n"
        f"  length {length}\n  angle deg\n:documentation\n   begin of a text\n:root\n"
        f"   order {root['order']}\n   axis XYZ\n   position {numbers(root['position'])}\n"
        f"   orientation 0 0 0 \n:bonedata\n{data}:hierarchy\n  begin\n{tree}  end\n"
    )


def amc_text(frames: list[dict], first: int = 1) -> str:
    """An AMC file of frames, each bone name → its values."""
    rows = (f"{number}\n" + "".join(f"{name} {numbers(v)}\n" for name, v in frame.items())
            for number, frame in enumerate(frames, first))
    return "#!OML:ASF made\n:FULLY-SPECIFIED\n:DEGREES\n" + "".join(rows)


def write(path, text: str):
    path.write_bytes(text.encode())
    return path


def bone(name, parent, direction=(1, 0, 0), length=1.0, angles=(0, 0, 0), axis="XYZ", dof=()):
    return dict(name=name, parent=parent, direction=direction, length=length, angles=angles,
                axis=axis, dof=dof)


def positions(folder, asf: str, amc: str) -> np.ndarray:
    skeleton = read_asf(write(folder / "a.asf", asf))
    return joint_positions(skeleton, read_amc(write(folder / "a.amc", amc), skeleton))


def turned(v, axis: str, degrees: float):
    """A vector after a right-handed turn about one axis."""
    x, y, z = v
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return {"x": (x, c * y - s * z, s * y + c * z), "y": (c * x + s * z, y, c * z - s * x),
            "z": (c * x - s * y, s * x + c * y, z)}[axis]


def literal(bones: list[dict], frames: list[dict], root: dict = ROOT) -> np.ndarray:
    """Positions one at a time: each bone's vector is turned by all bones on its way to the root."""
    by_name = {each["name"]: each for each in bones}
    order = root["order"].lower().split()

    def turn(name: str, v, frame: dict):
        if name == "root":
            spins = [(c[1], a) for c, a in zip(order, frame["root"], strict=True) if c[0] == "r"]
            rest = []
        else:
            each = by_name[name]
            spins = [(c[1], a) for c, a in zip(each["dof"], frame.get(name, ()), strict=True)]
            rest = list(zip(each["axis"].lower(), each["angles"], strict=True))
        for axis, angle in reversed(rest):
            v = turned(v, axis, -angle)
        for axis, angle in spins + rest:  # the first-listed acts first
            v = turned(v, axis, angle)
        return v

    def end(name: str, frame: dict) -> np.ndarray:
        if name == "root":
            moved = dict(zip(order, frame["root"], strict=True))
            return np.array(root["position"]) + [moved[c] for c in ("tx", "ty", "tz")]
        each = by_name[name]
        v = np.array(each["direction"]) / np.linalg.norm(each["direction"]) * each["length"]
        above = name
        while above:
            v = turn(above, v, frame)
            above = by_name[above]["parent"] if above != "root" else ""
        return end(each["parent"], frame) + v

    names = ["root", *by_name]
    return np.array([[end(name, frame) for name in names] for frame in frames]) * 0.0254 / 0.45


def random_frames(rng, bones: list[dict], count: int) -> list[dict]:
    moving = [(each["name"], len(each["dof"])) for each in bones if each["dof"]]
    return [{"root": rng.uniform(-50, 50, 6)}
            | {name: rng.uniform(-180, 180, size) for name, size in moving}
            for _ in range(count)]


def random_skeleton(seed: int) -> tuple[list[dict], dict]:
    """A tree with axes, orders and channels of all kinds; each parent's children stand together."""
    rng = np.random.default_rng(seed)
    bones = []
    for k in range(int(rng.integers(1, 8))):
        parent = f"b{int(rng.integers(k))}" if k and rng.random() < 0.8 else "root"
        dof = rng.permutation(["rx", "ry", "rz"])[: rng.integers(0, 4)].tolist()
        bones.append(bone(f"b{k}", parent, rng.normal(size=3), float(rng.uniform(0, 9)),
                          rng.uniform(-180, 180, 3), "".join(rng.permutation(list("XYZ"))), dof))
    order = " ".join(rng.permutation(ROOT["order"].split()))
    return bones, dict(order=order, position=tuple(rng.normal(size=3)))


# --- the general reader ---------------------------------------------------------------------------


def test_the_axis_turns_the_angle_by_hand(tmp_path):
    """The bone's x is the room's y: a turn about it takes the room's x to -z."""
    one = bone("arm", "root", (2, 0, 0), 4.5, (0, 0, 90), dof=("rx",))
    got = positions(tmp_path, asf_text([one]), amc_text([{"root": [0] * 6, "arm": [90]}]))
    np.testing.assert_allclose(got, [[[0, 0, 0], [0, 0, -0.254]]], atol=1e-12)


def test_the_first_listed_acts_first_by_hand(tmp_path):
    """Up, turned about x, is forward; that, turned about y, is to the side. The root likewise."""
    one = bone("arm", "root", (0, 1, 0), 4.5, dof=("rx", "ry"))
    still, bent = {"root": [4.5, 0, 0, 0, 0, 0]}, {"root": [0, 9, 0, 90, 90, 0]}
    amc = amc_text([still | {"arm": [90, 90]}, bent | {"arm": [0, 0]}])
    got = positions(tmp_path, asf_text([one]), amc)
    np.testing.assert_allclose(got, [[[0.254, 0, 0], [0.508, 0, 0]],
                                     [[0, 0.508, 0], [0.254, 0.508, 0]]], atol=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_any_tree_axis_and_order_equals_the_literal_way(tmp_path, seed):
    bones, root = random_skeleton(seed)
    frames = random_frames(np.random.default_rng(seed), bones, 3)
    got = positions(tmp_path, asf_text(bones, root), amc_text(frames))
    skeleton = read_asf(tmp_path / "a.asf")
    names = ["root", *(each["name"] for each in bones)]
    assert sorted(skeleton.joints) == sorted(names)
    assert all(above < k for k, above in enumerate(skeleton.parents))
    order = [skeleton.joints.index(name) for name in names]
    np.testing.assert_allclose(got[:, order], literal(bones, frames, root), atol=1e-9)


ARM = [bone("upper", "root", (0, -1, 0), 3.0, dof=("rx", "ry", "rz")),
       bone("clavicle", "root", (1, 0, 0), 2.0), bone("lower", "upper", dof=("rz",))]
FRAME = {"root": [1, 2, 3, 4, 5, 6], "upper": [10, 20, 30], "lower": [40]}


@pytest.mark.parametrize("change", [
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("\n", "\r\n", 7),  # mixed, as in the set itself
    lambda text: text + "\n  \n",
    lambda text: text.replace("    ", "\t"),
    lambda text: "# a comment with an ä\n" + text,
    lambda text: text.rstrip(),
])
def test_legal_spellings_read_the_same(tmp_path, change):
    asf, amc = asf_text(ARM), amc_text([FRAME] * 2, first=5)
    wanted = positions(tmp_path, asf, amc)
    np.testing.assert_array_equal(positions(tmp_path, change(asf), change(amc)), wanted)


def swap(old: str, new: str, count: int = 1):
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, count)

    return change


ASF_FAULTS = {  # what is done to the file, the line that must be named, part of what was expected
    "empty": (lambda text: "", 1, "a section :units"),
    "a motion": (lambda text: amc_text([FRAME]), 8, "a section :units"),
    "radians": (swap("angle deg", "angle rad"), 7, "angle deg"),
    "unit of 0": (swap("length 0.45", "length 0"), 6, "the unit of length, positive"),
    "no unit": (swap("  length 0.45\n", ""), 5, "a line of length, angle each"),
    "turned root": (swap("orientation 0 0 0", "orientation 0 90 0"), 14, "orientation, 0 0 0"),
    "root's order": (swap("TX TY TZ RX RY RZ", "TX TY TZ RX RY"), 11, "the root's order"),
    "root's position": (swap("position 0.0", "position x"), 13, "the root's position"),
    "direction of two": (swap("direction 0.0", "direction"), 19, "direction of upper"),
    "no direction": (swap("direction 0.0 -1.0 0.0", "direction 0 0 0"), 19, "not all 0"),
    "length of NaN": (swap("length 3.0", "length nan"), 20, "length of upper"),
    "axis order": (swap("0.0  XYZ", "0.0  XYX"), 21, "axis of upper"),
    "axis of two": (swap("axis 0.0", "axis"), 21, "axis of upper"),
    "no axis": (swap("     axis 0.0 0.0 0.0  XYZ \n", ""), 17, "a line of name, direction"),
    "dof twice": (swap("rx ry rz", "rx ry rx"), 22, "dof of upper"),
    "name twice": (swap("name clavicle", "name upper"), 28, "a name of its own"),
    "cut in the bones": (lambda text: text[: text.index("name lower")], 36, ":hierarchy"),
    "unknown child": (swap("upper lower", "upper lowest"), 46, "bones of :bonedata"),
    "unknown parent": (swap("    upper lower", "    up lower"), 46, "listed already"),
    "two parents": (swap("upper lower", "upper lower clavicle"), 46, "each once"),
    "root below": (swap("upper lower", "upper lower root"), 46, "each once"),
    "lost bone": (swap("    upper lower\n", ""), 44, "a way from the root to every bone"),
}


@pytest.mark.parametrize("fault", ASF_FAULTS)
def test_faults_of_skeletons_are_named_with_their_line(tmp_path, fault):
    change, line, expected = ASF_FAULTS[fault]
    path = write(tmp_path / "a.asf", change(asf_text(ARM)))
    with pytest.raises(TextFormatError) as caught:
        read_asf(path)
    assert expected in caught.value.expected
    assert (caught.value.path, caught.value.line) == (str(path), line)


AMC_FAULTS = {
    "empty": (lambda text: "", 1, "the number of a frame"),
    "radians": (swap(":DEGREES", ":RADIANS"), 3, "angles in degrees"),
    "no number": (swap("1\nroot", "root"), 4, "a frame's number"),
    "number off": (swap("2\nroot", "3\nroot"), 8, "frame number 2"),
    "bone gone": (swap("lower 40.0\n", ""), 7, "lower in frame 1"),
    "bone twice": (swap("lower 40.0", "upper 1 2 3"), 7, "its next bone"),
    "bone that never moves": (swap("lower 40.0", "clavicle 40.0"), 7, "its next bone"),
    "values too few": (swap("10.0 20.0 30.0", "10.0 20.0"), 6, "the 3 values of upper in frame 1"),
    "NaN": (swap("20.0", "nan"), 6, "the 3 values of upper in frame 1"),
    "cut in a frame": (lambda text: text[: text.rindex("lower")], 11, "lower in frame 2"),
}


@pytest.mark.parametrize("fault", AMC_FAULTS)
def test_faults_of_motions_are_named_with_their_line(tmp_path, fault):
    change, line, expected = AMC_FAULTS[fault]
    skeleton = read_asf(write(tmp_path / "a.asf", asf_text(ARM)))
    path = write(tmp_path / "a.amc", change(amc_text([FRAME] * 2)))
    with pytest.raises(TextFormatError) as caught:
        read_amc(path, skeleton)
    assert expected in caught.value.expected
    assert (caught.value.path, caught.value.line) == (str(path), line)


@fuzz
@given(st.data())
def test_fuzz_positions_or_a_named_fault(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    asf, amc = asf_text(ARM).encode(), amc_text([FRAME] * 2).encode()
    if data.draw(st.booleans()):
        asf = data.draw(damaged(asf))
    else:
        amc = data.draw(damaged(amc))
    (folder / "fuzz.asf").write_bytes(asf)

    def read(path):
        skeleton = read_asf(folder / "fuzz.asf")
        return joint_positions(skeleton, read_amc(path, skeleton))

    survives(read, folder / "fuzz.amc", amc)


# --- HDM05 ---------------------------------------------------------------------------------------

read = partial(hdm05.read, options=None)
NAME = "HDM_mm_depositFloorR_019_120.amc"


def performer(seed: int = 0, frames: int = 9) -> tuple[list[dict], list[dict]]:
    """The set's 30 bones with random build, and a motion."""
    rng, layout = np.random.default_rng(seed), LAYOUTS["hdm31"]
    bones = [
        bone(name, layout.joints[above], rng.normal(size=3), float(rng.uniform(1, 7)),
             rng.uniform(-90, 90, 3), dof=("rx", "ry", "rz")[: int(rng.integers(0, 4))])
        for name, above in zip(layout.joints[1:], layout.parents[1:], strict=True)
    ]
    return bones, random_frames(rng, bones, frames)


def recording(folder, name: str = NAME, up: int = 0):
    """Files of a generated performance in `folder`; the skeleton `up` folders above."""
    bones, frames = performer()
    folder.mkdir(parents=True, exist_ok=True)
    where = [folder, *folder.parents][up]
    write(where / f"{name[:6]}.asf", asf_text(bones).replace("\n", "\r\n"))
    return write(folder / name, amc_text(frames)), literal(bones, frames)


@pytest.mark.parametrize("up", [0, 1, 2])
def test_hdm05_clip_is_every_fourth_frame_wherever_the_skeleton_lies(tmp_path, up):
    path, metres = recording(tmp_path / "train" / "1", up=up)
    (item,) = read(path)
    wanted = center_on_spine(LAYOUTS["hdm31"].map(metres[[0, 4, 8]])[:, None])
    assert item.positions.dtype == np.float32 and item.positions.shape == (3, 1, 25, 3)
    np.testing.assert_allclose(item.positions, wanted, atol=1e-6)
    assert (item.name, item.label, item.subject) == (NAME[:-4], 0, 3)
    assert (item.view, item.rep, item.setup) == (0, 19, 0)


def test_hdm05_needs_the_actors_own_skeleton(tmp_path):
    folder = tmp_path / "set" / "9"  # deep enough to have no other test's files near
    folder.mkdir(parents=True)
    path, _ = recording(folder)
    (folder / "HDM_mm.asf").rename(folder / "HDM_tr.asf")
    with pytest.raises(SjepaError, match="needs its actor's skeleton HDM_mm.asf, beside") as said:
        read(path)
    assert str(path) in str(said.value)


def test_hdm05_files(tmp_path):
    names = ["HDM_tr_squat1Reps_041_120.amc", "HDM_bd_squat1Reps_001_120.amc"]
    for name, folder in zip(names, ("test/10", "train/10"), strict=True):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).touch()
        (tmp_path / folder / f"{name}.mat").touch()
    assert [path.name for path in hdm05.files(tmp_path)] == sorted(names)
    (tmp_path / names[0]).touch()
    with pytest.raises(SjepaError, match="have the same name: remove one"):
        hdm05.files(tmp_path)
    (tmp_path / names[0]).rename(tmp_path / "HDM_xy_squat1Reps_041_120.amc")
    with pytest.raises(SjepaError, match="expected a name like HDM_mm_depositFloorR_019_120.amc"):
        hdm05.files(tmp_path)


def test_the_public_copys_folders(tmp_path):
    """Motions in capitals, and the skeleton in another class's folder."""
    path, _ = recording(tmp_path)
    for folder in ("5", "9"):
        (tmp_path / "train" / folder).mkdir(parents=True)
    moved = tmp_path / "train" / "9" / f"{path.stem}.AMC"
    path.rename(moved)
    (tmp_path / "HDM_mm.asf").rename(tmp_path / "train" / "5" / "HDM_mm.asf")
    assert hdm05.files(tmp_path) == [moved]
    assert hdm05.skeleton_file(moved) == (tmp_path / "train" / "5" / "HDM_mm.asf")
    (item,) = read(moved)
    assert item.name == path.stem
    (tmp_path / f"{path.stem}.amc").write_bytes(moved.read_bytes())
    with pytest.raises(SjepaError, match="have the same name"):
        hdm05.files(tmp_path)


def test_hdm05_lists_and_samples_equal_the_conversion():
    folder, samples = raw_samples("hdm05")
    npz = folder / "hdm05_11.npz"
    with np.load(npz) as data:
        assert tuple(data["class_names"]) == hdm05.CLASSES
        assert data["subject_names"].tolist() == hdm05.ACTORS
    equals_conversion(npz, hdm05, samples, "hdm31", half=1e-6)
