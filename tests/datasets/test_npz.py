"""The N x 300 x 150 npz: out and in again, as other projects' feeders read it, and one's own."""

import numpy as np
import pytest
from formats import full_disk, refused
from sound import feeder, ntu_folder, put

from sjepa import synthetic
from sjepa.datasets import open_store, prepare_store, write_store
from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.formats import npz
from sjepa.datasets.formats.npz import export_npz, file_name
from sjepa.datasets.layouts import KINECT20
from sjepa.datasets.splits import split


@pytest.fixture(scope="module")
def ntu(tmp_path_factory):
    """A store of genuine `.skeleton` files: subjects 1 (training) and 3 (test), pairs too."""
    folder = tmp_path_factory.mktemp("ntu")
    pair = synthetic.ACTIONS.index(sorted(synthetic.TWO_PERSON)[0])
    ntu_folder(folder / "raw", subjects=(0, 2), actions=(0, 1, pair))
    return open_store(prepare_store("ntu60", folder / "raw", folder))


def test_the_layout_that_feeders_read(ntu, tmp_path):
    path = export_npz(ntu, "ntu60/xsub", tmp_path)
    assert path.name == "NTU60_XSub.npz" and file_name("ntu120/xset") == "NTU120_XSet.npz"
    assert file_name("mine/xsub") == "mine_XSub.npz"
    train, test = split("ntu60/xsub", ntu)
    with np.load(path) as made:
        assert sorted(made.files) == ["x_test", "x_train", "y_test", "y_train"]
        for side, index in (("train", train), ("test", test)):
            x, y = made[f"x_{side}"], made[f"y_{side}"]
            assert x.shape == (len(index), 300, 150) and x.dtype == np.float32
            assert np.array_equal(y, np.eye(60)[ntu.labels[index]])
            # feeder: (N, T, M, V, C) -> (N, C, T, V, M)
            fed = x.reshape(-1, 300, 2, 25, 3).transpose(0, 4, 1, 3, 2)
            for clip, made_of in zip(fed, map(ntu.clip, index), strict=True):
                length = (clip.sum((0, 2, 3)) != 0).sum()  # the feeder's valid length
                assert np.array_equal(clip.transpose(1, 3, 2, 0)[:length], made_of)


@pytest.mark.parametrize("name, dtype", [("ntu60", "int16"), ("mine", "float32")])
def test_store_to_npz_to_store(ntu, tmp_path, name, dtype):
    path = export_npz(ntu, "ntu60/xview", tmp_path)
    again = open_store(prepare_store(name, path, tmp_path, PrepareConfig(dtype=dtype)), verify=True)
    train, test = split("ntu60/xview", ntu)
    new_train, new_test = split(f"{name}/xview", again)
    assert len(again.classes) == 60 and (again.classes == ntu.classes) == (name == "ntu60")
    assert len(new_train) == len(train)
    for old, new in zip((*train, *test), (*new_train, *new_test), strict=True):
        assert again.labels[new] == ntu.labels[old]
        assert np.abs(again.clip(new) - ntu.clip(old)).max() <= again.meta["error_bound"]


def test_more_than_300_frames_are_cut_and_other_joints_refused(tmp_path):
    clip = np.random.default_rng(0).normal(size=(310, 25, 3))
    store = open_store(write_store(tmp_path / "ntu60", [clip, clip], [0, 0], views=[1, 2]))
    with np.load(export_npz(store, "ntu60/xview", tmp_path)) as made:
        assert np.array_equal(made["x_train"][0, :, :75], clip[:300].reshape(300, 75).astype("f4"))
        assert not made["x_train"][0, :, 75:].any()
    few = open_store(write_store(tmp_path / "few", [clip[:, :20]], [0], skeleton=KINECT20))
    with refused("has 20 joints, the layout takes 25"):
        export_npz(few, "few/xsub", tmp_path)


@pytest.mark.parametrize("changes, said", [
    (dict(x_train=None), r"x_train is \[\] and y_train has 2 rows, expected \[N, 300, 150\]"),
    (dict(y_train=None), "expected x_train, x_test .* or a conversion"),
    (dict(x_train=np.zeros((2, 300, 60))), r"x_train is \[2, 300, 60\]"),
    (dict(y_train=np.eye(3)), "y_train has 3 rows"),
    (dict(y_train=np.array([0.5, 1])), r"one-hot \[N, classes\] or labels \[N\] from 0"),
    (dict(x_test=np.array([{}])), "no readable npz of numbers"),  # never unpickled
    (dict(x_train=np.full((2, 300, 150), np.nan)), "NaN"),
    (dict(class_names=np.array(["a"])), "is no conversion: expected x, offsets, "),
])
def test_faults_are_named_and_leave_nothing(tmp_path, changes, said):
    path = put(tmp_path / "NTU60_XSub.npz", feeder(**changes))
    with refused(said, tmp_path):
        prepare_store("ntu60", path, tmp_path)


def test_a_name_that_says_no_protocol(tmp_path):
    path = put(tmp_path / "mine.npz", feeder())
    with refused("rename it to one of NTU60_XSub.npz, NTU60_XView.npz, or give the set a name of "
                 "your own", tmp_path):
        prepare_store("ntu60", path, tmp_path)


def test_a_set_of_ones_own_from_labels_and_one_body(tmp_path):
    """Plain labels, 75 columns, fewer frames; a clip of zeros is left out and counted."""
    x = np.random.default_rng(0).normal(size=(3, 40, 75))
    x[0], x[1, 30:] = 0, 0
    path = put(tmp_path / "MySet_XSub.npz", feeder(
        x_train=x, y_train=np.array([1, 2, 0]), y_test=np.array([2])))
    store = open_store(prepare_store("myset", path, tmp_path))
    assert store.classes == ["class 1", "class 2", "class 3"] and store.bodies == 2
    assert store.names.tolist() == ["train_000001", "train_000002", "test_000000"]
    assert store.meta["left_out"] == [["train_000000", "all its positions are zero"]]
    assert store.lengths.tolist() == [30, 40, 300] and store.labels.tolist() == [2, 0, 2]
    assert [side.tolist() for side in split("myset/xsub", store)] == [[0, 1], [2]]


def test_a_full_disk_leaves_no_npz(ntu, tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "_write_clips", full_disk)
    with refused("cannot write .*NTU60_XSub.npz: No space left", tmp_path):
        export_npz(ntu, "ntu60/xsub", tmp_path)
