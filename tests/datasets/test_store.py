"""The store: what goes in comes out, nothing half-written stays, damage is named."""

import shutil
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from formats import another_at_work, damage, full_disk, listing, refused, swap
from sound import change_meta, ntu_folder, some_clips
from workers import clips_of_file

from sjepa.datasets import open_store, prepare_store, write_store
from sjepa.datasets.build import Source, build
from sjepa.datasets.layouts import COCO17, KINECT20
from sjepa.datasets.splits import split
from sjepa.datasets.store import StoreWriter, new_store
from sjepa.skeleton import NTU25


@pytest.fixture
def path(tmp_path):
    return write_store(tmp_path / "x", some_clips(), [0, 1, 0], classes=["a", "b"],
                       names=["clip0", "clip1", "clip2"], subjects=[0, 1, 2], views=[1, 2, 3])


def test_round_trip_is_exact_and_lazy(path):
    store = open_store(path, verify=True)
    assert len(store) == 3 and store.bodies == 2 and store.classes == ["a", "b"]
    one, two, absent = some_clips()
    assert np.array_equal(store.clip(0)[:, :1], one) and not store.clip(0)[:, 1].any()
    assert np.array_equal(store.clip(1), two) and np.array_equal(store.clip(2), absent)
    assert store.names.tolist() == ["clip0", "clip1", "clip2"]
    assert store.subjects.tolist() == [0, 1, 2] and store.views.tolist() == [1, 2, 3]
    # absent bodies cost nothing
    assert len(store.frames) == 7 + 2 * 9 + 7 and isinstance(store.frames, np.memmap)
    assert store.offsets.tolist() == [[0, -1], [7, 16], [25, -1]]
    data = store.to("cpu")
    assert torch.equal(data.frames, torch.from_numpy(np.array(store.frames)))
    assert data.offsets.tolist() == store.offsets.tolist()


@pytest.mark.parametrize("skeleton", [NTU25, KINECT20, COCO17])
def test_a_store_carries_its_skeleton(tmp_path, skeleton):
    clips = [clip[:, 0] for clip in some_clips(len(skeleton))]  # [T, V, 3]
    store = open_store(write_store(tmp_path / "mine", clips, np.array([0, 1, 0]),
                                   names=np.array(["c", "b", "a"]), skeleton=skeleton))
    assert store.names.tolist() == ["c", "b", "a"] and store.classes == ["class 1", "class 2"]
    assert store.skeleton == store.to("cpu").skeleton == skeleton
    assert np.array_equal(store.clip(1)[:, 0], clips[1])


def test_int16_stays_within_its_bound(tmp_path):
    rng = np.random.default_rng(1)
    clips = [rng.normal(size=(40, 2, 25, 3)).astype("f4") * size for size in (0.01, 1, 1)]
    clips[2] += 30  # metres away
    clips[1][:7, 1] = 0
    store = open_store(write_store(tmp_path / "x", clips, [0] * 3, dtype="int16"), verify=True)
    worst, data = 0.0, store.to("cpu")
    for k, clip in enumerate(clips):
        error = np.abs(store.clip(k) - clip).max()
        assert error <= np.abs(clip).max() / 65534 * 1.006
        worst = max(worst, error)
        for body, start in enumerate(store.offsets[k]):
            part = data.frames[start : start + store.lengths[k]].numpy()
            assert np.array_equal(part, store.clip(k)[:, body])
    assert not store.clip(1)[:7, 1].any()  # absence stays absence
    assert store.frames.dtype == np.int16
    assert worst <= store.meta["error_bound"] <= worst * 1.2


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_a_copied_second_body_costs_nothing(tmp_path, dtype):
    one = np.random.default_rng(0).normal(size=(9, 1, 25, 3)).astype("f4")
    two = np.repeat(one, 2, 1)
    store = open_store(write_store(tmp_path / "x", [two, one], [0, 0], dtype=dtype))
    assert len(store.frames) == 18 and store.offsets.tolist() == [[0, 0], [9, -1]]
    assert np.abs(store.clip(0) - two).max() <= store.meta["error_bound"]
    assert np.array_equal(store.to("cpu").frames[:9].numpy(), store.clip(0)[:, 1])


def test_splits_lie_in_the_store(tmp_path):
    clips = some_clips() + some_clips()
    path = write_store(tmp_path / "myset", clips, [0] * 6, splits={
        "xsub": np.array([True, False] * 3), "few": ([0], [5, 4])})
    store = open_store(path, verify=True)
    assert [side.tolist() for side in split("myset/xsub", store)] == [[0, 2, 4], [1, 3, 5]]
    assert [side.tolist() for side in split("myset/few", store)] == [[0], [4, 5]]
    with refused("unknown split 'myset/xview': .* knows myset/xsub, myset"):
        split("myset/xview", store)


@pytest.mark.parametrize("change, said", [
    (dict(clips=[np.zeros((5, 1, 20, 3))]), r"expected a clip \[T, 1 or 2, 25, 3\]"),
    (dict(clips=[np.zeros((0, 1, 25, 3))]), "empty"),
    (dict(clips=[np.full((5, 1, 25, 3), np.nan)]), "NaN"),
    (dict(clips=[np.zeros((5, 2, 25, 3))]), "nobody is in the clip"),
    (dict(clips=[], labels=[]), "there is no clip to store"),
    (dict(labels=[1], classes=["a"]), "label 1, expected 0 to 0, a place among the classes"),
    (dict(labels=[0, 0]), "1 clips and 2 labels: give one each"),
    (dict(classes=["a", "a"]), "two classes are called 'a': give each its own name"),
    (dict(splits=[1]), "splits: expected a dictionary"),
    (dict(splits={"a": np.array([1])}), "split 'a': expected 1 times True or False"),
    (dict(splits={"a": ([0], [0])}), "expected numbers of clips from 0 to 0, each once"),
    (dict(clips=[np.ones((1, 25, 3))] * 2, labels=[0, 0], names=["a", "a"]),
     "two clips have the name a: remove one"),
    (dict(labels=[0.5]), "label of clip 0 is 0.5: expected a whole number"),
    (dict(labels=["a"]), "label of clip 0 is 'a': expected a whole number"),
    (dict(labels=[[0, 1]]), r"label of clip 0 is \[0, 1\]: expected a whole number"),
    (dict(clips=[np.arange(375.0).reshape(5, 1, 25, 3)]), "clip 0 measures 72 m: give"),
])
def test_bad_arrays_leave_nothing(tmp_path, change, said):
    with refused(said, tmp_path):
        write_store(tmp_path / "x", **(dict(clips=[np.ones((5, 1, 25, 3))], labels=[0]) | change))


@pytest.mark.parametrize("make", [
    lambda path: path.write_text("a thesis"),
    lambda path: path.mkdir() or (path / "thesis.txt").write_text("a thesis"),
    lambda path: write_store(path / "other", some_clips(), [0, 1, 0]),
])
@pytest.mark.parametrize("place", ["x", "x.old"])
def test_nothing_but_a_store_is_replaced(tmp_path, make, place):
    make(tmp_path / place)
    with refused(f"{place} holds something else than a store", tmp_path):
        write_store(tmp_path / "x", some_clips(), [0, 1, 0])


@pytest.mark.parametrize("spoil, said", [
    *((partial(change_meta, **values), said) for values, said in (
        (dict(version=99), "version 99, this code reads 3: prepare"),
        (dict(clips=4), "other counts"), (dict(skeleton=asdict(KINECT20)), "other counts"),
        (dict(skeleton={"name": "x"}), "damaged .not a skeleton"))),
    *((lambda path, file=file, change=change: damage(path / file, change), said)
      for file, change, said in (
        ("store.json", swap('"a"', '"another"'), "damaged .store.json has another checksum"),
        ("store.json", lambda text: "{", "store.json is damaged"),
        ("frames.npy", lambda raw: raw[:-3] + chr(ord(raw[-3]) ^ 1) + raw[-2:], "another checksum"),
        ("frames.npy", lambda raw: raw[:-1000], "damaged"))),
    (shutil.rmtree, "no store at .*x: .*sjepa.prepare"),
])
def test_each_damage_is_named(path, spoil, said):
    spoil(path)
    with refused(said):
        open_store(path, verify=True)


def test_a_store_that_waits_for_its_successor_is_opened(path):
    """A kill struck between the two moves that put a new store in its place."""
    names = open_store(path).names.tolist()
    path.rename(path.with_name(path.name + ".old"))
    assert open_store(path, verify=True).names.tolist() == names


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ZeroDivisionError])
def test_a_failure_spares_the_old_store(path, stop):
    before = open_store(path, verify=True).meta
    with pytest.raises(stop), new_store(path, "synthetic", ["a"]):
        raise stop
    assert open_store(path, verify=True).meta == before and listing(path.parent) == ["x"]


def test_what_a_kill_left_never_costs_a_finished_store(path):
    """A kill between the two moves of the end, or before them, leaves `.old` and `.partial`."""
    there = open_store(path).meta
    (path.with_name("x.partial")).mkdir()
    (path.with_name("x.old")).mkdir()
    (path.with_name("x.old") / "frames.npy").write_bytes(b"older")
    (path / ".counts.json.123").write_bytes(b"{")
    write_store(path, some_clips(), [0, 1, 0])
    assert listing(path.parent) == ["x"] and open_store(path, verify=True).meta != there
    path.rename(path.with_name("x.old"))
    with pytest.raises(ZeroDivisionError), new_store(path, "x", ["a"]):
        raise ZeroDivisionError
    assert listing(path.parent) == ["x"] and len(open_store(path, verify=True)) == 3


def test_a_full_disk_is_one_sentence_and_leaves_nothing(path, monkeypatch):
    for place, name in ((StoreWriter, "_append"), (np, "savez")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, full_disk)
            with refused("cannot write .*x: No space left", path.parent):
                write_store(path, some_clips(), [0, 0, 0])
    with refused("cannot write", path.parent):
        write_store(path / "frames.npy" / "x", some_clips(), [0, 0, 0])
    with refused("cannot write into /proc/none"):  # a lock there would be waited for without end
        write_store("/proc/none/x", some_clips(), [0, 0, 0])


def test_a_disk_without_room_for_the_store_is_said_after_the_first_file(tmp_path, monkeypatch):
    """On a disk with room for the two clips of the first file, and no more."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=6 * 25 * 3 * 4))
    assert len(store_of(tmp_path / "one", range(1))) == 2
    monkeypatch.setattr(StoreWriter, "add", lambda *_: pytest.fail("it began"))
    with refused("disk has 0 MiB left, and the store will need 0: make room", tmp_path):
        store_of(tmp_path / "more", range(40))


def test_two_processes_at_once_make_one_whole_store(tmp_path):
    """They wait beside the store for who is at work, and nobody leaves a lock there."""
    raw = tmp_path / "raw"
    ntu_folder(raw, subjects=(0,), actions=(0, 1))
    runs = [get_context("fork").Process(target=prepare_store, args=("ntu60", raw, tmp_path))
            for _ in range(2)]
    with another_at_work(tmp_path / "ntu60"):
        for run in runs:
            run.start()
        runs[0].join(1)
        assert all(run.is_alive() for run in runs)
        assert listing(tmp_path) == [".ntu60.lock", "raw"]
    for run in runs:
        run.join(120)
        assert run.exitcode == 0
    assert len(open_store(tmp_path / "ntu60", verify=True)) == 6
    assert listing(tmp_path) == ["ntu60", "raw"]


def store_of(path, units, workers=1):
    with new_store(path, "synthetic", ["a", "b", "c"]) as writer:
        build(writer, Source(units, clips_of_file, ["a", "b", "c"]), workers)
    return open_store(path, verify=True)


def test_two_processes_write_what_one_does(tmp_path):
    one, two = store_of(tmp_path / "1", range(40)), store_of(tmp_path / "2", range(40), 2)
    assert len(one) == 64 and one.meta == two.meta  # checksums too
    assert one.meta["left_out"] == [[f"c{k}", "every fifth"] for k in range(4, 40, 5)]
    assert set(one.sides) == {"a", "b"}
    assert (one.sides["a"] == one.subjects % 2).all()  # 1 is the training side
    assert (one.sides["b"] == 2 * (one.subjects % 2 == 0)).all()


@pytest.mark.parametrize("units, workers, said", [
    ([*range(3), "x", *range(3, 30)], 1, "^file x: off the grammar$"),
    ([*range(3), "x", *range(3, 30), "vanish"], 2,
     "^2 of 32 .*file x: .*cannot read /some/where: No such"),
    (["x"] * 30, 1, "^at least 20 of 30"), ([1, 2, 1], 1, "two clips have the name c1a"),
    ([*range(40), "die"], 2, "a reading process died.*fewer workers"),
])
def test_faults_of_files_are_told_together_and_leave_nothing(tmp_path, units, workers, said):
    with refused(said, tmp_path):
        store_of(tmp_path / "x", units, workers)
