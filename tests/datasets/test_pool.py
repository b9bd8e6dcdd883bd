"""The open pool: which clips enter it, under which names; splits for choosing a recipe."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from formats import refused

from sjepa.datasets import build, open_store, prepare_store, spec, write_store
from sjepa.datasets.sources import pool
from sjepa.datasets.splits import content_hashes, draw_weights, leaked_between, split

PLACES = {  # subject and view of each clip
    "bandai": [(-1, 1), (-1, 2)],
    "kindergator": [(565, 0), (577, 0), (970, 0), (106, 0)],
    "nwucla": [(1, 1), (1, 3), (2, 2), (2, 3)],
    "hdm05": [(0, 0), (3, 0)], "wmft": [(1, 0), (2, 0), (5, 0)],
    "islkinect": [(1, 1), (1, 3), (5, 2), (2, 1)], "uiprmd": [(1, 1), (2, 2), (5, 2)],
    "gait": [(1, 1), (5, 3), (2, 5)], "kard": [(1, 0), (2, 0), (7, 0)],
    "msrdaily": [(1, 0), (6, 0), (4, 0)], "cmu14": [(1, 0)], "florence": [(1, 0), (2, 0)],
    "sbu": [(1, 0), (2, 0)],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Where stores are found, and where the pool is made."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SJEPA_DATA", str(folder))
        patch.setattr(build, "ROOT", folder)
        yield folder


@pytest.fixture(scope="module")
def stores(home):
    """Small stores, with clips on both sides of each protocol."""
    rng = np.random.default_rng(0)
    return {name: open_store(write_store(
        home / name, [rng.normal(size=(5 + i, 25, 3)) for i in range(len(places))],
        [len(spec(name).classes) - 1] * len(places), classes=spec(name).classes,
        names=[f"clip{i}" for i in range(len(places))],
        subjects=[subject for subject, _ in places], views=[view for _, view in places]))
        for name, places in PLACES.items()}


@pytest.fixture(scope="module")
def pooled(stores, home):
    """The pool of all of them."""
    return open_store(prepare_store("pool", home, home, workers=1))


def test_no_test_clip_enters_the_pool(stores, pooled):
    inside = set(content_hashes(pooled))
    for name, part in pool.MEMBERS.items():
        train, test = split(part, stores[name]) if part else (np.arange(len(stores[name])), [])
        if name != "bandai":  # which is turned
            assert set(content_hashes(stores[name])[train]) <= inside
        assert not set(content_hashes(stores[name])[test]) & inside
    turned = split("islkinect/xview13", stores["islkinect"])[1]
    assert not set(content_hashes(stores["islkinect"])[turned]) & inside
    train, test = split("pool/all", pooled)
    assert len(train) == len(pooled) and len(test) == 0
    assert set(pool.member_of(pooled)) == set(PLACES)
    for part, sets in (("public", set(pool.PUBLIC)), ("new", set(PLACES) - set(pool.NEW))):
        assert set(pool.member_of(pooled)[split(f"pool/{part}", pooled)[0]]) == sets
    with refused("not of the store"):
        split("pool/all", stores["bandai"])


def test_bandai_faces_the_camera_in_the_pool_and_is_known_by_its_names(stores, pooled):
    """Half a turn about the vertical: distances stay, and so does the height; no mirror."""
    clips = {str(name): pooled.clip(i) for i, name in enumerate(pooled.names)}
    for i, name in enumerate(stores["bandai"].names):
        np.testing.assert_array_equal(clips[f"bandai_{name}"],
                                      stores["bandai"].clip(i) * np.float32((-1, 1, -1)))
    assert np.array_equal(clips["kindergator_clip0"], stores["kindergator"].clip(0))
    for part, known in (("all", True), ("public", False)):
        train, _ = split(f"pool/{part}", pooled)
        found = leaked_between(pooled, train, stores["bandai"], np.arange(2))
        assert found.tolist() == [known, known]


def test_what_judges_a_recipe_was_not_pretrained_on(stores, pooled):
    """`pool/val` is the pool less the test sides of the two validation splits, and no more."""
    search = set(pooled.names[split("pool/val", pooled)[0]])
    judged = {f"{name}_{clip}" for name in PLACES if "val" in spec(name).splits
              for clip in stores[name].names[split(f"{name}/val", stores[name])[1]]}
    assert set(pooled.names) - search == judged and len(judged) == 8
    for name, part in pool.MEMBERS.items():
        if "val" in spec(name).splits:
            train, test = split(part, stores[name])
            chosen = np.concatenate(split(f"{name}/val", stores[name]))
            assert set(chosen) == set(train) and not set(chosen) & set(test)


def test_labels_and_names_tell_the_member(stores, pooled):
    for label, name in zip(pooled.labels, pooled.names, strict=True):
        member = name.partition("_")[0]
        assert pooled.classes[label] == f"{member}: {stores[member].classes[-1]}"
    assert tuple(pooled.classes) == pool.CLASSES


def test_sets_are_drawn_as_their_clips_to_a_power(stores, pooled):
    train, _ = split("pool/all", pooled)
    assert draw_weights("pool/all", pooled, train, 1.0) is None
    of = pool.member_of(pooled)[train]
    for power in (0.0, 0.5):
        weights = draw_weights("pool/all", pooled, train, power)
        shares = {name: weights[of == name].sum() / weights.sum() for name in PLACES}
        wanted = {name: (of == name).sum() ** power for name in PLACES}
        assert shares == pytest.approx({n: w / sum(wanted.values()) for n, w in wanted.items()})
    with refused("set_power = 0.5: nwucla/xview is one set"):
        draw_weights("nwucla/xview", stores["nwucla"], np.arange(1), 0.5)


def test_parts_of_a_pool_are_nested():
    names = np.array([f"a_{k}" for k in range(4000)])
    store = SimpleNamespace(names=names)
    parts = [pool.share_of(store, eighths) for eighths in (1, 2, 4, 8)]
    for small, large in pairwise(parts):
        assert (large | ~small).all()
    np.testing.assert_allclose([part.mean() for part in parts], (1 / 8, 1 / 4, 1 / 2, 1), atol=0.03)
