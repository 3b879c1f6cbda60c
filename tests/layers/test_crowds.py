"""More objects than napari colours one by one: hidden ids, and a picture of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels, Layer

from napari_coseg.layers.crowds import PICTURE, is_crowd, paint_picture
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.reading import get_reader
from napari_coseg.layers.results import Place, result_layers, role_of
from napari_coseg.layers.tuples import NARROW
from napari_coseg.layers.writing import write_label_file, write_outlines
from napari_coseg.types import CosegError, PanopticResult
from tests.layers.test_results import result

IDS = {1: NARROW + 5, 2: NARROW + 9}


def crowd(ids: dict[int, int] = IDS) -> PanopticResult:
    """Two objects, whose ids are those of a large slide."""
    small = result()
    assert small.instances is not None
    table = np.array([0, ids[1], ids[2]], np.int32)
    objects = small.objects.assign(label=small.objects["label"].map(ids))
    return replace(small, instances=table[small.instances], objects=objects)


def layers(made: PanopticResult) -> list[Any]:
    image = Image(np.zeros((8, 10)), name="slide", scale=(0.5, 0.5), units=("um", "um"))
    return result_layers([made], image, Stack.of(image), Place((), 0, (0, 0, 8, 10)))


def colour(layer: Any, row: int, column: int) -> list[float]:
    shown: list[float] = np.round(layer.colormap.map(int(layer.data[row, column])), 3).tolist()
    return shown


def test_the_picture_lies_on_the_hidden_ids() -> None:
    regions, ids, picture = layers(crowd())
    assert [role_of(one) for one in (regions, ids, picture)] == ["regions", "instances", PICTURE]
    assert picture.name == "slide instances (colours)"
    assert (ids.visible, picture.visible) == (False, True)
    assert is_crowd(ids.data)
    assert picture.data.dtype == np.uint8
    assert np.array_equal(picture.data > 0, ids.data > 0)
    for point in ((0, 0), (7, 9)):
        assert np.allclose(picture.data_to_world(point), ids.data_to_world(point))
    assert (picture.units, picture.axis_labels) == (ids.units, ids.axis_labels)


@pytest.mark.parametrize("largest", [NARROW + 9, 1 << 30])
def test_the_picture_has_the_colours_of_few_objects(largest: int) -> None:
    few = layers(result())[1]
    picture = layers(crowd({1: NARROW + 5, 2: largest}))[-1]
    for place in ((1, 1), (5, 6)):
        assert colour(picture, *place) == colour(few, *place)
    assert colour(picture, 0, 0)[3] == 0
    names = dict(zip(picture.features["index"], picture.features["class_name"], strict=True))
    assert (names[picture.data[1, 1]], names[picture.data[5, 6]]) == ("a", "b")


@pytest.mark.parametrize("largest", [NARROW + 9, 1 << 30])
def test_objects_without_a_table_are_grey(largest: int) -> None:
    made = crowd({1: NARROW + 5, 2: largest})
    _, ids, picture = layers(replace(made, objects=made.objects.iloc[:0]))
    assert np.array_equal(picture.data > 0, ids.data > 0)
    assert colour(picture, 1, 1) == [0.5, 0.5, 0.5, 1]


def test_classes_are_switched_off_and_objects_told_apart() -> None:
    _, ids, picture = layers(crowd())
    paint_picture(picture, ids, {1})
    assert (colour(picture, 1, 1)[3], colour(picture, 5, 6)[3]) == (0, 1)
    before = colour(picture, 5, 6)
    paint_picture(picture, ids, {1}, by_object=True)
    assert picture.data[1, 1] == 0
    assert colour(picture, 5, 6) != before
    paint_picture(picture, ids, {2}, by_object=True)
    assert (picture.data[1, 1] > 0, picture.data[5, 6]) == (True, 0)
    paint_picture(picture, ids)
    assert colour(picture, 5, 6) == before
    assert np.array_equal(picture.data > 0, ids.data > 0)


@pytest.mark.parametrize("by_object", [False, True])
def test_an_object_that_was_painted_is_seen(by_object: bool) -> None:
    _, ids, picture = layers(crowd())
    ids.data[7, 9] = NARROW + 20
    paint_picture(picture, ids, by_object=True)
    paint_picture(picture, ids, by_object=by_object)
    assert colour(picture, 7, 9) == [0.5, 0.5, 0.5, 1]


def test_a_file_of_many_objects_comes_back_as_both(tmp_path: Path) -> None:
    _, ids, picture = layers(crowd())
    path = tmp_path / "slide_instances.tif"
    write_label_file(str(path), *ids.as_layer_data_tuple()[:2])
    reader = get_reader(str(path))
    assert reader is not None
    found = [Layer.create(*one) for one in reader(str(path))]
    assert [role_of(one) for one in found] == ["instances", PICTURE]
    assert all(isinstance(one, Labels) for one in found)
    assert np.array_equal(found[0].data, ids.data)
    assert np.array_equal(found[1].data, picture.data)
    assert (found[0].visible, found[1].visible) == (False, True)


def test_a_picture_is_not_saved_for_objects(tmp_path: Path) -> None:
    every = layers(crowd())
    outlines = tmp_path / "slide.geojson"
    write_outlines(str(outlines), [one.as_layer_data_tuple() for one in every])
    # One gland, two nuclei.
    assert outlines.read_text(encoding="utf-8").count('"type":"Feature"') == 3
    pictures = [every[-1].as_layer_data_tuple()] * 2
    with pytest.raises(CosegError, match="holds colours and no objects"):
        write_outlines(str(outlines), pictures)
    with pytest.raises(CosegError, match="holds colours and no objects"):
        write_label_file(str(tmp_path / "p_instances.tif"), *every[-1].as_layer_data_tuple()[:2])
