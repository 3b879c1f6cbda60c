"""The pixels of a napari Image layer as 2D pictures read by window, whatever holds them.

napari itself is not imported: what a layer is asked for is public, and tests can pretend it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import numpy as np

from napari_coseg.imaging.array_source import ImageSource
from napari_coseg.imaging.pyramid import Pyramid
from napari_coseg.layers.channels import channel_axis
from napari_coseg.layers.physical import is_square, pixel_sides
from napari_coseg.layers.pictures import Box, Plane, PlaneSource
from napari_coseg.types import CosegError

T = TypeVar("T")
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
    channel : int or None
        The axis of channels, or what may be one. It is never rows or columns.
    shown : tuple of int or None
        The axes of rows and of columns, where they are not the last two.
    """

    name: str
    levels: tuple[Any, ...]
    rgb: bool
    mpp: float | None
    channel: int | None = None
    shown: tuple[int, int] | None = None

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
        found = channel_axis(layer)
        stack = cls(layer.name, levels, rgb, None, None if found is None else found.axis)
        return replace(stack, mpp=pixel_size_of(layer, stack.spatial))

    @property
    def ndim(self) -> int:
        """How many axes there are, colour not counted: those of the layer."""
        return len(self.levels[0].shape) - self.rgb

    @property
    def spatial(self) -> tuple[int, int]:
        """The axes of rows and of columns: by default the last two that are not channels."""
        if self.shown is not None:
            return self.shown
        rows, columns = [a for a in range(self.ndim) if a != self.channel][-2:]
        return rows, columns

    @property
    def leading(self) -> tuple[int, ...]:
        """The other axes: time, depth, channels. Only channels may come after the columns."""
        return tuple(a for a in range(self.ndim) if a not in self.spatial)

    @property
    def axes(self) -> tuple[int, ...]:
        """Lengths of the axes other than rows and columns."""
        return tuple(self.length(axis) for axis in self.leading)

    def turned(self, layer: Any, shown: tuple[int, int]) -> Self:
        """Return the same pixels as pictures along other axes.

        Parameters
        ----------
        layer : Image layer
            Of these pixels.
        shown : tuple of int
            The axes of rows and of columns, in ascending order.

        Raises
        ------
        CosegError
            If pixels of these pictures are not square.
        """
        if shown == self.spatial:
            return self
        return replace(self, shown=shown, mpp=pixel_size_of(layer, shown))

    def length(self, axis: int) -> int:
        """Return how long an axis is."""
        return int(self.levels[0].shape[axis])

    def in_order(self, index: Sequence[T], rows: T, columns: T) -> tuple[T, ...]:
        """Return values of the leading axes, and of rows and columns, in the layer's order."""
        values = dict(zip((*self.leading, *self.spatial), (*index, rows, columns), strict=True))
        return tuple(values[axis] for axis in range(self.ndim))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the finest level."""
        return self.shape_of(0)

    def shape_of(self, level: int) -> tuple[int, int]:
        """Rows and columns of a level."""
        rows, columns = (int(self.levels[level].shape[axis]) for axis in self.spatial)
        return rows, columns

    def ratios(self, level: int) -> tuple[float, ...]:
        """Return how many pixels of each axis of the layer lie under one of a level's."""
        full, part = self.shape, self.shape_of(level)
        return self.in_order([1.0] * len(self.leading), full[0] / part[0], full[1] / part[1])

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
        for level in self._flat_levels:
            ratio = self.shape[0] / self.shape_of(level)[0]
            if mpp * ratio > wanted * _SLACK:
                break
            chosen = level
        return chosen

    @property
    def _flat_levels(self) -> list[int]:
        """Coarser levels that are so in rows and columns alone: their planes are the same ones."""
        first = [self.levels[0].shape[axis] for axis in self.leading]
        levels = range(1, len(self.levels))
        return [k for k in levels if [self.levels[k].shape[a] for a in self.leading] == first]

    def plane(self, index: Sequence[int | slice], level: int = 0, box: Box | None = None) -> Plane:
        """Return a picture as an array that is read when it is sliced.

        Parameters
        ----------
        index : sequence of int
            Place on the axes other than rows and columns. A slice at one of them makes that one
            the last axis of the picture.
        level : int
            Of a pyramid.
        box : Box, optional
            Pixels of that level; all by default.
        """
        rows, columns = self.shape_of(level)
        places = self.in_order([*index], None, None)
        return Plane(self.levels[level], places, self.rgb, box or (0, 0, rows, columns))

    def source(
        self,
        index: Sequence[int],
        level: int,
        box: Box | None,
        mpp: float | None,
        like: ImageSource | None = None,
    ) -> ImageSource:
        """Return a picture as prediction reads it.

        Parameters
        ----------
        index, level, box
            As in `plane`.
        mpp : float or None
            Of the level.
        like : ImageSource, optional
            The same picture at another level: what is white there is white here.
        """
        finest = like if isinstance(like, PlaneSource) else None
        return PlaneSource(self.plane(index, level, box), mpp, self.name, finest)

    def pyramid(self, index: Sequence[int]) -> Pyramid:
        """Return a picture with its coarser levels, as prompts look at it."""
        finest = self.source(index, 0, None, self.mpp)
        sources = [finest]
        for level in self._flat_levels:
            ratio = self.shape[0] / self.shape_of(level)[0]
            mpp = None if self.mpp is None else self.mpp * ratio
            sources.append(self.source(index, level, None, mpp, finest))
        return Pyramid(sources)


def pixel_size_of(layer: Any, spatial: tuple[int, int] = (-2, -1)) -> float | None:
    """Return the µm per pixel that a layer's scale and units say; None where they say nothing.

    Parameters
    ----------
    layer : Image layer
    spatial : tuple of int
        Its axes of rows and columns.

    Raises
    ------
    CosegError
        If pixels are not square: nothing here could work on them as they are.
    """
    units = tuple(getattr(layer, "units", ()) or ())
    if len(units) < 2:
        return None
    sides = pixel_sides([layer.scale[axis] for axis in spatial], [units[axis] for axis in spatial])
    if sides is None:
        return None
    if not is_square(sides):
        raise CosegError(
            f"The pixels of {layer.name} are not square ({sides[0]:g} by {sides[1]:g} µm): "
            "resample the image first."
        )
    return math.sqrt(sides[0] * sides[1])
