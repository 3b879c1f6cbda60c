"""More objects than napari colours one by one: a picture of 8 bits stands for them.

napari looks every pixel of a layer with more than 65,535 labels up in a dictionary, which takes
seconds each time that a colour changes. So such a layer stays hidden, with all ids and facts, and
a layer of at most 255 labels lies on it that shows its classes, or colours that tell neighbours
apart.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.palette import object_colours
from napari_coseg.layers.cases import kept_case
from napari_coseg.layers.tuples import (
    METADATA,
    LayerData,
    class_colours,
    label_colours,
    listed_classes,
)
from napari_coseg.types import ClassTable

if TYPE_CHECKING:
    import pandas as pd

#: Role of such a picture in a layer's metadata.
PICTURE = "picture"
# Labels of a picture: 0 is background, an object has its class id + 1 or one of so many colours,
# and one that the table does not name, which somebody has painted, has the last label.
_COLOURS, _UNKNOWN = 240, 255
# A table of all ids up to the largest is fast; beyond this they are searched for in the table.
_LARGEST_TABLE = 1 << 27
_PART = 1 << 18


def is_crowd(labels: Any) -> bool:
    """Whether an instance layer's labels are of a type for which a picture has to stand."""
    return bool(np.dtype(labels.dtype).itemsize > 2)


def with_picture(instances: LayerData) -> list[LayerData]:
    """Return an instance layer, and above it the picture that a crowd needs."""
    return [instances, picture_layer(instances)] if is_crowd(instances[0]) else [instances]


def picture_layer(instances: LayerData) -> LayerData:
    """Return the picture, coloured by class, that is shown for a layer of many objects.

    Parameters
    ----------
    instances : LayerData
        As `napari_coseg.layers.tuples.instance_layer` makes it.
    """
    labels, attributes, _ = instances
    own = attributes["metadata"].get(METADATA, {})
    pixels, shown = _picture(labels, attributes["features"], listed_classes(own), (), False)
    kept = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    return (
        pixels,
        {
            **{name: attributes[name] for name in kept if name in attributes},
            **shown,
            "name": f"{attributes['name']} (colours)",
            "metadata": {**kept_case(attributes["metadata"]), METADATA: {**own, "role": PICTURE}},
        },
        "labels",
    )


def paint_picture(
    picture: Any, instances: Any, hidden: Collection[int] = (), *, by_object: bool = False
) -> None:
    """Colour the picture of an instance layer; classes in `hidden` are not shown.

    Parameters
    ----------
    picture, instances : Labels layer
    hidden : collection of int
        Class ids.
    by_object : bool
        Colours that tell neighbours apart instead of the classes'.
    """
    own = picture.metadata[METADATA]
    classes = listed_classes(own)
    if by_object or own.get("by_object"):
        # Which label of the picture an object has changes, and with it every pixel.
        pixels, shown = _picture(
            np.asarray(instances.data), instances.features, classes, hidden, by_object
        )
        picture.metadata = {METADATA: {**own, "by_object": by_object}}
        picture.data = pixels
        picture.features = shown["features"]
        picture.colormap = shown["colormap"]
    else:
        picture.colormap = _class_map(classes, hidden)


def _picture(
    labels: npt.NDArray[np.integer[Any]],
    features: pd.DataFrame,
    classes: ClassTable,
    hidden: Collection[int],
    by_object: bool,
) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
    """Labels of a picture, and its features and colours."""
    import pandas as pd

    ids, kinds = (features[name].to_numpy(np.int64) for name in ("index", "class"))
    if by_object:
        codes = (1 + ids % _COLOURS).astype(np.uint8)
        codes[np.isin(kinds, list(hidden))] = 0
        every = np.arange(1, 1 + _COLOURS)
        colours = label_colours(every, object_colours(every), np.dtype(np.uint8))
        named = pd.DataFrame({"index": []})
    else:
        # Class ids are at most 254; the last one has no label left.
        codes = np.minimum(1 + kinds, _UNKNOWN).astype(np.uint8)
        colours = _class_map(classes, hidden)
        names = ["no class", *classes.names]
        named = pd.DataFrame({"index": range(1, len(names) + 1), "class_name": names})
    return _looked_up(labels, ids, codes), {"features": named, "colormap": colours}


def _class_map(classes: ClassTable, hidden: Collection[int]) -> Any:
    kinds = np.arange(min(len(classes) + 1, _UNKNOWN - 1))
    colours = class_colours(kinds, classes)
    colours[np.isin(kinds, list(hidden))] = 0
    return label_colours(1 + kinds, colours, np.dtype(np.uint8))


def _looked_up(
    labels: npt.NDArray[np.integer[Any]],
    ids: npt.NDArray[np.int64],
    codes: npt.NDArray[np.uint8],
) -> npt.NDArray[np.uint8]:
    """Exchange ids for codes; ids without a code are unknown."""
    top = int(labels.max(initial=0))
    if top < _LARGEST_TABLE:
        table = np.full(top + 1, _UNKNOWN, np.uint8)
        table[0] = 0
        present = ids <= top
        table[ids[present]] = codes[present]
        # In parts: the indices are widened to 64 bits on the way.
        pixels = np.empty(labels.size, np.uint8)
        flat = np.ascontiguousarray(labels).reshape(-1)
        for start in range(0, flat.size, _PART):
            part = slice(start, start + _PART)
            table.take(flat[part], mode="clip", out=pixels[part])
        return pixels.reshape(labels.shape)
    if not len(ids):
        return np.where(labels == 0, np.uint8(0), np.uint8(_UNKNOWN))
    order = np.argsort(ids)
    places = np.searchsorted(ids[order], labels).clip(0, len(ids) - 1)
    found = np.where(ids[order][places] == labels, codes[order][places], np.uint8(_UNKNOWN))
    return np.where(labels == 0, np.uint8(0), found)
