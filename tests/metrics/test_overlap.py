from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from napari_coseg.metrics import overlap
from napari_coseg.metrics.overlap import count_pairs, object_overlap, overlap_of
from napari_coseg.types import CosegError


def counted(pairs):
    columns = (pairs.truth.tolist(), pairs.prediction.tolist())
    return dict(zip(zip(*columns, strict=True), pairs.pixels.tolist(), strict=True))


def by_loop(truth, prediction):
    counts = {}
    for pair in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        counts[pair] = counts.get(pair, 0) + 1
    return counts


def test_pairs_by_hand():
    truth = np.array([[0, 5, 5], [0, 5, 9]])
    prediction = np.array([[2, 2, 2], [0, 3, 2]])
    assert counted(count_pairs(truth, prediction)) == {
        (0, 0): 1,
        (0, 2): 1,
        (5, 2): 2,
        (5, 3): 1,
        (9, 2): 1,
    }


def test_pairs_equal_a_loop(label_pair):
    truth, prediction = label_pair
    assert counted(count_pairs(truth, prediction)) == by_loop(truth, prediction)


def test_pairs_of_noise_and_of_blocks(monkeypatch):
    random = np.random.default_rng(0)
    truth, prediction = random.integers(0, 40, (2, 61, 47))
    expected = by_loop(truth, prediction)
    assert counted(count_pairs(truth, prediction)) == expected
    monkeypatch.setattr(overlap, "_BLOCK", 100)
    assert counted(count_pairs(truth, prediction)) == expected


def test_pairs_do_not_depend_on_memory_order():
    random = np.random.default_rng(1)
    truth, prediction = random.integers(0, 5, (2, 20, 30))
    expected = by_loop(truth, prediction)
    assert counted(count_pairs(np.asfortranarray(truth), prediction)) == expected
    assert counted(count_pairs(truth.T, prediction.T)) == expected


def test_huge_ids_are_counted():
    truth = np.array([2**62, 2**62, 0, 1], np.int64)
    prediction = np.array([2**61, 2**61, 2**61, 0], np.int64)
    assert counted(count_pairs(truth, prediction)) == by_loop(truth, prediction)


def test_windows_add_up():
    random = np.random.default_rng(2)
    truth, prediction = random.integers(0, 9, (2, 30, 40))
    left = count_pairs(truth[:, :17], prediction[:, :17])
    right = count_pairs(truth[:, 17:], prediction[:, 17:])
    assert counted(left + right) == by_loop(truth, prediction)


def test_bool_masks_count_as_one_object():
    mask = np.array([True, False, True])
    assert counted(count_pairs(mask, mask)) == {(0, 0): 1, (1, 1): 2}


def test_empty_image():
    assert counted(count_pairs(np.zeros((0, 4), int), np.zeros((0, 4), int))) == {}
    assert len(overlap_of(np.zeros((0, 4), int), np.zeros((0, 4), int)).truth_ids) == 0


@pytest.mark.parametrize(
    ("truth", "prediction", "words"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), "2 x 3"),
        (np.array([0, -4]), np.array([0, 1]), "truth go down to -4"),
        (np.array([0, 1]), np.array([0.0, 1.0]), "prediction are of type float64"),
        (np.array([2**63 + 1], np.uint64), np.array([1]), "too large"),
    ],
)
def test_bad_labels_are_named(truth, prediction, words):
    with pytest.raises(CosegError, match=words):
        count_pairs(truth, prediction)


def test_overlap_facts():
    truth = np.array([[0, 5, 5, 0], [0, 5, 9, 9]])
    prediction = np.array([[2, 2, 2, 0], [0, 3, 2, 0]])
    found = overlap_of(truth, prediction)
    assert found.truth_ids.tolist() == [5, 9]
    assert found.truth_areas.tolist() == [3, 2]
    assert found.prediction_ids.tolist() == [2, 3]
    assert found.prediction_areas.tolist() == [4, 1]
    assert found.intersection.tolist() == [2, 1, 1]
    assert found.union.tolist() == [5, 3, 5]


def test_select_is_drawing_less(label_pair):
    truth, prediction = label_pair
    full = overlap_of(truth, prediction)
    truths, predictions = full.truth_ids % 2 == 0, full.prediction_ids % 2 == 1
    chosen = full.select(truths, predictions)
    drawn = overlap_of(
        np.where(truth % 2 == 0, truth, 0), np.where(prediction % 2 == 1, prediction, 0)
    )
    for name in ("truth_ids", "prediction_ids", "truth_areas", "prediction_areas"):
        assert getattr(chosen, name).tolist() == getattr(drawn, name).tolist()
    assert chosen.iou.tolist() == drawn.iou.tolist()


def test_ignored_truths_are_cut_out():
    truth = np.array([1, 1, 1, 1, 2, 2, 2, 0])
    prediction = np.array([7, 7, 7, 8, 8, 8, 8, 9])
    found = overlap_of(truth, prediction).without_truths(np.array([True, False]))
    # 7 lay in the ignored object and is gone, 8 lost one pixel of four, 9 never touched it.
    assert found.truth_ids.tolist() == [2]
    assert found.prediction_ids.tolist() == [8, 9]
    assert found.prediction_areas.tolist() == [3, 1]
    assert found.excused.tolist() == [False, False]


def test_prediction_mostly_in_ignored_truth_is_excused():
    truth = np.array([1, 1, 1, 0, 2])
    prediction = np.array([0, 7, 7, 7, 9])
    found = overlap_of(truth, prediction).without_truths(np.array([True, False]))
    assert found.prediction_ids.tolist() == [7, 9]
    assert found.excused.tolist() == [True, False]


def test_memory_follows_the_objects_not_their_product():
    """20,000 x 20,000 objects would be 3 GB as a matrix."""
    truth = np.repeat(np.arange(1, 20_001, dtype=np.int32), 20).reshape(400, 1000)
    tracemalloc.start()
    found = object_overlap(count_pairs(truth, np.roll(truth, 7)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.intersection) == 40_000
    assert peak < 50e6
