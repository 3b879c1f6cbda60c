"""Features of a GeoJSON file of QuPath, one after the other.

Read: a FeatureCollection, a bare list of features (QuPath's older exports) or one feature;
Polygon and MultiPolygon geometries with holes; ``classification`` with ``color`` or the older
``colorRGB``; ``measurements`` as an object of numbers or the older list of names and values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ijson
import numpy as np
import numpy.typing as npt

from napari_coseg.types import RGB, CosegError

Ring = npt.NDArray[np.float64]
# No image has coordinates like this.
_FURTHEST = float(1 << 31)


@dataclass(frozen=True)
class Feature:
    """One feature.

    Attributes
    ----------
    number : int
        Its place in the file, from 1.
    annotation : bool
        Whether QuPath calls it an annotation; else it is a detection, a cell or says nothing.
    parts : tuple of tuple of ndarray of float64, (n, 2), or None
        Rings of each polygon, corners (x, y) in pixels from the image's top left corner; the first
        corner is not repeated. A ring may have no corner. None for what is no area.
    name : str
        Its classification, empty where it has none.
    colour : tuple of int, or None
    measured : dict
        Measurements that are numbers.
    """

    number: int
    annotation: bool
    parts: tuple[tuple[Ring, ...], ...] | None
    name: str = ""
    colour: RGB | None = None
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """What a sentence calls it."""
        return f"feature {self.number}" + (f", {self.name}" if self.name else "")


def read_features(path: Path) -> Iterator[Feature]:
    """Read a file's features; the text is never in memory whole.

    Raises
    ------
    CosegError
        If the file cannot be read, is no JSON, or has coordinates that are no numbers.
    """
    number = 0
    try:
        with path.open("rb") as file:
            start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        prefixes = ("item",) if start == b"[" else ("features.item", "")
        for prefix in prefixes:
            with path.open("rb") as file:
                if file.read(3) != b"\xef\xbb\xbf":
                    file.seek(0)
                for feature in ijson.items(file, prefix, use_float=True):
                    if isinstance(feature, dict) and feature.get("type") == "Feature":
                        number += 1
                        yield _feature(path, number, feature)
            if number:
                return
    except (ijson.JSONError, UnicodeDecodeError) as error:
        words = " ".join(str(error).split())[:120]
        raise CosegError(f"{path.name} is no JSON, or was cut off: {words}.") from error
    except OSError as error:
        raise CosegError(f"{path} cannot be read: {error.strerror or error}.") from error


def _feature(path: Path, number: int, feature: dict[str, Any]) -> Feature:
    properties = feature.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    said = str(properties.get("objectType", properties.get("object_type", ""))).lower()
    name, colour = _classification(properties.get("classification"))
    return Feature(
        number,
        said == "annotation",
        _parts(path, feature.get("geometry")),
        name,
        colour,
        _measurements(properties.get("measurements")),
    )


def _parts(path: Path, geometry: Any) -> tuple[tuple[Ring, ...], ...] | None:
    geometry = geometry if isinstance(geometry, dict) else {}
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        return None
    try:
        polygons: Any = [coordinates] if kind == "Polygon" else coordinates
        parts = tuple(tuple(_ring(ring) for ring in polygon) for polygon in polygons)
    except (TypeError, ValueError, IndexError) as error:
        raise CosegError(f"{path.name} has a {kind} with faulty coordinates: {error}.") from error
    rings = [ring for part in parts for ring in part]
    if not all(np.isfinite(ring).all() and (np.abs(ring) < _FURTHEST).all() for ring in rings):
        raise CosegError(f"{path.name} has coordinates that no image has.")
    return parts


def _ring(points: Any) -> Ring:
    if len(points) == 0:
        return np.zeros((0, 2))
    ring = np.array([point[:2] for point in points], float)
    if ring.ndim != 2 or ring.shape[1] != 2:
        raise ValueError("rings are lists of points")
    return ring[:-1] if len(ring) > 1 and np.array_equal(ring[0], ring[-1]) else ring


def _classification(said: Any) -> tuple[str, RGB | None]:
    if not isinstance(said, dict):
        return "", None
    names = said.get("names")
    name = ": ".join(map(str, names)) if isinstance(names, list) else str(said.get("name") or "")
    colour = said.get("color")
    if isinstance(colour, list) and len(colour) == 3 and all(_is_byte(c) for c in colour):
        return name, (int(colour[0]), int(colour[1]), int(colour[2]))
    packed = said.get("colorRGB")
    if isinstance(packed, int):
        # Java packs alpha, red, green and blue into a signed number.
        return name, (packed >> 16 & 255, packed >> 8 & 255, packed & 255)
    return name, None


def _is_byte(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 255


def _measurements(said: Any) -> dict[str, float]:
    pairs: list[tuple[Any, Any]] = []
    if isinstance(said, dict):
        pairs = list(said.items())
    elif isinstance(said, list):
        pairs = [(one.get("name"), one.get("value")) for one in said if isinstance(one, dict)]
    return {
        str(name): float(value)
        for name, value in pairs
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
