"""Windows of an image at another scale, the same whichever window they are cut from."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from napari_coseg.imaging.source import ImageSource

# Weights are whole numbers that add up to this. Sums of 8-bit pixels (and of the intermediate
# result, 8 bits and _EXTRA more) then stay below 2**24, where float32 holds every whole number:
# the result does not depend on the order of additions, so it is the same in any window, with any
# number of threads, on any processor.
_UNITY = 1 << 12
_EXTRA = 1 << 3
# Source pixels that are in memory at a time.
_BAND_PIXELS = 1 << 21
# An overlap below this part of a source pixel is rounding.
_TOUCH = 1e-6


def scaled_shape(shape: tuple[int, int], factor: float) -> tuple[int, int]:
    """Return how many target pixels it takes to cover an image; the last may reach outside.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    factor : float
        Source pixels to a target pixel.
    """
    _check_factor(factor)
    rows, columns = (max(1, math.ceil(length / factor - _TOUCH)) for length in shape)
    return rows, columns


def read_scaled(
    source: ImageSource,
    factor: float,
    row0: int,
    column0: int,
    row1: int,
    column1: int,
    fill: int = 255,
) -> npt.NDArray[np.uint8]:
    """Read a window of an image at another scale.

    Target pixel t covers the source pixels from ``t * factor`` to ``(t + 1) * factor``. It is the
    average of the pixels around its centre under a triangle whose foot is two target pixels wide
    (two source pixels, that is linear interpolation, when enlarging), as in Pillow's antialiased
    ``BILINEAR``; at the image's edge only the part inside counts. The value of a pixel follows
    from t and the image alone, so windows agree bit for bit where they overlap.

    Memory is set by the window in target pixels; the source is read in bands.

    Parameters
    ----------
    source : ImageSource
        The image.
    factor : float
        Source pixels to a target pixel: 2.0 halves the image, 0.5 doubles it, 1.0 copies it.
    row0, column0, row1, column1 : int
        Window in target pixels, last edges exclusive; it may reach outside of the image.
    fill : int
        Value of target pixels that do not touch the image.

    Returns
    -------
    ndarray of uint8, (row1 - row0, column1 - column0, 3)

    Raises
    ------
    ValueError
        If the window is empty or `factor` is not a positive number.
    CosegError
        If pixels cannot be decoded.
    """
    if row1 <= row0 or column1 <= column0:
        raise ValueError(f"window ({row0}, {column0}, {row1}, {column1}) is empty")
    rows, columns = scaled_shape(source.shape, factor)
    out = np.full((row1 - row0, column1 - column0, 3), fill, np.uint8)
    top, bottom = max(row0, 0), min(row1, rows)
    left, right = max(column0, 0), min(column1, columns)
    if top >= bottom or left >= right:
        return out
    inside = out[top - row0 : bottom - row0, left - column0 : right - column0]
    if factor == 1:
        inside[...] = source.read(top, left, bottom, right)
        return out
    first, last, across = _weights(left, right, factor, source.shape[1])
    per_row = max(1, int((last - first) * factor))
    step = max(1, int(_BAND_PIXELS / per_row - 2 * max(1.0, 1 / factor)))
    for row in range(top, bottom, step):
        end = min(row + step, bottom)
        start, stop, down = _weights(row, end, factor, source.shape[0])
        band = source.read(start, first, stop, last)
        inside[row - top : end - top] = _apply(band, down, across)
    return out


class Resampler:
    """Whole pictures of one size at another scale, rows and columns each by a factor of its own.

    Pixels are what `read_scaled` makes of them.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the pictures.
    factors : tuple of float
        Source pixels to a target pixel, along rows and along columns.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of what comes out.

    Raises
    ------
    ValueError
        If a factor is not a positive number.
    """

    def __init__(self, shape: tuple[int, int], factors: tuple[float, float]) -> None:
        rows = scaled_shape((shape[0], 1), factors[0])[0]
        columns = scaled_shape((1, shape[1]), factors[1])[1]
        self.shape = rows, columns
        self._weights = None
        if factors != (1, 1):
            top, bottom, down = _weights(0, rows, factors[0], shape[0])
            left, right, across = _weights(0, columns, factors[1], shape[1])
            self._weights = (slice(top, bottom), slice(left, right)), down, across

    def __call__(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return a picture, (rows, columns, samples), at the other scale."""
        if self._weights is None:
            return picture
        used, down, across = self._weights
        return _apply(picture[used], down, across)


def _check_factor(factor: float) -> None:
    if not (math.isfinite(factor) and factor > 0):
        raise ValueError(f"factor must be a positive number, got {factor}")


def _weights(begin: int, end: int, factor: float, length: int) -> tuple[int, int, csr_array]:
    """Return the source interval that target pixels begin..end need, and their weights in it.

    The weights are a sparse matrix of (end - begin) rows, each adding up to `_UNITY`, and a
    column for each source pixel of the interval.
    """
    radius = max(factor, 1.0)
    centre = (np.arange(begin, end, dtype=np.float64) + 0.5) * factor
    taps = math.ceil(2 * radius) + 1
    index = np.floor(centre - radius + 0.5).astype(np.int64)[:, None] + np.arange(taps)
    weight = np.maximum(0.0, 1.0 - np.abs(index + 0.5 - centre[:, None]) / radius)
    weight[(index < 0) | (index >= length)] = 0.0
    weight *= _UNITY / weight.sum(axis=1, keepdims=True)
    whole = np.rint(weight)
    # What rounding took or gave goes to the largest weight, so that flat areas stay flat.
    heaviest = weight.argmax(axis=1)
    whole[np.arange(len(whole)), heaviest] += _UNITY - whole.sum(axis=1)
    used = whole != 0
    first, last = int(index[used].min()), int(index[used].max()) + 1
    starts = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    matrix = csr_array(
        (whole[used].astype(np.float32), (index[used] - first).astype(np.int32), starts),
        shape=(end - begin, last - first),
    )
    return first, last, matrix


def _apply(
    band: npt.NDArray[np.uint8], down: csr_array, across: csr_array
) -> npt.NDArray[np.uint8]:
    """Resample rows, then columns."""
    rows, columns, samples = band.shape
    tall = down @ band.reshape(rows, columns * samples).astype(np.float32)
    np.rint(tall * np.float32(_EXTRA / _UNITY), out=tall)
    height = tall.shape[0]
    # Columns first, so that the second product runs along memory as the first did.
    turned = np.ascontiguousarray(tall.reshape(height, columns, samples).swapaxes(0, 1))
    wide = across @ turned.reshape(columns, height * samples)
    wide *= np.float32(1 / (_UNITY * _EXTRA))
    result: npt.NDArray[np.uint8] = np.rint(wide).astype(np.uint8)
    return result.reshape(-1, height, samples).swapaxes(0, 1)
