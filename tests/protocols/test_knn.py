"""Nearest neighbours and retrieval, by loops."""

import pytest
import torch
from torch.nn import functional as F

from sjepa.config import make_config
from sjepa.pretrain import Pretraining
from sjepa.protocols import knn as judge
from sjepa.protocols.config import KnnConfig, RetrievalConfig
from sjepa.protocols.context import set_up
from sjepa.protocols.features import extract


def test_votes_and_hits_by_loops():
    g = torch.Generator().manual_seed(0)
    train, test = torch.randn(60, 8, generator=g), torch.randn(37, 8, generator=g)
    labels, test_labels = (torch.randint(0, 6, (n,), generator=g) for n in (60, 37))
    voted = judge.knn(train, labels, test, (1, 5, 60), 6)
    hits = judge.recall(train, labels, test, test_labels, (1, 5, 10))
    for i in range(37):
        cosine = [(test[i] @ t / test[i].norm() / t.norm()).item() for t in train]
        order = sorted(range(60), key=lambda j: -cosine[j])
        for k, predicted in voted.items():
            votes = [sum(cosine[j] + 1 for j in order[:k] if labels[j] == c) for c in range(6)]
            assert predicted[i] == max(range(6), key=lambda c: votes[c])
        for k, hit in hits.items():
            assert hit[i].item() == any(labels[j] == test_labels[i] for j in order[:k])
    assert hits[1].sum() < hits[5].sum() < hits[10].sum()
    whole, parts = judge.nearest(train, test, (7,))[7], judge.nearest(train, test, (7,), batch=4)[7]
    torch.testing.assert_close(whole, parts)
    assert judge.nearest(train[:3], test, (7,))[7][1].shape == (37, 3)  # a gallery smaller than K


@pytest.mark.parametrize("levels", [0, 2])
def test_several_k_equal_one_search_for_each(levels):
    """To the bit, also where coarse features make many clips equally similar."""
    g = torch.Generator().manual_seed(levels)
    train, test = torch.randn(700, 6, generator=g), torch.randn(90, 6, generator=g)
    if levels:
        train, test = ((x * levels).round() + 0.5 for x in (train, test))
    labels = torch.randint(0, 9, (700,), generator=g)
    ks = (5, 1, 20, 1000, 5)
    together = judge.knn(train, labels, test, ks, 9)
    assert list(together) == [5, 1, 20, 1000]
    for k in ks:
        similarity = F.normalize(test, dim=1) @ F.normalize(train, dim=1).T
        alone = similarity.topk(min(k, 700), dim=1)
        votes = torch.zeros(90, 9).scatter_add_(
            1, labels[alone.indices], (alone.values + 1).clamp(min=0))
        assert torch.equal(together[k], votes.argmax(1))


def test_pretraining_looks_up_one_subject_among_the_others(store, tiny):
    run = Pretraining(tiny, store)
    features = F.normalize(extract(run.model.target.encoder, run.data, run.train), dim=1)
    subjects, labels = store.subjects[run.train], torch.from_numpy(store.labels[run.train])
    held = torch.from_numpy(subjects == subjects.min())
    nearest_one = (features[held] @ features[~held].T).argmax(1)
    right = labels[~held][nearest_one] == labels[held]
    assert judge.held_out_accuracy(run) == {"knn": pytest.approx(100 * right.float().mean().item())}
    assert 0 < right.sum() < len(right)


def test_readings_name_every_k(common):
    asked = common | {"ks": [1, 3]}
    one = judge.run_knn(set_up(make_config(KnnConfig, asked))).readings
    two = judge.run_retrieval(set_up(make_config(RetrievalConfig, asked))).readings
    assert list(one) == ["top1-k1", "top1-k3"] and list(two) == ["recall-at-1", "recall-at-3"]
    assert (one["top1-k1"].right == two["recall-at-1"].right).all()
    assert two["recall-at-1"].right.sum() <= two["recall-at-3"].right.sum()
    assert two["recall-at-1"].predicted is None
