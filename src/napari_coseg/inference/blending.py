"""Between tiles and maps: how overlapping tiles are weighed, and pixels between outputs.

A cell is one output of the network: a square of *stride* target pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

_Float32 = npt.NDArray[np.float32]


def tile_weights(length: int, overlap: int) -> _Float32:
    """Weights of a tile along one side: 1 inside, falling over the overlap towards its edges."""
    edge = np.minimum(np.arange(length), np.arange(length)[::-1])
    return np.minimum(1, (edge + 0.5) / max(overlap, 0.5)).astype(np.float32)


def enlarged(cells: _Float32, stride: int) -> _Float32:
    """Return all target pixels of some cells, bilinear between the cells' centres.

    Parameters
    ----------
    cells : ndarray of float32, (channels, rows, columns)
        The outermost ones are neighbours only.
    stride : int
        Target pixels to a cell.

    Returns
    -------
    ndarray of float32, (channels, (rows - 2) * stride, (columns - 2) * stride)
    """
    height, width = (n - 2 for n in cells.shape[1:])
    out = np.empty((len(cells), height * stride, width * stride), np.float32)
    between = np.empty((height * stride, width + 2), np.float32)
    for plane, target in zip(cells, out, strict=True):
        _upsample(plane, between, stride)
        _upsample(between.T, target.T, stride)
    return out


def raster(
    cells: _Float32,
    rows: npt.NDArray[np.float64],
    columns: npt.NDArray[np.float64],
    stride: int,
    first: tuple[int, int],
) -> Iterator[_Float32]:
    """Yield cells on any regular raster of positions, one channel after the other.

    Parameters
    ----------
    cells : ndarray of float32, (channels, rows, columns)
        With the neighbours of all cells that the positions lie in.
    rows, columns : ndarray of float64
        Ascending positions in target pixel centres.
    stride : int
        Target pixels to a cell.
    first : tuple of int
        Row and column of the first cell.
    """
    row_low, row_weight = _positions(rows, stride, first[0])
    column_low, column_weight = _positions(columns, stride, first[1])
    for plane in cells:
        weight = row_weight[:, None]
        part = plane[row_low] * (1 - weight) + plane[row_low + 1] * weight
        low = np.take(part, column_low, 1) * (1 - column_weight)
        low += np.take(part, column_low + 1, 1) * column_weight
        yield low


def most_probable(planes: Iterable[_Float32]) -> npt.NDArray[np.uint8]:
    """Return the number of the channel that is largest at each pixel, the lower one of equals."""
    labels: npt.NDArray[np.uint8] | None = None
    best: _Float32 | None = None
    for number, plane in enumerate(planes):
        if best is None or labels is None:
            best, labels = plane, np.zeros(plane.shape, np.uint8)
            continue
        labels[plane > best] = number
        np.maximum(best, plane, out=best)
    assert labels is not None
    return labels


def _upsample(cells: _Float32, out: _Float32, stride: int) -> None:
    """Fill `out` with the rows of all cells but the first and the last, bilinear between them."""
    for phase in range(stride):
        offset = (phase + 0.5) / stride - 0.5
        low = 0 if offset < 0 else 1
        weight = np.float32(offset % 1)
        near = cells[low : len(cells) - 2 + low]
        far = cells[low + 1 : len(cells) - 1 + low]
        target = out[phase::stride]
        np.multiply(near, 1 - weight, out=target)
        target += far * weight


def _positions(
    positions: npt.NDArray[np.float64], stride: int, first: int
) -> tuple[npt.NDArray[np.int64], _Float32]:
    """Lower cell of each position, counted from `first`, and the weight of the next one."""
    at = (positions + 0.5) / stride - 0.5
    low = np.floor(at)
    return low.astype(np.int64) - first, (at - low).astype(np.float32)
