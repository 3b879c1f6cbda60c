"""The bundled histology model's architecture with random weights, for timing without it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import torch

from napari_coseg.models.coseg.config import CosegConfig
from napari_coseg.models.coseg.network import CosegNetwork
from napari_coseg.types import ClassTable
from napari_coseg.weights.card import ModelCard, classes_of
from napari_coseg.weights.loading import LoadedModel, load_model, save_model

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "coseg-lite-histology.toml"


def write_random_model(path: Path) -> Path:
    """Write a weights file with the bundled model's sizes, classes and scales."""
    torch.manual_seed(0)
    asked = tomllib.loads(CONFIG.read_text("utf-8"))["model"]
    regions = ClassTable.from_names(asked["region_classes"])
    instances = ClassTable.from_names(asked["instance_classes"])
    config = CosegConfig.model_validate(
        {
            **asked["network"],
            "region_classes": len(regions),
            "instance_classes": len(instances),
        }
    )
    card = ModelCard(
        name="random",
        region_classes=classes_of(regions),
        instance_classes=classes_of(instances),
        **{key: asked[key] for key in ("region_mpp", "instance_mpp", "mean", "std")},
    )
    return save_model(path, CosegNetwork(config), card)


def random_model(device: str = "cpu") -> LoadedModel:
    """Return that model, loaded."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return load_model(write_random_model(Path(folder) / "random.safetensors"), device)
