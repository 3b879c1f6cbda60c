from __future__ import annotations

import math

import numpy as np
import pytest

from napari_coseg.metrics.image_scores import ImagePair, ScoreSettings
from napari_coseg.metrics.instance import aji_counts
from napari_coseg.metrics.panoptic import instance_panoptic_counts
from napari_coseg.metrics.report import Evaluation, bootstrap_interval
from napari_coseg.types import CosegError
from tests.metrics.conftest import perturbed, random_labels


def score(table, **where):
    rows = table
    for column, value in where.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.fixture
def instance_pairs():
    random = np.random.default_rng(0)
    pairs = []
    for index in range(4):
        truth = random_labels(random, (50, 60), 5 + 8 * index)
        pairs.append((truth, perturbed(random, truth)))
    return pairs


def test_instances_pooled_and_mean(instance_pairs):
    evaluation = Evaluation(ScoreSettings())
    for index, (truth, prediction) in enumerate(instance_pairs):
        evaluation.add(
            ImagePair(str(index), truth_instances=truth, prediction_instances=prediction)
        )
    each = [instance_panoptic_counts(*pair) for pair in instance_pairs]
    row = score(evaluation.summary(), score="pq")
    assert row["pooled"] == pytest.approx(sum(each[1:], each[0]).pq)
    assert row["mean"] == pytest.approx(np.mean([counts.pq for counts in each]))
    assert row["low"] < row["mean"] < row["high"]
    assert row["images"] == 4
    assert row["class"] == "all"
    images = evaluation.images()
    assert images["image"].tolist() == ["0", "1", "2", "3"]
    assert images["aji"].tolist() == [aji_counts(*pair).aji for pair in instance_pairs]


def test_classes_and_their_mean():
    truth = np.array([[1, 1, 0, 2, 2, 0, 3, 3]])
    evaluation = Evaluation(ScoreSettings(instance_classes={1: "round", 2: "long"}))
    evaluation.add(
        ImagePair(
            "a",
            truth_instances=truth,
            prediction_instances=truth,
            truth_classes={1: 1, 2: 2, 3: 2},
            prediction_classes={1: 1, 2: 2, 3: 1},
        )
    )
    summary = evaluation.summary()
    assert score(summary, **{"class": "all", "score": "pq"})["pooled"] == 1
    assert score(summary, **{"class": "round", "score": "pq"})["pooled"] == pytest.approx(1 / 1.5)
    assert score(summary, **{"class": "long", "score": "recall"})["pooled"] == 0.5
    mean = score(summary, **{"class": "mean of classes", "score": "pq"})
    assert mean["pooled"] == pytest.approx(2 / 3)
    # 3 lies right under the wrong class, which weighs twice: 2 / (2 + 2).
    assert score(summary, **{"class": "round", "score": "centroid_f"})["pooled"] == 0.5


def test_without_classes_only_class_free_rows(instance_pairs):
    truth, prediction = instance_pairs[0]
    evaluation = Evaluation(ScoreSettings(instance_classes={1: "a", 2: "b"}))
    evaluation.add(ImagePair("x", truth_instances=truth, prediction_instances=prediction))
    assert set(evaluation.summary()["class"]) == {"all"}


def test_image_without_the_class_is_left_out_of_means():
    with_class, empty = np.ones((4, 5), int), np.zeros((4, 5), int)
    evaluation = Evaluation(ScoreSettings(region_classes={1: "gland"}))
    evaluation.add(ImagePair("a", truth_regions=with_class, prediction_regions=with_class))
    evaluation.add(ImagePair("b", truth_regions=empty, prediction_regions=empty))
    summary = evaluation.summary()
    for name, value in (("dice", 1), ("pq", 1), ("hd95", 0)):
        row = score(summary, score=name)
        assert (row["mean"], row["images"]) == (value, 1)
    assert evaluation.images().set_index("image").loc["b", ["dice", "pq", "hd"]].isna().all()


def test_invented_class_counts():
    full, empty = np.ones((30, 40), int), np.zeros((30, 40), int)
    evaluation = Evaluation(ScoreSettings(region_classes={1: "gland"}))
    evaluation.add(ImagePair("a", truth_regions=full, prediction_regions=full))
    evaluation.add(ImagePair("b", truth_regions=empty, prediction_regions=full, spacing=(0.5, 0.5)))
    summary = evaluation.summary()
    assert score(summary, score="dice")["mean"] == 0.5
    assert score(summary, score="dice")["pooled"] == pytest.approx(2 / 3)
    assert score(summary, score="hd")["mean"] == 12.5
    assert math.isnan(score(summary, score="hd")["pooled"])


def test_surface_can_be_left_out():
    regions = np.ones((4, 4), int)
    evaluation = Evaluation(ScoreSettings(region_classes={1: "gland"}, surface=False))
    evaluation.add(ImagePair("a", truth_regions=regions, prediction_regions=regions))
    assert "hd" not in evaluation.images()


def test_ignored_regions_do_not_count():
    truth = np.array([[1, 1, 255, 0, 0, 0]])
    prediction = np.array([[1, 1, 1, 0, 0, 0]])
    evaluation = Evaluation(ScoreSettings(region_classes={1: "gland"}))
    evaluation.add(ImagePair("a", truth_regions=truth, prediction_regions=prediction))
    row = evaluation.images().iloc[0]
    assert (row["dice"], row["iou"], row["pq"], row["hd"]) == (1, 1, 1, 0)


def test_bad_image_leaves_the_evaluation_as_it_was(instance_pairs):
    truth, prediction = instance_pairs[0]
    evaluation = Evaluation(ScoreSettings())
    evaluation.add(ImagePair("good", truth_instances=truth, prediction_instances=prediction))
    with pytest.raises(CosegError, match="one size"):
        evaluation.add(ImagePair("bad", truth_instances=truth, prediction_instances=prediction[1:]))
    assert evaluation.images()["image"].tolist() == ["good"]


def test_empty_evaluation_has_its_columns():
    evaluation = Evaluation(ScoreSettings())
    assert "image" in evaluation.images()
    assert "pooled" in evaluation.summary()


def test_volume_with_spacing():
    truth = np.zeros((6, 20, 20), int)
    truth[1:4, 4:12, 4:12] = 1
    prediction = np.roll(truth, 1, axis=0)
    evaluation = Evaluation(ScoreSettings(region_classes={1: "bone"}))
    evaluation.add(
        ImagePair(
            "v",
            truth_regions=truth,
            prediction_regions=prediction,
            truth_instances=truth,
            prediction_instances=prediction,
            spacing=(2.0, 0.5, 0.5),
        )
    )
    images = evaluation.images().set_index("task")
    assert images.loc["regions", "hd"] == 2.0
    assert images.loc["regions", "dice"] == pytest.approx(2 / 3)
    # The centres lie 2 mm apart, within 3.
    assert images.loc["instances", "centroid_f"] == 1


def test_interval():
    assert all(map(math.isnan, bootstrap_interval(np.array([0.5]))))
    assert bootstrap_interval(np.full(9, 0.25)) == (0.25, 0.25)
    values = np.random.default_rng(0).normal(0.5, 0.1, 400)
    low, high = bootstrap_interval(values)
    assert (low, high) == bootstrap_interval(values)
    # The normal theory's half width is 1.96 * 0.1 / 20.
    assert high - low == pytest.approx(2 * 0.0098, rel=0.15)
    assert low < values.mean() < high


def test_real_nuclei(shared_data):
    """A shift of two pixels on a CoNSeP tile: the figures of the plain definitions."""
    from PIL import Image

    truth = np.asarray(Image.open(shared_data / "consep" / "instances" / "train_1.png"))
    truth = truth[:200, :200].astype(np.int32)
    prediction = np.roll(truth, 2, axis=1)
    from tests.metrics import reference

    table = reference.iou_table(truth, prediction)
    matched = [iou for iou in table.values() if iou > 0.5]
    counts = instance_panoptic_counts(truth, prediction)
    assert counts.tp == len(matched)
    assert counts.iou_sum == pytest.approx(sum(matched))
    found = aji_counts(truth, prediction)
    assert (found.intersection, found.union) == reference.aji(truth, prediction)
