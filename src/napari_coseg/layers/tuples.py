"""Our values as napari layer data tuples: ``(data, attributes, kind)``.

napari itself is not imported here: a tuple is what its readers, writers and sample data speak.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_coseg.types import RGB, ClassTable

LayerData = tuple[npt.NDArray[Any], dict[str, Any], str]
RGBA = tuple[float, float, float, float]

_CLEAR: RGBA = (0.0, 0.0, 0.0, 0.0)
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
    features = pd.DataFrame(
        {"index": [info.id for info in classes], "class_name": list(classes.names)}
    )
    attributes = {
        "name": name,
        "features": features,
        "opacity": REGION_OPACITY,
        "colormap": _colours({info.id: info.colour for info in classes}),
        "metadata": metadata,
        **geometry(mpp),
    }
    return regions, attributes, "labels"


def instance_layer(
    instances: npt.NDArray[np.int32],
    objects: pd.DataFrame,
    classes: ClassTable,
    name: str,
    mpp: float | None,
    **metadata: Any,
) -> LayerData:
    """Return objects as a Labels layer, coloured by class, with their facts as features.

    Parameters
    ----------
    instances : ndarray of int32, (rows, columns)
        Object ids.
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
    by_label = {
        int(label): classes.colour_of(int(kind))
        for label, kind in zip(features["index"], features["class"], strict=True)
    }
    attributes = {
        "name": name,
        "features": features,
        "colormap": _colours(by_label),
        "metadata": metadata,
        **geometry(mpp),
    }
    return instances, attributes, "labels"


def _colours(by_label: dict[int, RGB]) -> dict[int | None, RGBA]:
    """Return napari's mapping from label to colour; labels that are not in it stay clear."""
    colours: dict[int | None, RGBA] = {None: _CLEAR, 0: _CLEAR}
    for label, (red, green, blue) in by_label.items():
        colours[label] = (red / 255, green / 255, blue / 255, 1.0)
    return colours
