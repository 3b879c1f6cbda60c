"""Features of a GeoJSON file as outlines of a data set."""

from __future__ import annotations

from pathlib import Path

import ijson

from napari_coseg.datasets.rasterise import Outline
from napari_coseg.imaging.geojson_features import Feature, read_features
from napari_coseg.imaging.opening import check_file
from napari_coseg.types import CosegError


def feature_outlines(path: Path) -> list[tuple[Feature, Outline]]:
    """Read a file's features and their outlines; what is no area has an empty one.

    QuPath's corners are in pixels from the image's top left corner, as an `Outline`'s are.

    Raises
    ------
    CosegError
        If the file is no GeoJSON.
    """
    path = check_file(path)
    found = [
        (feature, Outline(feature.where, feature.parts or ())) for feature in read_features(path)
    ]
    if not found:
        _check_collection(path)
    return found


def _check_collection(path: Path) -> None:
    """Refuse a file without features that is no collection of them."""
    try:
        with path.open("rb") as file:
            event = next(iter(ijson.parse(file)), (None, None, None))[1]
        with path.open("rb") as file:
            kind = next(ijson.items(file, "type"), None) if event == "start_map" else None
    except (ijson.JSONError, UnicodeDecodeError, OSError) as error:
        raise CosegError(f"{path.name} is no JSON, or was cut off: {error}.") from error
    if event != "start_array" and kind != "FeatureCollection":
        raise CosegError(f"{path.name} is no GeoJSON: it holds no feature and is no collection.")
