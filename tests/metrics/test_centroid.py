from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from napari_coseg.metrics import centroid
from napari_coseg.metrics.centroid import (
    CentroidCounts,
    centroid_counts,
    centroid_counts_by_class,
    centroids,
    pair_all_points,
    pair_points,
)
from napari_coseg.types import CosegError


@pytest.mark.parametrize("spacing", [None, 0.25])
def test_centroids_equal_scipy(label_pair, spacing):
    for labels in label_pair:
        sizes = None if spacing is None else (spacing,) * labels.ndim
        ids, points = centroids(labels, sizes)
        expected = [i for i in np.unique(labels) if i]
        assert ids.tolist() == expected
        centres = np.array(ndimage.center_of_mass(labels > 0, labels, expected))
        factor = 1 if spacing is None else spacing
        assert points == pytest.approx(centres.reshape(points.shape) * factor)


def test_equal_labels_in_two_rows_are_one_object_not_one_run():
    # Flat memory has 3 3 | 3 0: the run must not go on over the end of the row.
    labels = np.array([[0, 3, 3], [3, 0, 0]])
    assert centroids(labels)[1].tolist() == [[1 / 3, 1.0]]


def test_pairs_lie_within_the_radius():
    truth = np.array([[0.0, 0.0], [50.0, 0.0]])
    prediction = np.array([[0.0, 12.0], [50.0, 12.1]])
    assert [index.tolist() for index in pair_points(truth, prediction)] == [[0], [0]]


def test_as_many_pairs_as_can_be_then_the_closest():
    truth = np.array([[0.0, 0.0], [0.0, 10.0]])
    # The nearest partner of both is the first prediction; only the first can use the second.
    prediction = np.array([[0.0, 1.0], [0.0, -9.0]])
    i, j = pair_points(truth, prediction)
    assert dict(zip(i.tolist(), j.tolist(), strict=True)) == {0: 1, 1: 0}
    i, j = pair_points(truth, np.array([[0.0, 1.0], [0.0, 9.0]]))
    assert dict(zip(i.tolist(), j.tolist(), strict=True)) == {0: 0, 1: 1}


def test_far_points_do_not_cost_a_near_pair():
    """Here the least total distance over all points would give up the pair at distance 0."""
    truth = np.array([[0.0, 0.0], [0.0, 100.0]])
    prediction = np.array([[0.0, 0.0], [0.0, -100.0]])
    assert centroid_counts(truth, prediction) == CentroidCounts(1, 0, 0, 1, 1)


def test_hover_net_pairs_all_points_first(monkeypatch):
    truth = np.array([[0.0, 0.0], [0.0, 20.0]])
    prediction = np.array([[0.0, 14.0], [10.0, 40.0]])
    # The second and the first lie 6 apart, but 6 + 41.2 is more than 14 + 22.4.
    assert centroid_counts(truth, prediction) == CentroidCounts(1, 0, 0, 1, 1)
    theirs = centroid_counts(truth, prediction, pair=pair_all_points)
    assert theirs == CentroidCounts(0, 0, 0, 2, 2)
    same = centroid_counts(truth, truth + 1, pair=pair_all_points)
    assert same == CentroidCounts(2)
    assert centroid_counts(truth, np.zeros((0, 2)), pair=pair_all_points).lone_truths == 2
    monkeypatch.setattr(centroid, "LARGEST_TABLE", 3)
    with pytest.raises(CosegError, match="table"):
        pair_all_points(truth, prediction)


def test_detection_by_hand():
    counts = CentroidCounts(right=3, lone_predictions=2, lone_truths=1)
    assert counts.f == pytest.approx(6 / 9)
    assert math.isnan(CentroidCounts().f)
    nothing, one = np.zeros((0, 2)), np.zeros((1, 2))
    assert centroid_counts(nothing, one) == CentroidCounts(lone_predictions=1)
    assert centroid_counts(one, nothing).f == 0


def test_classes_by_hand():
    truth = np.array([[0.0, 0], [0, 100], [0, 200], [0, 300]])
    prediction = np.array([[0.0, 1], [0, 101], [0, 500]])
    found = centroid_counts_by_class(
        truth, np.array([1, 1, 2, 1]), prediction, np.array([1, 2, 2]), [1, 2]
    )
    assert found[1] == CentroidCounts(1, 0, 1, 0, 1)
    assert found[2] == CentroidCounts(0, 1, 0, 1, 1)
    # HoVer-Net: 2 TP / (2 TP + 2 FP_c + 2 FN_c + FP_d + FN_d).
    assert found[1].f == pytest.approx(2 / (2 + 2 + 1))


def test_pairs_with_truth_of_unknown_class_do_not_count():
    points = np.array([[0.0, 0.0]])
    found = centroid_counts_by_class(points, np.array([0]), points, np.array([1]), [1])
    assert found[1] == CentroidCounts()
