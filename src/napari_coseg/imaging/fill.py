"""Polygons turned back into pixels: the even-odd rule, a pixel is inside where its centre is.

Pixel (row, column) has its centre at ``(column + 0.5, row + 0.5)`` in (x, y), so the polygons of
`napari_coseg.imaging.polygons`, which run along pixel edges, fill to the very pixels they came
from. Work and memory follow the length of the outlines and the pixels inside, not the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: Pixels that are painted at once.
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Spans:
    """Runs of pixels along rows, sorted by owner, row and column.

    Attributes
    ----------
    owner, row, first, last : ndarray of int64, (n,)
        Whose pixels; columns from `first` to `last`, exclusive.
    """

    owner: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]


def fill(
    points: npt.NDArray[np.floating[Any]],
    starts: npt.NDArray[np.integer[Any]],
    owner: npt.NDArray[np.integer[Any]],
    shape: tuple[int, int],
) -> Spans:
    """Find the pixels inside of polygons.

    Parameters
    ----------
    points : ndarray of float, (n, 2)
        Corners (x, y) of all rings one after the other; a ring closes by itself.
    starts : ndarray of int, (rings + 1,)
        Where rings begin in `points`.
    owner : ndarray of int, (rings,)
        Which object each ring belongs to, 0 or above. The rings of an object are taken together:
        what lies inside of an even number of them is a hole.
    shape : tuple of int
        Rows and columns; what lies outside is cut off.

    Returns
    -------
    Spans
    """
    rows, columns = shape
    size = np.diff(starts)
    begin = np.asarray(points, np.float64)
    following = np.arange(1, len(begin) + 1)
    following[starts[1:][size > 0] - 1] = starts[:-1][size > 0]
    end = begin[following]
    whose = np.repeat(np.asarray(owner, np.int64), size)
    # The rows whose centres an edge passes; each is met by the two edges of a corner only once.
    low, high = np.minimum(begin[:, 1], end[:, 1]), np.maximum(begin[:, 1], end[:, 1])
    top = np.clip(np.ceil(low - 0.5), 0, rows).astype(np.int64)
    bottom = np.clip(np.ceil(high - 0.5), 0, rows).astype(np.int64)
    count = bottom - top
    edge = np.repeat(np.arange(len(begin)), count)
    row = top[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    (x0, y0), (x1, y1) = begin[edge].T, end[edge].T
    x = x0 + (row + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
    column = np.clip(np.ceil(x - 0.5), 0, columns).astype(np.int64)
    # Crossings of a row come in pairs: in, out.
    key = (whose[edge] * rows + row) * (columns + 1) + column
    key.sort()
    line, column = np.divmod(key, columns + 1)
    line, first, last = line[::2], column[::2], column[1::2]
    seen = last > first
    line, first, last = line[seen], first[seen], last[seen]
    return Spans(line // max(rows, 1), line % max(rows, 1), first, last)


def paint(
    labels: npt.NDArray[np.integer[Any]], spans: Spans, values: npt.NDArray[np.integer[Any]]
) -> None:
    """Write each owner's value into its pixels; where owners overlap, the later one stays.

    Parameters
    ----------
    labels : ndarray of int, (rows, columns)
        C-contiguous; changed in place.
    spans : Spans
    values : ndarray of int
        Value of each owner.
    """
    flat = labels.reshape(-1)
    length = spans.last - spans.first
    bounds = np.append(0, np.cumsum(length))
    origin = spans.row * labels.shape[1] + spans.first
    begin = 0
    while begin < len(length):
        end = max(begin + 1, int(np.searchsorted(bounds, bounds[begin] + _CHUNK, "right")) - 1)
        part = slice(begin, end)
        offset = np.arange(bounds[end] - bounds[begin]) - np.repeat(
            bounds[begin:end] - bounds[begin], length[part]
        )
        where = np.repeat(origin[part], length[part]) + offset
        flat[where] = np.repeat(values[spans.owner[part]], length[part])
        begin = end
