"""Every protocol's training and test clips."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_store import some_clips

from sjepa.datasets.splits import (
    SPLITS,
    TRANSFERS,
    leaked,
    reported_parts,
    split,
)
from sjepa.datasets.store import open_store
from sjepa.datasets.writer import StoreWriter
from sjepa.errors import SjepaError


def people(name, subjects, **columns):
    """A stand-in for a store: one clip a subject, unless `columns` say otherwise."""
    count = len(subjects)
    plain = dict(views=np.zeros(count, int), setups=np.zeros(count, int),
                 labels=np.zeros(count, int), names=np.array([f"c{k}" for k in range(count)]))
    return Stand(meta={"name": name, "lists": {}}, subjects=np.array(subjects), path="here",
                 classes=["a"], **(plain | columns))


class Stand(SimpleNamespace):
    def __len__(self):
        return len(self.subjects)


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


def test_a_class_without_training_clips_is_named(tmp_path):
    with StoreWriter(tmp_path / "x", "synthetic", ["a", "b"]) as writer:
        for k, clip in enumerate(some_clips()):
            writer.add(clip, label=k % 2, name=f"clip{k}", subject=k)
    with pytest.raises(SjepaError, match="training part has no clip of: b"):
        split("synthetic/xsub", open_store(tmp_path / "x"))  # b has subject 1 alone, a test subject


def test_an_empty_side_is_named():
    with pytest.raises(SjepaError, match="the test part has no clip of: a"):
        split("ntu60/xsub", people("ntu60", [1, 2, 4]))


def test_classes_that_nobody_performs_are_no_fault():
    """PKU-MMD II keeps 51 class ids for 41 classes."""
    stand = people("ntu60", [1, 3])
    stand.classes = ["a", "empty"]
    assert [side.tolist() for side in split("ntu60/xsub", stand)] == [[0], [1]]


def test_leaked_clips_are_found_by_content(tmp_path):
    one, two, _ = some_clips()
    with StoreWriter(tmp_path / "x", "synthetic", ["a"]) as writer:
        for k, (view, clip) in enumerate(((1, one), (0, one), (0, two), (2, two + 1))):
            writer.add(clip, label=0, name=f"c{k}", view=view)
    store = open_store(tmp_path / "x")
    train, test = split("synthetic/xview", store)
    assert leaked(store, train, test).tolist() == [True, False]
    parts = reported_parts("synthetic/xview", store, train, test)
    assert {k: v.tolist() for k, v in parts.items()} == {
        "synthetic/xview": [True, True], "synthetic/xview-clean": [False, True],
        "synthetic/xview-leaked": [True, False]}


def test_published_subject_lists():
    assert SPLITS["ntu60/xsub"].counts == (40_091, 16_487)
    everyone = SimpleNamespace(subjects=np.arange(1, 107))
    assert SPLITS["ntu60/xsub"].trains(everyone)[:40].sum() == 20
    assert SPLITS["ntu120/xsub"].trains(everyone).sum() == 53


def test_five_folds_test_everybody_once():
    stand = people("kindergator", [7, 5, 5, 11, 30, 2, 90, 41, 8, 19])
    tested = []
    for k in range(5):
        train, test = split(f"kindergator/fold{k + 1}", stand)
        assert not set(stand.subjects[train]) & set(stand.subjects[test])
        tested += test.tolist()
    assert sorted(tested) == list(range(10))
    _, test = split("kindergator/fold1", stand)
    assert sorted(stand.subjects[test]) == [2, 19]  # sorted: 2 5 7 8 11 | 19 30 41 90


def test_a_list_names_clips_or_the_videos_they_were_cut_from():
    names = np.array(["0001-L_001", "0001-L_002", "0001-M_001", "0002-L_001"])
    stand = people("pku1", [-1] * 4, names=names)
    stand.meta["lists"] = {"xsub": ["0001-L", "0002-L"]}
    train, test = split("pku1/xsub", stand)
    assert train.tolist() == [0, 1, 3] and test.tolist() == [2]
    with pytest.raises(SjepaError, match="do not tell 'pku1/xview': it knows xsub"):
        split("pku1/xview", stand)


def test_transfers_lead_from_a_split_to_another_set():
    for source, target in TRANSFERS:
        assert source in SPLITS and target in SPLITS
        assert source.split("/")[0] != target.split("/")[0]
