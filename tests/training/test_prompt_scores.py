"""SyncSAM scored on whole images: the geometry, with a network that returns its prompts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor

from napari_coseg.datasets.folder import FolderDataset
from napari_coseg.metrics.report import summarise_table
from napari_coseg.models.syncsam.prompts import PADDING, PromptBatch
from napari_coseg.training.mask_items import MaskSet
from napari_coseg.training.prompt_samples import PromptSamples, whole_image
from napari_coseg.training.prompt_scores import score_prompts

SIDE = 64
HALF = (0.5, 0.5, 0.5)


class Echo:
    """Fills the box that it is given; of points it fills as many columns as there are points."""

    config = SimpleNamespace(side=SIDE)

    def parameters(self) -> Any:
        return iter([torch.zeros(1)])

    def encode(self, images: Tensor) -> Tensor:
        assert images.shape == (1, 3, SIDE, SIDE)
        return images

    def decode(self, encoding: Tensor, numbers: Tensor, prompts: PromptBatch) -> Tensor:
        assert prompts.boxes is not None
        assert prompts.labels is not None
        out = torch.full((len(numbers), SIDE // 4, SIDE // 4), -9.0)
        for number, box in enumerate(prompts.boxes):
            if torch.isfinite(box).all():
                r0, c0, r1, c1 = (round(float(v) / 4) for v in box)
                out[number, r0:r1, c0:c1] = 9
            else:
                points = int((prompts.labels[number] != PADDING).sum())
                out[number, :, :points] = 9
        return out


def one_set(tmp_path: Path, labels: np.ndarray) -> MaskSet:
    for folder in ("images", "instances"):
        (tmp_path / folder).mkdir()
    Image.fromarray(np.zeros((*labels.shape, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    Image.fromarray(labels).save(tmp_path / "instances" / "a.png")
    (tmp_path / "dataset.toml").write_text("mpp = 1\n", encoding="utf-8")
    dataset = FolderDataset(tmp_path)
    return MaskSet(dataset, tuple(dataset.items), ("instances",), 1.0)


def test_boxes_of_a_wide_image_come_back_to_their_place(tmp_path: Path) -> None:
    # 128 x 256 pixels are seen at a quarter; objects on the grid of the answer's cells.
    labels = np.zeros((128, 256), np.uint16)
    labels[0:32, 0:64], labels[64:128, 192:256] = 5, 9
    table = score_prompts(Echo(), HALF, HALF, [("set", one_set(tmp_path, labels))])
    assert table["image"].tolist() == ["a#5", "a#9"]
    assert table["class"].unique().tolist() == ["set"]
    # Bilinear edges round corners off, and shift nothing.
    assert (table["box"] > 0.96).all()


def test_five_points_are_given_one_after_the_other(tmp_path: Path) -> None:
    # The object is the five left columns of cells, 16 pixels each.
    labels = np.zeros((256, 256), np.uint16)
    labels[:, :80] = 1
    table = score_prompts(Echo(), HALF, HALF, [("set", one_set(tmp_path, labels))])
    assert table["point"].iloc[0] == pytest.approx(2 * 1 / 6, abs=0.02)
    assert table["points5"].iloc[0] == pytest.approx(1, abs=0.01)


def test_an_object_that_is_lost_when_shrunk_is_still_scored(tmp_path: Path) -> None:
    labels = np.zeros((1024, 1024), np.uint16)
    labels[513, 400:430] = 3
    table = score_prompts(Echo(), HALF, HALF, [("set", one_set(tmp_path, labels))])
    assert len(table) == 1
    assert table["box"].between(0, 0.2).all()


def test_a_limit_of_objects(tmp_path: Path) -> None:
    labels = np.zeros((128, 128), np.uint16)
    for number in range(9):
        labels[:, 14 * number : 14 * number + 10] = number + 1
    sets = [("set", one_set(tmp_path, labels))]
    assert len(score_prompts(Echo(), HALF, HALF, sets)) == 9
    assert len(score_prompts(Echo(), HALF, HALF, sets, objects=4)) == 4
    again = [score_prompts(Echo(), HALF, HALF, sets, seed=3) for _ in range(2)]
    assert again[0].equals(again[1])


def test_objects_of_one_image_are_one_of_what_an_interval_is_over(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "image": [f"{image}#{number}" for image in "abc" for number in range(40)],
            "group": [image for image in "abc" for _ in range(40)],
            "task": "prompts",
            "class_id": 1,
            "class": "set",
            "box": [0.1 * place for place in range(3) for _ in range(40)],
        }
    )
    (row,) = summarise_table(table, ["box"]).itertuples()
    # Each resample is of three images: all of them may be the first, or the last.
    assert (row.low, row.mean, row.high) == pytest.approx((0, 0.1, 0.2))
    alone = summarise_table(table.drop(columns="group"), ["box"]).iloc[0]
    assert alone["high"] - alone["low"] < 0.05
    labels = np.zeros((128, 128), np.uint16)
    labels[:64, :64], labels[70:, 70:] = 1, 2
    found = score_prompts(Echo(), HALF, HALF, [("set", one_set(tmp_path, labels))])
    assert found["group"].tolist() == ["a", "a"]


def test_training_on_whole_images(tmp_path: Path, prompt_config: dict[str, Any]) -> None:
    from napari_coseg.training.config import check_config
    from napari_coseg.training.prompt_config import PromptTrainingConfig

    labels = np.zeros((64, 128), np.uint16)
    labels[:, :32], labels[32:, 96:] = 1, 2
    prompt_config["augment"] = {
        "whole": True,
        **dict.fromkeys(("colour", "stain", "brightness", "blur", "noise", "jpeg"), 0),
    }
    prompt_config["mix"] = {"pseudo": 0, "shapes": 0}
    config = check_config(prompt_config)
    assert isinstance(config, PromptTrainingConfig)
    samples = PromptSamples([one_set(tmp_path, labels)], config, 4)
    for number in range(4):
        sample = samples[number]
        # Both objects, though they touch the edge; the lower half is padding.
        assert int(sample["valid"].sum()) == 2
        seen = sample["masks"].amax(0).bool().numpy()
        expected = np.zeros((32, 32), bool)
        expected[:16, :8], expected[8:16, 24:] = True, True
        assert np.array_equal(seen, expected)
        assert (sample["image"][32:].numpy() == 128).all()
        assert (sample["image"][:31].numpy() == 0).all()


def test_the_square_begins_at_the_images_corner() -> None:
    warp = whole_image((100, 200), 50)
    assert (warp.centre, warp.factor, warp.angle, warp.mirror) == ((100, 100), 4, 0, False)
