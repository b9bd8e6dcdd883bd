"""Intervals against scipy and by hand; classes and pairs from a confusion matrix."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import confusion_matrix

from sjepa.protocols.fusion import Predictions
from sjepa.protocols.metrics import by_subject, interval, over_seeds, student_point, wilson
from sjepa.show.tables import class_table, confused_pairs, pairs_table


@pytest.mark.parametrize("right, clips", [(0, 7), (7, 7), (369, 464), (1, 20_000)])
def test_wilson_is_scipys(right, clips):
    theirs = stats.binomtest(right, clips).proportion_ci(method="wilson")
    assert wilson(right, clips) == pytest.approx((100 * theirs.low, 100 * theirs.high), abs=1e-4)


def test_people_are_drawn_whole_and_count_by_their_clips():
    """Ten people, each right on all clips or on none: as wide as ten clips, not as 500."""
    subjects = np.repeat(np.arange(10), 50)
    drawn = np.random.default_rng(1).binomial(10, 0.5, 20_000) * 10
    low, high = by_subject(subjects % 2 == 0, subjects)
    assert (low, high) == pytest.approx(np.percentile(drawn, (2.5, 97.5)), abs=5)
    assert by_subject(np.arange(500) % 2 == 0, subjects) == (50.0, 50.0)  # each half right
    unequal = np.array([0] * 90 + [1] * 10)
    drawn = {by_subject(unequal == 0, unequal, draws=1, seed=seed)[0] for seed in range(30)}
    assert drawn == {0.0, 90.0, 100.0}


def test_seeds_by_students_t():
    values = np.array([60.0, 62.0, 64.0])
    low, high = over_seeds(values)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 2, 62, 2 / 3**0.5), abs=1e-3)
    for degrees in (1, 2, 4, 9, 100):
        assert student_point(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=2e-4)
    assert over_seeds(np.array([99.0, 100.0]))[1] == 100.0
    assert over_seeds(np.array([50.0, 50.0])) == (50.0, 50.0)


def test_which_interval_a_reading_gets():
    right = np.array([[True, False] * 20])
    few, many = np.arange(40) % 4, np.arange(40) % 5
    assert interval(right, few) == wilson(20, 40)
    assert interval(right, many) == by_subject(right[0], many)
    assert interval(right | True, many) == wilson(40, 40)  # no error is no certainty
    assert interval(np.repeat(right, 3, 0), many) == (50.0, 50.0)


def test_confusion_and_what_follows_from_it():
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    predicted = np.array([0, 1, 2, 0, 1, 2, 0, 0])
    matrix = confusion_matrix(labels, predicted, labels=range(4))
    assert confused_pairs(matrix) == [(0, 2, 3), (0, 1, 2)]
    assert confused_pairs(matrix, 1) == [(0, 2, 3)]
    made = Predictions(None, labels, None, np.array([*"abcd"]), None, None, predicted)
    assert class_table(made).lines[2:] == [
        ["a", 3, "33.3"], ["c", 3, "33.3"], ["b", 2, "50.0"], ["d", 0, "–"]]  # no test clip
    assert pairs_table(made).lines[2:] == [["a", "c", 3], ["a", "b", 2]]
