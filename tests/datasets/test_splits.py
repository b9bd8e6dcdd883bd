"""Every protocol's training and test clips."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_store import some_clips

from sjepa.datasets import open_store, write_store
from sjepa.datasets.splits import SPLITS, TRANSFERS, leaked, reported_parts, split
from sjepa.errors import SjepaError


class Stand(SimpleNamespace):
    """A stand-in for a store: one clip a subject, unless `columns` say otherwise."""

    def __init__(self, name, subjects, **columns):
        count = len(subjects)
        plain = dict(views=np.zeros(count, int), setups=np.zeros(count, int), sides={},
                     labels=np.zeros(count, int), names=np.array([f"c{k}" for k in range(count)]))
        super().__init__(meta={"name": name}, subjects=np.array(subjects), path="here",
                         classes=["a", "empty"], **(plain | columns))

    def __len__(self):
        return len(self.subjects)


def test_synthetic_splits_share_nobody(store):
    for name, column in (("xsub", store.subjects), ("xview", store.views)):
        train, test = split(f"synthetic/{name}", store)
        assert not set(column[train]) & set(column[test]) and len(train) + len(test) == len(store)


def test_unknown_and_foreign_splits_are_refused(store):
    with pytest.raises(SjepaError, match="unknown split 'synthetic/xset': .* knows synthetic/xsub"):
        split("synthetic/xset", store)
    with pytest.raises(SjepaError, match="not of the store 'synthetic'"):
        split("nwucla/xview", store)
    with pytest.raises(SjepaError, match="unknown split 'pku1/xsub': .* knows none, make it with "):
        split("pku1/xsub", Stand("pku1", [1]))  # only the owners' list, which a store carries


@pytest.mark.parametrize("stand, said", [
    (Stand("ntu60", [1, 3], labels=np.array([0, 1])), "training part has no clip of: empty"),
    (Stand("ntu60", [1, 2, 4]), "the test part has no clip at all: the store at here"),
    (Stand("ntu60", [3, 6]), "the training part has no clip at all"),
])
def test_a_side_that_lacks_clips_is_named(stand, said):
    with pytest.raises(SjepaError, match=said):
        split("ntu60/xsub", stand)


def test_leaked_clips_are_found_by_content(tmp_path):
    one, two, _ = some_clips()
    store = open_store(write_store(tmp_path / "synthetic", [one, one, two, two + 1], [0] * 4,
                                   views=[1, 0, 0, 2]))
    train, test = split("synthetic/xview", store)
    assert leaked(store, train, test).tolist() == [True, False]
    parts = reported_parts("synthetic/xview", store, train, test)
    assert {k: v.tolist() for k, v in parts.items()} == {
        "synthetic/xview": [True, True], "synthetic/xview-clean": [False, True],
        "synthetic/xview-leaked": [True, False]}


def test_the_stores_own_lists_come_before_the_rule():
    stand = Stand("ntu60", [1, 3, 1, 3], sides={"xsub": np.array([2, 1, 0, 1])})
    assert [side.tolist() for side in split("ntu60/xsub", stand)] == [[1, 3], [0]]
    with pytest.raises(SjepaError, match="unknown split 'ntu60/xview': .* knows ntu60/xsub"):
        split("ntu60/xview", stand)  # its clips have no views


def test_transfers_lead_from_a_split_to_another_set():
    for source, target in TRANSFERS:
        assert source in SPLITS and target in SPLITS
        assert source.split("/")[0] != target.split("/")[0]
