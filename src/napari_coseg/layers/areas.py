"""Which part of an image is meant: what is in view, or a rectangle that somebody drew."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.layers.pictures import Box
from napari_coseg.types import CosegError


def box_around(corners: npt.NDArray[np.floating[Any]], shape: tuple[int, int]) -> Box | None:
    """Return the pixels that touch the rectangle around some points, cut to the image.

    Parameters
    ----------
    corners : ndarray, (points, 2)
        Rows and columns in pixel centres.
    shape : tuple of int
        Rows and columns of the image.

    Returns
    -------
    Box or None
        None where the rectangle has no pixel of the image.
    """
    low = np.floor(corners.min(axis=0) + 0.5)
    high = np.ceil(corners.max(axis=0) + 0.5)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return None
    row0, column0 = (max(0, int(v)) for v in low)
    row1, column1 = (min(n, int(v)) for n, v in zip(shape, high, strict=True))
    if row1 <= row0 or column1 <= column0:
        return None
    return row0, column0, row1, column1


def box_in_view(
    viewer: Any, layer: Any, shape: tuple[int, int], spatial: tuple[int, int] = (-2, -1)
) -> Box:
    """Return the pixels of an Image layer's finest level that the canvas shows.

    The layer's own ``corner_pixels`` would not do: of a pyramid they are what is loaded.

    Parameters
    ----------
    viewer : Viewer
    layer : Image layer
    shape : tuple of int
        Rows and columns of the image.
    spatial : tuple of int
        Its axes of rows and columns.

    Raises
    ------
    CosegError
        If nothing of the image is in view, or the view shows other axes than rows and columns.
    """
    shown = list(viewer.dims.displayed[-2:])
    before = viewer.dims.ndim - layer.ndim
    if {axis - before for axis in shown} != {axis % layer.ndim for axis in spatial}:
        raise CosegError(
            f"The view does not show rows and columns of {layer.name}: change the order of the "
            "axes (button below the list of layers), or take all of the image."
        )
    camera = viewer.scene.camera
    half = np.array(viewer.canvas.viewbox_size(viewer.layers), float) / camera.zoom / 2
    middle = np.array(camera.center, float)[-2:]
    point = np.array(viewer.dims.point, float)
    corners = []
    for down in (-1, 1):
        for across in (-1, 1):
            point[shown] = middle + half * (down, across)
            data = np.asarray(layer.world_to_data(point[-layer.ndim :]))
            corners.append(data[list(spatial)])
    seen = np.array(corners)
    # The edge of the view at 9.4 still shows the pixel 9, whose area ends at 9.5.
    box = box_around(np.stack([seen.min(axis=0), seen.max(axis=0) - 1e-6]), shape)
    if box is None:
        raise CosegError(f"Nothing of {layer.name} is in view: move the view, or take all of it.")
    return box


def box_of_rectangle(
    shapes: Any, image: Any, shape: tuple[int, int], spatial: tuple[int, int] = (-2, -1)
) -> Box:
    """Return the pixels of an Image layer under a shape: the selected one, else the last.

    Parameters
    ----------
    shapes : Shapes layer
    image : Image layer
    shape : tuple of int
        Rows and columns of the image.
    spatial : tuple of int
        Its axes of rows and columns.

    Raises
    ------
    CosegError
        If there is no shape, or it lies outside of the image.
    """
    if len(shapes.data) == 0:
        raise CosegError(f"{shapes.name} holds no rectangle yet: draw one around the area.")
    chosen = max(shapes.selected_data) if shapes.selected_data else len(shapes.data) - 1
    corners = _corners(shapes, shapes.data[chosen], image, spatial)
    # Shapes are drawn through the pixels' area: an edge at 9.6 includes the pixel 10 no more.
    box = box_around(np.stack([corners.min(0), corners.max(0) - 1e-6]), shape)
    if box is None:
        raise CosegError(f"The rectangle of {shapes.name} lies outside of {image.name}.")
    return box


def boxes_of_shapes(
    shapes: Any, image: Any, spatial: tuple[int, int] = (-2, -1)
) -> list[tuple[float, float, float, float]]:
    """Return the boxes around all shapes of a layer, in edges of pixels of an image.

    Parameters
    ----------
    shapes : Shapes layer
    image : Image layer
    spatial : tuple of int
        Its axes of rows and columns.

    Returns
    -------
    list of tuple of float
        First row and column, last row and column; they may lie outside of the image.
    """
    boxes = []
    for vertices in shapes.data:
        corners = _corners(shapes, vertices, image, spatial) + 0.5
        (row0, column0), (row1, column1) = corners.min(0), corners.max(0)
        boxes.append((float(row0), float(column0), float(row1), float(column1)))
    return boxes


def _corners(
    shapes: Any, vertices: Any, image: Any, spatial: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Corners of a shape as rows and columns of an image, in pixel centres."""
    return np.array(
        [np.asarray(image.world_to_data(shapes.data_to_world(v)))[list(spatial)] for v in vertices]
    )


def plane_index(
    layer: Any,
    point: tuple[float, ...],
    axes: tuple[int, ...],
    leading: tuple[int, ...] | None = None,
) -> tuple[int, ...]:
    """Return where a viewer's sliders stand on the axes of a layer other than rows and columns.

    Parameters
    ----------
    layer : Layer
        Its last axes are the viewer's.
    point : tuple of float
        ``viewer.dims.point``, in world coordinates.
    axes : tuple of int
        Lengths of those axes.
    leading : tuple of int, optional
        Which they are; the first ones by default.
    """
    if not axes:
        return ()
    count = len(axes) + 2
    world = np.zeros(count)
    known = min(count, len(point))
    world[count - known :] = point[len(point) - known :]
    data = np.asarray(layer.world_to_data(world))
    data = data[list(range(len(axes)) if leading is None else leading)]
    return tuple(
        int(np.clip(math.floor(value + 0.5), 0, length - 1))
        for value, length in zip(data, axes, strict=True)
    )
