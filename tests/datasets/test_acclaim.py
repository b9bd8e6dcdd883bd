"""ASF/AMC files: the general reader, and HDM05. Every file here is generated."""

import itertools
from functools import partial

import numpy as np
import pytest
from formats import swap
from test_bvh import turned, write

from sjepa.datasets.formats.acclaim import joint_positions, read_amc, read_asf
from sjepa.datasets.layouts import LAYOUTS, center_on_spine
from sjepa.datasets.sources import hdm05
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


def bone(name, parent, direction=(1, 0, 0), length=1.0, angles=(0, 0, 0), axis="XYZ", dof=()):
    return dict(name=name, parent=parent, direction=direction, length=length, angles=angles,
                axis=axis, dof=dof)


def positions(folder, asf: str, amc: str) -> np.ndarray:
    skeleton = read_asf(write(folder / "a.asf", asf))
    return joint_positions(skeleton, read_amc(write(folder / "a.amc", amc), skeleton))


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


@pytest.mark.parametrize("seed", range(6))
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


def test_other_spellings_read_the_same(tmp_path):
    asf, amc = asf_text(ARM), amc_text([FRAME] * 2)
    wanted = positions(tmp_path, asf, amc)
    asf = "# a comment with an ä\n" + asf.replace("    ", "\t").replace("\n", "\r\n", 7)
    amc = amc_text([FRAME] * 2, first=5).replace("\n", "\r\n") + " \n"
    np.testing.assert_array_equal(positions(tmp_path, asf, amc), wanted)


FAULTS = {  # which file, what is done to it, and what is said of it
    "empty": ("asf", lambda text: "", "a.asf lacks ':units'"),
    "radians": ("asf", swap("angle deg", "angle rad"), "a.asf, line 7: expected angle deg"),
    "turned root": ("asf", swap("orientation 0 0 0", "orientation 0 90 0"),
                    "line 14: expected orientation 0 0 0"),
    "axis order": ("asf", swap("0.0  XYZ", "0.0  XYX"), "line 21: .* axis of upper"),
    "radians in frames": ("amc", swap(":DEGREES", ":RADIANS"), "a.amc, line 3: .* in degrees"),
    "a bone gone": ("amc", swap("lower 40.0\n", ""), "a.amc: frame 1 of 2 lacks lower"),
    "a bone that never moves": ("amc", swap("lower 40.0", "clavicle 40.0"), "line 7: .* bone"),
    "NaN": ("amc", swap("20.0", "nan"), "line 6: .* values of upper"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(tmp_path, fault):
    kind, change, said = FAULTS[fault]
    texts = {"asf": asf_text(ARM), "amc": amc_text([FRAME] * 2)}
    texts[kind] = change(texts[kind])
    with pytest.raises(SjepaError, match=said) as caught:
        positions(tmp_path, texts["asf"], texts["amc"])
    assert str(tmp_path) in str(caught.value)


read = partial(hdm05.SPEC.read, options=None)
NAME = "HDM_mm_depositFloorR_019_120.amc"


def recording(folder):
    """Files of a generated performance in `folder`, of the set's 30 bones with random build."""
    rng, layout = np.random.default_rng(0), LAYOUTS["hdm31"]
    bones = [bone(name, layout.joints[above], rng.normal(size=3), float(rng.uniform(1, 7)),
                  rng.uniform(-90, 90, 3), dof=("rx", "ry", "rz")[: int(rng.integers(0, 4))])
             for name, above in zip(layout.joints[1:], layout.parents[1:], strict=True)]
    frames = random_frames(rng, bones, 9)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "HDM_mm.asf", asf_text(bones))
    return write(folder / NAME, amc_text(frames)), literal(bones, frames)


def test_hdm05_clip_is_every_fourth_frame_wherever_the_skeleton_lies(tmp_path):
    """In the public copy motions are in capitals, and the skeleton in another class's folder."""
    path, metres = recording(tmp_path / "train" / "9")
    with pytest.raises(SjepaError, match="needs its actor's skeleton HDM_mm.asf, beside"):
        hdm05.skeleton_file(tmp_path / "far" / "off" / "it" / NAME)
    (tmp_path / "train" / "5").mkdir()
    (path.parent / "HDM_mm.asf").rename(tmp_path / "train" / "5" / "HDM_mm.asf")
    path = path.rename(path.with_suffix(".AMC"))
    assert hdm05.SPEC.files(tmp_path) == [path]
    (item,) = read(path)
    wanted = center_on_spine(LAYOUTS["hdm31"].map(metres[[0, 4, 8]])[:, None])
    np.testing.assert_allclose(item.positions, wanted, atol=1e-6)
    assert (item.name, item.label, item.subject) == (NAME[:-4], 0, 3)
    assert (item.view, item.rep, item.setup) == (0, 19, 0)
