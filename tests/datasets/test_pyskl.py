"""pyskl's pickles: read as they are, split as they say; tests/faults has what must not be run."""

import pickle

import numpy as np
import pytest
from formats import refused
from sound import three_d, two_d

from sjepa.datasets import open_store, prepare_store
from sjepa.datasets.formats import pyskl
from sjepa.datasets.layouts import COCO17, center_on_spine
from sjepa.datasets.splits import split
from sjepa.skeleton import NTU25


def write(path, data, protocol=4):
    path.write_bytes(pickle.dumps(data, protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_an_official_set_keeps_its_own_splits(tmp_path, protocol):
    data = three_d()
    store = open_store(prepare_store("ntu60", write(tmp_path / "n.pkl", data, protocol), tmp_path))
    assert store.skeleton == NTU25 and len(store.classes) == 60 and not store.sides
    for i, each in enumerate(data["annotations"]):
        wanted = center_on_spine(each["keypoint"].transpose(1, 0, 2, 3).astype(np.float32))
        assert np.array_equal(store.clip(i)[:, : wanted.shape[1]], wanted)
    train, _ = split("ntu60/xsub", store)  # performers 1, 2 and 4, whatever the file lists
    assert set(store.subjects[train]) == {1, 2, 4}


def test_a_set_of_ones_own_is_split_as_the_file_says(tmp_path):
    data = three_d()
    data["split"] |= {"train": data["split"]["xsub_train"][:3], "test": ["nobody"]}
    store = open_store(prepare_store("mine", write(tmp_path / "n.pkl", data), tmp_path))
    train, test = split("mine/xsub", store)
    assert store.names[train].tolist() == data["split"]["xsub_train"]
    assert store.names[test].tolist() == data["split"]["xsub_val"]
    assert (store.sides["default"] == 1).sum() == 3 and store.classes[3] == "class 4"


def test_two_dimensions_become_coco17_with_the_score_as_third_channel(tmp_path):
    one, other = two_d(), two_d() | {"frame_dir": "v2", "label": 1}
    other["keypoint_score"] = other["keypoint_score"].copy()
    other["keypoint_score"][0, :, 9], other["keypoint_score"][0, 0, 0] = 0, 0
    data = {"split": {"sub_train": ["v1"], "sub_val": ["v2"]}, "annotations": [one, other]}
    store = open_store(prepare_store("mine", write(tmp_path / "n.pkl", data), tmp_path))
    assert store.skeleton == COCO17 and store.to("cpu").skeleton == COCO17
    clip = store.clip(0)[:, 0]
    assert (clip[..., 2] == np.float32(0.9)).all() and not clip[0, 0, :2].any()  # the nose
    assert clip[0, 15, 1] < clip[0, 11, 1] < clip[0, 5, 1] < 0  # upright
    trunk = clip[:, (5, 6), 1].mean(1) - clip[:, (11, 12), 1].mean(1)
    np.testing.assert_allclose(trunk, pyskl.TRUNK, rtol=1e-5)
    assert clip[9, 0, 0] == pytest.approx(27 * 0.5 / 150)  # walks
    second = store.clip(1)[:, 0]
    assert not second[:, 9].any() and not second[0, 0].any()  # unseen points are nowhere
    assert not second[1, 0, :2].any()  # the nose, where it is seen first
    np.testing.assert_allclose(second[3, 5], clip[3, 5] - (3 * 0.5 / 150, 0, 0), atol=1e-6)


def test_a_picture_without_a_trunk_and_a_clip_without_its_first_body(tmp_path):
    legs, gone = two_d(), two_d() | {"frame_dir": "gone"}
    legs["keypoint_score"] = np.where(np.isin(np.arange(17), (5, 6)), 0, 0.9)[None, None].repeat(
        10, 1)
    gone["keypoint_score"] = 0 * gone["keypoint_score"]
    data = {"split": {}, "annotations": [legs, gone]}
    store = open_store(prepare_store("mine", write(tmp_path / "n.pkl", data), tmp_path))
    clip = store.clip(0)[:, 0]
    assert clip[0, 0, 1] - clip[0, 15, 1] == pytest.approx(350 * 2 / 480)
    assert store.meta["left_out"] == [["gone", "its first body is in no frame"]]


@pytest.mark.parametrize("change, said", [
    (lambda data: [], "expected a dict with split and annotations"),
    (lambda data: data | {"split": {"folds": []}}, "a split is .* not called like xsub_train"),
    (lambda data: data | {"split": {"a_train": ["x"], "a_val": ["x"]}}, "x is on both sides of"),
    (lambda data: data | {"annotations": [{**data["annotations"][0], "keypoint": np.zeros(3)}]},
     r"or a keypoint \[M, T, V, 2 or 3\]"),
    (lambda data: data | {"annotations": [{**data["annotations"][0], "label": "walk"}]},
     "without .* a label that is a number from 0"),
])
def test_other_pickles_in_one_sentence(tmp_path, change, said):
    path = write(tmp_path / "n.pkl", change(three_d(subjects=(0,))))
    with refused(said, tmp_path):
        prepare_store("mine", path, tmp_path)


def test_an_official_name_takes_its_own_skeleton_and_labels_alone(tmp_path):
    path = write(tmp_path / "n.pkl", {"split": {}, "annotations": [two_d()]})
    with refused("skeleton coco17 and ntu60 ntu25: give the set a name"):
        prepare_store("ntu60", path, tmp_path)
    data = three_d(subjects=(0,))
    data["annotations"][0]["label"] = 7
    with refused("S001C001P001R001A001: label 7, its name says 0"):
        prepare_store("ntu60", write(path, data), tmp_path)
