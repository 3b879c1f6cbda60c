"""Label images that are too large for memory, on disk while they are made."""

from __future__ import annotations

import errno
import math
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError

#: Bytes up to which a label image stays in memory.
IN_MEMORY_BYTES = 128 << 20

Window = tuple[slice, slice]
#: How a canvas may be read: whole rows, a window, a piece of one row.
Index = slice | tuple[slice, slice] | tuple[int, slice]


class Canvas(Protocol):
    """What block results are written to: an ndarray, or what looks like one through windows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""

    def __getitem__(self, index: Index, /) -> npt.NDArray[Any]:
        """Labels of a window."""

    def __setitem__(self, window: Window, labels: npt.NDArray[Any], /) -> None:
        """Replace the labels of a window."""


class ScratchCanvas:
    """A label image in a nameless temporary file, zero to begin with.

    Plain reads and writes and no memory map: a full disk is then an error that can be told and
    not a signal that ends the program, and pages that were looked at do not count as ours. The
    file has no name (or is deleted on closing, on Windows), so that nothing is left behind,
    however the program ends.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    dtype : dtype
        Type of the labels.
    folder : Path
        Folder whose disk holds the file.

    Raises
    ------
    CosegError
        If the folder cannot be written to.
    """

    ndim = 2

    def __init__(self, shape: tuple[int, int], dtype: npt.DTypeLike, folder: Path) -> None:
        self.shape = shape
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.size = math.prod(shape)
        self._folder = folder
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
            self._file.truncate(self.size * self.dtype.itemsize)
        except OSError as error:
            raise self._explain(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()

    def __getitem__(self, index: Index) -> npt.NDArray[Any]:
        """Return a copy of whole rows, of a window, or of a piece of one row."""
        rows, columns = index if isinstance(index, tuple) else (index, slice(None))
        if not isinstance(rows, slice):
            line: npt.NDArray[Any] = self[rows : rows + 1, columns][0]
            return line
        row0, row1, column0, column1 = self._bounds((rows, columns))
        out = np.empty((row1 - row0, column1 - column0), self.dtype)
        for row, line in enumerate(out, row0):
            self._seek(row, column0)
            self._file.readinto(line.data)
        return out

    def __setitem__(self, window: Window, labels: npt.NDArray[Any]) -> None:
        """Replace the labels of a window."""
        row0, row1, column0, column1 = self._bounds(window)
        lines = np.broadcast_to(labels, (row1 - row0, column1 - column0))
        lines = np.ascontiguousarray(lines, self.dtype)
        try:
            for row, line in enumerate(lines, row0):
                self._seek(row, column0)
                rest = memoryview(line).cast("B")
                while rest:
                    rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._explain(error) from error

    def _bounds(self, window: Window) -> tuple[int, int, int, int]:
        (row0, row1, row_step), (column0, column1, column_step) = (
            part.indices(length) for part, length in zip(window, self.shape, strict=True)
        )
        if row_step != 1 or column_step != 1:
            raise ValueError("A scratch canvas gives windows of adjoining pixels only.")
        return row0, max(row0, row1), column0, max(column0, column1)

    def _seek(self, row: int, column: int) -> None:
        self._file.seek((row * self.shape[1] + column) * self.dtype.itemsize)

    def _explain(self, error: OSError) -> CosegError:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            gigabytes = self.size * self.dtype.itemsize / 1e9
            return CosegError(
                f"The disk of {self._folder} is full: an image of this size needs about "
                f"{gigabytes:.1f} GB there while it is worked on; free some space and run again."
            )
        return CosegError(f"Cannot write to {self._folder}: {error.strerror or error}.")


def make_canvas(
    shape: tuple[int, int], dtype: npt.DTypeLike, folder: Path, stack: ExitStack
) -> Canvas:
    """Return a zero label image: in memory up to `IN_MEMORY_BYTES`, else on disk.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    dtype : dtype
        Type of the labels.
    folder : Path
        Folder whose disk holds a large one.
    stack : ExitStack
        What closes it.

    Raises
    ------
    CosegError
        If the folder cannot be written to.
    """
    if math.prod(shape) * np.dtype(dtype).itemsize <= IN_MEMORY_BYTES:
        return np.zeros(shape, dtype)
    return stack.enter_context(ScratchCanvas(shape, dtype, folder))


class Renumbered:
    """A label image seen through a table of new numbers, window by window.

    Parameters
    ----------
    canvas : Canvas
        Labels 0 to n.
    numbers : ndarray of int32, (n + 1,)
        What each label becomes.
    """

    ndim = 2

    def __init__(self, canvas: Canvas, numbers: npt.NDArray[np.int32]) -> None:
        self._canvas = canvas
        self._numbers = numbers
        self.shape = canvas.shape
        self.size = math.prod(canvas.shape)
        self.dtype: np.dtype[Any] = numbers.dtype

    def __getitem__(self, index: Index) -> npt.NDArray[np.int32]:
        """Return the new numbers in a window."""
        labels: npt.NDArray[np.int32] = self._numbers[self._canvas[index]]
        return labels
