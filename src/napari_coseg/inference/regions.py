"""Region labels in the image's own pixels, by window."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_coseg.inference.blending import most_probable
from napari_coseg.inference.grid import Box, Scale
from napari_coseg.inference.maps import TileMaps

_UInt8 = npt.NDArray[np.uint8]


class RegionWindows:
    """The most probable region class of each pixel.

    Probabilities are interpolated to the image's pixels first and compared then, so that borders
    are smooth at any ratio of scales.

    Parameters
    ----------
    maps : TileMaps
        Class probabilities, background first.
    scale : Scale
        The image at their scale.
    smallest : float
        Parts with fewer image pixels, holes too, take the class around them; 0 keeps all.
    """

    def __init__(self, maps: TileMaps, scale: Scale, smallest: float = 0) -> None:
        self.maps = maps
        self._scale = scale
        self._smallest = smallest
        # A part that is to go must be seen whole from every block that it touches.
        self._margin = math.ceil(2 * math.sqrt(smallest))

    def target_box(self, window: Box) -> Box:
        """Target pixels that a window is interpolated from, for `TileMaps.expect`."""
        return self.maps.box_at(*self._positions(self._wide(window)))

    def read(self, window: Box, *, announced: bool = True) -> _UInt8:
        """Return the region ids of a window of the image.

        Parameters
        ----------
        window : Box
            Image pixels, inside the image.
        announced : bool
            Whether the window was announced to the maps.

        Returns
        -------
        ndarray of uint8, (rows, columns)
            Class ids, 0 background; the lower id where two are equally probable.
        """
        wide = self._wide(window)
        labels = most_probable(self.maps.planes_at(*self._positions(wide), announced=announced))
        if self._smallest > 0:
            labels = without_specks(labels, self._smallest, self._open_sides(wide))
        top, left = window[0] - wide[0], window[1] - wide[1]
        return labels[top : top + window[2] - window[0], left : left + window[3] - window[1]]

    def _positions(self, box: Box) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        centres = self._scale.centres
        return centres(0, box[0], box[2]), centres(1, box[1], box[3])

    def _wide(self, window: Box) -> Box:
        rows, columns = self._scale.image_shape
        return (
            max(0, window[0] - self._margin),
            max(0, window[1] - self._margin),
            min(rows, window[2] + self._margin),
            min(columns, window[3] + self._margin),
        )

    def _open_sides(self, box: Box) -> tuple[bool, bool, bool, bool]:
        rows, columns = self._scale.image_shape
        return box[0] > 0, box[1] > 0, box[2] < rows, box[3] < columns


def without_specks(
    labels: _UInt8, smallest: float, open_sides: tuple[bool, bool, bool, bool]
) -> _UInt8:
    """Give parts of few pixels the class of the nearest pixel outside of them.

    Parameters
    ----------
    labels : ndarray of uint8, (rows, columns)
        Class ids. Background counts as a class, so that holes are filled too.
    smallest : float
        Parts (4-connected) with fewer pixels go.
    open_sides : tuple of bool
        Whether the image goes on beyond the first row, first column, last row and last column. A
        part that reaches an open side is kept, since its area is not known.

    Returns
    -------
    ndarray of uint8, (rows, columns)
        A new array; the same labels where every part is small.
    """
    small = np.zeros(labels.shape, bool)
    for value in np.unique(labels):
        parts, count = ndimage.label(labels == value)
        area = np.bincount(parts.ravel(), minlength=count + 1)
        gone = area < smallest
        gone[0] = False
        for is_open, side in zip(
            open_sides, (parts[0], parts[:, 0], parts[-1], parts[:, -1]), strict=True
        ):
            if is_open:
                gone[side] = False
        small |= gone[parts]
    if not small.any() or small.all():
        return labels.copy()
    rows, columns = ndimage.distance_transform_edt(
        small, return_distances=False, return_indices=True
    )
    filled: _UInt8 = labels[rows, columns]
    return filled
