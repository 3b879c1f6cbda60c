from __future__ import annotations

import math

import numpy as np
import pytest

from napari_coseg.metrics.overlap import overlap_of
from napari_coseg.metrics.panoptic import (
    PanopticCounts,
    connected_components,
    counts_from_overlap,
    instance_panoptic_counts,
    instance_panoptic_counts_by_class,
    majority_classes,
    region_panoptic_counts,
)
from napari_coseg.types import CosegError
from tests.metrics import reference
from tests.metrics.conftest import perturbed, random_labels


def as_tuple(counts):
    return counts.tp, counts.fp, counts.fn, pytest.approx(counts.iou_sum)


def test_counts_by_hand():
    truth = np.zeros((6, 8), np.int32)
    prediction = np.zeros((6, 8), np.int32)
    truth[:2, :2], truth[3:, 4:], truth[5, 0] = 5, 9, 300
    prediction[:2, :3], prediction[4:, 4:], prediction[0, 7] = 2, 1, 3
    # 5 with 2: 4 of 6; 9 with 1: 8 of 12; 3 is invented; 300 is missed.
    counts = instance_panoptic_counts(truth, prediction)
    assert (counts.tp, counts.fp, counts.fn) == (2, 1, 1)
    assert counts.iou_sum == pytest.approx(4 / 3)
    assert counts.sq == pytest.approx(2 / 3)
    assert counts.rq == counts.f1 == pytest.approx(2 / 3)
    assert counts.pq == pytest.approx(4 / 9)
    assert counts.precision == counts.recall == pytest.approx(2 / 3)
    assert (counts.truths, counts.predictions) == (3, 3)


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.9])
def test_counts_equal_the_plain_definition(label_pair, threshold):
    truth, prediction = label_pair
    counts = instance_panoptic_counts(truth, prediction, threshold)
    assert as_tuple(counts) == reference.panoptic(truth, prediction, threshold)


def test_perfect_and_shuffled_ids():
    random = np.random.default_rng(0)
    truth = random_labels(random, (40, 40), 12)
    renamed = random.permutation(1000)[truth] + 1
    renamed[truth == 0] = 0
    counts = instance_panoptic_counts(truth, renamed)
    assert counts.pq == counts.sq == counts.rq == 1
    assert counts.tp == len(np.unique(truth)) - 1


def test_sides_swapped(label_pair):
    truth, prediction = label_pair
    one = instance_panoptic_counts(truth, prediction)
    other = instance_panoptic_counts(prediction, truth)
    assert (one.tp, one.fp, one.fn) == (other.tp, other.fn, other.fp)
    assert one.iou_sum == pytest.approx(other.iou_sum)


def test_nothing_on_either_side_is_nan_and_on_one_side_zero():
    empty, one = np.zeros((4, 4), int), np.ones((4, 4), int)
    nothing = instance_panoptic_counts(empty, empty)
    assert nothing == PanopticCounts()
    for score in ("pq", "sq", "rq", "precision", "recall"):
        assert math.isnan(getattr(nothing, score))
        assert getattr(instance_panoptic_counts(empty, one), score) == 0
        assert getattr(instance_panoptic_counts(one, empty), score) == 0


def test_pooling_weighs_objects():
    pooled = sum([PanopticCounts(1, 0, 0, 0.8), PanopticCounts(0, 3, 2, 0)], PanopticCounts())
    assert pooled == PanopticCounts(1, 3, 2, 0.8)
    assert pooled.pq == pytest.approx(0.8 / 3.5)


def test_classes_match_inside_themselves():
    truth = np.array([1, 1, 0, 2, 2, 0, 3, 3])
    prediction = np.array([7, 7, 0, 8, 8, 0, 9, 9])
    by_class = instance_panoptic_counts_by_class(
        truth, {1: 1, 2: 2, 3: 2}, prediction, np.array([0] * 7 + [1, 1, 2]), [1, 2, 4]
    )
    # 8 lies on 2 under class 1 instead of 2: a false alarm there and a miss here.
    assert by_class == {
        1: PanopticCounts(1, 1, 0, 1.0),
        2: PanopticCounts(1, 0, 1, 1.0),
        4: PanopticCounts(),
    }


def test_each_class_equals_its_own_image(label_pair):
    truth, prediction = label_pair
    classes = {int(i): int(i) % 3 + 1 for i in [*np.unique(truth), *np.unique(prediction)]}
    by_class = instance_panoptic_counts_by_class(truth, classes, prediction, classes, [1, 2, 3])
    for class_id, counts in by_class.items():
        alone = reference.panoptic(
            np.where(truth % 3 + 1 == class_id, truth, 0),
            np.where(prediction % 3 + 1 == class_id, prediction, 0),
        )
        assert as_tuple(counts) == alone


def test_objects_of_unknown_class_are_left_out():
    truth = np.array([1, 1, 0, 2, 2, 0, 0])
    prediction = np.array([7, 7, 0, 8, 8, 0, 9])
    classes = {7: 1, 8: 1, 9: 1}
    found = instance_panoptic_counts_by_class(truth, {1: 1, 2: 255}, prediction, classes, [1])
    assert found[1] == PanopticCounts(1, 1, 0, 1.0)
    found = instance_panoptic_counts_by_class(truth, {1: 1}, prediction, classes, [1])
    assert found[1] == PanopticCounts(1, 1, 0, 1.0)
    found = instance_panoptic_counts_by_class(
        truth, {1: 1, 2: 2}, prediction, classes, [1], ignore_classes=()
    )
    assert found[1] == PanopticCounts(1, 2, 0, 1.0)


def test_region_components_touch_over_corners():
    mask = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    assert connected_components(mask).max() == 1
    cube = np.zeros((2, 2, 2), bool)
    cube[0, 0, 0] = cube[1, 1, 1] = True
    assert connected_components(cube).max() == 1


def test_regions_by_hand():
    truth = np.array([[1, 1, 0, 1, 1], [1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [2, 2, 2, 2, 2]])
    prediction = np.array([[1, 1, 0, 0, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 2, 2, 2]])
    found = region_panoptic_counts(truth, prediction, [1, 2])
    # Class 1: left part exact; right part 1 of 4; one false alarm in the last row.
    assert found[1] == PanopticCounts(1, 2, 1, 1.0)
    assert as_tuple(found[2]) == (1, 0, 0, 0.6)


def test_touching_region_instances_are_told_apart():
    regions = np.ones((4, 6), np.uint8)
    instances = np.repeat([[10, 10, 10, 90, 90, 90]], 4, axis=0)
    assert region_panoptic_counts(regions, regions, [1])[1] == PanopticCounts(1, 0, 0, 1.0)
    # One predicted component over both: half of it is no match for either.
    merged = region_panoptic_counts(regions, regions, [1], instances)[1]
    assert merged == PanopticCounts(0, 1, 2, 0.0)
    split = region_panoptic_counts(
        regions, regions, [1], instances, prediction_instances=instances
    )[1]
    assert split == PanopticCounts(2, 0, 0, 2.0)


def test_ignored_pixels_of_regions_do_not_count():
    truth = np.array([[1, 1, 255, 255, 0, 0, 0, 255, 255, 255]])
    prediction = np.array([[1, 1, 1, 1, 0, 0, 1, 1, 1, 1]])
    # The first part matches exactly where truth speaks; the second lies mostly in ignored pixels.
    assert region_panoptic_counts(truth, prediction, [1])[1] == PanopticCounts(1, 0, 0, 1.0)
    # Here half of the second part lies outside: a false alarm.
    prediction = np.array([[1, 1, 1, 1, 0, 1, 1, 1, 1, 0]])
    assert region_panoptic_counts(truth, prediction, [1])[1] == PanopticCounts(1, 1, 0, 1.0)


def test_everything_ignored_is_nothing():
    truth, prediction = np.full((3, 3), 255), np.ones((3, 3), int)
    assert region_panoptic_counts(truth, prediction, [1])[1] == PanopticCounts()


def test_ignored_value_cannot_be_a_class():
    with pytest.raises(CosegError, match="255"):
        region_panoptic_counts(np.zeros((2, 2), int), np.zeros((2, 2), int), [1, 255])


def test_other_ways_to_take_regions_apart():
    """What the variants of other authors need: here parts of one pixel are dropped."""

    def without_specks(mask):
        parts = connected_components(mask)
        return np.where(np.bincount(parts.ravel())[parts] > 1, parts, 0)

    truth = np.array([[1, 1, 0, 0], [1, 1, 0, 0]])
    prediction = np.array([[1, 1, 0, 1], [1, 1, 0, 0]])
    assert region_panoptic_counts(truth, prediction, [1])[1].fp == 1
    kept = region_panoptic_counts(truth, prediction, [1], prediction_components=without_specks)
    assert kept[1].fp == 0


def test_majority_class():
    instances = np.array([[3, 3, 3, 8, 8, 8, 4, 4, 6]])
    classes = np.array([[0, 0, 2, 1, 5, 5, 2, 1, 0]])
    assert majority_classes(instances, classes) == {3: 2, 8: 5, 4: 1, 6: 0}


def test_volume_equals_its_flat_pixels():
    """Instances do not depend on the arrangement of pixels; regions do, by their neighbours."""
    random = np.random.default_rng(5)
    truth = random_labels(random, (6, 8, 9), 6)
    prediction = perturbed(random, truth)
    assert instance_panoptic_counts(truth, prediction) == instance_panoptic_counts(
        truth.reshape(6, -1), prediction.reshape(6, -1)
    )


@pytest.mark.parametrize("seed", range(6))
def test_equals_stardist(seed):
    matching = pytest.importorskip("stardist.matching").matching
    random = np.random.default_rng(seed)
    truth = random_labels(random, (64, 64), 25)
    prediction = perturbed(random, truth)
    overlap = overlap_of(truth, prediction)
    for threshold in np.arange(1, 11) / 10:
        theirs = matching(truth, prediction, thresh=float(threshold))
        ours = counts_from_overlap(overlap, float(threshold), inclusive=True)
        assert (ours.tp, ours.fp, ours.fn) == (theirs.tp, theirs.fp, theirs.fn)
        # Its IoU is of single precision.
        assert ours.pq == pytest.approx(theirs.panoptic_quality, rel=1e-5)
        assert ours.sq == pytest.approx(theirs.mean_matched_score, rel=1e-5)
        assert ours.f1 == pytest.approx(theirs.f1)
        assert ours.precision == pytest.approx(theirs.precision)
        assert ours.recall == pytest.approx(theirs.recall)


@pytest.mark.parametrize("seed", range(6))
def test_equals_torchmetrics(seed):
    detection = pytest.importorskip("torchmetrics.detection")
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(seed)
    sides, classes = [], []
    truth = random_labels(random, (48, 48), 14)
    for labels in (truth, perturbed(random, truth)):
        classes.append({int(i): int(i) % 2 + 1 for i in np.unique(labels) if i})
        kinds = np.where(labels > 0, labels % 2 + 1, 0)
        sides.append(torch.from_numpy(np.stack([kinds, labels], axis=-1).astype(np.int64)))
    metric = detection.PanopticQuality(
        things={1, 2}, stuffs={0}, return_per_class=True, return_sq_and_rq=True
    )
    expected = metric(sides[1][None], sides[0][None])
    ours = instance_panoptic_counts_by_class(
        sides[0][..., 1].numpy(), classes[0], sides[1][..., 1].numpy(), classes[1], [1, 2]
    )
    # Stuffs come after things in its order.
    for row, class_id in enumerate([1, 2]):
        found = [ours[class_id].pq, ours[class_id].sq, ours[class_id].rq]
        assert found == pytest.approx(expected[row].tolist(), abs=1e-5)
