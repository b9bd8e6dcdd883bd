"""Labelled subsets: the rule by hand, its promises, the list on disk."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest

from sjepa.config import ROOT
from sjepa.datasets.splits import SPLITS
from sjepa.datasets.subsets import labelled_subset, main, published_subset, rank_key
from sjepa.errors import SjepaError


def test_key_is_a_known_hash():
    # printf '0:S001C001P001R001A001' | sha256sum
    known = "1aae8c1904118472fe0b9a56ad93966d4fd7d87e47540839ca45131aabb5343c"
    assert rank_key(0, "S001C001P001R001A001") == known


def fake(counts):
    """A store of `counts` clips a class, named by their place."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return SimpleNamespace(labels=labels, names=np.array([f"c{i}" for i in range(len(labels))]))


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


def test_the_lists_written_down_are_those_of_the_rule():
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
        with pytest.raises(SjepaError, match=said):
            main(args)
