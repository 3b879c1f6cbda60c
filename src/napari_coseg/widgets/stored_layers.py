"""Labels that were read from a journal, as a layer on the image of their case."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_coseg.annotation.stored_labels import StoredLabels
from napari_coseg.layers.drawing import PLAIN, objects_layer
from napari_coseg.layers.object_table import ObjectTable
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.queue_layers import regions_on
from napari_coseg.layers.sheet import Sheet
from napari_coseg.types import CosegError


def labels_on(image: Any, stored: StoredLabels, regions: bool, mpp: float | None) -> Any:
    """Return labels as a layer that lies on an image, with their classes, table and colours.

    Parameters
    ----------
    image : Image layer
    stored : StoredLabels
    regions : bool
        Whether the ids are regions, and not objects.
    mpp : float or None
        µm per pixel.

    Raises
    ------
    CosegError
        If they do not have the size of the image.
    """
    if stored.labels.shape != tuple(image.data.shape[: image.ndim]):
        raise CosegError("The labels do not have the size of this image any more.")
    if regions:
        return regions_on(
            image, np.clip(stored.labels, 0, 255).astype(np.uint8), stored.classes, mpp
        )
    classes = stored.classes if len(stored.classes) else PLAIN
    layer = objects_layer(image, Stack.of(image), classes)
    small = stored.labels.max(initial=0) <= np.iinfo(np.uint16).max
    layer.data = stored.labels.astype(np.uint16 if small else np.int32)
    table = ObjectTable(Sheet(layer), stored.objects)
    table.colour()
    table.show()
    table.let_go()
    return layer
