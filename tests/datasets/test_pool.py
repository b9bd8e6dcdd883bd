"""The open pool: which clips enter it, under which names; splits for choosing a recipe."""

import dataclasses

import numpy as np
import pytest

from sjepa import evaluate
from sjepa.config import make_config
from sjepa.datasets.catalogue import SOURCES
from sjepa.datasets.sources import bandai, kindergator, nwucla, pool
from sjepa.datasets.splits import KINDERGATOR_TRAIN, KINDERGATOR_VALIDATION, leaked_between, split
from sjepa.datasets.store import content_hash, open_store
from sjepa.datasets.writer import StoreWriter
from sjepa.errors import SjepaError
from sjepa.protocols.config import KnnConfig

PLACES = {  # subject and view of each clip
    "bandai": [(-1, 1), (-1, 2)],
    "kindergator": [(565, 0), (577, 0), (970, 0), (106, 0)],
    "nwucla": [(1, 1), (1, 3), (2, 2), (2, 3)],
}


@pytest.fixture
def stores(tmp_path):
    """Three small stores, with clips on both sides of each protocol."""
    rng, made = np.random.default_rng(0), {}
    for name, module in (("bandai", bandai), ("kindergator", kindergator), ("nwucla", nwucla)):
        with StoreWriter(tmp_path / name, name, module.CLASSES) as writer:
            for i, (subject, view) in enumerate(PLACES[name]):
                clip = rng.normal(size=(5 + i, 1, 25, 3)).astype(np.float32)
                writer.add(clip, label=1, name=f"clip{i}", subject=subject, view=view, rep=0)
        made[name] = open_store(tmp_path / name)
    return made


@pytest.fixture
def pooled(stores, tmp_path):
    """The pool of the three, as a store."""
    with StoreWriter(tmp_path / "pool", "pool", pool.classes()) as writer:
        for job in pool.jobs(stores.__getitem__):
            for item in job.read():
                writer.add(**vars(item))
    return open_store(tmp_path / "pool")


def test_no_test_clip_enters_the_pool(stores):
    items = [item for job in pool.jobs(stores.__getitem__) for item in job.read()]
    inside = {content_hash(item.clip) for item in items}
    for name, part in (("kindergator", "xsub"), ("nwucla", "xview")):
        train, test = split(f"{name}/{part}", stores[name])
        assert {content_hash(stores[name].clip(i)) for i in train} <= inside
        assert not {content_hash(stores[name].clip(i)) for i in test} & inside
    assert len(items) == 2 + 2 + 2


def test_bandai_faces_the_camera_in_the_pool(stores):
    """Half a turn about the vertical: distances stay, and so does the height; no mirror."""
    items = {item.name: item.clip for job in pool.jobs(stores.__getitem__) for item in job.read()}
    for i, name in enumerate(stores["bandai"].names):
        clip, turned = stores["bandai"].clip(i), items[f"bandai_{name}"]
        matrix, *_ = np.linalg.lstsq(clip.reshape(-1, 3), turned.reshape(-1, 3), rcond=None)
        assert np.allclose(matrix, np.diag([-1, 1, -1]), atol=1e-5)
    assert np.array_equal(items["kindergator_clip0"], stores["kindergator"].clip(0))


def test_a_member_turned_otherwise_is_another_job(stores, monkeypatch):
    before = [job.stamp for job in pool.jobs(stores.__getitem__)]
    monkeypatch.setitem(pool.MEMBERS, "bandai", pool.Member(bandai, None))
    after = [job.stamp for job in pool.jobs(stores.__getitem__)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, True, True]


def test_a_turned_clip_is_known_by_its_name(stores, pooled):
    every = np.arange(2)
    assert leaked_between(pooled, np.arange(len(pooled)), stores["bandai"], every).all()
    kinect = split("pool/kinect", pooled)[0]
    assert len(kinect) == 4
    assert not leaked_between(pooled, kinect, stores["bandai"], every).any()


def test_what_judges_a_recipe_was_not_pretrained_on(stores, pooled):
    """`pool/val` is the pool less the test sides of the two validation splits, and no more."""
    search = set(pooled.names[split("pool/val", pooled)[0]])
    assert search == {"bandai_clip0", "bandai_clip1", "kindergator_clip0", "nwucla_clip0"}
    assert set(pooled.names[split("pool/kinect-val", pooled)[0]]) == {
        name for name in search if not name.startswith("bandai")}
    judged = {f"{name}_{clip}" for name in ("kindergator", "nwucla")
              for clip in stores[name].names[split(f"{name}/val", stores[name])[1]]}
    assert set(pooled.names) - search == judged


def test_labels_and_names_tell_the_member(stores):
    names = pool.classes()
    items = [item for job in pool.jobs(stores.__getitem__) for item in job.read()]
    for item in items:
        member = item.name.partition("_")[0]
        assert names[item.label] == f"{member}: {stores[member].classes[1]}"
    assert len({item.name for item in items}) == len(items)
    assert SOURCES["pool"].classes(None, None) == names and len(set(names)) == len(names)


def test_a_member_that_changed_changes_the_job(stores):
    before = [job.stamp for job in pool.jobs(stores.__getitem__)]
    path = stores["nwucla"].path / "store.json"
    path.write_text(path.read_text() + "\n")
    after = [job.stamp for job in pool.jobs(stores.__getitem__)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False]


def test_the_pool_has_no_test_side(stores, pooled):
    train, test = split("pool/all", pooled)
    assert len(train) == len(pooled) == 6 and len(test) == 0
    with pytest.raises(SjepaError, match="not of the store"):
        split("pool/all", stores["bandai"])


def test_recipes_are_chosen_within_the_training_part(stores):
    for name, part in (("kindergator", "xsub"), ("nwucla", "xview")):
        train, test = split(f"{name}/{part}", stores[name])
        chosen = np.concatenate(split(f"{name}/val", stores[name]))
        assert set(chosen) == set(train) and not set(chosen) & set(test)
    assert set(KINDERGATOR_VALIDATION) < set(KINDERGATOR_TRAIN)


def test_a_test_clip_of_the_pretraining_is_counted(stores, tiny, monkeypatch):
    """NW-UCLA's first clip, put among the test clips, is found in the pool."""
    monkeypatch.setattr(evaluate, "load_store", lambda name: stores[name])

    class Stub:
        config = make_config(KnnConfig, {"dataset": "kindergator"})
        pretraining = dataclasses.replace(tiny, dataset="nwucla", split="nwucla/xview")
        store = stores["nwucla"]
        test = np.array([0, 1, 3])

    assert evaluate.seen_before(Stub).startswith("1 of 3 test clips are copies of clips of nwucla")
    Stub.pretraining = dataclasses.replace(tiny, dataset="pool", split="pool/all")
    monkeypatch.setattr(evaluate, "load_store", raise_missing)
    assert evaluate.seen_before(Stub).startswith("not checked")
    Stub.config = make_config(KnnConfig, {"dataset": "kindergator", "method": "random"})
    assert evaluate.seen_before(Stub) == ""


def raise_missing(name):
    raise SjepaError(f"no store of {name}")
