"""Two layers scored as the command line scores two files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels

from napari_coseg.datasets.synthetic_histology import generate_tile
from napari_coseg.layers.errors import error_layer
from napari_coseg.layers.evaluation import kind_of, score_layers, side_of
from napari_coseg.metrics.image_scores import ImagePair, ScoreSettings
from napari_coseg.metrics.report import Evaluation
from napari_coseg.types import CosegError


def instances(labels: np.ndarray, classes: dict[int, str] | None, name: str = "it") -> Labels:
    features = None
    if classes is not None:
        ids = {kind: n for n, kind in enumerate(dict.fromkeys(classes.values()), 1)}
        features = pd.DataFrame(
            {
                "index": list(classes),
                "class": [ids[kind] for kind in classes.values()],
                "class_name": list(classes.values()),
            }
        )
    return Labels(labels, features=features, name=name)


def pooled(summary: pd.DataFrame, name: str, score: str) -> float:
    chosen = summary[(summary["class"] == name) & (summary["score"] == score)]
    return float(chosen["pooled"].iloc[0])


@pytest.fixture
def truth() -> np.ndarray:
    labels = np.zeros((20, 20), np.int32)
    labels[2:6, 2:6], labels[10:16, 10:16] = 1, 2
    return labels


def test_the_same_figures_as_the_metrics() -> None:
    tile = generate_tile(3, (128, 128))
    moved = np.roll(tile.instances, 2, axis=1)
    scored = score_layers(
        side_of(Labels(moved), "instances"),
        side_of(Labels(tile.instances), "instances"),
        "instances",
    )
    evaluation = Evaluation(ScoreSettings())
    evaluation.add(ImagePair("x", truth_instances=tile.instances, prediction_instances=moved))
    expected = evaluation.summary(resamples=1)
    for score in ("pq", "aji", "f1", "dice"):
        assert pooled(scored.summary, "all", score) == pooled(expected, "all", score)
    assert 0 < pooled(scored.summary, "all", "pq") < 1


def test_classes_are_matched_by_name(truth: np.ndarray) -> None:
    # The two sides number the classes differently; one class is the prediction's alone.
    prediction = instances(truth, {2: "b", 1: "c"})
    right = instances(truth, {1: "a", 2: "b"})
    summary = score_layers(
        side_of(prediction, "instances"), side_of(right, "instances"), "instances"
    ).summary
    assert pooled(summary, "b", "pq") == 1
    assert pooled(summary, "a", "pq") == 0
    assert pooled(summary, "c", "pq") == 0
    assert pooled(summary, "all", "pq") == 1


def test_a_side_without_classes_is_scored_class_free(truth: np.ndarray) -> None:
    scored = score_layers(
        side_of(instances(truth, {1: "a", 2: "b"}), "instances"),
        side_of(instances(truth, None, "bare"), "instances"),
        "instances",
    )
    assert set(scored.summary["class"]) == {"all"}
    assert "bare does not say" in scored.notes[0]


def test_regions(truth: np.ndarray) -> None:
    regions = (truth > 0).astype(np.uint8)
    half = regions.copy()
    half[2:4] = 0
    scored = score_layers(
        side_of(Labels(half), "regions"), side_of(Labels(regions), "regions"), "regions"
    )
    assert pooled(scored.summary, "class 1", "dice") == pytest.approx(2 * 44 / (44 + 52))


def test_layers_of_other_images(truth: np.ndarray) -> None:
    with pytest.raises(CosegError, match="20 × 19"):
        score_layers(
            side_of(Labels(truth[:, 1:]), "instances"),
            side_of(Labels(truth), "instances"),
            "instances",
        )


def test_what_a_layer_holds(truth: np.ndarray) -> None:
    assert kind_of(Labels((truth > 0).astype(int))) == "regions"
    assert kind_of(Labels(truth * 50)) == "instances"
    assert kind_of(instances(truth, {1: "a", 2: "b"})) == "instances"


def test_errors_lie_on_the_truth(truth: np.ndarray) -> None:
    right = Labels(truth, scale=(0.5, 0.5), translate=(3, 4), units="um", name="truth")
    scored = score_layers(side_of(right, "instances"), side_of(right, "instances"), "instances")
    layer = error_layer(scored.errors, right)
    assert np.allclose(layer.data_to_world((3, 3)), right.data_to_world((3, 3)))
    assert list(layer.features["count"]) == [2, 0, 0, 0]
