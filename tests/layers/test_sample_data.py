from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from napari.layers import Image, Labels, Layer
from skimage import data

from napari_coseg.datasets.synthetic_histology import generate_tile
from napari_coseg.imaging.volumes import read_label_volume
from napari_coseg.imaging.windows import PRESETS
from napari_coseg.layers.drawing import objects_layer
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.sample_data import (
    generated_cbct,
    generated_tile,
    immunohistochemistry,
)
from napari_coseg.layers.tuples import LayerData, instance_layer, region_layer
from napari_coseg.layers.volume_files import write_label_volume
from napari_coseg.layers.volume_layers import grid_in, show_window
from napari_coseg.types import ClassTable

CLASSES = ClassTable.from_names(["epithelial", "other"])


def make(entry: tuple[object, ...]) -> Layer:
    """The layer that napari makes of a tuple; no window is needed for that."""
    return Layer.create(*entry)


def test_real_picture_has_the_size_that_its_nuclei_say() -> None:
    (layer,) = [make(entry) for entry in immunohistochemistry()]
    assert isinstance(layer, Image)
    assert layer.rgb
    assert np.array_equal(layer.data, data.immunohistochemistry())
    assert tuple(layer.scale) == (0.4, 0.4)
    assert {str(unit) for unit in layer.units} == {"micrometer"}
    assert "scikit-image" in layer.metadata["source"]
    assert "taken as 0.4 µm" in layer.metadata["source"]


def test_generated_tile_has_size_and_truth() -> None:
    image, regions, nuclei = [make(entry) for entry in generated_tile()]
    tile = generate_tile()
    assert isinstance(image, Image)
    assert isinstance(regions, Labels)
    assert isinstance(nuclei, Labels)
    for layer in (image, regions, nuclei):
        assert tuple(layer.scale) == (tile.mpp, tile.mpp)
        assert {str(unit) for unit in layer.units} == {"micrometer"}
        assert tuple(layer.axis_labels) == ("row", "column")
    assert np.array_equal(regions.data, tile.regions)
    assert np.array_equal(nuclei.data, tile.instances)
    assert list(nuclei.features["index"]) == sorted(set(np.unique(tile.instances)) - {0})
    # One nucleus, looked up in the arrays and in the layer.
    label = int(nuclei.features["index"].iloc[len(nuclei.features) // 2])
    kind = int(tile.classes[tile.instances == label][0])
    row = nuclei.features.set_index("index").loc[label]
    assert row["class"] == kind
    assert row["class_name"] == tile.instance_classes.name_of(kind)
    expected = np.array(tile.instance_classes.colour_of(kind)) / 255
    assert nuclei.get_color(label)[:3] == pytest.approx(expected, abs=1e-3)


@pytest.fixture(scope="module")
def cbct() -> LayerData:
    """The sample, which takes seconds to make, made once."""
    (entry,) = generated_cbct()
    return entry


def test_generated_cbct_is_a_volume_in_millimetres(cbct: LayerData) -> None:
    layer = make(cbct)
    assert isinstance(layer, Image)
    assert not layer.rgb
    assert layer.data.ndim == 3
    assert layer.data.dtype == np.int16
    assert tuple(layer.scale) == (0.5, 0.5, 0.5)
    assert {str(unit) for unit in layer.units} == {"millimeter"}
    assert tuple(layer.axis_labels) == ("plane", "row", "column")
    low, high = layer.contrast_limits
    assert low < np.median(layer.data) < high
    assert "not a patient" in layer.metadata["source"]
    show_window(layer, "bone")
    assert layer.contrast_limits == [*PRESETS["bone"]]


def test_labels_drawn_on_the_generated_cbct_are_saved_on_its_grid(
    cbct: LayerData, tmp_path: Path
) -> None:
    image = make(cbct)
    grid = grid_in(image.metadata)
    assert grid is not None
    assert (grid.shape, grid.superior) == (image.data.shape, -1)
    drawn = objects_layer(image, Stack.of(image))
    drawn.data[60:62, 50:60, 70:80] = 3
    pixels, attributes, _ = drawn.as_layer_data_tuple()
    path = str(tmp_path / "teeth_labels.nii.gz")
    assert write_label_volume(path, pixels, attributes) == [path]
    stored = read_label_volume(path, grid)
    np.testing.assert_array_equal(stored.voxels, drawn.data)


def test_labels_have_their_class_colours() -> None:
    objects = pd.DataFrame({"label": [3, 9], "class": [1, 0], "score": [0.5, 0.6]})
    pixels = np.array([[0, 3], [9, 9]], dtype=np.int32)
    layer = make(instance_layer(pixels, objects, CLASSES, "n", None, model="m"))
    assert layer.get_color(3)[:3] == pytest.approx(np.array(CLASSES.colour_of(1)) / 255, abs=1e-3)
    # An object without a class is grey, not invisible.
    assert layer.get_color(9) == pytest.approx([128 / 255] * 3 + [1], abs=1e-3)
    assert list(layer.features.columns) == ["index", "class", "score"]
    assert list(objects.columns) == ["label", "class", "score"]
    assert layer.metadata == {"model": "m"}
    regions = make(region_layer(np.ones((2, 2), np.uint8), CLASSES, "r", 0.25))
    assert regions.opacity == pytest.approx(0.3)
    assert list(regions.features["class_name"]) == ["epithelial", "other"]
    assert regions.get_color(2)[:3] == pytest.approx(np.array(CLASSES.colour_of(2)) / 255, abs=1e-3)


def test_no_object_at_all() -> None:
    empty = pd.DataFrame({"label": [], "class": []})
    layer = make(instance_layer(np.zeros((2, 2), np.int32), empty, CLASSES, "n", 1.0))
    assert len(layer.features) == 0


def test_samples_need_no_window() -> None:
    script = (
        "import sys\n"
        "from napari_coseg.layers.sample_data import generated_tile, immunohistochemistry\n"
        "assert generated_tile() and immunohistochemistry()\n"
        "assert not {'PyQt6.QtWidgets', 'PySide6.QtWidgets', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
