"""The authors' rules, on cases that can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_coseg.metrics.image_scores import ImagePair, ScoreSettings
from napari_coseg.metrics.paper_rules import (
    SIDE,
    PaperEvaluation,
    closed_parts,
    planes_of,
    squared,
    to_square,
)
from napari_coseg.types import CosegError

GLAND = ScoreSettings(region_classes={1: "gland"})


def regions(*boxes, shape=(64, 64)):
    image = np.zeros(shape, np.uint8)
    for r0, c0, r1, c1 in boxes:
        image[r0:r1, c0:c1] = 1
    return image


def scored(*pairs, settings=GLAND):
    evaluation = PaperEvaluation(settings)
    for number, (truth, prediction) in enumerate(pairs):
        evaluation.add(ImagePair(f"i{number}", truth_regions=truth, prediction_regions=prediction))
    return evaluation


def mean(evaluation, score, name="gland", task="regions"):
    table = evaluation.summary(resamples=10).set_index(["task", "class", "score"])
    return table.loc[(task, name, score), "mean"]


def test_images_whose_truth_lacks_the_class_are_skipped():
    here, nothing = regions((0, 0, 32, 64)), regions()
    evaluation = scored((here, here), (nothing, here), (nothing, nothing))
    assert mean(evaluation, "dice") == 1
    assert evaluation.images()["image"].tolist() == ["i0"]


def test_a_missed_class_counts_and_its_infinite_distance_does_not():
    here, half = regions((0, 0, 64, 64)), regions((0, 0, 64, 32))
    evaluation = scored((here, regions()), (here, half))
    assert mean(evaluation, "dice") == pytest.approx((0 + 2 / 3) / 2)
    # Half of the square is missing: its far edge lies 512 pixels of 1024 away.
    assert mean(evaluation, "hd") == pytest.approx(512)
    assert math.isnan(evaluation.images().set_index("image").loc["i0", "hd"])


def test_distances_are_in_pixels_of_the_square():
    # One of 8 columns is missing: 128 of 1024, whatever the size of a pixel.
    truth, prediction = regions((0, 0, 4, 8), shape=(4, 8)), regions((0, 0, 4, 7), shape=(4, 8))
    evaluation = PaperEvaluation(GLAND)
    evaluation.add(
        ImagePair("a", truth_regions=truth, prediction_regions=prediction, spacing=(0.25, 0.25))
    )
    assert mean(evaluation, "hd") == 128


def test_small_parts_of_the_prediction_are_dropped():
    mask = np.zeros((100, 100), bool)
    mask[:20, :10] = True  # 200 pixels
    mask[60:79, 60:70] = True  # 190
    labels = closed_parts(mask)
    assert (labels > 0).sum() == 200
    assert labels.max() == 1


def test_a_gap_below_the_square_is_closed_and_a_wider_one_is_not():
    for gap, parts in ((4, 1), (5, 2)):
        mask = np.ones((40, 60), bool)
        mask[:, 30 : 30 + gap] = False
        assert closed_parts(mask).max() == parts


def test_closing_leaves_the_image_edge():
    mask = np.zeros((40, 60), bool)
    mask[:20] = True
    assert np.array_equal(closed_parts(mask) > 0, mask)


def test_parts_are_of_the_square_and_truth_is_not_closed():
    # 8 x 8 pixels of 64 are 128 x 128 of 1024. Two true parts; the prediction has them both and a
    # speck of 16 x 16 = 256 pixels, which is kept, so that PQ is 2 / (2 + 1/2).
    truth = regions((0, 0, 8, 8), (20, 20, 28, 28))
    prediction = regions((0, 0, 8, 8), (20, 20, 28, 28), (50, 50, 51, 51))
    assert mean(scored((truth, prediction)), "pq") == pytest.approx(2 / 2.5)


def test_closed_regions_of_two_classes_may_meet():
    # Columns of two classes in turn: closing fills each class over the other.
    both = np.zeros((64, 64), np.uint8)
    both[:32:2], both[1:32:2] = 1, 2
    big = np.zeros((SIDE, SIDE), np.uint8)
    big[:64, :64] = both
    settings = ScoreSettings(region_classes={1: "a", 2: "b"}, surface=False)
    evaluation = PaperEvaluation(settings)
    evaluation.add(ImagePair("x", truth_regions=big, prediction_regions=big))
    # Truth: 16 lines; prediction: one part, which matches none of them.
    assert mean(evaluation, "pq", "a") == 0
    assert mean(evaluation, "pq", "b") == 0


def test_objects_by_class_where_truth_has_the_class():
    labels = np.zeros((64, 64), np.int32)
    labels[0:8, 0:8], labels[20:30, 20:30] = 5, 9
    settings = ScoreSettings(instance_classes={1: "a", 2: "b", 3: "c"})
    evaluation = PaperEvaluation(settings)
    evaluation.add(
        ImagePair(
            "x",
            truth_instances=labels,
            prediction_instances=labels,
            truth_classes={5: 1, 9: 2},
            prediction_classes={5: 1, 9: 3},
        )
    )
    found = evaluation.images().set_index("class")["pq"].to_dict()
    # Truth has no c: a false alarm of that class is not seen, which is what the rule costs.
    assert found == {"all": 1.0, "a": 1.0, "b": 0.0}


def test_volumes_are_scored_plane_by_plane():
    truth = np.stack([regions((0, 0, 32, 64)), regions(), regions((0, 0, 64, 64))])
    prediction = np.stack([regions((0, 0, 32, 64)), regions((0, 0, 9, 9)), regions()])
    evaluation = scored((truth, prediction))
    assert mean(evaluation, "dice") == 0.5
    assert evaluation.images()["image"].tolist() == ["i0 plane 0", "i0 plane 2"]


def test_sides_of_two_sizes_are_named():
    pair = ImagePair("x", truth_regions=regions(), prediction_regions=regions(shape=(9, 9)))
    with pytest.raises(CosegError, match="x differ in size"):
        list(planes_of(pair))


def test_resizing_takes_the_nearest_pixel():
    assert to_square(np.array([[1, 2], [3, 4]]), 4).tolist() == [
        [1, 1, 2, 2],
        [1, 1, 2, 2],
        [3, 3, 4, 4],
        [3, 3, 4, 4],
    ]
    assert to_square(np.arange(12).reshape(2, 6), 2).tolist() == [[1, 4], [7, 10]]
    pair = squared(ImagePair("x", truth_regions=regions(shape=(7, 5)), spacing=(1, 1)))
    assert pair.truth_regions is not None
    assert pair.truth_regions.shape == (SIDE, SIDE)
    assert pair.spacing is None
