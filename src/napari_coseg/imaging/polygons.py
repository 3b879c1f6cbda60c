"""Masks as polygons along the edges of their pixels, exactly.

Pixel (row, column) is the square from ``(column, row)`` to ``(column + 1, row + 1)`` in (x, y).
A polygon is one 4-connected component: an outer ring and its holes. Pixels that touch only at a
corner belong to different polygons; where a component touches itself at a corner, the area that it
encloses is a hole that meets the outer ring in that point. So every ring passes each point once
and the polygons are valid simple features (OGC 06-103r4, 6.1.11), which fill to the very mask.

How: a corner of the outline is where the 2 x 2 pixels around a grid point are not split by a
straight line. Along each grid row (and column) the corners, in order, are pairwise the ends of
straight segments, so sorting them links all outlines at once, with no walk along pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ring = npt.NDArray[np.int32]

# Bits of the 2 x 2 pixels around a grid point.
_UP_LEFT, _UP_RIGHT, _DOWN_LEFT, _DOWN_RIGHT = 1, 2, 4, 8
_TWO = (_UP_LEFT | _DOWN_RIGHT, _UP_RIGHT | _DOWN_LEFT)
_CORNERS = np.array([0 if bin(code).count("1") in (0, 4) else 1 for code in range(16)], np.uint8)
for _code in (3, 5, 10, 12):  # two pixels side by side: the outline runs straight on
    _CORNERS[_code] = 0
for _code in _TWO:
    _CORNERS[_code] = 2
_BAND_PIXELS = 1 << 22
_LOOK = 4096


@dataclass(frozen=True)
class Polygons:
    """Polygons of a mask, in the order of their topmost, then leftmost, outer corner.

    Attributes
    ----------
    points : ndarray of int32, (n, 2)
        Corners (x, y) of all rings one after the other. The first corner is not repeated. Outer
        rings turn from x to y (counterclockwise in axes drawn upwards, as RFC 7946 wants), holes
        against it.
    starts : ndarray of int64, (rings + 1,)
        Where rings begin in `points`.
    first_ring : ndarray of int64, (polygons + 1,)
        Where polygons begin among the rings: the outer one first, then its holes.
    areas : ndarray of int64, (polygons,)
        Pixels inside, holes taken off.
    """

    points: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    first_ring: npt.NDArray[np.int64]
    areas: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.areas)

    def rings(self, polygon: int) -> Iterator[Ring]:
        """Yield the rings of a polygon, (n, 2) each, the outer one first."""
        for ring in range(self.first_ring[polygon], self.first_ring[polygon + 1]):
            yield self.points[self.starts[ring] : self.starts[ring + 1]]


def trace(labels: Any, value: int = 1) -> Polygons:
    """Trace the pixels that have a value.

    Parameters
    ----------
    labels : array or memmap, (rows, columns)
        Read in bands, so memory is set by the length of the outlines (about 120 bytes a corner
        while they are linked) and not by the image.
    value : int
        The label; 1 for a boolean mask.

    Returns
    -------
    Polygons
    """
    corners = _find_corners(labels, value)
    if corners.x.size == 0:
        none = np.zeros(1, np.int64)
        return Polygons(np.zeros((0, 2), np.int32), none, none, np.zeros(0, np.int64))
    following = _link(corners)
    ring_of = _ring_ids(following)
    # Both outlines through a corner where pixels touch may be one ring that passes it twice:
    # exchanging their ways on splits it there.
    twin = np.flatnonzero(corners.copy)
    twice = twin[ring_of[twin] == ring_of[twin - 1]]
    if twice.size:
        following[twice], following[twice - 1] = following[twice - 1], following[twice]
        ring_of = _ring_ids(following)
    points, starts = _ordered(corners, following, ring_of)
    return _nested(points, starts, labels, value)


@dataclass(frozen=True)
class _Corners:
    """Corners in raster order; one through which two outlines pass is there twice.

    The copies of such a corner (``copy`` 0, then 1) stand for the end of the horizontal segment
    at its left and the begin of the one at its right.
    """

    x: npt.NDArray[np.int32]
    y: npt.NDArray[np.int32]
    code: npt.NDArray[np.uint8]
    copy: npt.NDArray[np.uint8]


def _find_corners(labels: Any, value: int) -> _Corners:
    rows, columns = labels.shape
    step = max(1, _BAND_PIXELS // max(1, columns))
    parts = []
    above = np.zeros((1, columns + 2), np.uint8)
    for row in range(0, rows + 1, step):
        # Grid lines row .. row + step - 1 need the pixel rows above and below them.
        below = min(row + step, rows + 1) - row
        band = np.zeros((below + 1, columns + 2), np.uint8)
        band[0] = above[0]
        inside = np.asarray(labels[row : min(row + below, rows)]) == value
        band[1 : 1 + len(inside), 1:-1] = inside
        above = band[-1:]
        pairs = band[:, :-1] | (band[:, 1:] << 1)
        code = pairs[:-1] | (pairs[1:] << 2)
        count = _CORNERS[code]
        where = np.flatnonzero(count)
        if where.size == 0:
            continue
        times = count.ravel()[where]
        where = np.repeat(where, times)
        copy = np.zeros(where.size, np.uint8)
        copy[np.cumsum(times)[times == 2] - 1] = 1
        y, x = np.divmod(where, columns + 1)
        parts.append((x.astype(np.int32), (y + row).astype(np.int32), code.ravel()[where], copy))
    if not parts:
        none, small = np.zeros(0, np.int32), np.zeros(0, np.uint8)
        return _Corners(none, none, small, small)
    x, y, code, copy = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return _Corners(x, y, code, copy)


def _link(corners: _Corners) -> npt.NDArray[np.int64]:
    """Return the corner that follows each one, with the mask on the side from x to y."""
    n = corners.x.size
    following = np.empty(n, np.int64)
    # Raster order: corners 2k and 2k + 1 are the ends of a horizontal segment.
    left, right = np.arange(0, n, 2), np.arange(1, n, 2)
    forward = (corners.code[left] & _DOWN_RIGHT) != 0
    following[left[forward]] = right[forward]
    following[right[~forward]] = left[~forward]
    # Down the columns the same, but of two copies the one that ends the segment above goes first:
    # the left copy belongs to the left pixel, which is the upper one only in one of the two cases.
    lower = corners.copy ^ (corners.code == _TWO[1])
    order = np.lexsort((lower, corners.y, corners.x))
    top, bottom = order[0::2], order[1::2]
    downward = (corners.code[top] & _DOWN_LEFT) != 0
    following[top[downward]] = bottom[downward]
    following[bottom[~downward]] = top[~downward]
    return following


def _ring_ids(following: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for each corner the lowest corner of its ring, by doubling steps."""
    lowest = np.arange(following.size)
    jump = following
    while True:
        smaller = np.minimum(lowest, lowest[jump])
        if np.array_equal(smaller, smaller[following]):
            return smaller
        lowest, jump = smaller, jump[jump]


def _ordered(
    corners: _Corners, following: npt.NDArray[np.int64], ring_of: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Put the corners of each ring in their order, beginning with its first in raster order."""
    n = following.size
    index = np.arange(n)
    # Steps to the ring's first corner, by doubling (list ranking); it follows itself for that.
    ahead = np.where(ring_of == index, index, following)
    steps = (ring_of != index).astype(np.int64)
    while True:
        more = steps[ahead]
        if not more.any():
            break
        steps += more
        ahead = ahead[ahead]
    steps[ring_of == index] = n
    order = np.lexsort((-steps, ring_of))
    points = np.stack([corners.x[order], corners.y[order]], axis=1)
    begins = np.flatnonzero(np.diff(ring_of[order], prepend=-1))
    return points, np.append(begins, n)


def _nested(
    points: npt.NDArray[np.int32], starts: npt.NDArray[np.int64], labels: Any, value: int
) -> Polygons:
    """Give each hole to the outer ring around it."""
    x, y = points[:, 0].astype(np.int64), points[:, 1].astype(np.int64)
    ends = starts[1:] - 1
    following = np.arange(1, len(points) + 1)
    following[ends] = starts[:-1]
    doubled = np.add.reduceat(x * y[following] - x[following] * y, starts[:-1])
    areas = doubled // 2
    parent = np.arange(len(areas))
    holes = np.flatnonzero(areas < 0)
    if holes.size:
        parent = _parents(points, starts, following, holes, labels, value)
    outer = np.flatnonzero(areas > 0)
    number = np.full(len(areas), -1)
    number[outer] = np.arange(len(outer))
    polygon = number[parent]
    # Rings stand in raster order of their first corners; an outer ring precedes its holes.
    order = np.argsort(polygon, kind="stable")
    first_ring = np.append(np.flatnonzero(np.diff(polygon[order], prepend=-1)), len(order))
    lengths = np.diff(starts)[order]
    take = np.repeat(starts[:-1][order] - np.cumsum(lengths) + lengths, lengths)
    take += np.arange(len(points))
    totals = np.bincount(polygon, weights=areas, minlength=len(outer)).astype(np.int64)
    return Polygons(points[take], np.append(0, np.cumsum(lengths)), first_ring, totals)


def _parents(
    points: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int64],
    following: npt.NDArray[np.int64],
    holes: npt.NDArray[np.int64],
    labels: Any,
    value: int,
) -> npt.NDArray[np.int64]:
    """Return the outer ring of every ring.

    Left of a hole's leftmost edge lies the component; the next edge further to the left in that
    row of pixels is on its outer ring, or on a hole that begins further to the left.
    """
    ring = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    a, b = points, points[following]
    upright = np.flatnonzero(a[:, 0] == b[:, 0])
    column = a[upright, 0].astype(np.int64)
    top = np.minimum(a[upright, 1], b[upright, 1]).astype(np.int64)
    height = int(points[:, 1].max()) + 1
    key = column * height + top
    order = np.argsort(key)
    key, edge_ring = key[order], ring[upright][order]
    parent = np.arange(len(starts) - 1)
    for hole in holes:
        outline = points[starts[hole] : starts[hole + 1]]
        x = int(outline[:, 0].min())
        # The topmost pixel along the leftmost edge.
        y = int(outline[outline[:, 0] == x, 1].min())
        edge = _run_begin(labels, value, y, x)
        # Of the upright edges in that column, the last that begins at or above the pixel.
        parent[hole] = edge_ring[np.searchsorted(key, edge * height + y, side="right") - 1]
    while True:
        further = parent[parent]
        if np.array_equal(further, parent):
            return parent
        parent = further


def _run_begin(labels: Any, value: int, row: int, column: int) -> int:
    """Return the column where the run of `value` that ends before `column` begins."""
    stop = column
    while stop > 0:
        start = max(0, stop - _LOOK)
        other = np.flatnonzero(np.asarray(labels[row, start:stop]) != value)
        if other.size:
            return start + int(other[-1]) + 1
        stop = start
    return 0
