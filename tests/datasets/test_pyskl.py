"""pyskl's pickles: read as they are, split as they say, and never run. All generated."""

import pickle

import numpy as np
import pytest
from test_store import listing

from sjepa import synthetic
from sjepa.datasets import open_store, prepare_store
from sjepa.datasets.formats import pyskl
from sjepa.datasets.layouts import COCO17, center_on_spine
from sjepa.datasets.splits import split
from sjepa.errors import SjepaError
from sjepa.skeleton import NTU25


def three_d(subjects=(0, 1, 2, 3), actions=(0, 3)):
    """`ntu60_3danno.pkl`-like: Kinect's coordinates, one array a clip."""
    annotations = [
        {"frame_dir": info.name, "label": info.action, "total_frames": len(clip),
         "keypoint": clip.transpose(1, 0, 2, 3).astype(np.float16)}
        for info, clip in synthetic.iterate_clips(subjects=subjects, actions=actions)]
    names = [each["frame_dir"] for each in annotations]
    return {"split": {"xsub_train": names[::2], "xsub_val": names[1::2]},
            "annotations": annotations}


def two_d(frames=10):
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


class Runs:
    """A pickle of this would call something."""

    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


def touch(path):
    open(path, "w").close()


def test_nothing_of_a_pickle_is_run(tmp_path):
    mark = tmp_path / "ran"
    for call, args in ((touch, (mark,)), (exec, (f"open({str(mark)!r}, 'w')",)),
                       (np.memmap, (mark, "u1", "w+", 0, (5,))), (getattr, ("text", "upper"))):
        data = {"split": {}, "annotations": [np.array([Runs(call, *args)], object)]}
        with pytest.raises(SjepaError, match="n.pkl is refused: not a pickle of plain values"):
            prepare_store("mine", write(tmp_path / "n.pkl", data), tmp_path)
        assert listing(tmp_path) == ["n.pkl"]


@pytest.mark.parametrize("change, said", [
    (lambda data: [], "expected a dict with split and annotations"),
    (lambda data: data | {"split": {"folds": []}}, "a split that .* is not called like xsub_train"),
    (lambda data: data | {"split": {"a_train": ["x"], "a_val": ["x"]}}, "x is on both sides of"),
    (lambda data: data | {"annotations": [{**data["annotations"][0], "keypoint": np.zeros(3)}]},
     r"or a keypoint \[M, T, V, 2 or 3\]"),
    (lambda data: data | {"annotations": [{**data["annotations"][0], "label": "walk"}]},
     "without .* a label that is a number from 0"),
])
def test_other_pickles_in_one_sentence(tmp_path, change, said):
    path = write(tmp_path / "n.pkl", change(three_d(subjects=(0,))))
    with pytest.raises(SjepaError, match=said):
        prepare_store("mine", path, tmp_path)
    assert listing(tmp_path) == ["n.pkl"]


def test_an_official_name_takes_its_own_skeleton_and_labels_alone(tmp_path):
    path = write(tmp_path / "n.pkl", {"split": {}, "annotations": [two_d()]})
    with pytest.raises(SjepaError, match="skeleton coco17 and ntu60 ntu25: give the set a name"):
        prepare_store("ntu60", path, tmp_path)
    data = three_d(subjects=(0,))
    data["annotations"][0]["label"] = 7
    with pytest.raises(SjepaError, match="S001C001P001R001A001: label 7, its name says 0"):
        prepare_store("ntu60", write(path, data), tmp_path)
