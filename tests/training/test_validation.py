"""Validation: the score that chooses the best checkpoint, and classes that a set annotates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.training import validation
from napari_coseg.training.config import check_config
from napari_coseg.training.describe import model_card
from napari_coseg.training.items import training_set
from napari_coseg.training.start import build_network
from napari_coseg.training.validation import HeldOut, validate
from napari_coseg.types import ClassTable, PanopticResult, empty_objects
from napari_coseg.weights.loading import LoadedModel


@pytest.fixture
def model_and_set(raw_config: dict[str, Any]) -> Any:
    def make(**changes: Any) -> tuple[LoadedModel, HeldOut]:
        raw_config["model"] |= changes
        config = check_config(raw_config)
        dataset = FolderDataset(config.data[0].path)
        one = training_set(dataset, dataset.items, config.data[0], config.model)
        network = build_network(config.model)
        card = model_card(config, network, {})
        return LoadedModel(network, card, "", Path("x")), HeldOut(one, dataset.items[:2])

    return make


def perfect(one: HeldOut, monkeypatch: pytest.MonkeyPatch, *, empty: bool = False) -> None:
    """Let prediction say the truth, or nothing at all."""
    images = {item.name: one.dataset.read(item) for item in one.items}
    reads = iter(images.values())

    def predict(source: Any, model: Any) -> PanopticResult:
        read = next(reads)
        assert read.instances is not None
        assert read.regions is not None
        instances = read.instances * (not empty)
        objects = empty_objects()
        ids, first = np.unique(instances, return_index=True)
        if len(ids) > 1 and read.classes is not None:
            kinds = read.classes.ravel()[first[1:]].astype(int)
            objects = pd.DataFrame({"label": ids[1:], "class": kinds})
        return PanopticResult(
            regions=read.regions * np.uint8(not empty),
            instances=instances.astype(np.int32),
            objects=objects,
            region_classes=ClassTable.from_names(["gland"]),
            instance_classes=ClassTable.from_names(["a", "b", "c"]),
        )

    monkeypatch.setattr(validation, "segment_image", predict)


def test_the_truth_scores_one_and_nothing_scores_nothing(
    model_and_set: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, one = model_and_set()
    perfect(one, monkeypatch)
    result = validate(model, [one])
    assert result.score == 1
    # Both tasks are in it: half of it is lost with the objects alone.
    chosen = result.table[result.table["score"] == "pq"]
    assert set(chosen["task"]) == {"regions", "instances"}
    perfect(one, monkeypatch, empty=True)
    assert validate(model, [one]).score == 0


def test_classes_that_a_set_does_not_know_are_not_scored(
    model_and_set: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, one = model_and_set(region_classes=["gland", "tumour"])
    perfect(one, monkeypatch)
    result = validate(model, [one])
    assert result.score == 1
    assert "tumour" not in set(result.table["class"])


def test_nothing_held_out_has_no_score(model_and_set: Any) -> None:
    model, _ = model_and_set()
    assert np.isnan(validate(model, []).score)
