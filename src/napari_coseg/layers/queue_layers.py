"""The layers of a queue's case: its image, and its regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volumes import Volume
from napari_coseg.imaging.windows import Window
from napari_coseg.layers import tuples, volume_layers
from napari_coseg.layers.cases import kept_case
from napari_coseg.layers.placing import lay_on
from napari_coseg.layers.results import class_table
from napari_coseg.layers.tuples import METADATA, own_metadata, region_layer
from napari_coseg.layers.volume_layers import kept_grid
from napari_coseg.types import ClassTable


def volume_image(
    voxels: npt.NDArray[Any], grid: VolumeGrid, unit: str, name: str, window: Window | None
) -> Image:
    """Return a volume as an Image layer."""
    data, attributes, _ = volume_layers.image_layer(Volume(voxels, grid, unit), name, window)
    return Image(data, **attributes)


def picture_image(pixels: npt.NDArray[np.uint8], name: str, mpp: float | None) -> Image:
    """Return a picture, (rows, columns, 3), as an Image layer."""
    data, attributes, _ = tuples.image_layer(pixels, name, mpp)
    return Image(data, **attributes)


def regions_on(
    image: Any, regions: npt.NDArray[np.uint8], classes: ClassTable, mpp: float | None
) -> Labels:
    """Return region ids as a Labels layer that lies exactly on an image."""
    own = own_metadata("regions", image.name, classes, mpp)
    metadata: Mapping[str, Any] = {
        **kept_grid(image, regions.shape),
        **kept_case(image.metadata),
        **own,
    }
    data, attributes, _ = region_layer(regions, classes, f"{image.name} regions", None, **metadata)
    # The image says where its pixels lie, in two axes or three.
    attributes["axis_labels"] = image.axis_labels[-regions.ndim :]
    layer = Labels(data, **attributes)
    lay_on(layer, image)
    return layer


def set_region_classes(layer: Any, classes: ClassTable) -> None:
    """Say what a layer's region ids mean, where it is said otherwise."""
    if class_table(layer) == classes:
        return
    facts = dict(layer.metadata)
    own = dict(facts[METADATA])
    own["classes"] = own_metadata("regions", "", classes, None)[METADATA]["classes"]
    layer.metadata = {**facts, METADATA: own}
    _, attributes, _ = region_layer(layer.data, classes, layer.name, None)
    layer.features, layer.colormap = attributes["features"], attributes["colormap"]
