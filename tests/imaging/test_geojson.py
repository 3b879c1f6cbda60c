from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.measure import regionprops_table

import napari_coseg.imaging.geojson as module
from napari_coseg.imaging.geojson import write_geojson
from napari_coseg.imaging.labels import read_labels
from napari_coseg.types import ClassTable, CosegError, empty_objects

CLASSES = ClassTable.from_names(["inflammatory", "épithélial"])
REGIONS = ClassTable.from_names(["gland", "stroma"])


def table(labels: np.ndarray, mpp: float | None = 0.5) -> pd.DataFrame:
    found = regionprops_table(labels, properties=("label", "area", "centroid", "bbox"))
    frame = empty_objects().reindex(range(len(found["label"])))
    frame["label"] = found["label"]
    frame["class"] = found["label"] % 3
    frame["score"] = 0.87654321
    frame["area_px"] = found["area"].astype(int)
    frame["area_um2"] = np.nan if mpp is None else found["area"] * mpp**2
    frame["row"], frame["column"] = found["centroid-0"], found["centroid-1"]
    for k, name in enumerate(("row0", "column0", "row1", "column1")):
        frame[name] = found[f"bbox-{k}"]
    frame["region"] = 0
    return frame


def read(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["type"] == "FeatureCollection"
    return content["features"]


def fill(feature: dict[str, Any], shape: tuple[int, int]) -> np.ndarray:
    """Fill with Pillow, at a scale at which pixel centres are off all outlines."""
    geometry = feature["geometry"]
    polygons = geometry["coordinates"]
    if geometry["type"] == "Polygon":
        polygons = [polygons]
    else:
        assert geometry["type"] == "MultiPolygon"
        assert len(polygons) > 1
    scale = 4
    image = Image.new("L", (shape[1] * scale, shape[0] * scale))
    draw = ImageDraw.Draw(image)
    for rings in polygons:
        for index, ring in enumerate(rings):
            assert ring[0] == ring[-1]
            draw.polygon([(x * scale, y * scale) for x, y in ring[:-1]], fill=int(index == 0))
            if index:
                # Pillow draws the outline of a polygon as well: give it back to the component.
                draw.line([(x * scale, y * scale) for x, y in ring], fill=1)
    return np.asarray(image)[scale // 2 :: scale, scale // 2 :: scale].astype(bool)


def noise_labels(shape: tuple[int, int], n: int) -> np.ndarray:
    """Objects with several parts, holes and corner contacts."""
    rng = np.random.default_rng(0)
    points = np.zeros(shape, np.int32)
    spots = rng.choice(points.size, n, replace=False)
    points.flat[spots] = np.arange(1, n + 1) * 3
    nearest = ndimage.distance_transform_edt(points == 0, return_indices=True)[1]
    labels = points[tuple(nearest)]
    labels[rng.random(shape) < 0.35] = 0
    labels.flat[spots] = np.arange(1, n + 1) * 3
    return labels


@pytest.mark.parametrize("sheet", [1, 300, 1 << 22])
def test_objects_fill_to_the_label_image(
    tmp_path: Path, sheet: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one sheet, on many small ones, and each object traced alone."""
    monkeypatch.setattr(module, "_SHEET_PIXELS", sheet)
    monkeypatch.setattr(module, "_SHEET_COLUMNS", 64)
    labels = noise_labels((90, 110), 40)
    frame = table(labels)
    write_geojson(tmp_path / "a.geojson", labels, frame, CLASSES)
    features = read(tmp_path / "a.geojson")
    assert len(features) == len(frame) == 40
    for feature, (_, row) in zip(features, frame.iterrows(), strict=True):
        np.testing.assert_array_equal(fill(feature, labels.shape), labels == row["label"])
        properties = feature["properties"]
        assert properties["objectType"] == "detection"
        assert properties["measurements"] == {
            "Label": row["label"],
            "Area px": row["area_px"],
            "Area µm^2": row["area_um2"],
            "Score": 0.8765,
        }
        if row["class"] == 0:
            assert "classification" not in properties
        else:
            info = CLASSES.classes[int(row["class"]) - 1]
            assert properties["classification"] == {"name": info.name, "color": list(info.colour)}


def test_regions_fill_to_the_region_image(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    field = ndimage.gaussian_filter(rng.normal(size=(2, 120, 140)), (0, 3, 3))
    regions = np.where(field[0] > 0.02, 1, np.where(field[1] > 0, 2, 0)).astype(np.uint8)
    regions[:5, :5] = 255
    write_geojson(
        tmp_path / "a.geojson", None, empty_objects(), ClassTable(), regions, REGIONS, mpp=0.5
    )
    features = read(tmp_path / "a.geojson")
    for info in REGIONS:
        mine = [f for f in features if f["properties"]["classification"]["name"] == info.name]
        assert len(mine) == ndimage.label(regions == info.id)[1]
        total = np.zeros(regions.shape, int)
        for feature in mine:
            mask = fill(feature, regions.shape)
            total += mask
            assert feature["properties"]["objectType"] == "annotation"
            assert feature["properties"]["measurements"] == {
                "Area px": mask.sum(),
                "Area µm^2": mask.sum() / 4,
            }
        np.testing.assert_array_equal(total, regions == info.id)


def test_a_pixel_at_the_corner_is_a_unit_square(tmp_path: Path) -> None:
    labels = np.zeros((4, 6), np.int32)
    labels[3, 5] = 9
    write_geojson(tmp_path / "a.geojson", labels, table(labels, mpp=None), CLASSES)
    (feature,) = read(tmp_path / "a.geojson")
    assert feature["type"] == "Feature"
    assert feature["geometry"] == {
        "type": "Polygon",
        "coordinates": [[[5, 3], [6, 3], [6, 4], [5, 4], [5, 3]]],
    }
    assert "Area µm^2" not in feature["properties"]["measurements"]


def test_nothing_found_is_a_collection_without_features(tmp_path: Path) -> None:
    nothing = np.zeros((4, 6), np.int32)
    write_geojson(
        tmp_path / "a.geojson", nothing, empty_objects(), CLASSES, nothing.astype(np.uint8), REGIONS
    )
    assert read(tmp_path / "a.geojson") == []


def test_memory_mapped_images(tmp_path: Path) -> None:
    labels = noise_labels((60, 70), 10)
    mapped = np.memmap(tmp_path / "a.raw", np.int32, "w+", shape=labels.shape)
    mapped[:] = labels
    frame = table(labels)
    write_geojson(tmp_path / "a.geojson", labels, frame, CLASSES, labels % 3, REGIONS)
    write_geojson(tmp_path / "b.geojson", mapped, frame, CLASSES, mapped % 3, REGIONS)
    assert (tmp_path / "a.geojson").read_bytes() == (tmp_path / "b.geojson").read_bytes()


def test_a_table_of_another_image(tmp_path: Path) -> None:
    labels = noise_labels((60, 70), 10)
    frame = table(labels)
    other = frame.assign(label=frame["label"] + 1000)
    outside = frame.assign(row1=frame["row1"] + 70)
    for wrong in (other, other.iloc[:1], outside):
        with pytest.raises(CosegError, match="do not belong together"):
            write_geojson(tmp_path / "a.geojson", labels, wrong, CLASSES)
    with pytest.raises(CosegError, match=r"class 7.*another model"):
        write_geojson(tmp_path / "a.geojson", labels, frame.assign(**{"class": 7}), CLASSES)
    assert os.listdir(tmp_path) == []


def test_arguments_that_go_together(tmp_path: Path) -> None:
    labels = noise_labels((60, 70), 10)
    with pytest.raises(ValueError, match="go together"):
        write_geojson(tmp_path / "a", None, empty_objects(), CLASSES, labels)
    with pytest.raises(ValueError, match="without an instance image"):
        write_geojson(tmp_path / "a", None, table(labels), CLASSES)
    with pytest.raises(ValueError, match="lacks"):
        write_geojson(tmp_path / "a", labels, table(labels).drop(columns="row0"), CLASSES)


def test_real_nuclei_and_glands(shared_data: Path, tmp_path: Path) -> None:
    nuclei = read_labels(sorted((shared_data / "consep" / "instances").iterdir())[0])
    write_geojson(tmp_path / "a.geojson", nuclei, table(nuclei), CLASSES)
    filled = np.zeros_like(nuclei)
    for feature in read(tmp_path / "a.geojson")[::10]:
        label = feature["properties"]["measurements"]["Label"]
        filled[fill(feature, nuclei.shape)] = label
    chosen = np.isin(nuclei, np.unique(nuclei[nuclei > 0])[::10])
    np.testing.assert_array_equal(filled, np.where(chosen, nuclei, 0))
