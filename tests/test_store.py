"""The store: what goes in comes out, nothing half-written stays, damage is named."""

import json
import os

import numpy as np
import pytest
import torch

from sjepa.datasets import (
    catalogue,
    load_store,
    ntu_clips,
    nwucla,
    prepare_store,
    synthetic,
)
from sjepa.datasets.lineage import center_on_spine
from sjepa.datasets.ntu import SkeletonFormatError, parse_name
from sjepa.datasets.splits import SPLITS, leaked, reported_parts, split
from sjepa.datasets.store import StoreError, StoreWriter, open_store
from sjepa.errors import SjepaError


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
    with pytest.raises(KeyboardInterrupt), StoreWriter(path, "synthetic", ["a"]):
        raise KeyboardInterrupt
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
    with pytest.raises(StoreError, match="version 99, this code reads 1"):
        open_store(path)
    change_meta(path, version=1, layout="kinect20")
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


# ------------------------------------------------------------------ splits


def test_synthetic_splits_share_nobody(store):
    train, test = split("synthetic/xsub", store)
    assert not set(store.subjects[train]) & set(store.subjects[test])
    train, test = split("synthetic/xview", store)
    assert not set(store.views[train]) & set(store.views[test])
    assert len(train) + len(test) == len(store) and len(train) == 2 * len(test)


def test_unknown_and_foreign_splits_are_refused(store):
    with pytest.raises(SjepaError, match="unknown split 'synthetic/xset'"):
        split("synthetic/xset", store)
    with pytest.raises(SjepaError, match="not of the store 'synthetic'"):
        split("nwucla/xview", store)


def test_a_class_without_training_clips_is_named(path):
    with pytest.raises(SjepaError, match="training part has no clip of: b"):
        split("synthetic/xsub", open_store(path))  # label b has subject 1 alone, a test subject


def test_leaked_clips_are_found_by_content(tmp_path):
    one, two, _ = some_clips()
    with StoreWriter(tmp_path / "x", "synthetic", ["a"]) as writer:
        for view, clip in ((1, one), (0, one), (0, two), (2, two + 1)):
            writer.add(clip, label=0, name="c", view=view)
    store = open_store(tmp_path / "x")
    train, test = split("synthetic/xview", store)
    assert leaked(store, train, test).tolist() == [True, False]
    parts = reported_parts("synthetic/xview", store, train, test)
    assert {k: v.tolist() for k, v in parts.items()} == {
        "synthetic/xview": [True, True], "synthetic/xview-clean": [False, True],
        "synthetic/xview-leaked": [True, False]}


def test_published_subject_lists():
    assert SPLITS["ntu60/xsub"].counts == (40_091, 16_487)

    class Everyone:
        subjects = np.arange(1, 107)

    assert SPLITS["ntu60/xsub"].trains(Everyone)[:40].sum() == 20
    assert SPLITS["ntu120/xsub"].trains(Everyone).sum() == 53


# ------------------------------------------------------------------ the open sets, where they are


@pytest.fixture
def open_data():
    folder = catalogue.data_dir()
    for place in (folder, catalogue.ROOT.parent / "shared" / "data"):
        if (place / "nwucla.npz").is_file():
            return place
    pytest.skip("the open sets are not here: set SJEPA_DATA to the folder of nwucla.npz")


@pytest.mark.parametrize("name, splits", [
    ("nwucla", ["nwucla/xview", "nwucla/xsub"]), ("hdm05", ["hdm05/xsub"]),
    ("kindergator", ["kindergator/xsub"]),
])
def test_open_sets_give_the_official_counts(open_data, tmp_path, name, splits):
    store = open_store(prepare_store(name, open_data, tmp_path), verify=True)
    for each in splits:
        train, test = split(each, store)
        assert (len(train), len(test)) == SPLITS[each].counts
    assert not np.abs(store.clip(0)[0, 0, 1]).max()  # the spine's middle is the origin


def test_nwucla_leaks_95_clips(open_data, tmp_path):
    store = open_store(prepare_store("nwucla", open_data, tmp_path))
    train, test = split("nwucla/xview", store)
    copies = leaked(store, train, test)
    assert copies.sum() == 95
    names = {store.classes[k] for k in store.labels[test[copies]]}
    assert len(names) == 2
    with np.load(open_data / "nwucla.npz") as raw:  # the owners of the copy marked the same ones
        assert np.array_equal(copies, raw["dup_of_train_view"][test])


def test_missing_data_says_where_and_how(monkeypatch, tmp_path):
    monkeypatch.setenv("SJEPA_DATA", str(tmp_path))
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    with pytest.raises(SjepaError, match="no store of nwucla.*SJEPA_DATA.*sjepa.prepare nwucla"):
        load_store("nwucla")
    with pytest.raises(SjepaError, match="unknown data set 'ucla'"):
        load_store("ucla")
    with pytest.raises(SjepaError, match="does not hold the JSON clips"):
        prepare_store("nwucla", tmp_path, tmp_path)
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------------------ owners' formats


def test_the_built_in_set_is_made_again_when_its_recipe_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("SJEPA_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    few = list(synthetic.iterate_clips(subjects=(0,), actions=(0,)))
    monkeypatch.setattr(synthetic, "iterate_clips", lambda reps: few)
    first = load_store("synthetic")
    stamp = (first.path / "store.json").stat().st_mtime_ns
    load_store("synthetic")
    assert (first.path / "store.json").stat().st_mtime_ns == stamp
    change_meta(first.path, recipe="older")
    assert load_store("synthetic").meta["recipe"] == catalogue.SOURCES["synthetic"].recipe


def ntu_folder(folder):
    """Genuine `.skeleton` files of generated clips; returns them by name."""
    which = dict(subjects=(0, 1, 2), actions=(0, 3), views=(0, 1))
    synthetic.write_skeleton_files(folder, **which)
    return {info.name: clip for info, clip in synthetic.iterate_clips(**which)}


def test_ntu_files_become_the_store_of_their_clips(tmp_path):
    (tmp_path / "raw" / "deeper").mkdir(parents=True)
    clips = ntu_folder(tmp_path / "raw" / "deeper")
    store = open_store(prepare_store("ntu60", tmp_path / "raw", tmp_path), verify=True)
    assert store.names.tolist() == sorted(clips) and len(store.classes) == 60
    assert store.classes[0] == "drink water" and store.classes[59].startswith("walking apart")
    for i, name in enumerate(store.names):
        assert np.array_equal(store.clip(i), center_on_spine(clips[name]))
        said = parse_name(name)
        row = (store.labels[i] + 1, store.subjects[i], store.views[i], store.setups[i])
        assert row == (said.action, said.performer, said.camera, said.setup)


def test_ntu_leaves_out_what_the_owners_and_the_pipeline_leave_out(tmp_path, capfd):
    clips = ntu_folder(tmp_path)
    some = sorted(clips)[0]
    (tmp_path / f"{some}.skeleton").rename(tmp_path / "S001C002P005R002A008.skeleton")  # listed
    (tmp_path / "S001C001P001R001A061.skeleton").write_text("1\n0\n")  # of NTU120 only
    (tmp_path / "S001C001P001R001A009.skeleton").write_text("2\n0\n0\n")  # nobody in it
    store = open_store(prepare_store("ntu60", tmp_path, tmp_path))
    assert store.names.tolist() == sorted(set(clips) - {some})
    assert "left out: S001C001P001R001A009" in capfd.readouterr().err


def test_ntu_faults_are_named_and_leave_nothing(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    clips = ntu_folder(raw)
    path = raw / f"{sorted(clips)[3]}.skeleton"
    path.write_text("\n".join(path.read_text().splitlines()[:50]))
    with pytest.raises(SkeletonFormatError, match=f"{path.name}, line 5[01]"):
        prepare_store("ntu60", raw, tmp_path)
    assert os.listdir(tmp_path) == ["raw"]
    path.unlink()
    (raw / "S1C1.skeleton").write_text("")
    with pytest.raises(SjepaError, match="is not an NTU clip name"):
        prepare_store("ntu60", raw, tmp_path)


def test_owners_list_of_missing_clips():
    names = ntu_clips.missing()
    assert len(names) == 535
    assert sum(parse_name(n).action <= 60 and parse_name(n).setup <= 17 for n in names) == 302


def nwucla_json(folder, name, clip, label):
    data = {"file_name": name, "skeletons": clip, "label": label}
    (folder / f"{name}.json").write_text(json.dumps(data))


def test_nwucla_json(tmp_path):
    clip = np.random.default_rng(0).normal(size=(6, 20, 3)).round(5)
    nwucla_json(tmp_path, "a12_s03_e02_v02", clip.tolist(), 10)
    store = open_store(prepare_store("nwucla", tmp_path, tmp_path))
    assert (store.labels[0], store.subjects[0], store.reps[0], store.views[0]) == (9, 3, 2, 2)
    wanted = (clip - clip[0, 1]).astype(np.float32)  # measured joints stay in their places
    np.testing.assert_allclose(store.clip(0)[:, 0, :2], wanted[:, :2], atol=1e-6)
    np.testing.assert_allclose(store.clip(0)[:, 0, 20], wanted[:, 2], atol=1e-6)


@pytest.mark.parametrize("clip, label, said", [
    ([[[0, 0, 0]] * 19], 1, r"expected skeletons \[T, 20, 3\]"), ([], 1, "expected skeletons"),
    ([[[0, 0, 0]] * 20], 11, "label 11, expected 1 to 10"), ("no", 1, "no NW-UCLA clip"),
])
def test_nwucla_faults(tmp_path, clip, label, said):
    nwucla_json(tmp_path, "a01_s03_e02_v02", clip, label)
    with pytest.raises(SjepaError, match=said):
        prepare_store("nwucla", tmp_path, tmp_path)
    assert os.listdir(tmp_path) == ["a01_s03_e02_v02.json"]


def test_nwucla_samples_equal_their_conversion(open_data):
    samples = nwucla.files(open_data / "raw-samples" / "nwucla")
    if not samples:
        pytest.skip("no raw samples of NW-UCLA beside the open sets")
    with np.load(open_data / "nwucla.npz") as raw:
        for path in samples:
            clip, label = nwucla.read_clip(path)
            action, subject, rep, view = (int(path.stem[k : k + 2]) for k in (1, 5, 9, 13))
            (i,) = np.flatnonzero(
                (raw["action_ids"][raw["labels"]] == action) & (raw["subjects"] == subject)
                & (raw["reps"] == rep) & (raw["views"] == view))
            assert label == raw["labels"][i]
            assert np.array_equal(clip, raw["x"][raw["offsets"][i] : raw["offsets"][i + 1]])
