"""Squares of an image at the size that a network sees, wherever they lie and however large."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

#: Pixels that are read at once at the most: 24 MB.
_STRIP_PIXELS = 8 << 20
# Pixels are averaged in whole blocks before they are resampled as long as this many blocks are
# left for one pixel of the crop: with three, the difference is below a grey level.
_GAP = 3.0
# A level may be coarser than the crop by this much: rounded sizes.
_SLACK = 1.05


class Readable(Protocol):
    """What a crop is read from; `napari_coseg.imaging.source.ImageSource` is one."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def levels(self) -> Sequence[Readable]:
        """The picture at each scale that it is there at: itself first, then coarser ones."""

    def read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        """Return a window that lies inside, (rows, columns, 3)."""


def read_crop(
    source: Readable,
    box: tuple[float, float, float, float],
    side: int,
    fill: tuple[int, int, int],
) -> npt.NDArray[np.uint8]:
    """Return a square of an image, resampled.

    Shrinking averages under a triangle as wide as two pixels of the crop, so that nothing
    aliases; enlarging interpolates bilinearly between pixel centres. Memory is bounded, however
    large the square is. Where the image has levels, the coarsest one that is as fine as the crop
    is read and no other.

    Parameters
    ----------
    source : ImageSource
        Or anything with its `shape`, `levels` and `read`.
    box : tuple of float
        First row and column, last row and column, exclusive, in pixels of the image's finest
        level. It may reach outside of it.
    side : int
        Rows and columns of the crop.
    fill : tuple of int
        Colour of what lies outside of the image.

    Returns
    -------
    ndarray of uint8, (side, side, 3)

    Raises
    ------
    ValueError
        If the box is not a square with a size, or `side` is not positive.
    CosegError
        If pixels cannot be decoded.
    """
    row0, column0, row1, column1 = box
    length = row1 - row0
    square = math.isfinite(length) and length > 0 and abs(column1 - column0 - length) <= 1e-6
    if side < 1 or not (square and math.isfinite(row0) and math.isfinite(column0)):
        raise ValueError(f"no square to be read at {side} pixels: {box}")
    level, down, across = _level_for(source, length / side)
    return _resampled(
        level, (row0 / down, column0 / across, row1 / down, column1 / across), side, fill
    )


def _level_for(source: Readable, scale: float) -> tuple[Readable, float, float]:
    """Return the coarsest level that is as fine as a crop, and its pixels' height and width."""
    chosen = source, 1.0, 1.0
    # Most crops are looked at closely: nobody needs to open levels for them.
    if scale <= 1:
        return chosen
    rows, columns = source.shape
    for level in source.levels[1:]:
        down, across = rows / level.shape[0], columns / level.shape[1]
        if max(down, across) > scale * _SLACK:
            break
        chosen = level, down, across
    return chosen


def _resampled(
    source: Readable,
    box: tuple[float, float, float, float],
    side: int,
    fill: tuple[int, int, int],
) -> npt.NDArray[np.uint8]:
    """Read a box at the size of the crop; on a level, it is a square but for rounding."""
    row0, column0, row1, column1 = box
    height, width = row1 - row0, column1 - column0
    block = max(1, int(min(height, width) / side / _GAP))
    # What the filter reaches beyond the box.
    around = math.ceil(max(1.0, max(height, width) / side)) + block
    top, left = math.floor(row0) - around, math.floor(column0) - around
    rows = -(-(math.ceil(row1) + around - top) // block)
    columns = -(-(math.ceil(column1) + around - left) // block)
    window = _reduced(source, top, left, rows, columns, block, fill)
    seen = ((column0 - left) / block, (row0 - top) / block)
    resampled = Image.fromarray(window).resize(
        (side, side),
        Image.Resampling.BILINEAR,
        box=(*seen, seen[0] + width / block, seen[1] + height / block),
    )
    return np.asarray(resampled).copy()


def _reduced(
    source: Readable,
    top: int,
    left: int,
    rows: int,
    columns: int,
    block: int,
    fill: tuple[int, int, int],
) -> npt.NDArray[np.uint8]:
    """Read a window as means of blocks, (rows, columns, 3), strip by strip."""
    reduced = np.empty((rows, columns, 3), np.uint8)
    strip = max(1, _STRIP_PIXELS // (columns * block * block))
    for first in range(0, rows, strip):
        last = min(first + strip, rows)
        pixels = _padded(
            source, top + first * block, left, (last - first) * block, columns * block, fill
        )
        if block > 1:
            pixels = np.asarray(Image.fromarray(pixels).reduce(block))
        reduced[first:last] = pixels
    return reduced


def _padded(
    source: Readable, top: int, left: int, rows: int, columns: int, fill: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """Read a window that may reach outside of the image."""
    height, width = source.shape
    row0, row1 = max(top, 0), min(top + rows, height)
    column0, column1 = max(left, 0), min(left + columns, width)
    inside = row0 < row1 and column0 < column1
    if inside and (row1 - row0, column1 - column0) == (rows, columns):
        return source.read(row0, column0, row1, column1)
    window = np.empty((rows, columns, 3), np.uint8)
    window[:] = fill
    if inside:
        window[row0 - top : row1 - top, column0 - left : column1 - left] = source.read(
            row0, column0, row1, column1
        )
    return window
