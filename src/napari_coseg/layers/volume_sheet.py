"""Where the planes of a volume lie on the layer that objects are drawn on, and how they are read.

A plane is a picture that a slider of the viewer goes through, along whichever axis.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.source import ImageSource
from napari_coseg.layers.physical import pixel_sides
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.sheet import Alignment, Sheet
from napari_coseg.types import CosegError, Mask

#: Sides of a pixel in mm that teeth and bones are looked at with, and what a pixel of another size
#: counts as: a cell in a stack of microscopy is followed by the same rules as a tooth.
_USUAL, _ASSUMED = (0.04, 4.0), 0.4


def plane_axis(stack: Stack | None) -> int | None:
    """Return the axis of a stack along which its planes follow each other.

    Parameters
    ----------
    stack : Stack or None

    Returns
    -------
    int or None
        None where there is one plane alone, or several axes of them.
    """
    if stack is None:
        return None
    long = [a for a, length in zip(stack.leading, stack.axes, strict=True) if length > 1]
    return long[0] if len(long) == 1 else None


class StackPictures:
    """The planes of a stack as the worker reads them: what prompts on one of them see.

    Parameters
    ----------
    image : Image layer
        For the distances; it is not asked again.
    stack : Stack
        Its pixels, with more than one plane.
    index : tuple of int
        Any plane: where it stands on the other axes.

    Attributes
    ----------
    axis : int
        Of the volume, 0 to 2: its axes of length one are not counted.
    """

    def __init__(self, image: Any, stack: Stack, index: tuple[int, ...]) -> None:
        axis = plane_axis(stack)
        if axis is None:
            raise CosegError(f"{stack.name} is a single picture: there is nothing to go through.")
        self._stack = stack
        self._index = index
        self._place = stack.leading.index(axis)
        self.axis = sorted((axis, *stack.spatial)).index(axis)
        self.spacing = _distances(image, (axis, *stack.spatial))

    @property
    def count(self) -> int:
        """How many planes there are."""
        return self._stack.axes[self._place]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of each."""
        return self._stack.shape

    @property
    def plane(self) -> int:
        """The plane of `index`."""
        return self._index[self._place]

    def plane_of(self, index: tuple[int, ...]) -> int | None:
        """Return which plane an index is of; None where it stands elsewhere on other axes."""
        plane = index[self._place]
        return plane if index == self.index(plane) else None

    def index(self, plane: int) -> tuple[int, ...]:
        """Return where a plane stands on all axes other than rows and columns."""
        before, after = self._index[: self._place], self._index[self._place + 1 :]
        return (*before, plane, *after)

    def picture(self, plane: int) -> ImageSource:
        """Return a plane, to be read in any thread."""
        return self._stack.source(self.index(plane), 0, None, self._stack.mpp)


@dataclass(frozen=True)
class VolumeSheet:
    """A volume's planes on a sheet.

    Attributes
    ----------
    labels : ndarray, (planes, rows, columns)
        The sheet's pixels under the volume, as a view in the order of the volume's pictures.
    axis : int
        The sheet's axis of planes.
    first : int
        The sheet's plane under the volume's first one.
    alignment : Alignment
        Of the first plane.
    """

    labels: npt.NDArray[Any]
    axis: int
    first: int
    alignment: Alignment

    @classmethod
    def of(cls, image: Any, stack: Stack, sheet: Sheet, pictures: StackPictures) -> VolumeSheet:
        """Lay a volume on a sheet.

        Raises
        ------
        CosegError
            If the sheet's pixels are not the volume's, or some of them are missing.
        """
        last = pictures.count - 1
        ends = [Alignment(image, stack, sheet, pictures.index(plane)) for plane in (0, last)]
        low, high = (
            end.mask_on_sheet(Mask((0, 0), np.ones(stack.shape, bool))).window for end in ends
        )
        axis = next(
            (a for a, (one, other) in enumerate(zip(low, high, strict=True)) if one != other), None
        )
        window = tuple(slice(one.start, other.stop) for one, other in zip(low, high, strict=True))
        if (
            axis is None
            or len(window) != 3
            or high[axis].start - low[axis].start != last
            or any(
                not 0 <= w.start <= w.stop <= n
                for w, n in zip(window, sheet.labels.shape, strict=True)
            )
        ):
            raise CosegError(
                f"{sheet.layer.name} does not have all voxels of {stack.name}: take a new layer "
                "under Into."
            )
        labels = np.moveaxis(sheet.labels[window], axis, 0)
        if ends[0].turned:
            labels = labels.swapaxes(1, 2)
        return cls(labels, axis, low[axis].start, ends[0])

    def planes_of(self, label: int, window: tuple[slice, ...]) -> list[int]:
        """Return the planes that an object has pixels in.

        Parameters
        ----------
        label : int
        window : tuple of slice
            Where it lies on the sheet.
        """
        part = window[self.axis]
        first = max(part.start - self.first, 0)
        end = min(part.stop - self.first, len(self.labels))
        there = (self.labels[first:end] == label).any((1, 2))
        return [first + int(number) for number in np.flatnonzero(there)]

    def mask(self, label: int, plane: int) -> Mask:
        """Return what an object has in a plane, as a mask of the picture."""
        return Mask.of(self.labels[plane] == label)

    def taken(self, plane: int, free: Collection[int]) -> npt.NDArray[np.bool_]:
        """Return the pixels of a plane that belong to objects other than these."""
        labels = self.labels[plane]
        taken: npt.NDArray[np.bool_] = labels != 0
        for label in free:
            taken &= labels != label
        return taken

    def solid(self, masks: Mapping[int, Mask]) -> Mask:
        """Put masks of planes together to one of the sheet.

        Parameters
        ----------
        masks : mapping of Mask
            By plane, none of them empty.
        """
        low = np.min([mask.origin for mask in masks.values()], axis=0)
        high = np.max([np.add(m.origin, m.bits.shape) for m in masks.values()], axis=0)
        first, end = min(masks), max(masks) + 1
        bits = np.zeros((end - first, *(high - low)), bool)
        for plane, mask in masks.items():
            row, column = np.subtract(mask.origin, low)
            rows, columns = mask.bits.shape
            bits[plane - first, row : row + rows, column : column + columns] |= mask.bits
        # The box of all as one mask says where they belong and which way they are turned.
        frame = self.alignment.mask_on_sheet(
            Mask((int(low[0]), int(low[1])), np.ones(bits.shape[1:], bool))
        )
        origin = list(frame.origin)
        origin[self.axis] = self.first + first
        if self.alignment.turned:
            bits = bits.swapaxes(1, 2)
        return Mask(tuple(origin), np.moveaxis(bits, 0, self.axis))


def _distances(image: Any, axes: tuple[int, int, int]) -> tuple[float, float, float]:
    """Return the distances of planes, rows and columns in mm."""
    scale = [abs(float(image.scale[axis])) or 1.0 for axis in axes]
    units = [image.units[axis] for axis in axes]
    across, down = pixel_sides(scale[:2], units[:2]), pixel_sides(scale[1:], units[1:])
    if across is not None and down is not None:
        planes, rows, columns = (side / 1000 for side in (across[0], *down))
        if all(_USUAL[0] <= side <= _USUAL[1] for side in (rows, columns)):
            return planes, rows, columns
    factor = _ASSUMED / scale[1]
    return scale[0] * factor, scale[1] * factor, scale[2] * factor
