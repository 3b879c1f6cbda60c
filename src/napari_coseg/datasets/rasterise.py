"""Outlines of objects turned into a label image, with a note of what does not fit.

Corners are (x, y) in pixels from the image's top left corner: the first pixel is the square from
(0, 0) to (1, 1), and a pixel is inside where its centre is. Formats that count pixel centres move
their corners by half a pixel first. An object is the union of its parts; of the rings of a part,
what lies inside of an even number is outside (holes, and a ring that crosses itself). Where objects
overlap the smaller one is on top, of equal ones the later: a small object under a large one would
be lost, and a large one loses little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.fill import Spans, fill, paint
from napari_coseg.types import CosegError

Ring = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
#: Corners may lie so many pixels beyond the image's edge before it is told.
TOLERANCE = 1.0
_LARGEST = np.iinfo(np.int32).max
# Pairs of edges that are looked at together.
_PAIRS = 1 << 20


@dataclass(frozen=True)
class Outline:
    """One object.

    Attributes
    ----------
    where : str
        What a sentence calls it: its number in the file.
    parts : tuple of tuple of ndarray of float64, (n, 2)
        Rings (x, y) of each part; a ring closes by itself.
    runs : ndarray of int64, (n, 3), or None
        Instead of parts: row, first column, last column, exclusive, of runs of pixels that do not
        overlap.
    """

    where: str
    parts: tuple[tuple[Ring, ...], ...] = ()
    runs: Int64 | None = None


@dataclass(frozen=True)
class Raster:
    """Objects as pixels.

    Attributes
    ----------
    index : ndarray of int32, (rows, columns)
        Number of the object at each pixel, from 1 in the order given; 0 where there is none.
    drawn, kept : ndarray of int64, (objects,)
        Pixels of each object inside of the image, and those that no other object lies on.
    notes : tuple of (int, str)
        Number of an object, from 1, and what is wrong with it.
    """

    index: npt.NDArray[np.int32]
    drawn: Int64
    kept: Int64
    notes: tuple[tuple[int, str], ...]

    @property
    def lost(self) -> int:
        """Pixels of objects that lie under others."""
        return int((self.drawn - self.kept).sum())

    def labels(self, ids: npt.NDArray[np.integer] | None = None) -> npt.NDArray[np.int32]:
        """Return the label image, with an id for each object instead of its number.

        Raises
        ------
        CosegError
            If ids are not different numbers from 1 to 2,147,483,647.
        """
        if ids is None:
            return self.index
        wide = np.asarray(ids, np.int64)
        if wide.size and (wide.min() < 1 or wide.max() > _LARGEST):
            raise CosegError(f"Ids of objects must be 1 to {_LARGEST:,}.")
        if len(np.unique(wide)) != len(wide):
            raise CosegError("Two objects have the same id.")
        return np.append(0, wide).astype(np.int32)[self.index]


def rasterise(outlines: Sequence[Outline], shape: tuple[int, int], notes: bool = True) -> Raster:
    """Fill objects.

    Parameters
    ----------
    outlines : sequence of Outline
    shape : tuple of int
        Rows and columns; what lies outside is cut off.
    notes : bool
        Whether to look for what is wrong, which takes as long as everything else.

    Returns
    -------
    Raster
    """
    spans = _spans(outlines, shape)
    count = len(outlines)
    drawn = np.bincount(spans.owner, spans.last - spans.first, count).astype(np.int64)
    # The largest first, so that smaller ones come to lie on it.
    order = np.argsort(-drawn, kind="stable")
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    sequence = np.argsort(rank[spans.owner], kind="stable")
    spans = Spans(*(part[sequence] for part in (spans.owner, spans.row, spans.first, spans.last)))
    index = np.zeros(shape, np.int32)
    paint(index, spans, np.arange(1, count + 1, dtype=np.int32))
    kept = np.bincount(index.reshape(-1), minlength=count + 1)[1:].astype(np.int64)
    found = []
    for number, outline in enumerate(outlines if notes else (), 1):
        said = _note(outline, int(drawn[number - 1]), shape)
        if not said and drawn[number - 1] and not kept[number - 1]:
            said = "lies wholly under other objects and is lost"
        if said:
            found.append((number, f"{outline.where} {said}"))
    return Raster(index, drawn, kept, tuple(found))


def crosses_itself(ring: Ring) -> bool:
    """Whether two edges of a ring cross; those that only touch do not.

    Edges are sorted by x, and each is compared with those that begin before it ends.
    """
    # A corner that is there twice has an edge of no length.
    ring = ring[np.any(ring != np.roll(ring, 1, axis=0), axis=1)]
    if len(ring) < 4:
        return False
    end = np.roll(ring, -1, axis=0)
    low, high = np.minimum(ring, end), np.maximum(ring, end)
    order = np.argsort(low[:, 0], kind="stable")
    until = np.searchsorted(low[order, 0], high[order, 0], side="right")
    partners = until - np.arange(len(order)) - 1
    bounds = np.append(0, np.cumsum(partners))
    begin = 0
    while begin < len(order):
        stop = max(begin + 1, int(np.searchsorted(bounds, bounds[begin] + _PAIRS, "right")) - 1)
        counts = partners[begin:stop]
        one = np.repeat(np.arange(begin, stop), counts)
        two = one + 1 + np.arange(len(one)) - np.repeat(bounds[begin:stop] - bounds[begin], counts)
        a, b = order[one], order[two]
        near = (low[a, 1] <= high[b, 1]) & (low[b, 1] <= high[a, 1])
        a, b = a[near], b[near]
        if (
            _apart(ring[a], end[a], ring[b], end[b]) & _apart(ring[b], end[b], ring[a], end[a])
        ).any():
            return True
        begin = stop
    return False


def _apart(first: Ring, last: Ring, one: Ring, other: Ring) -> npt.NDArray[np.bool_]:
    """Whether two points lie on different sides of a line, and neither on it."""
    along = last - first

    def side(point: Ring) -> npt.NDArray[np.float64]:
        away = point - first
        return np.sign(along[:, 0] * away[:, 1] - along[:, 1] * away[:, 0])

    return np.asarray(side(one) * side(other) < 0)


def _note(outline: Outline, drawn: int, shape: tuple[int, int]) -> str:
    """Say what is wrong with an object, empty for nothing."""
    if outline.runs is not None:
        return "" if drawn else "is empty and left out"
    rings = [ring for part in outline.parts for ring in part]
    if not rings or max(len(ring) for ring in rings) < 3:
        return "is no area (fewer than three corners) and left out"
    corners = np.concatenate(rings)
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = np.array(shape[::-1], float)
    if not drawn:
        if (low >= size).any() or (high <= 0).any():
            return "lies outside of the image and is left out"
        return "is empty (no pixel has its centre in it) and left out"
    if (low < -TOLERANCE).any() or (high > size + TOLERANCE).any():
        return "reaches beyond the image and is cut off"
    if any(crosses_itself(ring) for ring in rings):
        return "crosses itself; it is filled by the even-odd rule"
    return ""


def _spans(outlines: Sequence[Outline], shape: tuple[int, int]) -> Spans:
    """Return runs of all objects, each pixel of an object once."""
    rings: list[Ring] = []
    owner: list[int] = []
    whose: list[int] = []
    for number, outline in enumerate(outlines):
        for part in outline.parts:
            rings += [ring for ring in part if len(ring)]
            owner += [len(whose)] * sum(len(ring) > 0 for ring in part)
            whose.append(number)
    points = np.concatenate(rings) if rings else np.zeros((0, 2))
    starts = np.append(0, np.cumsum([len(ring) for ring in rings], dtype=np.int64))
    spans = fill(points, starts, np.array(owner, np.int64), shape)
    found = [
        np.stack(
            [np.array(whose, np.int64)[spans.owner], spans.row, spans.first, spans.last], axis=1
        )
    ]
    for number, outline in enumerate(outlines):
        if outline.runs is not None and len(outline.runs):
            found.append(np.insert(outline.runs, 0, number, axis=1))
    return _united(np.concatenate(found).astype(np.int64))


def _united(runs: Int64) -> Spans:
    """Return runs that do not overlap within an object; columns owner, row, first, last."""
    order = np.lexsort((runs[:, 2], runs[:, 1], runs[:, 0]))
    owner, row, first, last = runs[order].T
    if not len(order):
        return Spans(owner, row, first, last)
    new = np.append(True, (owner[1:] != owner[:-1]) | (row[1:] != row[:-1]))
    # The furthest end so far on each line: lines are set apart, so that it starts anew.
    line = np.cumsum(new) - 1
    reach = np.maximum.accumulate(line * (int(last.max()) + 1) + last)
    reach -= line * (int(last.max()) + 1)
    covered = np.append(0, np.where(new[1:], 0, reach[:-1]))
    first = np.maximum(first, covered)
    seen = last > first
    return Spans(owner[seen], row[seen], first[seen], last[seen])
