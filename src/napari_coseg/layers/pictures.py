"""One picture out of an array of any number of axes, read when it is sliced."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.array_source import ArraySource, ImageSource

#: A box of pixels: first row, first column, and the last ones, exclusive.
Box = tuple[int, int, int, int]


class Plane:
    """Pixels of one picture: it has a shape and a type, and is sliced by rows and columns.

    Parameters
    ----------
    data : array
        Whatever holds them.
    index : tuple of int, slice or None
        Place on each axis; None for rows and columns, a slice for one axis of samples at most.
    rgb : bool
        Whether one more axis is colour.
    box : Box
        Pixels of it.
    """

    def __init__(
        self, data: Any, index: tuple[int | slice | None, ...], rgb: bool, box: Box
    ) -> None:
        self._data = data
        self._index = index
        self._box = box
        kept = [axis for axis, part in enumerate(index) if part is None or isinstance(part, slice)]
        sliced = [axis for axis in kept if index[axis] is not None]
        self._samples = kept.index(sliced[0]) if sliced else None
        samples = [len(index)] if rgb else sliced
        self.shape = (box[2] - box[0], box[3] - box[1], *(int(data.shape[a]) for a in samples))
        self.dtype = np.dtype(data.dtype)

    def __getitem__(self, window: tuple[slice, slice]) -> npt.NDArray[Any]:
        """Read a window."""
        row0, column0, row1, column1 = self._box
        spans = (
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
        key = tuple(next(spans) if part is None else part for part in self._index)
        pixels = np.asarray(self._data[key])
        return pixels if self._samples is None else np.moveaxis(pixels, self._samples, -1)


class PlaneSource(ImageSource):
    """A plane as windows of 8-bit RGB, opened by the thread that first reads it.

    Opening looks at pixels (for the white level), which may lie on a disk or behind a network:
    the GUI's thread must not wait for that.

    Parameters
    ----------
    plane : Plane
    mpp : float or None
        µm per pixel.
    name : str
        For messages.
    finest : PlaneSource, optional
        Whose white level it has; its own by default.
    """

    def __init__(
        self, plane: Plane, mpp: float | None, name: str, finest: PlaneSource | None = None
    ) -> None:
        self._plane = plane
        self._finest = finest
        self._opened: ArraySource | None = None
        self._lock = threading.Lock()
        self.mpp = mpp
        self.name = name

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._plane.shape[0], self._plane.shape[1]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the pixels that were read so far."""
        return () if self._opened is None else self._opened.notes

    def _open(self) -> ArraySource:
        with self._lock:
            if self._opened is None:
                # Pixels of 8 bits are as they are, and no other level is looked at for them.
                other = None if self._plane.dtype == np.uint8 else self._finest
                white = None if other is None else other._open().white
                self._opened = ArraySource(self._plane, self.mpp, self.name, white)
            return self._opened

    def _read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        return self._open().read(row0, column0, row1, column1)
