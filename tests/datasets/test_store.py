"""The store: what goes in comes out, nothing half-written stays, damage is named."""

import json
import os

import numpy as np
import pytest
import torch

from sjepa.datasets.store import StoreError, file_hash, open_store
from sjepa.datasets.writer import StoreWriter


def some_clips():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(7, 1, 25, 3)).astype(np.float32)
    two = rng.normal(size=(9, 2, 25, 3)).astype(np.float32)
    two[:4, 1] = 0  # the second person comes later
    absent = np.concatenate((one, np.zeros_like(one)), 1)
    return [one, two, absent]


@pytest.fixture
def path(tmp_path):
    with StoreWriter(tmp_path / "x", "synthetic", ["a", "b"]) as writer:
        for k, clip in enumerate(some_clips()):
            writer.add(clip, label=k % 2, name=f"clip{k}", subject=k, view=k + 1)
    return tmp_path / "x"


def test_round_trip_is_exact(path):
    store = open_store(path, verify=True)
    assert len(store) == 3 and store.bodies == 2 and store.classes == ["a", "b"]
    one, two, absent = some_clips()
    assert np.array_equal(store.clip(0)[:, :1], one) and not store.clip(0)[:, 1].any()
    assert np.array_equal(store.clip(1), two)
    assert np.array_equal(store.clip(2), absent)
    assert store.names.tolist() == ["clip0", "clip1", "clip2"]
    assert store.subjects.tolist() == [0, 1, 2] and store.views.tolist() == [1, 2, 3]


def test_absent_bodies_cost_nothing(path):
    store = open_store(path)
    assert len(store.frames) == 7 + 2 * 9 + 7
    assert store.offsets.tolist() == [[0, -1], [7, 16], [25, -1]]


def test_device_store_holds_the_same(path):
    store = open_store(path)
    data = store.to("cpu")
    assert torch.equal(data.frames, torch.from_numpy(np.array(store.frames)))
    assert data.offsets.tolist() == store.offsets.tolist()


def test_reading_is_lazy(path):
    assert isinstance(open_store(path).frames, np.memmap)


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(ZeroDivisionError), StoreWriter(tmp_path / "x", "s", ["a"]) as writer:
        writer.add(some_clips()[0], label=0, name="clip")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_a_failure_spares_the_old_store(path):
    before = open_store(path, verify=True).meta
    for stop in (KeyboardInterrupt, ZeroDivisionError):
        with pytest.raises(stop), StoreWriter(path, "synthetic", ["a"]):
            raise stop
    assert open_store(path, verify=True).meta == before


@pytest.mark.parametrize("clip, said", [
    (np.zeros((5, 1, 20, 3)), "expected a clip"),
    (np.zeros((5, 3, 25, 3)), "expected a clip"),
    (np.zeros((0, 1, 25, 3)), "empty"),
    (np.full((5, 1, 25, 3), np.nan), "NaN"),
])
def test_bad_clips_are_refused(tmp_path, clip, said):
    with pytest.raises(StoreError, match=said), StoreWriter(tmp_path / "x", "s", ["a"]) as writer:
        writer.add(clip, label=0, name="clip")
    assert os.listdir(tmp_path) == []


def change_meta(path, **values):
    meta = json.loads((path / "store.json").read_text())
    (path / "store.json").write_text(json.dumps(meta | values))


def test_each_damage_is_named(path):
    with pytest.raises(StoreError, match="no store at .*nowhere.*sjepa.prepare"):
        open_store(path / "nowhere")
    change_meta(path, version=99)
    with pytest.raises(StoreError, match="version 99, this code reads 2"):
        open_store(path)
    change_meta(path, version=2, layout="kinect20")
    with pytest.raises(StoreError, match="joint layout 'kinect20', the encoder needs 'ntu25'"):
        open_store(path)
    change_meta(path, layout="ntu25", clips=4)
    with pytest.raises(StoreError, match="other counts"):
        open_store(path)
    (path / "store.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        open_store(path)


def test_a_flipped_byte_is_found(path):
    raw = bytearray((path / "frames.npy").read_bytes())
    raw[-3] ^= 1
    (path / "frames.npy").write_bytes(raw)
    with pytest.raises(StoreError, match="another checksum"):
        open_store(path, verify=True)


def test_a_cut_file_is_damaged(path):
    raw = (path / "frames.npy").read_bytes()
    (path / "frames.npy").write_bytes(raw[:-1000])
    with pytest.raises(StoreError, match="damaged"):
        open_store(path)


@pytest.mark.parametrize("change, said", [
    (dict(lengths=[7, 9, 8]), "a body beyond the last frame"),
    (dict(lengths=[0, 9, 7]), "a clip without frames"),
    (dict(labels=[0, 1, 2]), "a label without a class"),
    (dict(offsets=[[0, -1], [7, 16], [-1, -1]]), "a clip without any body"),
    (dict(names=["a", "a", "b"]), "two clips of one name"),
])
def test_a_store_that_was_written_wrong_is_found(path, change, said):
    """Checksums agree with what was written; the rows are checked as well."""
    index = dict(np.load(path / "index.npz"))
    for key, value in change.items():
        index[key] = np.array(value, index[key].dtype)
    np.savez(path / "index.npz", **index)
    meta = json.loads((path / "store.json").read_text())
    change_meta(path, sha256=meta["sha256"] | {"index.npz": file_hash(path / "index.npz")})
    with pytest.raises(StoreError, match=said):
        open_store(path, verify=True)


def test_a_clip_of_nobody_is_refused(tmp_path):
    with pytest.raises(StoreError, match="nobody"), StoreWriter(tmp_path / "x", "s", ["a"]) as w:
        w.add(np.zeros((5, 2, 25, 3)), label=0, name="clip")
