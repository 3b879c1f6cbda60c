from __future__ import annotations

from pathlib import Path

import pytest

from napari_coseg.weights.card import ModelCard


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the user's weights, away from the real one."""
    path = tmp_path / "user-weights"
    monkeypatch.setenv("NAPARI_COSEG_WEIGHTS", str(path))
    return path


@pytest.fixture
def card() -> ModelCard:
    return ModelCard(
        name="tiny",
        region_classes=[{"name": "gland", "colour": (0, 158, 115)}],
        instance_classes=[
            {"name": "epithelial", "colour": (230, 159, 0)},
            {"name": "other", "colour": (86, 180, 233)},
        ],
        region_mpp=1.0,
        instance_mpp=0.25,
        licence="CC0-1.0",
        data=["generated tiles"],
        scores={"PQ": 0.5},
    )
