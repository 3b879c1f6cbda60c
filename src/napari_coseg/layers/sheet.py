"""A Labels layer as the sheet that objects are drawn on: its pixels in two or three axes.

Edits know rows and columns, or planes, rows and columns. A layer may have more axes, as long as
the others are one long.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.layers.planes import Stack
from napari_coseg.types import CosegError, Mask

Window = tuple[slice, ...]

#: Axes longer than one that a layer may have.
MOST_AXES = 3
#: Pixels of a window up to which napari redraws the window alone, which costs it a list of all
#: of them; above, the whole layer is drawn anew.
_PARTIAL = 1 << 16
#: From one end of the image to the other, pixels may drift apart by this part of one.
_SLACK = 0.1


class Sheet:
    """A Labels layer's pixels as edits see them.

    Parameters
    ----------
    layer : Labels layer
        In memory, of integers.

    Raises
    ------
    CosegError
        If it cannot be drawn on.
    """

    def __init__(self, layer: Any) -> None:
        data = layer.data
        if getattr(layer, "multiscale", False) or not isinstance(data, np.ndarray):
            raise CosegError(f"{layer.name} is not in memory: objects go into a new layer instead.")
        if not data.flags.writeable:
            raise CosegError(f"{layer.name} cannot be changed: take a new layer, or duplicate it.")
        self.layer = layer
        long = [axis for axis, length in enumerate(data.shape) if length > 1]
        while len(long) < min(2, data.ndim):
            long = sorted({*long, max(a for a in range(data.ndim) if a not in long)})
        if len(long) > MOST_AXES:
            raise CosegError(
                f"{layer.name} has {len(long)} axes that are longer than one: three at most can "
                "be drawn on."
            )
        self.axes = tuple(long)
        self.ndim = data.ndim
        self.writing = False

    @property
    def labels(self) -> npt.NDArray[Any]:
        """The pixels, as a view: (rows, columns) or (planes, rows, columns)."""
        data: npt.NDArray[Any] = self.layer.data
        return data.reshape([data.shape[axis] for axis in self.axes])

    def full(self, window: Window) -> Window:
        """Return a window on all axes of the layer."""
        parts = dict(zip(self.axes, window, strict=True))
        return tuple(parts.get(axis, slice(0, 1)) for axis in range(self.ndim))

    def write(self, window: Window, values: npt.NDArray[Any]) -> None:
        """Set pixels, and let napari draw them."""
        where = self.full(window)
        shape = tuple(part.stop - part.start for part in where)
        new = values.reshape(shape)
        self.writing = True
        try:
            if new.size > _PARTIAL or not self.layer.visible:
                # What napari does not show it has not sliced either, and cannot set a part of.
                self.layer.data[where] = new
                self.layer.refresh(extent=False)
                return
            changed = np.nonzero(self.layer.data[where] != new)
            if changed[0].size:
                first = (part.start for part in where)
                indices = tuple(i + f for i, f in zip(changed, first, strict=True))
                self.layer.data_setitem(indices, new[changed])
        finally:
            self.writing = False


class Alignment:
    """Where the pixels of an image's plane lie on a sheet.

    Parameters
    ----------
    image : Image layer
    stack : Stack
        The same as pixels.
    sheet : Sheet
    index : tuple of int
        The plane of the image.

    Raises
    ------
    CosegError
        If the labels' pixels are not the image's.
    """

    def __init__(self, image: Any, stack: Stack, sheet: Sheet, index: tuple[int, ...]) -> None:
        self._sheet = sheet
        labels = sheet.layer

        def place(row: float, column: float) -> npt.NDArray[np.float64]:
            world = image.data_to_world(np.array(stack.in_order([*index], row, column), float))
            return np.asarray(labels.world_to_data(np.asarray(world)[-labels.ndim :]), float)

        if labels.ndim > image.ndim:
            raise CosegError(f"{labels.name} has more axes than {image.name}: take a new layer.")
        origin, down, across = place(0, 0), place(1, 0), place(0, 1)
        self._rows = int(np.argmax(np.abs(down - origin)))
        self._columns = int(np.argmax(np.abs(across - origin)))
        expected = np.zeros((2, labels.ndim))
        expected[0, self._rows] = expected[1, self._columns] = 1
        steps = np.stack([down - origin, across - origin])
        first = origin[[self._rows, self._columns]]
        longest = max(labels.data.shape)
        if (
            self._rows == self._columns
            or np.abs(steps - expected).max() * longest > _SLACK
            or np.abs(first - np.round(first)).max() > 0.1
        ):
            raise CosegError(
                f"The pixels of {labels.name} are not those of {image.name}: take a new layer."
            )
        self._first = np.round(first).astype(int)
        self._place = np.round(origin).astype(int)
        outside = [
            axis
            for axis in range(labels.ndim)
            if axis not in (self._rows, self._columns)
            and not 0 <= self._place[axis] < labels.data.shape[axis]
        ]
        if outside:
            raise CosegError(f"{labels.name} has no plane here: move the slider, or take another.")

    @property
    def plane(self) -> int | None:
        """Index of the plane on the sheet; None where it has one alone."""
        others = [a for a in self._sheet.axes if a not in (self._rows, self._columns)]
        return int(self._place[others[0]]) if others else None

    @property
    def turned(self) -> bool:
        """Whether the image's columns come before its rows on the sheet."""
        return self._rows > self._columns

    @property
    def axis(self) -> int:
        """The sheet's axis along which its planes follow each other; 0 where it has one alone."""
        spatial = (self._rows, self._columns)
        others = [n for n, axis in enumerate(self._sheet.axes) if axis not in spatial]
        return others[0] if others else 0

    def mask_on_sheet(self, mask: Mask) -> Mask:
        """Bring a mask of the image's plane to the sheet."""
        moved = dict(
            zip((self._rows, self._columns), np.asarray(mask.origin) + self._first, strict=True)
        )
        origin = tuple(int(moved.get(axis, self._place[axis])) for axis in self._sheet.axes)
        spatial = [a for a in self._sheet.axes if a in (self._rows, self._columns)]
        bits = mask.bits if spatial == [self._rows, self._columns] else mask.bits.T
        for position, axis in enumerate(self._sheet.axes):
            if axis not in spatial:
                bits = np.expand_dims(bits, position)
        return Mask(origin, bits)

    def mask_of(self, window: Window, bits: npt.NDArray[np.bool_]) -> Mask:
        """Return what of some bits of the sheet lies in the plane, as a mask of the image."""
        parts: list[int | slice] = []
        spans = {}
        for axis, part in zip(self._sheet.axes, window, strict=True):
            if axis in (self._rows, self._columns):
                parts.append(slice(None))
                spans[axis] = part.start
            else:
                at = int(self._place[axis]) - part.start
                if not 0 <= at < part.stop - part.start:
                    return Mask((0, 0), np.zeros((0, 0), bool))
                parts.append(at)
        flat = bits[tuple(parts)]
        flat = flat if self._rows < self._columns else flat.T
        first = np.array([spans[self._rows], spans[self._columns]]) - self._first
        return Mask.of(flat, (int(first[0]), int(first[1])))

    def label_at(self, row: float, column: float) -> int:
        """Return the label under a point of the image, 0 for none or outside."""
        place = self._place.copy()
        place[self._rows] = round(row) + self._first[0]
        place[self._columns] = round(column) + self._first[1]
        data = self._sheet.layer.data
        if (place < 0).any() or (place >= data.shape).any():
            return 0
        return int(data[tuple(place)])

    def point_on_sheet(self, row: float, column: float) -> tuple[float, ...]:
        """Bring a point of the image to the sheet."""
        moved = {self._rows: row + self._first[0], self._columns: column + self._first[1]}
        return tuple(float(moved.get(axis, self._place[axis])) for axis in self._sheet.axes)
