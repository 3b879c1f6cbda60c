"""The planes of a volume as pictures, along any of its axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_coseg.imaging.array_source import ArraySource
from napari_coseg.imaging.volume_grid import sides
from napari_coseg.imaging.windows import Window, apply_window, automatic_window
from napari_coseg.types import CosegError

#: Names of the axes that planes may lie along.
AXES = ("planes", "rows", "columns")


class VolumePictures:
    """A volume cut into pictures of 8 bits.

    Parameters
    ----------
    voxels : array, (planes, rows, columns)
        Grey values; NumPy's, or one that is read when it is sliced. What is no number is black.
    spacing : tuple of float
        mm from one plane, row, column to the next.
    axis : int
        The axis along which pictures follow each other: 0 for the volume's own planes.
    window : (float, float), optional
        Grey values that become black and white; by default
        `napari_coseg.imaging.windows.automatic_window` of the whole volume.

    Attributes
    ----------
    axis : int
    window : (float, float)
    spacing : tuple of float
        mm between pictures, rows of a picture, columns of a picture.

    Raises
    ------
    CosegError
        If this is no volume of numbers, or has no such axis.
    """

    def __init__(
        self,
        voxels: Any,
        spacing: tuple[float, float, float],
        axis: int = 0,
        window: Window | None = None,
    ) -> None:
        shape = tuple(int(length) for length in voxels.shape)
        if len(shape) != 3 or 0 in shape:
            raise CosegError(f"An array of {sides(shape)} is no volume: it needs three axes.")
        if np.dtype(voxels.dtype).kind not in "buif":
            raise CosegError(f"A volume of {voxels.dtype} has no grey values: use numbers.")
        if axis not in (0, 1, 2):
            raise CosegError(f"A volume has no axis {axis}: use 0, 1 or 2.")
        self.axis = axis
        self.window = automatic_window(voxels) if window is None else window
        self._voxels = voxels
        order = (axis, *(a for a in range(3) if a != axis))
        self._shape = tuple(shape[a] for a in order)
        self.spacing = (spacing[order[0]], spacing[order[1]], spacing[order[2]])

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return self._shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a picture."""
        return self._shape[1], self._shape[2]

    def picture(self, plane: int) -> ArraySource:
        """Return a picture.

        Raises
        ------
        IndexError
            If there is none of that number.
        """
        if not 0 <= plane < self.count:
            raise IndexError(f"no picture {plane} of {self.count}")
        grey = np.asarray(self._voxels[self.at(plane)])
        if grey.dtype.kind == "f":
            grey = np.nan_to_num(grey, nan=self.window[0])
        return ArraySource(apply_window(grey, self.window), name=f"plane {plane}")

    def at(self, plane: int, window: tuple[slice, ...] = (slice(None), slice(None))) -> Any:
        """Return the index of a picture, or of a window in it, in the volume's own order."""
        index: list[Any] = list(window)
        index.insert(self.axis, plane)
        return tuple(index)
