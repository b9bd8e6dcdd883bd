"""Who trains and who tests: protocols, labelled subsets, the published clips by name."""

import hashlib
from collections import Counter
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from formats import refused
from sound import some_clips

from sjepa.config import ROOT
from sjepa.datasets import open_store, subsets, write_store
from sjepa.datasets.formats.ntu_clips import lacks, missing, published_names
from sjepa.datasets.splits import SPLITS, TRANSFERS, leaked, reported_parts, split
from sjepa.datasets.subsets import labelled_subset, main, published_subset, rank_key


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


def test_unknown_and_foreign_splits_are_refused(store):
    with refused("unknown split 'synthetic/xset': .* knows synthetic/xsub"):
        split("synthetic/xset", store)
    with refused("not of the store 'synthetic'"):
        split("nwucla/xview", store)
    with refused("unknown split 'pku1/xsub': .* knows none, make it with "):
        split("pku1/xsub", Stand("pku1", [1]))  # only the owners' list, which a store carries


@pytest.mark.parametrize("stand, said", [
    (Stand("ntu60", [1, 3], labels=np.array([0, 1])), "training part has no clip of: empty"),
    (Stand("ntu60", [1, 2, 4]), "the test part has no clip at all: the store at here"),
    (Stand("ntu60", [3, 6]), "the training part has no clip at all"),
])
def test_a_side_that_lacks_clips_is_named(stand, said):
    with refused(said):
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
    with refused("unknown split 'ntu60/xview': .* knows ntu60/xsub"):
        split("ntu60/xview", stand)  # its clips have no views


def test_transfers_lead_from_a_split_to_another_set():
    for source, target in TRANSFERS:
        assert source in SPLITS and target in SPLITS
        assert source.split("/")[0] != target.split("/")[0]


def test_key_is_a_known_hash():
    # printf '0:S001C001P001R001A001' | sha256sum
    known = "1aae8c1904118472fe0b9a56ad93966d4fd7d87e47540839ca45131aabb5343c"
    assert rank_key(0, "S001C001P001R001A001") == known


def fake(counts):
    """A store of `counts` clips a class, named by their place."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return Stand("fake", labels, labels=labels)


def test_known_answer():
    store = fake([4, 3])
    # SHA-256 of 7:c0 … 7:c6 begins fc80, 4dd4, 4efd, 1486; 972f, b392, 4eb9. Half of three is two.
    assert labelled_subset(store, np.arange(7), 0.5, 7).tolist() == [1, 3, 4, 6]
    train = np.array([0, 2, 4, 5])  # of the training clips alone
    assert labelled_subset(store, train, 0.5, 7).tolist() == [2, 4]


def test_every_class_keeps_its_share_and_at_least_one():
    counts = [1, 10, 25, 149, 151, 700]
    store = fake(counts)
    for share, wanted in ((0.01, [1, 1, 1, 1, 2, 7]), (0.1, [1, 1, 2, 15, 15, 70]),
                          (1.0, counts)):
        kept = labelled_subset(store, np.arange(sum(counts)), share, 0)
        assert np.bincount(store.labels[kept]).tolist() == wanted
        assert (np.diff(kept) > 0).all()


def lists():
    """Checksum and file name of every published list, with what its name says."""
    folder = ROOT / "sjepa" / "datasets" / "lists" / "labelled"
    for line in (folder / "SHA256SUMS.txt").read_text().splitlines():
        digest, file = line.split()
        dataset, protocol, percent, seed = file.removesuffix(".txt").split("-")
        share = int(percent.removesuffix("pct")) / 100
        yield folder / file, digest, f"{dataset}/{protocol}", share, int(seed[4:])


def test_the_lists_written_down_are_those_of_the_rule(monkeypatch):
    monkeypatch.setattr(subsets, "rank_key", cache(rank_key))  # lists of one seed share their keys
    seen = set()
    for path, digest, name, share, seed in lists():
        names = published_subset(name, share, seed)
        text = "".join(f"{each}\n" for each in names)
        assert hashlib.sha256(text.encode()).hexdigest() == digest, path.name
        assert not (share == 0.01) or path.read_text() == text
        per_class = np.bincount([int(each[-3:]) for each in names])[1:]
        trained = SPLITS[name].counts[0] / 60
        assert len(per_class) == 60 and abs(per_class - share * trained).max() < 0.02 * trained
        seen.add((name, share, seed))
    assert len(seen) == 20


def test_the_command_prints_a_list(capsys):
    main(["ntu60/xsub", "--share", "0.01", "--seed", "2"])
    path = next(p for p, _, name, share, seed in lists() if (name, share, seed) == (
        "ntu60/xsub", 0.01, 2))
    assert capsys.readouterr().out == path.read_text()
    for args, said in ((["ntu60/xall", "--share", "0.1"], "unknown split 'ntu60/xall'|no store of"),
                       (["ntu60/xsub", "--share", "10"], "--share 10.0: expected above 0")):
        with refused(said):
            main(args)


@cache
def said(name: str) -> dict[str, np.ndarray]:
    """What the names of the published clips of a set say, by the letters S, C, P, R, A."""
    names = published_names(name)
    return {letter: np.array([int(each[4 * k + 1 : 4 * k + 4]) for each in names])
            for k, letter in enumerate("SCPRA")}


@pytest.mark.parametrize("name", [name for name in SPLITS if name.startswith("ntu")])
def test_the_rules_make_the_official_splits_of_the_published_names(name):
    of = said(name.split("/")[0])
    trains = SPLITS[name].trains(Stand(name, of["P"], views=of["C"], setups=of["S"]))
    assert (trains.sum(), (~trains).sum()) == SPLITS[name].counts


@pytest.mark.parametrize("name, usable, recorded, performers, actions", [
    ("ntu60", 56_578, 56_880, 40, 60),
    ("ntu120", 113_945, 114_480, 106, 120),
])
def test_as_many_as_the_owners_count(name, usable, recorded, performers, actions):
    names, of = published_names(name), said(name)
    assert len(names) == len(set(names)) == usable
    assert set(of["P"]) == set(range(1, performers + 1))
    assert set(of["A"]) == set(range(1, actions + 1))
    recordings = Counter(each[:16] for each in names)
    assert len(recordings) * 60 == recorded
    # what a recording lacks of its 60 actions stands on the owners' list, name by name
    left_out = Counter(each[:16] for each in missing() if each[:16] in recordings)
    assert {each: 60 - count for each, count in recordings.items() if count < 60} == left_out
    assert left_out.total() == recorded - usable


def test_no_performer_was_exchanged_for_another_of_the_same_side():
    """No count would tell; the digest is that of the names checked against public lists."""
    names = "\n".join(published_names("ntu120"))
    assert hashlib.sha256(names.encode()).hexdigest()[:16] == "d3370d949a1377de"


def test_what_is_gone_is_told_by_its_setup():
    words = lacks([name for name in published_names("ntu60") if "S007C002" not in name], "ntu60")
    assert words == ["ntu60 lacks 1,429 of 56,578 published clips, S007C002P001R001A001 first; "
                     "by setup: 7 (1,429)"]
    assert lacks(published_names("ntu60"), "ntu60") == []


def test_names_that_are_not_published_are_told():
    left_out = min(missing())  # published, but not to be used
    strange = ["S018C001P008R001A061", "notes", left_out, "S001C001P009R001A001"]
    found = published_names("ntu60") + strange
    assert lacks(found, "ntu60") == [
        "not among the usable published clips of ntu60: S001C001P009R001A001, "
        f"{left_out}, S018C001P008R001A061 and 1 more"]
    assert lacks(found[1:], "ntu60")[0] == (
        f"ntu60 lacks 1 of 56,578 published clips, {found[0]} first; by setup: 1 (1)")
