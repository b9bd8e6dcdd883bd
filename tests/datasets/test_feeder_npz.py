"""The N x 300 x 150 npz: out and in again, and as other projects' feeders read it."""

import os

import numpy as np
import pytest

from sjepa import synthetic
from sjepa.datasets import prepare_store
from sjepa.datasets.formats.feeder_npz import export_npz, file_name
from sjepa.datasets.options import PrepareConfig
from sjepa.datasets.splits import split
from sjepa.datasets.store import open_store
from sjepa.errors import SjepaError


@pytest.fixture(scope="module")
def ntu(tmp_path_factory):
    """A store of genuine `.skeleton` files: subjects 1 (training) and 3 (test), pairs too."""
    folder = tmp_path_factory.mktemp("ntu")
    pair = synthetic.ACTIONS.index(sorted(synthetic.TWO_PERSON)[0])
    synthetic.write_skeleton_files(folder / "raw", subjects=(0, 2), actions=(0, 1, pair))
    return open_store(prepare_store("ntu60", folder / "raw", folder))


def test_the_layout_that_feeders_read(ntu, tmp_path):
    path = export_npz(ntu, "ntu60/xsub", tmp_path)
    assert path.name == "NTU60_XSub.npz" and file_name("ntu120/xset") == "NTU120_XSet.npz"
    train, test = split("ntu60/xsub", ntu)
    with np.load(path) as made:
        assert sorted(made.files) == ["x_test", "x_train", "y_test", "y_train"]
        for side, index in (("train", train), ("test", test)):
            x, y = made[f"x_{side}"], made[f"y_{side}"]
            assert x.shape == (len(index), 300, 150) and x.dtype == np.float32
            assert np.array_equal(y.argmax(1), ntu.labels[index]) and y.shape[1] == 60
            assert (y.sum(1) == 1).all()
            for row, i in zip(x, index, strict=True):
                clip = ntu.clip(i)
                # feeder: (N, T, M, V, C) -> (N, C, T, V, M)
                fed = row.reshape(300, 2, 25, 3).transpose(2 + 1, 0, 2, 1)
                for body in range(2):
                    assert np.array_equal(fed[:, : len(clip), :, body].transpose(1, 2, 0),
                                          clip[:, body])
                assert not row[len(clip):].any()
                assert (fed.sum((0, 2, 3)) != 0).sum() == len(clip)  # the feeder's valid length


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_store_to_npz_to_store(ntu, tmp_path, dtype):
    path = export_npz(ntu, "ntu60/xview", tmp_path)
    options = PrepareConfig(dtype=dtype)
    again = open_store(prepare_store("ntu60", path, tmp_path, options), verify=True)
    train, test = split("ntu60/xview", ntu)
    new_train, new_test = split("ntu60/xview", again)
    assert again.classes == ntu.classes and len(new_train) == len(train)
    for old, new in zip((*train, *test), (*new_train, *new_test), strict=True):
        assert again.labels[new] == ntu.labels[old]
        assert np.abs(again.clip(new) - ntu.clip(old)).max() <= again.meta["error_bound"]
    with pytest.raises(SjepaError, match="files that do not tell 'ntu60/xsub': it knows xview"):
        split("ntu60/xsub", again)


def test_more_than_300_frames_are_cut(tmp_path):
    from sjepa.datasets.writer import StoreWriter

    clip = np.random.default_rng(0).normal(size=(310, 1, 25, 3))
    with StoreWriter(tmp_path / "x", "ntu60", ["a"]) as writer:
        for camera in (1, 2):
            writer.add(clip, label=0, name=f"c{camera}", view=camera)
    path = export_npz(open_store(tmp_path / "x"), "ntu60/xview", tmp_path)
    with np.load(path) as made:
        wanted = clip[:300, 0].reshape(300, 75).astype("f4")
        assert np.array_equal(made["x_train"][0, :, :75], wanted)
        assert not made["x_train"][0, :, 75:].any()


def small(path, **changes):
    """A right file of two and one clips, in part overwritten by `changes`."""
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.normal(size=(2, 300, 150)).astype("f4"), "y_train": np.eye(2),
              "x_test": rng.normal(size=(1, 300, 150)).astype("f4"), "y_test": np.eye(2)[:1]}
    arrays |= changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize("changes, said", [
    (dict(x_train=None), "no readable x_train"), (dict(y_test=None), "no readable y_test"),
    (dict(x_train=np.zeros((2, 300, 75))), r"x_train is \[2, 300, 75\]"),
    (dict(y_train=np.eye(3)), r"y_train \[3, 3\]"), (dict(y_train=np.ones((2, 2))), "not one-hot"),
    (dict(y_train=np.arange(2)), r"y_train \[2\]"),
    (dict(x_test=np.array([["a"]])), "expected numbers"),
    (dict(x_train=np.full((2, 300, 150), np.nan)), "NaN"),
])
def test_faults_are_named_and_leave_nothing(tmp_path, changes, said):
    path = small(tmp_path / "NTU60_XSub.npz", **changes)
    with pytest.raises(SjepaError, match=said):
        prepare_store("ntu60", path, tmp_path)
    assert os.listdir(tmp_path) == [path.name]


def test_files_that_are_no_npz(tmp_path):
    path = tmp_path / "NTU60_XSub.npz"
    path.write_bytes(b"PK" + bytes(100))
    with pytest.raises(SjepaError, match="no readable"):
        prepare_store("ntu60", path, tmp_path)
    raw = small(path).read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(SjepaError, match="no readable"):
        prepare_store("ntu60", path, tmp_path)
    np.savez_compressed(path, **dict(np.load(small(path))))
    with pytest.raises(SjepaError, match="compressed: save it again with np.savez"):
        prepare_store("ntu60", path, tmp_path)
    with pytest.raises(SjepaError, match="rename it to one of NTU60_XSub.npz, NTU60_XView.npz"):
        prepare_store("ntu60", small(tmp_path / "mine.npz"), tmp_path)


def test_class_names_are_known_or_numbered(tmp_path):
    store = open_store(prepare_store("ntu60", small(tmp_path / "NTU60_XSub.npz"), tmp_path))
    assert store.classes == ["class 1", "class 2"] and store.bodies == 2


def test_a_clip_of_zeros_is_left_out_and_counted(tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 300, 150))
    x[0] = 0
    path = small(tmp_path / "NTU60_XSub.npz", x_train=x, y_train=np.eye(2)[[1, 1]],
                 y_test=np.eye(2)[[1]])
    store = open_store(prepare_store("ntu60", path, tmp_path))
    assert store.names.tolist() == ["train_000001", "test_000000"]
    assert store.meta["left_out"] == [["train_000000", "all its positions are zero"]]


def test_a_full_disk_leaves_no_npz(ntu, tmp_path, monkeypatch):
    import errno

    from sjepa.datasets.formats import feeder_npz

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(feeder_npz, "_write_clips", full)
    with pytest.raises(SjepaError, match="cannot write .*NTU60_XSub.npz: No space left"):
        export_npz(ntu, "ntu60/xsub", tmp_path)
    assert os.listdir(tmp_path) == []
