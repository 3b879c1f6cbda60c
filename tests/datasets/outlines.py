"""Miniature files of outlines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Points = list[tuple[float, float]]


def square(x: float, y: float, side: float = 1) -> Points:
    """Corners of a square whose first one is (x, y)."""
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


def feature(name: str, ring: Points, kind: str = "annotation", **more: Any) -> dict[str, Any]:
    """A polygon as QuPath writes it."""
    said = {"objectType": kind, **more}
    if name:
        said["classification"] = {"name": name, "color": [1, 2, 3]}
    closed = [*ring, ring[0]] if ring else []
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [closed]},
        "properties": said,
    }


def write_geojson(path: Path, *features: dict[str, Any]) -> None:
    """Write a collection."""
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"type": "FeatureCollection", "features": list(features)}
    path.write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")


def write_image(path: Path, rows: int = 8, columns: int = 12, **save: Any) -> None:
    """Write a picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (rows, columns, 3), np.uint8)
    Image.fromarray(pixels).save(path, **save)
