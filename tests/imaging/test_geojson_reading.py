"""Reading GeoJSON: our own back to the very labels, and what QuPath writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from napari_coseg.imaging import geojson_reading
from napari_coseg.imaging.geojson import write_geojson
from napari_coseg.imaging.geojson_reading import read_geojson
from napari_coseg.imaging.objects import object_table
from napari_coseg.types import ClassTable, CosegError

CLASSES = ClassTable.from_names(["inflammatory", "épithélial"], {"épithélial": (1, 2, 3)})
REGIONS = ClassTable.from_names(["gland", "stroma"])
SQUARE = [[1, 1], [5, 1], [5, 4], [1, 4], [1, 1]]
HOLE = [[2, 2], [3, 2], [3, 3], [2, 3], [2, 2]]


def labels(shape: tuple[int, int] = (70, 90), seed: int = 0) -> np.ndarray:
    """Blobs with holes, several parts, gaps in the ids."""
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5) > 0.02
    found, _ = ndimage.label(mask)
    return (found * 3).astype(np.int32)


def objects_of(instances: np.ndarray) -> pd.DataFrame:
    frame = object_table(instances)
    frame["class"] = np.arange(len(frame)) % 3
    frame["area_um2"] = frame["area_px"] * 0.25
    frame["score"] = 0.75
    return frame


def feature(coordinates: Any, kind: str = "Polygon", **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": properties,
    }


def saved(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "x.geojson"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("batch", [1, 7, 4096])
def test_ours_comes_back_to_the_pixel(
    tmp_path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geojson_reading, "_BATCH", batch)
    instances = labels()
    regions = (labels(seed=5) % 7 % 3).astype(np.uint8)
    objects = objects_of(instances)
    path = tmp_path / "a.geojson"
    write_geojson(path, instances, objects, CLASSES, regions, REGIONS, mpp=0.5)
    back = read_geojson(path, lambda reach: instances.shape)
    assert back.regions is not None
    assert back.instances is not None
    assert back.instances.dtype == np.int32
    names = [back.region_classes.name_of(i) for i in range(len(back.region_classes) + 1)]
    for info in REGIONS:
        np.testing.assert_array_equal(
            regions == info.id, back.regions == names.index(info.name), err_msg=info.name
        )
    np.testing.assert_array_equal(back.instances, instances)
    same = ["label", "area_px", "row", "column", "row0", "column0", "row1", "column1"]
    pd.testing.assert_frame_equal(back.objects[same], objects[same], check_dtype=False)
    assert (back.objects["score"] == 0.75).all()
    np.testing.assert_allclose(back.objects["area_um2"], objects["area_um2"])
    expected = ["" if k == 0 else CLASSES.name_of(k) for k in objects["class"]]
    assert back.objects["class_name"].tolist() == expected
    colours = {info.name: info.colour for info in back.instance_classes}
    assert colours == {info.name: info.colour for info in CLASSES}


def test_a_part_of_an_image_lies_at_its_place(tmp_path: Path) -> None:
    instances = labels((20, 30))
    path = tmp_path / "a.geojson"
    write_geojson(path, instances, objects_of(instances), CLASSES, origin=(7, 5), step=(2, 2))
    back = read_geojson(path, lambda reach: (50, 70))
    expected = np.zeros((50, 70), int)
    expected[7:47, 5:65] = instances.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(back.instances, expected)


def test_reach_decides_the_size_where_nobody_else_does(tmp_path: Path) -> None:
    back = read_geojson(saved(tmp_path, [feature([SQUARE, HOLE])]))
    assert back.regions is None
    expected = np.zeros((4, 5), np.int32)
    expected[1:4, 1:5] = 1
    expected[2, 2] = 0
    np.testing.assert_array_equal(back.instances, expected)
    assert back.objects["class"].tolist() == [0]


def test_a_feature_alone_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "one.geojson"
    path.write_text("\ufeff" + json.dumps(feature([SQUARE])), encoding="utf-8")
    assert len(read_geojson(path).objects) == 1


def test_older_exports_of_qupath(tmp_path: Path) -> None:
    one = feature(
        [SQUARE],
        object_type="annotation",
        classification={"name": "Tumor", "colorRGB": -3670016},
        measurements=[{"name": "Area", "value": 3.5}],
    )
    back = read_geojson(saved(tmp_path, [one]))
    assert back.region_classes.classes[0].colour == (200, 0, 0)
    assert back.instances is None
    two = feature(
        [[[[1, 1], [3, 1], [3, 3]]], [[[6, 6], [8, 6], [8, 8], [6, 8]]]],
        "MultiPolygon",
        objectType="cell",
        classification={"names": ["Tumor", "Positive"], "color": [9, 8, 7]},
        measurements={"Nucleus: Area": 3.5, "flag": True, "text": "a"},
    )
    back = read_geojson(saved(tmp_path, {"type": "FeatureCollection", "features": [two]}))
    assert back.objects["class_name"].tolist() == ["Tumor: Positive"]
    assert back.objects["Nucleus: Area"].tolist() == [3.5]
    assert "flag" not in back.objects


def test_the_smaller_annotation_lies_on_top_whatever_the_order(tmp_path: Path) -> None:
    inner = feature([HOLE], objectType="annotation", classification={"name": "necrosis"})
    outer = feature([SQUARE], objectType="annotation")
    for order in ([inner, outer], [outer, inner]):
        back = read_geojson(saved(tmp_path, order))
        assert back.regions is not None
        assert back.region_classes.name_of(int(back.regions[2, 2])) == "necrosis"
        assert back.region_classes.name_of(int(back.regions[1, 1])) == "unclassified"


def test_points_and_lines_are_counted_and_left_out(tmp_path: Path) -> None:
    content = [feature([SQUARE]), feature([3, 4], "Point"), feature([[0, 0], [2, 2]], "LineString")]
    back = read_geojson(saved(tmp_path, content))
    assert back.skipped == 2
    assert len(back.objects) == 1


@pytest.mark.parametrize("ids", [[1, 1], [0, 2], [1.5, 2], [1, None]])
def test_ids_that_are_none_are_not_taken_over(tmp_path: Path, ids: list[Any]) -> None:
    shifted = [[x + 10, y] for x, y in SQUARE]
    content = [
        feature([ring], measurements={} if i is None else {"Label": i})
        for ring, i in zip((SQUARE, shifted), ids, strict=True)
    ]
    assert read_geojson(saved(tmp_path, content)).objects["label"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("nonsense", "no JSON"),
        ('[{"type": "Feature", "geometry": {"type": "Polygon", "coord', "no JSON"),
        ("{}", "no area"),
        ("[]", "no area"),
        (json.dumps([feature([3, 4], "Point")]), "no area"),
        (json.dumps([feature([[["a", 1], [2, 3], [4, 5]]])]), "faulty"),
        (json.dumps([feature([])]), "faulty"),
        (json.dumps([feature([[]])]), "faulty"),
        (json.dumps([feature(None)]), "faulty"),
        (json.dumps([feature([[[1e12, 1], [2, 3], [4, 5]]])]), "coordinates that no image"),
        (json.dumps([feature([[[0, 0], [90000, 0], [90000, 90000]]])]), "too many"),
        (json.dumps([feature([[[-9, -9], [-1, -9], [-1, -1]]])]), "outside"),
    ],
)
def test_a_sentence_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.geojson"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CosegError, match=words):
        read_geojson(path)
