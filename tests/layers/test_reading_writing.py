"""What napari saves with us comes back the same, and lies on its image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels, Layer
from scipy import ndimage

from napari_coseg.imaging.objects import object_table
from napari_coseg.imaging.result_files import ENDINGS, result_paths
from napari_coseg.imaging.tables import read_objects
from napari_coseg.layers.reading import get_reader
from napari_coseg.layers.tuples import instance_layer, own_metadata, region_layer
from napari_coseg.layers.writing import (
    export,
    labelled,
    write_label_file,
    write_outlines,
    write_table,
)
from napari_coseg.types import ClassTable, CosegError

NUCLEI = ClassTable.from_names(["round", "long"], {"long": (9, 8, 7)})
TISSUE = ClassTable.from_names(["gland", "stroma"])
MPP = 0.25


def blobs(seed: int, shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(shape)
    found, _ = ndimage.label(ndimage.gaussian_filter(noise, 2) > 0.05)
    return found.astype(np.int32)


def instances(mpp: float | None = MPP) -> Layer:
    labels = blobs(0) * 2
    objects = object_table(labels)
    objects["class"] = np.arange(len(objects)) % 3
    objects["class_name"] = ["", "round", "long"] * (len(objects) // 3) + ["", "round", "long"][
        : len(objects) % 3
    ]
    objects["score"] = 0.5
    facts = own_metadata("instances", "tile", NUCLEI, mpp)
    data, attributes, kind = instance_layer(labels, objects, NUCLEI, "tile instances", mpp, **facts)
    return Layer.create(data, attributes, kind)


def regions(mpp: float | None = MPP) -> Layer:
    labels = (blobs(1) % 3).astype(np.uint8)
    facts = own_metadata("regions", "tile", TISSUE, mpp)
    data, attributes, kind = region_layer(labels, TISSUE, "tile regions", mpp, **facts)
    return Layer.create(data, attributes, kind)


def parts(layer: Layer) -> tuple[Any, dict[str, Any], str]:
    return layer.as_layer_data_tuple()


def read(path: Path | str) -> list[Layer]:
    reader = get_reader(str(path))
    assert reader is not None
    return [Layer.create(*one) for one in reader(str(path))]


def names(layer: Layer) -> list[str]:
    """Class name of each object, in the order of the ids."""
    return layer.features.sort_values("index")["class_name"].tolist()


def test_everything_at_once_and_back(tmp_path: Path) -> None:
    before = {"regions": regions(), "instances": instances()}
    taken = [labelled(*parts(layer)[:2]) for layer in before.values()]
    written = export(tmp_path / "tile", taken)
    assert written == result_paths(tmp_path / "tile")
    assert all(path.is_file() for path in written)
    for ending, role in zip(ENDINGS, ("regions", "instances"), strict=False):
        (back,) = read(tmp_path / f"tile{ending}")
        assert isinstance(back, Labels)
        assert back.name == f"tile {role}"
        np.testing.assert_array_equal(back.data, before[role].data)
        np.testing.assert_allclose(back.scale, (MPP, MPP))
        assert [str(unit) for unit in back.units] == ["micrometer"] * 2
        assert back.metadata == before[role].metadata | {
            "napari_coseg": {**before[role].metadata["napari_coseg"], "image": ""}
        }
        for label in range(1, 7):
            np.testing.assert_allclose(
                back.colormap.map(label), before[role].colormap.map(label), atol=1e-6
            )
    assert names(back) == names(before["instances"])
    outlines = {layer.name: layer for layer in read(tmp_path / "tile.geojson")}
    np.testing.assert_array_equal(
        outlines["tile instances"].data,
        before["instances"].data[: outlines["tile instances"].data.shape[0]],
    )
    assert names(outlines["tile instances"]) == names(before["instances"])
    (points,) = read(tmp_path / "tile_objects.csv")
    facts = before["instances"].features
    np.testing.assert_allclose(points.data, facts[["row", "column"]], atol=0.01)


def test_the_table_tells_of_the_labels_as_they_are_now(tmp_path: Path) -> None:
    layer = instances()
    gone, grown = (int(i) for i in layer.features["index"][:2])
    labels = layer.data.copy()
    labels[labels == gone] = 0
    labels[:3, :3] = grown
    fresh = int(labels.max()) + 5
    labels[-2:, -2:] = fresh
    layer.data = labels
    layer.features = layer.features[::-1].reset_index(drop=True)
    (_, table_path) = write_label_file(str(tmp_path / "a_instances.tif"), *parts(layer)[:2])
    assert table_path == str(tmp_path / "a_objects.csv")
    table = read_objects(table_path).set_index("label")
    assert gone not in table.index
    assert table.loc[grown, "area_px"] == (labels == grown).sum()
    assert table.loc[grown, "class_name"] == "round"
    assert table.loc[fresh, "class"] == 0
    assert table.loc[fresh, "class_name"] == ""
    assert np.isnan(table.loc[fresh, "score"])
    assert table.loc[fresh, "area_um2"] == pytest.approx(4 * MPP**2)


def test_a_table_says_in_which_region_a_painted_object_lies(tmp_path: Path) -> None:
    below, above = regions(), instances()
    below.data = np.full(below.data.shape, 2, np.uint8)
    above.features = above.features[["index", "class"]]
    export(tmp_path / "x", [labelled(*parts(la)[:2]) for la in (below, above)])
    assert set(read_objects(tmp_path / "x_objects.csv")["region_name"]) == {"stroma"}


def test_nothing_found_is_written_and_read_too(make_napari_viewer: Any, tmp_path: Path) -> None:
    layer = instances()
    layer.data = np.zeros_like(layer.data)
    export(tmp_path / "e", [labelled(*parts(layer)[:2])])
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((60, 80)), name="e")
    (back,) = viewer.open(tmp_path / "e_instances.tif", plugin="napari-coseg")
    assert not back.data.any()
    (points,) = viewer.open(tmp_path / "e_objects.csv", plugin="napari-coseg")
    assert len(points.data) == 0


def test_labels_of_anybody(tmp_path: Path) -> None:
    layer = Labels(blobs(2)[None], name="mine")
    write_outlines(str(tmp_path / "m.geojson"), [parts(layer)])
    content = json.loads((tmp_path / "m.geojson").read_bytes())
    assert len(content["features"]) == layer.data.max()
    assert "classification" not in content["features"][0]["properties"]
    (back,) = read(tmp_path / "m.geojson")
    assert back.name == "m instances"
    write_table(str(tmp_path / "m.csv"), *parts(layer)[:2])
    table = read_objects(tmp_path / "m.csv")
    assert table["area_um2"].isna().all()
    # A table of somebody else's classes names them.
    layer = Labels(
        blobs(2),
        features=pd.DataFrame({"index": [1, 2], "class": [2, 2], "class_name": ["b", "b"]}),
    )
    write_outlines(str(tmp_path / "n.geojson"), [parts(layer)])
    (back,) = read(tmp_path / "n.geojson")
    assert back.features["class_name"].tolist().count("b") == 2


def test_outlines_of_a_part_lie_in_the_whole_image(tmp_path: Path) -> None:
    layer = instances()
    layer.metadata = own_metadata("instances", "slide", NUCLEI, MPP, (100, 40), (4, 4))
    write_outlines(str(tmp_path / "p.geojson"), [parts(layer)])
    content = json.loads((tmp_path / "p.geojson").read_bytes())
    first = np.array(content["features"][0]["geometry"]["coordinates"][0])
    label = content["features"][0]["properties"]["measurements"]["Label"]
    rows, columns = np.nonzero(layer.data == label)
    assert first[:, 1].min() == 100 + 4 * rows.min()
    assert first[:, 0].max() == 40 + 4 * (columns.max() + 1)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    stack = Labels(np.ones((2, 5, 5), np.int32), name="stack")
    with pytest.raises(CosegError, match="one plane"):
        write_outlines(str(tmp_path / "a.geojson"), [parts(stack)])
    with pytest.raises(CosegError, match="negative"):
        labelled(np.full((2, 2), -1), {})
    with pytest.raises(CosegError, match="both hold instances"):
        write_outlines(str(tmp_path / "a.geojson"), [parts(instances()), parts(instances())])
    small = Labels(np.ones((5, 5), np.uint8), metadata=regions().metadata)
    with pytest.raises(CosegError, match="different sizes"):
        write_outlines(str(tmp_path / "a.geojson"), [parts(small), parts(instances())])
    with pytest.raises(CosegError, match="no table"):
        write_table(str(tmp_path / "a.csv"), *parts(regions())[:2])
    painted = regions()
    painted.data = np.full(painted.data.shape, 9, np.uint8)
    with pytest.raises(CosegError, match="label 9, and 2 classes"):
        labelled(*parts(painted)[:2])
    assert not list(tmp_path.iterdir())


def test_only_our_names_are_read() -> None:
    for path in ("a.tif", "regions.tif", "a.csv", "a.json", ["a.geojson", "b.geojson"]):
        assert get_reader(path) is None  # type: ignore[arg-type]
    assert get_reader("/x/A.GEOJSON") is not None


def test_regions_without_classes_and_too_many(tmp_path: Path) -> None:
    from napari_coseg.imaging.labels import write_label_tiff

    write_label_tiff(tmp_path / "a_regions.tif", np.array([[0, 1], [2, 2]], np.uint8))
    (layer,) = read(tmp_path / "a_regions.tif")
    assert layer.features["class_name"].tolist() == ["class 1", "class 2"]
    write_label_tiff(tmp_path / "b_regions.tif", np.array([[0, 300]], np.uint16))
    with pytest.raises(CosegError, match="at most 255"):
        read(tmp_path / "b_regions.tif")
    write_label_tiff(tmp_path / "c_instances.tif", np.array([[0, 300]], np.int32))
    (layer,) = read(tmp_path / "c_instances.tif")
    assert layer.features["index"].tolist() == [300]


def test_dropped_files_lie_on_their_image(make_napari_viewer: Any, tmp_path: Path) -> None:
    write_outlines(str(tmp_path / "tile.geojson"), [parts(regions()), parts(instances())])
    write_label_file(str(tmp_path / "tile_instances.tif"), *parts(instances(None))[:2])
    write_table(str(tmp_path / "tile_objects.csv"), *parts(instances())[:2])
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((60, 80)), name="other")
    place = {"scale": (0.5, 0.5), "translate": (3, 4), "units": ("um", "um")}
    viewer.add_image(np.zeros((3, 60, 80)), name="tile", scale=(1, 0.5, 0.5), translate=(0, 3, 4))
    viewer.layers[-1].units = ("um",) * 3
    viewer.add_image(np.zeros((20, 20)), name="too small")
    for name in ("tile.geojson", "tile_instances.tif", "tile_objects.csv"):
        for layer in viewer.open(tmp_path / name, plugin="napari-coseg"):
            np.testing.assert_allclose(layer.scale[-2:], place["scale"])
            np.testing.assert_allclose(layer.translate[-2:], place["translate"])
            if isinstance(layer, Labels):
                assert layer.data.shape == (60, 80)


def test_napari_saves_with_us_where_asked_and_with_itself_else(
    make_napari_viewer: Any, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    viewer.add_layer(regions())
    layer = viewer.add_layer(instances())
    assert viewer.layers.save(str(tmp_path / "two.geojson")) == [str(tmp_path / "two.geojson")]
    assert layer.save(str(tmp_path / "t.csv")) == [str(tmp_path / "t.csv")]
    layer.save(str(tmp_path / "plain.tif"))
    assert not (tmp_path / "plain_objects.csv").exists()
    layer.save(str(tmp_path / "ours_instances.tif"), plugin="napari-coseg")
    assert (tmp_path / "ours_objects.csv").is_file()
