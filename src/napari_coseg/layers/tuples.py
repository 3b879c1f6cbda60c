"""Our values as napari layer data tuples: ``(data, attributes, kind)``.

napari itself is not imported here: a tuple is what its readers, writers and sample data speak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_coseg.types import RGB, ClassTable

if TYPE_CHECKING:
    import pandas as pd

#: Key of our part of a layer's metadata.
METADATA = "napari_coseg"
LayerData = tuple[npt.NDArray[Any], dict[str, Any], str]
RGBA = tuple[float, float, float, float]

_CLEAR: RGBA = (0.0, 0.0, 0.0, 0.0)
# What a person paints with a new label must be seen: as an object of no class.
_UNNAMED: RGBA = (0.5, 0.5, 0.5, 1.0)
#: Largest label of a layer of 16 bits. Such a layer napari draws as it is, its colours from one
#: table; of a wider one it looks every pixel up in a dictionary, which takes seconds.
NARROW = 65_535
#: Opacity of regions over an image, so that the tissue stays visible.
REGION_OPACITY = 0.3


def geometry(mpp: float | None) -> dict[str, Any]:
    """Attributes that give a layer its physical size.

    Parameters
    ----------
    mpp : float or None
        Size of a pixel in µm; None where it is unknown, and the layer stays in pixels.
    """
    attributes: dict[str, Any] = {"axis_labels": ("row", "column")}
    if mpp is not None:
        attributes |= {"scale": (mpp, mpp), "units": ("um", "um")}
    return attributes


def own_metadata(
    role: str,
    image: str,
    classes: ClassTable,
    mpp: float | None,
    origin: tuple[float, float] = (0.0, 0.0),
    step: tuple[float, float] = (1.0, 1.0),
) -> dict[str, Any]:
    """Metadata by which a layer is known as ours.

    Parameters
    ----------
    role : {"regions", "instances"}
    image : str
        Name of the layer that was segmented.
    classes : ClassTable
        Of the role.
    mpp : float or None
        µm per pixel.
    origin, step : tuple of float
        Where a part of an image lies in it, and the size of a label's pixel in its pixels: rows,
        then columns.
    """
    table = [{"id": c.id, "name": c.name, "colour": list(c.colour)} for c in classes]
    own = {"role": role, "image": image, "classes": table, "mpp": mpp}
    return {METADATA: {**own, "origin": [*map(float, origin)], "step": [*map(float, step)]}}


def listed_classes(own: Mapping[str, Any]) -> ClassTable:
    """Return the classes that our part of a layer's metadata lists."""
    listed = own.get("classes", [])
    return ClassTable.from_names(
        [one["name"] for one in listed], {one["name"]: one["colour"] for one in listed}
    )


def image_layer(
    image: npt.NDArray[np.uint8], name: str, mpp: float | None, **metadata: Any
) -> LayerData:
    """Return an RGB image (rows, columns, 3) as an Image layer."""
    return image, {"name": name, "rgb": True, "metadata": metadata, **geometry(mpp)}, "image"


def region_layer(
    regions: npt.NDArray[np.uint8],
    classes: ClassTable,
    name: str,
    mpp: float | None,
    **metadata: Any,
) -> LayerData:
    """Return region ids (rows, columns) as a Labels layer in the classes' colours."""
    import pandas as pd

    features = pd.DataFrame(
        {"index": [info.id for info in classes], "class_name": list(classes.names)}
    )
    attributes = {
        "name": name,
        "features": features,
        "opacity": REGION_OPACITY,
        "colormap": label_colours(
            np.array([info.id for info in classes], int),
            opaque([info.colour for info in classes]),
            regions.dtype,
        ),
        "metadata": metadata,
        **geometry(mpp),
    }
    return regions, attributes, "labels"


def instance_layer(
    instances: npt.NDArray[np.integer[Any]],
    objects: pd.DataFrame,
    classes: ClassTable,
    name: str,
    mpp: float | None,
    **metadata: Any,
) -> LayerData:
    """Return objects as a Labels layer, coloured by class, with their facts as features.

    Parameters
    ----------
    instances : ndarray of int32 or uint16, (rows, columns)
        Object ids, none negative; in 16 bits in the layer where these are enough, else the layer
        is hidden.
    objects : DataFrame
        One row an object: `label`, `class` and whatever else is known. The column `label`
        becomes `index`, by which napari finds a label's row.
    classes : ClassTable
        What the class ids mean.
    name : str
        Name of the layer.
    mpp : float or None
        Size of a pixel in µm.
    **metadata
        Kept with the layer.
    """
    features = objects.rename(columns={"label": "index"}).reset_index(drop=True)
    attributes = {"name": name, "features": features, "metadata": metadata, **geometry(mpp)}
    if int(instances.max(initial=0)) <= NARROW:
        instances = instances.astype(np.uint16, copy=False)
        labels, kinds = (features[column].to_numpy(int) for column in ("index", "class"))
        attributes["colormap"] = label_colours(
            labels, class_colours(kinds, classes), instances.dtype
        )
    else:
        # `napari_coseg.layers.crowds` makes the layer that is seen instead.
        attributes["visible"] = False
    return instances, attributes, "labels"


def point_layer(
    objects: pd.DataFrame, classes: ClassTable, name: str, mpp: float | None
) -> LayerData:
    """Return an object table as points at the objects' centres, coloured by class."""
    colours = class_colours(objects["class"].to_numpy(np.int64), classes)
    attributes: dict[str, Any] = {
        "name": name,
        "features": objects.rename(columns={"label": "index"}).reset_index(drop=True),
        # napari takes no empty list of colours.
        "face_color": colours if len(colours) else "white",
        "border_width": 0,
        "size": 6,
        **geometry(mpp),
    }
    return objects[["row", "column"]].to_numpy(float), attributes, "points"


def label_colours(
    labels: npt.NDArray[np.integer[Any]],
    colours: npt.NDArray[np.floating[Any]],
    dtype: np.dtype[Any],
    others: npt.ArrayLike | None = None,
) -> npt.NDArray[np.float32] | dict[int | None, Any]:
    """Return what napari takes as a colormap.

    Parameters
    ----------
    labels : ndarray of int, (n,)
        None negative.
    colours : ndarray of float, (n, 4)
        Red, green, blue and alpha of each.
    dtype : dtype
        Of the layer's labels: those of 8 and 16 bits have a row for each value there is.
    others : array-like of float, (4,), optional
        Colour of labels that are not named; grey by default.
    """
    unnamed = _UNNAMED if others is None else np.asarray(others, float)
    if dtype.kind != "u" or dtype.itemsize > 2:
        return {None: unnamed, 0: _CLEAR, **dict(zip(labels.tolist(), colours, strict=True))}
    table = np.full((np.iinfo(dtype).max + 1, 4), unnamed, np.float32)
    table[0] = _CLEAR
    table[labels] = colours
    return table


def class_colours(
    kinds: npt.NDArray[np.integer[Any]], classes: ClassTable
) -> npt.NDArray[np.float64]:
    """Return the colour of each class id, alpha included."""
    table = opaque([classes.colour_of(i) for i in range(int(kinds.max(initial=0)) + 1)])
    colours: npt.NDArray[np.float64] = table[kinds]
    return colours


def opaque(colours: Sequence[RGB]) -> npt.NDArray[np.float64]:
    """Return colours of 0 to 255 as rows of red, green, blue and alpha in 0..1."""
    table = np.ones((len(colours), 4))
    table[:, :3] = np.array(colours, float).reshape(-1, 3) / 255
    return table
