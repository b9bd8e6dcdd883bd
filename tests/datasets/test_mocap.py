"""Motion capture: BVH and ASF/AMC files, and the sets that are made of them. All generated."""

import re

import numpy as np
import pytest
from formats import refused, swap
from sound import ALL, ROOT, Bone, Root, amc_text, asf_text, bvh_text, literal, put, read_acclaim

from sjepa.datasets.formats.acclaim import read_asf
from sjepa.datasets.formats.bvh import read_bvh
from sjepa.datasets.layouts import LAYOUTS, center_on_spine
from sjepa.datasets.sources import bandai, cmu14, hdm05
from sjepa.datasets.store import LeftOut


def bvh_positions(joints: list[tuple], values) -> np.ndarray:
    """Joint positions `[T, J, 3]`, worked out one at a time."""
    starts = np.cumsum([0] + [len(channels) for *_, channels in joints])

    def frame(row) -> np.ndarray:
        steps, turns = [], []
        for (*_, offset, channels), start in zip(joints, starts[:-1], strict=True):
            said = dict(zip(channels, row[start:], strict=False))
            steps.append([said.get(f"{axis}position", offset["XYZ".index(axis)])
                          for axis in "XYZ"])
            turns.append([(channel[0], said[channel]) for channel in reversed(channels)
                          if channel.endswith("rotation")])  # the last-listed acts first
        return literal([parent for _, parent, *_ in joints], steps, turns)

    return np.array([frame(row) for row in values])


def asf_positions(bones: list[Bone], frames: list[dict], root: Root = ROOT) -> np.ndarray:
    """Positions in metres of the root and the ends of the bones, worked out one at a time."""
    names = ["root", *(bone.name for bone in bones)]
    order = root.order.lower().split()

    def frame(said: dict) -> np.ndarray:
        moved = dict(zip(order, said["root"], strict=True))
        steps = [np.array(root.position) + [moved[c] for c in ("tx", "ty", "tz")]]
        turns = [[(c[1], moved[c]) for c in order if c[0] == "r"]]  # the first-listed acts first
        for bone in bones:
            rest = list(zip(bone.axis, bone.angles, strict=True))
            spins = [(c[1], angle) for c, angle in zip(
                bone.dof, said.get(bone.name, ()), strict=True)]
            turns.append([(axis, -angle) for axis, angle in reversed(rest)] + spins + rest)
            steps.append(np.array(bone.direction) / np.linalg.norm(bone.direction) * bone.length)
        return literal([-1, *(names.index(bone.parent) for bone in bones)], steps, turns, own=True)

    return np.array([frame(said) for said in frames]) * 0.0254 / 0.45


@pytest.mark.parametrize("seed", range(6))
def test_any_bvh_tree_and_order_equals_the_literal_way(tmp_path, seed):
    """Channels of all kinds and orders; each joint hangs on the last or on the root."""
    rng, joints = np.random.default_rng(seed), []
    for k in range(int(rng.integers(1, 9))):
        listed = rng.permutation(ALL)[: rng.integers(1 if k == 0 else 0, 7)].tolist()
        above = int(rng.choice([0, k - 1])) if k else -1  # depth first, as the file nests
        joints.append((f"j{k}", above, rng.normal(0, 10, 3), listed))
    values = rng.normal(0, 90, (int(rng.integers(1, 6)), sum(len(each[3]) for each in joints)))
    bvh = read_bvh(put(tmp_path / "a.bvh", bvh_text(joints, values)))
    assert list(zip(bvh.joints, bvh.parents, strict=True)) == [joint[:2] for joint in joints]
    assert bvh.fps == pytest.approx(30)
    np.testing.assert_allclose(bvh.positions, bvh_positions(joints, values), atol=1e-9)


def random_frames(rng, bones: list[Bone], count: int) -> list[dict]:
    return [{"root": rng.uniform(-50, 50, 6)} | {
        bone.name: rng.uniform(-180, 180, len(bone.dof)) for bone in bones if bone.dof}
        for _ in range(count)]


@pytest.mark.parametrize("seed", range(6))
def test_any_asf_tree_axis_and_order_equals_the_literal_way(tmp_path, seed):
    rng, bones = np.random.default_rng(seed), []
    for k in range(int(rng.integers(1, 8))):
        parent = f"b{int(rng.integers(k))}" if k and rng.random() < 0.8 else "root"
        dof = rng.permutation(["rx", "ry", "rz"])[: rng.integers(0, 4)].tolist()
        bones.append(Bone(f"b{k}", parent, rng.normal(size=3), float(rng.uniform(0, 9)),
                          rng.uniform(-180, 180, 3), "".join(rng.permutation(list("XYZ"))), dof))
    root = Root(" ".join(rng.permutation(ROOT.order.split())), rng.normal(size=3))
    frames = random_frames(rng, bones, 3)
    skeleton = read_asf(put(tmp_path / "a.asf", asf_text(bones, root)))
    got = read_acclaim(put(tmp_path / "a.amc", amc_text(frames)))
    names = ["root", *(bone.name for bone in bones)]
    assert sorted(skeleton.joints) == sorted(names)
    assert all(above < k for k, above in enumerate(skeleton.parents))
    order = [skeleton.joints.index(name) for name in names]
    np.testing.assert_allclose(got[:, order], asf_positions(bones, frames, root), atol=1e-9)


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
    return bvh_text(joints, values), bvh_positions(joints, values)[:, 1:] / 100


def of_cmu() -> tuple[str, np.ndarray]:
    """A file for Daz with a tail that is not read, and its toes as End Sites; every 4th frame."""
    joints, values = random_person("cmu_daz31", 17, [], lambda name: (
        [] if name.endswith("Toe") else ALL if name == "hip" else ALL[3:]))
    joints.append(("tail", 0, (0, 0, 0), []))
    toe = r"JOINT [lr]Toe\n{\n(.*\n)CHANNELS 0 \nEnd Site\n{\n.*\n}\n}"
    text = re.sub(toe, r"End Site\n{\n\1}", bvh_text(joints, values, 0.00833333))
    return text, bvh_positions(joints, values)[8::4, :31] * (-0.01, 0.01, -0.01)


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
    (item,) = spec.read(put(tmp_path / f"{file}.bvh", text), None)
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
    ("cmu14", swap("JOINT lShin", "JOINT lCalf"), "joints lack lShin"),
    ("cmu14", swap("0.00833333", "0.0333333"), "found 17, 30 a second"),
])
def test_another_skeleton_or_rate_is_refused(tmp_path, name, change, said):
    spec, file, _, make, *_ = OWN[name]
    path = put(tmp_path / f"{file}.bvh", change(make()[0]))
    with refused(f"{re.escape(str(path))}.*{said}"):
        spec.read(path, None)


def test_hdm05_clip_is_every_fourth_frame_wherever_the_skeleton_lies(tmp_path):
    """In the public copy motions are in capitals, and the skeleton in another class's folder."""
    name, rng, layout = "HDM_mm_depositFloorR_019_120", np.random.default_rng(0), LAYOUTS["hdm31"]
    bones = [Bone(joint, layout.joints[above], rng.normal(size=3), float(rng.uniform(1, 7)),
                  rng.uniform(-90, 90, 3), dof=("rx", "ry", "rz")[: int(rng.integers(0, 4))])
             for joint, above in zip(layout.joints[1:], layout.parents[1:], strict=True)]
    frames = random_frames(rng, bones, 9)
    path = put(tmp_path / "train" / "9" / f"{name}.AMC", amc_text(frames))
    with refused("needs its actor's skeleton HDM_mm.asf, beside"):
        hdm05.skeleton_file(tmp_path / "far" / "off" / "it" / path.name)
    put(tmp_path / "train" / "5" / "HDM_mm.asf", asf_text(bones))
    assert hdm05.SPEC.files(tmp_path) == [path]
    (item,) = hdm05.SPEC.read(path, None)
    metres = asf_positions(bones, frames)[[0, 4, 8]]
    np.testing.assert_allclose(
        item.positions, center_on_spine(LAYOUTS["hdm31"].map(metres)[:, None]), atol=1e-6)
    assert (item.name, item.label, item.subject) == (name, 0, 3)
    assert (item.view, item.rep, item.setup) == (0, 19, 0)
