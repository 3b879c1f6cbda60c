"""2D images read by window: what every one of them can do, and those in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.colour import check_picture, to_rgb8, white_level

_SAMPLE_PIXELS = 1 << 20
_WINDOW = 256


class ImageSource(ABC):
    """An image as windows of 8-bit RGB; a context manager.

    Attributes
    ----------
    name : str
        For messages: the path, or what the caller called the array.
    mpp : float or None
        Size of a pixel in µm, None where it is unknown.
    """

    name: str
    mpp: float | None
    _odd: bool = False

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def levels(self) -> tuple[ImageSource, ...]:
        """The picture at each scale that it is there at: itself first, then coarser ones."""
        return (self,)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the pixels that were read so far."""
        if not self._odd:
            return ()
        return (
            f"{Path(self.name).name} has pixels that are no numbers: NaN is seen black, infinity "
            "black or white. What is found there means nothing.",
        )

    def _look_at(self, samples: npt.NDArray[Any]) -> None:
        """Take note of pixels that are no numbers."""
        if samples.dtype.kind == "f" and not self._odd and not np.isfinite(samples).all():
            self._odd = True

    @abstractmethod
    def _read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        """Read a window that is known to lie inside."""

    def read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        """Return a window, last edges exclusive, in a new array.

        May be called from several threads at once.

        Returns
        -------
        ndarray of uint8, (row1 - row0, column1 - column0, 3)

        Raises
        ------
        ValueError
            If the window is empty or reaches outside of the image.
        CosegError
            If pixels cannot be decoded.
        """
        rows, columns = self.shape
        if not (0 <= row0 < row1 <= rows and 0 <= column0 < column1 <= columns):
            raise ValueError(
                f"window ({row0}, {column0}, {row1}, {column1}) is not inside of {self.shape}"
            )
        return self._read(int(row0), int(column0), int(row1), int(column1))

    def close(self) -> None:  # noqa: B027 - an array has nothing to close
        """Let go of the file; reading afterwards is an error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ArraySource(ImageSource):
    """An array in memory, or anything that is sliced like one (memmap, Zarr).

    Parameters
    ----------
    array : array, (rows, columns), (rows, columns, 1, 3 or 4) or (3, rows, columns)
        Any type that `to_rgb8` takes. Three samples first are taken for colours if the last axis
        cannot be samples. The array is not copied.
    mpp : float, optional
        µm per pixel.
    name : str
        For messages.
    white : float, optional
        Value that becomes 255; by default what `white_level` says of the array.

    Raises
    ------
    CosegError
        If the shape or type is not a picture's.
    """

    def __init__(
        self,
        array: Any,
        mpp: float | None = None,
        name: str = "the image",
        white: float | None = None,
    ) -> None:
        shape = tuple(int(length) for length in array.shape)
        self._samples_first = len(shape) == 3 and shape[0] == 3 and shape[2] not in (1, 3, 4)
        if self._samples_first:
            shape = (*shape[1:], 3)
        check_picture(shape, array.dtype)
        self._array = array
        self._shape = shape[:2]
        self.mpp = mpp
        self.name = name
        if np.dtype(array.dtype) == np.uint8:
            white = 255.0
        #: Value that becomes 255.
        self.white = white_level(self._sample()) if white is None else white

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._shape[0], self._shape[1]

    def _sample(self) -> npt.NDArray[Any]:
        """Read enough pixels to tell the white level."""
        rows, columns = self._shape
        if isinstance(self._array, np.ndarray):
            step = max(1, int(np.sqrt(rows * columns / _SAMPLE_PIXELS)))
            return self._slice(np.s_[::step], np.s_[::step])
        # Every tenth pixel of chunks on a disk would read all of them: windows, spread evenly.
        starts = (
            sorted({int(share * max(0, n - _WINDOW)) for share in (0.05, 0.35, 0.65, 0.95)})
            for n in self._shape
        )
        windows = [
            self._slice(slice(row, row + _WINDOW), slice(column, column + _WINDOW))
            for row, column in product(*starts)
        ]
        return np.concatenate([window.reshape(-1, *window.shape[2:]) for window in windows])[None]

    def _slice(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        if self._samples_first:
            return np.moveaxis(np.asarray(self._array[:, rows, columns]), 0, -1)
        return np.asarray(self._array[rows, columns])

    def _read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        samples = self._slice(slice(row0, row1), slice(column0, column1))
        self._look_at(samples)
        return to_rgb8(samples, self.white)
