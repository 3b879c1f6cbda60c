"""Volumes as napari layer data tuples; their grid stays with them in the metadata.

A layer has the scale of its volume in mm, but not its place and turn in the patient: planes are
looked at as they are stored. What is needed to write labels back is the grid in the metadata.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.utils.transforms import Affine

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volumes import Volume, as_ids
from napari_coseg.imaging.windows import Window, automatic_window, preset_window
from napari_coseg.layers.tuples import LayerData
from napari_coseg.types import CosegError

#: Key of a volume's facts in a layer's metadata: ``grid`` and ``unit``.
VOLUME = "napari_coseg_volume"
# What puts a layer into the world.
_PLACE = ("scale", "translate", "rotate", "shear", "affine")
AXIS_LABELS = ("plane", "row", "column")

# What people call files of labels.
_LABEL_NAME = re.compile(
    r"(^|[-_. ])(labels?|regions?|instances?|region_instances|seg|segmentations?|masks?)$",
    re.IGNORECASE,
)


def layer_of(volume: Volume, name: str, path: Path, window: Window | None = None) -> LayerData:
    """Return a volume file as a layer.

    It is Labels if its name says so (``..._labels``, ``..._instances``, ``..._seg``, ``..._mask``)
    and it holds ids, else an Image.
    """
    if _LABEL_NAME.search(name):
        # Else grey values, whatever their name.
        with contextlib.suppress(CosegError):
            return labels_layer(volume, name, path)
    return image_layer(volume, name, window)


def image_layer(volume: Volume, name: str, window: Window | None = None) -> LayerData:
    """Return a volume as an Image layer.

    Parameters
    ----------
    volume : Volume
    name : str
    window : (float, float), optional
        Contrast limits; the automatic window without them.
    """
    limits = automatic_window(volume.voxels) if window is None else window
    attributes = {"name": name, "contrast_limits": limits, "colormap": "gray"}
    return volume.voxels, {**attributes, **geometry(volume)}, "image"


def labels_layer(volume: Volume, name: str, path: Path) -> LayerData:
    """Return a volume of ids as a Labels layer.

    Raises
    ------
    CosegError
        If it holds other values than ids.
    """
    return as_ids(path, volume.voxels), {"name": name, **geometry(volume)}, "labels"


def show_window(layer: Any, window: str) -> None:
    """Set an Image layer's contrast limits.

    Parameters
    ----------
    layer : Image layer
    window : str
        Name of a preset, or empty for the automatic window.

    Raises
    ------
    CosegError
        If the layer is not known to be in Hounsfield units, or is colour.
    """
    if layer.rgb:
        raise CosegError("It is a colour picture, which has no window.")
    if window:
        layer.contrast_limits = preset_window(window, unit_in(layer.metadata))
    else:
        # Of a pyramid, the coarsest level has seen all voxels.
        layer.contrast_limits = automatic_window(layer.data[-1] if layer.multiscale else layer.data)


def has_window(layer: Any) -> bool:
    """Whether a layer's grey values mean little without its contrast limits.

    So are a volume's, and all of which some are below 0: Hounsfield units begin at -1000.
    """
    if layer.rgb or np.dtype(layer.dtype) == np.uint8:
        return False
    return VOLUME in layer.metadata or float(layer.contrast_limits[0]) < 0


def geometry(volume: Volume) -> dict[str, Any]:
    """Attributes that give a layer the size of a volume, and keep its grid."""
    return {
        "scale": volume.grid.spacing,
        "units": ("mm",) * 3,
        "axis_labels": AXIS_LABELS,
        "metadata": {VOLUME: {"grid": volume.grid.as_dict(), "unit": volume.unit}},
    }


def grid_in(metadata: Mapping[str, Any]) -> VolumeGrid | None:
    """Return the grid that a layer's metadata keep; None without one.

    Raises
    ------
    CosegError
        If it is damaged.
    """
    facts = metadata.get(VOLUME)
    return VolumeGrid.from_dict(facts["grid"]) if isinstance(facts, dict) else None


def unit_in(metadata: Mapping[str, Any]) -> str:
    """Return the unit of the grey values that a layer's metadata keep; empty without one."""
    facts = metadata.get(VOLUME)
    return str(facts.get("unit", "")) if isinstance(facts, dict) else ""


def kept_grid(image: Any, shape: Sequence[int]) -> dict[str, Any]:
    """Return the grid of an image for the metadata of a layer that lies on all of it.

    Parameters
    ----------
    image : Image layer
    shape : sequence of int
        Of the other layer's pixels.

    Returns
    -------
    dict
        Empty if the image has no grid, or the other layer covers a part only.
    """
    metadata = getattr(image, "metadata", None) or {}
    grid = grid_in(metadata)
    if grid is None or tuple(shape) != grid.shape:
        return {}
    return {VOLUME: dict(metadata[VOLUME])}


def grids_of(layers: Sequence[Any], shape: Sequence[int], place: Mapping[str, Any]) -> VolumeGrid:
    """Return the grid of the open volume on which a layer without one lies.

    Parameters
    ----------
    layers : sequence of layer
        Those that are open.
    shape : sequence of int
        Of the layer's pixels.
    place : mapping
        The layer's attributes: scale, translate, rotate, shear, affine; what is missing is plain.

    Raises
    ------
    CosegError
        If there is no such volume, or there are several on different grids.
    """
    here = _to_world(place) if len(shape) == 3 else None
    found: list[VolumeGrid] = []
    for layer in layers:
        grid = grid_in(getattr(layer, "metadata", {}))
        if grid is None or layer.ndim != 3 or grid.shape != tuple(shape):
            continue
        data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
        # A projection or a cut keeps the metadata.
        if tuple(np.shape(data)) != grid.shape:
            continue
        there = _to_world({name: getattr(layer, name) for name in _PLACE})
        if here is None or not np.allclose(here, there, 1e-4, 1e-4):
            continue
        if not any(other.difference(grid) == "" for other in found):
            found.append(grid)
    if not found:
        raise CosegError(
            "These labels lie on no open volume: open the image that they belong to, and save "
            "again."
        )
    if len(found) > 1:
        raise CosegError(
            "Several open volumes have as many voxels and lie elsewhere: close those that these "
            "labels do not belong to, and save again."
        )
    return found[0]


def _to_world(place: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """Return the matrix from voxels of a layer with three axes to the world."""
    own = Affine(
        scale=place.get("scale", (1, 1, 1)),
        translate=place.get("translate", (0, 0, 0)),
        rotate=place.get("rotate"),
        shear=place.get("shear"),
        ndim=3,
    ).affine_matrix
    moved = np.asarray(place.get("affine", np.eye(4)), float)
    matrix: npt.NDArray[np.float64] = moved @ own
    return matrix
