"""A small data set and a small config that trains on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from napari_coseg.datasets.synthetic_histology import write_dataset

TINY_NETWORK: dict[str, Any] = {
    "encoder": "mobilenetv3_small_050",
    "tile": 64,
    "width": 32,
    "mlp_width": 32,
    "heads": 2,
    "pixel_channels": [16, 12, 8],
    "state_width": 16,
    "state_size": 4,
    "spatial_width": 8,
}


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six generated tiles of 96 x 96 with both kinds of truth."""
    root = tmp_path_factory.mktemp("generated")
    write_dataset(root, count=6, seed=0, shape=(96, 96), mpp=0.5)
    return root


@pytest.fixture
def raw_config(generated: Path) -> dict[str, Any]:
    """Config of a run of four steps, as a mapping."""
    return {
        "model": {
            "name": "tiny",
            "region_classes": ["gland"],
            "instance_classes": ["inflammatory", "epithelial", "spindle"],
            "region_mpp": 1.0,
            "instance_mpp": 0.5,
            "network": dict(TINY_NETWORK),
        },
        "data": [{"path": generated}],
        "split": {"by": "image", "folds": 3},
        "run": {
            "steps": 4,
            "batch": 2,
            "workers": 0,
            "validate_every": 4,
            "save_every": 2,
            "log_every": 1,
            "pictures": 1,
            "device": "cpu",
        },
    }


TINY_PROMPT_NETWORK: dict[str, Any] = {
    "side": 64,
    "width": 32,
    "depth": 4,
    "heads": 2,
    "window": 2,
    "embedding": 32,
    "cnn": "mobilenetv3_small_050",
    "freeze_vit": False,
}


@pytest.fixture
def prompt_config(generated: Path) -> dict[str, Any]:
    """Config of a SyncSAM run of four steps, as a mapping."""
    return {
        "kind": "syncsam",
        "model": {"name": "tiny-prompts", "network": dict(TINY_PROMPT_NETWORK)},
        "data": [{"path": generated}],
        "split": {"by": "image", "folds": 3},
        "interaction": {"masks": 2},
        "run": {
            "steps": 4,
            "batch": 2,
            "workers": 0,
            "validate_every": 4,
            "save_every": 2,
            "log_every": 1,
            "pictures": 1,
            "device": "cpu",
            "tensorboard": False,
        },
    }
