"""Results as layers: in their place, in their colours, with their facts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from napari.layers import Image

from napari_coseg.layers.legend import describe_object, format_area, legend_rows
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.results import Place, colour_layer, own_facts, result_layers
from napari_coseg.layers.tuples import NARROW
from napari_coseg.types import OBJECT_COLUMNS, ClassTable, PanopticResult


def result(rows: int = 8, columns: int = 10, mpp: float | None = 0.5) -> PanopticResult:
    regions = np.zeros((rows, columns), np.uint8)
    regions[:, :4] = 1
    instances = np.zeros((rows, columns), np.int32)
    instances[1:3, 1:3], instances[5:7, 6:8] = 1, 2
    facts = dict.fromkeys(OBJECT_COLUMNS, 0)
    facts["region_name"] = "background"
    objects = pd.DataFrame(
        [
            facts | {"label": 1, "class": 1, "class_name": "a", "area_px": 4, "region_name": "g"},
            facts | {"label": 2, "class": 2, "class_name": "b", "area_px": 4},
        ]
    ).assign(class_score=0.9)
    return PanopticResult(
        regions=regions,
        instances=instances,
        objects=objects,
        region_classes=ClassTable.from_names(["g"]),
        instance_classes=ClassTable.from_names(["a", "b"]),
        mpp=mpp,
        metadata={"model": "m", "notes": []},
    )


def test_layers_lie_on_their_image() -> None:
    image = Image(
        np.zeros((8, 10)),
        name="tile",
        scale=(0.5, 0.5),
        translate=(3, 4),
        rotate=30,
        units=("um", "um"),
        axis_labels=("y", "x"),
    )
    stack = Stack.of(image)
    layers = result_layers([result()], image, stack, Place((), 0, (0, 0, 8, 10)))
    assert [layer.name for layer in layers] == ["tile regions", "tile instances"]
    for layer in layers:
        for point in ((0, 0), (7, 9)):
            assert np.allclose(layer.data_to_world(point), image.data_to_world(point))
        assert layer.units == image.units
        assert layer.axis_labels == image.axis_labels
        assert layer.metadata["model"] == "m"
    assert layers[0].opacity == pytest.approx(0.3)
    assert list(layers[1].features["index"]) == [1, 2]


def test_a_box_of_a_level_lies_on_its_pixels() -> None:
    levels = [np.zeros((64, 80)), np.zeros((32, 40))]
    image = Image(levels, name="slide", multiscale=True, scale=(0.25, 0.25), translate=(5, 0))
    layers = result_layers([result()], image, Stack.of(image), Place((), 1, (10, 20, 18, 30)))
    # The first pixel of the box covers pixels 20 and 21 of the finest level.
    assert np.allclose(layers[0].data_to_world((0, 0)), image.data_to_world((20.5, 40.5)))
    assert np.allclose(layers[0].scale, (0.5, 0.5))


def test_one_plane_of_a_stack_and_all_of_them() -> None:
    image = Image(np.zeros((3, 8, 10)), name="stack", scale=(2, 0.5, 0.5))
    stack = Stack.of(image)
    one = result_layers([result()], image, stack, Place((2,), 0, (0, 0, 8, 10)))
    assert one[0].data.shape == (1, 8, 10)
    assert np.allclose(one[0].data_to_world((0, 0, 0)), image.data_to_world((2, 0, 0)))
    every = result_layers([result() for _ in range(3)], image, stack, Place(None, 0, (0, 0, 8, 10)))
    labels = every[1].data
    assert labels.shape == (3, 8, 10)
    assert [set(np.unique(plane)) - {0} for plane in labels] == [{1, 2}, {3, 4}, {5, 6}]
    assert list(every[1].features["index"]) == [1, 2, 3, 4, 5, 6]
    assert list(every[1].features["plane"]) == [0, 0, 1, 1, 2, 2]


@pytest.fixture
def layers() -> list:
    image = Image(np.zeros((8, 10)), name="tile")
    return result_layers([result()], image, Stack.of(image), Place((), 0, (0, 0, 8, 10)))


def test_a_class_is_switched_off_and_on(layers: list) -> None:
    regions, instances = layers
    colour_layer(instances, {2})
    assert instances.get_color(2)[3] == 0
    assert np.allclose(instances.get_color(1)[:3], np.array([230, 159, 0]) / 255, atol=1e-3)
    colour_layer(instances, by_object=True)
    assert instances.get_color(2)[3] == 1
    assert not np.allclose(instances.get_color(1), instances.get_color(2))
    colour_layer(regions, {1})
    assert regions.get_color(1)[3] == 0


@pytest.mark.parametrize("count", [2, NARROW - 1])
def test_classes_of_few_and_of_many_objects(count: int) -> None:
    """As many as fit into 16 bits; of more see `test_crowds`."""
    one = result(300, 300)
    one.instances = np.arange(90_000, dtype=np.int32).reshape(300, 300)
    one.instances[one.instances > count] = 0
    facts = {column: np.zeros(count) for column in OBJECT_COLUMNS}
    numbers = np.arange(1, count + 1)
    one.objects = pd.DataFrame(facts | {"label": numbers, "class": 1 + numbers % 2})
    image = Image(np.zeros((300, 300)), name="tile")
    _, layer = result_layers([one], image, Stack.of(image), Place((), 0, (0, 0, 300, 300)))
    assert layer.data.dtype == (np.uint16 if count <= NARROW else np.int32)
    assert np.array_equal(layer.data, one.instances)
    colour_layer(layer, {2})
    seen = layer.colormap.map(np.array([0, 1, 2, count - 1, count], layer.data.dtype))
    shown = [False, *(number % 2 == 0 for number in (1, 2, count - 1, count))]
    assert list(seen[:, 3] > 0) == shown
    assert np.allclose(seen[2, :3], np.array([230, 159, 0]) / 255, atol=1e-3)
    colour_layer(layer)
    assert (layer.colormap.map(np.array([1, count], layer.data.dtype))[:, 3] == 1).all()
    # What a person paints later has no class, and is seen all the same.
    assert np.allclose(layer.get_color(count + 1), (0.5, 0.5, 0.5, 1), atol=1e-3)


def test_the_legend_counts(layers: list) -> None:
    regions, instances = (legend_rows(layer) for layer in layers)
    assert [(r.name, r.count, r.area_px, r.area) for r in regions] == [("g", None, 32, "8 µm²")]
    assert [(r.name, r.count, r.area_px) for r in instances] == [("a", 1, 4), ("b", 1, 4)]
    assert instances[0].area_um2 == 1.0


def test_objects_without_a_class_are_counted_too(layers: list) -> None:
    _, instances = layers
    before = sum(row.count or 0 for row in legend_rows(instances))
    features = instances.features.copy()
    features.loc[0, "class"] = 0
    instances.features = features
    rows = legend_rows(instances)
    assert (rows[-1].id, rows[-1].name, rows[-1].count) == (0, "no class", 1)
    assert sum(row.count or 0 for row in rows) == before
    colour_layer(instances, {0})
    assert instances.get_color(int(features["index"][0]))[3] == 0


def test_an_object_in_words(layers: list) -> None:
    regions, instances = layers
    assert describe_object(instances, 1) == "Object 1 · a 0.90 · 1 µm² · in g"
    assert describe_object(instances, 7) == "Object 7"
    assert describe_object(instances, 0) is None
    assert describe_object(regions, 1) == "g"
    other = Image(np.zeros((2, 2)))
    assert describe_object(other, 1) is None
    assert own_facts(other) is None
    assert legend_rows(other) == []


def test_areas_as_a_person_reads_them() -> None:
    assert format_area(1234, None) == "1,234 px"
    assert format_area(106_172_762, None) == "106 Mpx"
    assert format_area(0, 345.6) == "346 µm²"
    assert format_area(0, 2.5e6) == "2.5 mm²"
