"""The pixels of a napari Image layer as 2D pictures read by window, whatever holds them.

napari itself is not imported: what a layer is asked for is public, and tests can pretend it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.source import ArraySource, ImageSource
from napari_coseg.types import CosegError

#: A box of pixels: first row, first column, and the last ones, exclusive.
Box = tuple[int, int, int, int]

# µm in one of a unit, by the names that napari (pint) gives units of length.
_MICROMETRES = {
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "micron": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "angstrom": 1e-4,
}
# A pyramid's level may be coarser than the model's pixels by this much: rounded sizes.
_SLACK = 1.05


@dataclass(frozen=True)
class Stack:
    """An Image layer's pixels: planes of pictures.

    Attributes
    ----------
    name : str
        The layer's.
    levels : tuple of array
        The pixels; one array, or the levels of a pyramid, the finest first. NumPy, Dask, Zarr or
        anything else that is sliced.
    rgb : bool
        Whether the last axis is colour.
    mpp : float or None
        µm per pixel of the finest level; None where the layer has no unit of length.
    """

    name: str
    levels: tuple[Any, ...]
    rgb: bool
    mpp: float | None

    @classmethod
    def of(cls, layer: Any) -> Stack:
        """Look at a layer.

        Raises
        ------
        CosegError
            If it is no image, or has no two axes of space.
        """
        data = layer.data
        levels = tuple(data) if getattr(layer, "multiscale", False) else (data,)
        rgb = bool(getattr(layer, "rgb", False))
        if len(levels[0].shape) - rgb < 2:
            raise CosegError(f"{layer.name} is a line and no picture.")
        if np.dtype(levels[0].dtype).kind not in "buif":
            raise CosegError(f"{layer.name} holds {levels[0].dtype}, which is no picture.")
        return cls(layer.name, levels, rgb, pixel_size_of(layer))

    @property
    def axes(self) -> tuple[int, ...]:
        """Lengths of the axes before rows and columns: time, depth, channels."""
        shape = self.levels[0].shape
        return tuple(int(n) for n in (shape[:-3] if self.rgb else shape[:-2]))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the finest level."""
        return self.shape_of(0)

    def shape_of(self, level: int) -> tuple[int, int]:
        """Rows and columns of a level."""
        shape = self.levels[level].shape
        rows, columns = shape[-3:-1] if self.rgb else shape[-2:]
        return int(rows), int(columns)

    @property
    def planes(self) -> int:
        """How many pictures there are."""
        return math.prod(self.axes)

    def level_for(self, mpp: float | None, wanted: float | None) -> int:
        """Return the coarsest level that has all that a model sees.

        Parameters
        ----------
        mpp : float or None
            µm per pixel of the finest level.
        wanted : float or None
            µm per pixel of the model's finest task.
        """
        if mpp is None or wanted is None:
            return 0
        chosen = 0
        for level in range(1, len(self.levels)):
            ratio = self.shape[0] / self.shape_of(level)[0]
            if mpp * ratio > wanted * _SLACK:
                break
            chosen = level
        return chosen

    def plane(self, index: Sequence[int], level: int = 0, box: Box | None = None) -> Plane:
        """Return a picture as an array that is read when it is sliced.

        Parameters
        ----------
        index : sequence of int
            Place on the axes before rows and columns.
        level : int
            Of a pyramid.
        box : Box, optional
            Pixels of that level; all by default.
        """
        rows, columns = self.shape_of(level)
        return Plane(self.levels[level], tuple(index), self.rgb, box or (0, 0, rows, columns))

    def source(
        self, index: Sequence[int], level: int, box: Box | None, mpp: float | None
    ) -> PlaneSource:
        """Return a picture as prediction reads it; `mpp` is the level's."""
        return PlaneSource(self.plane(index, level, box), mpp, self.name)


class Plane:
    """Pixels of one picture: it has a shape and a type, and is sliced by rows and columns."""

    def __init__(self, data: Any, index: tuple[int, ...], rgb: bool, box: Box) -> None:
        self._data = data
        self._index = index
        self._box = box
        samples = (int(data.shape[-1]),) if rgb else ()
        self.shape = (box[2] - box[0], box[3] - box[1], *samples)
        self.dtype = np.dtype(data.dtype)

    def __getitem__(self, window: tuple[slice, slice]) -> npt.NDArray[Any]:
        """Read a window."""
        row0, column0, row1, column1 = self._box
        rows, columns = (
            slice(low + part.start, low + part.stop, part.step)
            for low, part in zip(
                (row0, column0),
                (
                    slice(*window[0].indices(row1 - row0)),
                    slice(*window[1].indices(column1 - column0)),
                ),
                strict=True,
            )
        )
        return np.asarray(self._data[(*self._index, rows, columns)])


class PlaneSource(ImageSource):
    """A plane as windows of 8-bit RGB, opened by the thread that first reads it.

    Opening looks at pixels (for the white level), which may lie on a disk or behind a network:
    the GUI's thread must not wait for that.
    """

    def __init__(self, plane: Plane, mpp: float | None, name: str) -> None:
        self._plane = plane
        self._opened: ArraySource | None = None
        self._lock = threading.Lock()
        self.mpp = mpp
        self.name = name

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._plane.shape[0], self._plane.shape[1]

    def _read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        with self._lock:
            if self._opened is None:
                self._opened = ArraySource(self._plane, self.mpp, self.name)
        return self._opened.read(row0, column0, row1, column1)


def pixel_size_of(layer: Any) -> float | None:
    """Return the µm per pixel that a layer's scale and units say; None where they say nothing.

    Raises
    ------
    CosegError
        If pixels are not square: nothing here could work on them as they are.
    """
    units = tuple(str(unit) for unit in getattr(layer, "units", ()) or ())[-2:]
    scale = [abs(float(value)) for value in layer.scale][-2:]
    factors = [_MICROMETRES.get(unit) for unit in units]
    if len(factors) < 2 or factors[0] is None or factors[1] is None:
        return None
    down, across = (value * factor for value, factor in zip(scale, factors, strict=True) if factor)
    if not (down > 0 and across > 0 and abs(down / across - 1) < 0.02):
        raise CosegError(
            f"The pixels of {layer.name} are not square ({down:g} by {across:g} µm): "
            "resample the image first."
        )
    return math.sqrt(down * across)
