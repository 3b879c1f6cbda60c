"""Sets that are too large for a list, in training: divided, surveyed and drawn from by number."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_coseg.datasets.labelled import Item
from napari_coseg.datasets.many_items import ManyItems
from napari_coseg.training import survey
from napari_coseg.training.mask_items import MaskSet, mask_item
from napari_coseg.training.prompt_config import PromptTrainingConfig
from napari_coseg.training.prompt_samples import REAL, PromptSamples
from napari_coseg.training.prompt_task import load_mask_sets
from napari_coseg.training.sections import SourceSection, SplitSection
from napari_coseg.training.setup import spread
from napari_coseg.training.sources import open_source
from napari_coseg.training.split import split
from napari_coseg.training.survey import looked_at
from napari_coseg.types import CosegError
from tests.datasets.large_sets import three_masks, write_imed, write_sa_med2d
from tests.training.conftest import TINY_PROMPT_NETWORK


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_sa_med2d(tmp_path, cases=20)


def config(path: Path, **changes: object) -> PromptTrainingConfig:
    data = {"path": str(path), "masks": ["instances"], **changes}
    about = {
        "model": {"name": "tiny", "network": dict(TINY_PROMPT_NETWORK)},
        "data": [data],
        "mix": {"pseudo": 0.0, "shapes": 0.0},
        "split": {"by": "group", "folds": 4},
        "run": {"steps": 4, "batch": 2},
    }
    return PromptTrainingConfig.model_validate(about)


def test_split_and_parts_stay_views(tmp_path: Path) -> None:
    dataset, items = open_source(SourceSection(path=write_imed(tmp_path)))
    assert isinstance(items, ManyItems)
    assert {item.part for item in items} == {"train"}
    train, held = split(items, SplitSection(by="group", folds=2))
    assert isinstance(train, ManyItems)
    assert not {item.group for item in train} & {item.group for item in held}
    assert len(train) + len(held) == len(items) == 8
    everything, none = split(items, SplitSection(by="published"))
    assert (len(everything), len(none)) == (8, 0)
    _, tested = open_source(SourceSection(path=dataset.root, parts=("test",)))
    assert {item.part for item in tested} == {"test"}


def test_a_survey_looks_at_some(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, items = open_source(SourceSection(path=root))
    assert looked_at(items, "A set") is items
    monkeypatch.setattr(survey, "SURVEYED", 7)
    assert len(looked_at(items, "A set")) == 7
    assert "7 of them are looked at" in caplog.text
    few: list[Item] = list(items[:9])
    assert looked_at(few, "A set") is few


def test_held_out_items_that_are_scored(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, items = open_source(SourceSection(path=root))
    monkeypatch.setattr("napari_coseg.training.setup.SCORED", 5)
    assert len(spread(items, None)) == 5
    assert len(spread(list(items), None)) == 40


def test_objects_that_overlap_are_drawn(root: Path) -> None:
    dataset, items = open_source(SourceSection(path=root))
    item = mask_item(MaskSet(dataset, items, ("instances",), 1.0), items[0])
    assert len(item.labels) == 2
    assert sorted(item.ids.tolist()) == [1, 2, 3]
    for number, mask in enumerate(three_masks(), 1):
        at = int(np.flatnonzero(item.ids == number)[0])
        drawn = np.asarray(item.labels[item.kinds[at]]) == number
        np.testing.assert_array_equal(drawn, mask)


def test_samples_hold_no_list(root: Path) -> None:
    sets, held = load_mask_sets(config(root))
    assert isinstance(sets[0].items, ManyItems)
    assert len(held[0].items) > 0
    samples = PromptSamples(sets, config(root), 8)
    data = pickle.dumps(samples)
    assert len(data) < 20_000
    again = pickle.loads(data)
    for number in range(4):
        first, second = samples[number], again[number]
        assert int(first["source"]) == REAL
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_images_that_cannot_be_read_are_skipped_where_they_may_be(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset, items = open_source(SourceSection(path=root))
    broken = {item.image for number, item in enumerate(items) if number % 2}
    for path in broken:
        path.write_bytes(b"no picture")
    samples = PromptSamples(load_mask_sets(config(root, faults="skip"))[0], config(root), 30)
    drawn = [samples[i] for i in range(30)]
    assert all(sample["valid"].any() for sample in drawn)
    assert "Skipped an image of SA-Med2D-20M" in caplog.text
    strict = PromptSamples(load_mask_sets(config(root))[0], config(root), 30)
    with pytest.raises(CosegError, match="images/"):
        [strict[i] for i in range(30)]
    assert dataset.faults == ()


def test_a_set_of_nothing_but_broken_images_ends(root: Path) -> None:
    for path in (root / "images").glob("*.png"):
        path.write_bytes(b"no picture")
    samples = PromptSamples(load_mask_sets(config(root, faults="skip"))[0], config(root), 1)
    with pytest.raises(CosegError):
        samples[0]
