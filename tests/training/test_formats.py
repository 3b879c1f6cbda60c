"""Published formats through the whole way: opened by a config and trained on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_coseg.datasets.puma import IMAGES, NUCLEI, TISSUE
from napari_coseg.training.config import check_config
from napari_coseg.training.loop import train
from napari_coseg.weights.loading import load_model
from tests.datasets.nnunet_files import about, write_volume
from tests.datasets.outlines import feature, square, write_geojson, write_image
from tests.datasets.test_toothfairy2 import LABELS


def puma(root: Path) -> dict[str, Any]:
    """Three regions of interest of 64 x 64; the model's part of a config."""
    for number in range(3):
        name = f"training_set_primary_roi_{number:03d}"
        write_image(root / IMAGES / f"{name}.tif", 64, 64)
        kinds = ("nuclei_tumor", "nuclei_lymphocyte", "nuclei_stroma")
        places = [(10 * column + 4, 10 * row + 4) for row in range(5) for column in range(5)]
        write_geojson(
            root / NUCLEI / f"{name}_nuclei.geojson",
            *(feature(kinds[n % 3], square(x, y, 6)) for n, (x, y) in enumerate(places)),
        )
        write_geojson(
            root / TISSUE / f"{name}_tissue.geojson",
            feature("tissue_tumor", square(0, 0, 40)),
            feature("tissue_stroma", square(40, 0, 24)),
        )
    return {
        "region_classes": ["tumor", "stroma"],
        "instance_classes": ["tumor", "lymphocyte", "other"],
        "region_mpp": 0.46,
        "instance_mpp": 0.23,
    }


def toothfairy2(root: Path) -> dict[str, Any]:
    """Three scans of six planes; the model's part of a config."""
    about(root, LABELS, name="ToothFairy2")
    for number in range(3):
        name = f"ToothFairy2F_{number:03d}"
        rng = np.random.default_rng(number)
        labels = np.zeros((6, 48, 48), np.uint8)
        labels[:3, 4:40, 4:40] = 1
        labels[3:, 4:40, 4:40] = 2
        labels[:, 40:, 10:30] = 7
        labels[:3, 10:18, 10:18], labels[3:, 10:18, 10:18] = 31, 21
        labels[:3, 20:28, 20:28], labels[3:, 20:28, 20:28] = 46, 16
        voxels = (rng.normal(0, 50, labels.shape) + 20 * labels).astype(np.int16)
        write_volume(root / "imagesTr" / f"{name}_0000.mha", voxels)
        write_volume(root / "labelsTr" / f"{name}.mha", labels)
    return {
        "region_classes": ["upper jaw", "lower jaw", "pharynx"],
        "instance_classes": ["upper tooth", "lower tooth"],
        "region_mpp": 300.0,
        "instance_mpp": 300.0,
        "planes": [-0.3, 0.0, 0.3],
    }


@pytest.mark.parametrize("make", [puma, toothfairy2])
def test_two_steps(make: Any, tmp_path: Path, raw_config: dict[str, Any]) -> None:
    root = tmp_path / make.__name__
    raw_config["model"] |= make(root)
    raw_config["data"] = [{"path": root}]
    raw_config["split"] = {"by": "group", "folds": 3}
    raw_config["run"] |= {"steps": 2, "validate_every": 2, "tensorboard": False}
    result = train(check_config(raw_config), tmp_path / "run")
    assert result.step == 2
    card = load_model(tmp_path / "run" / "best.safetensors").card
    assert list(card.region_table.names) == raw_config["model"]["region_classes"]
    assert list(card.instance_table.names) == raw_config["model"]["instance_classes"]
    assert math.isfinite(card.scores["score"])
