from __future__ import annotations

import math

import numpy as np
import pytest

from napari_coseg.metrics.semantic import DiceCounts, dice_counts


def test_by_hand():
    truth = np.array([[1, 1, 2, 0], [1, 2, 2, 255]])
    prediction = np.array([[1, 2, 2, 1], [1, 2, 0, 1]])
    found = dice_counts(truth, prediction, [1, 2, 3])
    # The last pixel of the prediction is ignored.
    assert found[1] == DiceCounts(intersection=2, truth=3, prediction=3)
    assert found[2] == DiceCounts(intersection=2, truth=3, prediction=3)
    assert found[3] == DiceCounts()
    assert found[1].dice == pytest.approx(2 / 3)
    assert found[1].iou == pytest.approx(0.5)


def test_ignored_value_as_a_class():
    truth, prediction = np.array([255, 1]), np.array([255, 1])
    assert dice_counts(truth, prediction, [255])[255] == DiceCounts()
    assert dice_counts(truth, prediction, [255], ignore=None)[255] == DiceCounts(1, 1, 1)


def test_absent_invented_and_missed_class():
    empty, full = np.zeros((3, 3), int), np.ones((3, 3), int)
    absent = dice_counts(empty, empty, [1])[1]
    assert math.isnan(absent.dice)
    assert math.isnan(absent.iou)
    for truth, prediction in ((empty, full), (full, empty)):
        counts = dice_counts(truth, prediction, [1])[1]
        assert counts.dice == counts.iou == 0


@pytest.mark.parametrize("shape", [(20, 30), (6, 7, 8)])
def test_equals_masks(shape):
    random = np.random.default_rng(0)
    truth, prediction = random.integers(0, 4, (2, *shape))
    truth[random.random(shape) < 0.1] = 255
    known = truth != 255
    for class_id, counts in dice_counts(truth, prediction, [1, 2, 3]).items():
        t, p = (truth == class_id)[known], (prediction == class_id)[known]
        assert counts.dice == pytest.approx(2 * (t & p).sum() / (t.sum() + p.sum()))
        assert counts.iou == pytest.approx((t & p).sum() / (t | p).sum())


def test_pooled_over_images_equals_one_image():
    random = np.random.default_rng(1)
    truth, prediction = random.integers(0, 3, (2, 40, 20))
    whole = dice_counts(truth, prediction, [1])[1]
    upper = dice_counts(truth[:11], prediction[:11], [1])[1]
    assert upper + dice_counts(truth[11:], prediction[11:], [1])[1] == whole
