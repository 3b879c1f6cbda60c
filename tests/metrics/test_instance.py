from __future__ import annotations

import math

import numpy as np
import pytest

from napari_coseg.metrics.instance import (
    AjiCounts,
    aji_counts,
    aji_plus_counts,
    best_assignment,
    match_objects,
)
from napari_coseg.metrics.overlap import overlap_of
from tests.metrics import reference


def test_aji_by_hand():
    # Truth 1 (4 px) and 2 (4 px); prediction 5 covers 3 + 2 of them, 6 lies alone (2 px).
    truth = np.array([[1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0]])
    prediction = np.array([[0, 5, 5, 5, 5, 5, 0, 0, 0, 0, 6, 6]])
    # 1 with 5: 3 of 6; 2 with 5 again: 2 of 7; 6 alone: 2.
    assert aji_counts(truth, prediction) == AjiCounts(5, 15)
    # One to one: 1 with 5: 3 of 6; 2 alone: 4; 6 alone: 2.
    assert aji_plus_counts(truth, prediction) == AjiCounts(3, 12)
    assert aji_counts(truth, prediction).aji == pytest.approx(1 / 3)


def test_aji_equals_the_plain_definition(label_pair):
    truth, prediction = label_pair
    assert aji_counts(truth, prediction) == AjiCounts(*reference.aji(truth, prediction))


def test_aji_plus_equals_the_plain_definition(label_pair):
    truth, prediction = label_pair
    counts = aji_plus_counts(truth, prediction)
    assert counts == AjiCounts(*reference.aji_plus(truth, prediction))


def test_aji_tie_takes_the_larger_pair():
    # Truth 1 shares 1/3 with both: one pixel of three, or two of six.
    truth = np.array([1, 1, 1, 0, 0, 0])
    prediction = np.array([4, 3, 3, 3, 3, 3])
    assert reference.iou_table(truth, prediction) == {(1, 4): 1 / 3, (1, 3): 2 / 6}
    assert aji_counts(truth, prediction) == AjiCounts(2, 7)
    assert aji_counts(truth, prediction) == AjiCounts(*reference.aji(truth, prediction))


def test_aji_without_objects():
    empty, one = np.zeros((3, 3), int), np.eye(3, dtype=int)
    assert math.isnan(aji_counts(empty, empty).aji)
    assert math.isnan(aji_plus_counts(empty, empty).aji)
    assert aji_counts(one, empty) == aji_counts(empty, one) == AjiCounts(0, 3)


def test_aji_of_images_adds_up(label_pair):
    truth, prediction = label_pair
    twice = aji_counts(truth, prediction) + aji_counts(truth, truth)
    area = int((truth > 0).sum())
    one = aji_counts(truth, prediction)
    assert twice == AjiCounts(one.intersection + area, one.union + area)


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 0.5, 0.7])
@pytest.mark.parametrize("inclusive", [False, True])
def test_matches_equal_the_plain_definition(label_pair, threshold, inclusive):
    truth, prediction = label_pair
    table = reference.iou_table(truth, prediction)
    expected = reference.best_matching(table, threshold, inclusive)
    overlap = overlap_of(truth, prediction)
    matches = match_objects(overlap, threshold, inclusive=inclusive)
    assert len(matches.iou) == len(expected)
    found = list(
        zip(
            overlap.truth_ids[matches.truth_index].tolist(),
            overlap.prediction_ids[matches.prediction_index].tolist(),
            strict=True,
        )
    )
    assert [table[pair] for pair in found] == pytest.approx(matches.iou.tolist())
    assert len(set(matches.truth_index.tolist())) == len(found)
    assert len(set(matches.prediction_index.tolist())) == len(found)
    if not inclusive and threshold >= 0.5:
        assert sorted(found) == sorted(expected)


def test_exactly_half_is_no_match_unless_asked():
    truth, prediction = np.array([1, 1, 0]), np.array([4, 0, 0])
    overlap = overlap_of(truth, prediction)
    assert len(match_objects(overlap, 0.5).iou) == 0
    assert match_objects(overlap, 0.5, inclusive=True).iou.tolist() == [0.5]


def test_low_threshold_prefers_more_matches():
    # 1 overlaps 8 well and 9 a little; 2 overlaps 8 only: giving 8 to 2 makes two matches.
    truth = np.array([1, 1, 1, 1, 1, 1, 2, 2, 2, 0])
    prediction = np.array([9, 8, 8, 8, 8, 8, 8, 8, 0, 0])
    overlap = overlap_of(truth, prediction)
    assert len(match_objects(overlap, 0.1).iou) == 2
    assert len(match_objects(overlap, 0.5).iou) == 1


def test_assignment_equals_the_dense_one():
    from scipy.optimize import linear_sum_assignment

    random = np.random.default_rng(3)
    for _ in range(20):
        table = random.random((9, 7)) * (random.random((9, 7)) < 0.4)
        rows, columns = np.nonzero(table)
        chosen = best_assignment(rows, columns, table[rows, columns])
        dense = table[linear_sum_assignment(-table)].sum()
        assert table[rows[chosen], columns[chosen]].sum() == pytest.approx(dense)
        assert len(set(rows[chosen].tolist())) == len(set(columns[chosen].tolist()))
        assert len(set(rows[chosen].tolist())) == len(chosen)


def test_assignment_of_nothing():
    nothing = np.zeros(0, np.int64)
    assert best_assignment(nothing, nothing, np.zeros(0)).tolist() == []
