"""Auto-zoom: the square of an image in which an object is segmented. Geometry only, torch-free.

A square's side is one of a ladder and its place one of a grid, so that prompts near each other
ask for the same square and share what was computed of it.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

#: First row and column, last row and column, exclusive.
Box = tuple[float, float, float, float]
#: Part of the crop's side that an object's longest side shall take. Training shows objects that
#: take 0.12 to 0.7; with this one an object and its surroundings fit wherever the grid has them.
TARGET_FILL = 0.42
#: The largest part, for objects as large as the image, and the least, where objects share a crop.
LARGEST_FILL, LEAST_FILL = 0.7, 1 / 8
#: What a prompt's surroundings are, as a part of its longest side, on each of the four sides.
AROUND = 1 / 8
#: Length that a single point's object is guessed to have, in pixels.
DEFAULT_HINT = 64.0
#: Least side of a crop in pixels.
SMALLEST_SIDE = 32
# A square's side is two to the half of one of these numbers: 32 pixels and up.
_SMALLEST_LEVEL = 10
# Places that a square can have along its own length.
_PLACES = 4
# Fills that sharing tries, finest first, before the least one that is allowed: the first with few
# enough crops is taken.
_SHARING = (0.3, 0.2)
#: Objects a crop that make finer sharing good enough.
_ENOUGH = 8


@dataclass(frozen=True)
class Aim:
    """What a crop is chosen for.

    Attributes
    ----------
    box : tuple of float
        What must lie inside of the crop.
    length : float
        Longest side of the object.
    """

    box: Box
    length: float


def aim_at(box: Box, shape: tuple[int, int], length: float | None = None) -> Aim:
    """Return what to look at for an object in a box: box and surroundings, cut to the image.

    Parameters
    ----------
    box : tuple of float
        A box that meets the image.
    shape : tuple of int
        Rows and columns of the image.
    length : float, optional
        Longest side of the object, by default the box's.
    """
    grown = surroundings(box)
    rows, columns = shape
    inside = (max(grown[0], 0), max(grown[1], 0), min(grown[2], rows), min(grown[3], columns))
    return Aim(inside, max(longest(box), length or 0.0, 1.0))


def surroundings(box: Box) -> Box:
    """Grow a box by a quarter of its longest side, half of that on each side, at least a pixel."""
    more = max(1.0, AROUND * longest(box))
    return box[0] - more, box[1] - more, box[2] + more, box[3] + more


def longest(box: Box) -> float:
    """Longest side of a box."""
    return max(box[2] - box[0], box[3] - box[1])


def contains(outer: Box, inner: Box) -> bool:
    """Whether a box lies inside of another."""
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and outer[2] >= inner[2]
        and outer[3] >= inner[3]
    )


def crop_for(aim: Aim, shape: tuple[int, int]) -> Box:
    """Choose the crop of one object: of a ladder's side, on a grid, inside of the image.

    Where the image is smaller than the crop, it lies in the crop's middle.
    """
    return _place(_level_for(aim, shape), aim.box, shape)


def grown_crop(crop: Box, aim: Aim, shape: tuple[int, int]) -> Box:
    """Choose a crop of twice the side, round an object that met the first one's edge."""
    level = round(2 * math.log2(crop[2] - crop[0])) + 2
    return _place(level, aim.box, shape)


def holds(crop: Box, aim: Aim) -> bool:
    """Whether a crop still serves an object: all of it inside, neither too small nor too large."""
    fill = aim.length / (crop[2] - crop[0])
    return LEAST_FILL <= fill <= LARGEST_FILL and contains(crop, aim.box)


def edges_inside(crop: Box, shape: tuple[int, int]) -> tuple[bool, bool, bool, bool]:
    """Whether the image goes on beyond the crop's first row, column, last row, column."""
    rows, columns = shape
    return crop[0] > 0, crop[1] > 0, crop[2] < rows, crop[3] < columns


def cover(aims: Sequence[Aim], shape: tuple[int, int], least: float = LEAST_FILL) -> list[Box]:
    """Choose a crop for each of many objects, so that neighbours of similar size share one.

    A greedy cover: of all crops in which objects fit, the one with most of those that are left,
    the smallest of equals. It does not depend on the order of the objects. Objects share at a finer
    scale where that already takes few crops.

    Parameters
    ----------
    aims : sequence of Aim
    shape : tuple of int
        Rows and columns of the image.
    least : float
        Part of a shared crop's side that each object takes at least. The larger, the more crops,
        and the finer each object is seen; 1 shares nothing but equal crops.

    Returns
    -------
    list of tuple of float
        One for each object; equal where shared.
    """
    own = [crop_for(aim, shape) for aim in aims]
    chosen = own
    for fill in (*(fill for fill in _SHARING if fill > least), least):
        if len(set(chosen)) * _ENOUGH <= len(aims) or len(aims) < 2:
            break
        chosen = _covered(aims, own, shape, fill)
    return chosen


def _covered(
    aims: Sequence[Aim], own: Sequence[Box], shape: tuple[int, int], least: float
) -> list[Box]:
    members: defaultdict[Box, list[int]] = defaultdict(list)
    for index, aim in enumerate(aims):
        for crop in {own[index], *_fitting(aim, shape, least)}:
            members[crop].append(index)
    left = set(range(len(aims)))
    chosen = list(own)
    # Counts only fall, so that a count that is still true at the top is the largest.
    heap = [(-len(found), crop[2] - crop[0], crop) for crop, found in members.items()]
    heapq.heapify(heap)
    while left:
        told, side, crop = heapq.heappop(heap)
        found = [index for index in members[crop] if index in left]
        if len(found) < -told:
            if found:
                heapq.heappush(heap, (-len(found), side, crop))
            continue
        if len(found) == 1:
            # The rest shares with nobody: each keeps its own.
            break
        for index in found:
            chosen[index] = crop
        left.difference_update(found)
    return chosen


def _fitting(aim: Aim, shape: tuple[int, int], least: float) -> list[Box]:
    """All crops of the grid that hold an object which fills at least a part of their side."""
    level = _level_for(aim, shape)
    crops = []
    while aim.length / _side(level) >= least:
        side = _side(level)
        rows = _starts(side, aim.box[0], aim.box[2], shape[0])
        columns = _starts(side, aim.box[1], aim.box[3], shape[1])
        crops += [(row, column, row + side, column + side) for row in rows for column in columns]
        if side >= max(shape):
            break
        level += 1
    return crops


def _starts(side: float, first: float, last: float, length: int) -> list[float]:
    """Where along an axis crops may begin that hold a piece of it."""
    if length <= side:
        return [(length - side) / 2]
    step = side / _PLACES
    end = length - side
    low, high = max(0.0, last - side), min(first, end)
    starts = [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    # The last place of the grid is moved back to the image's edge.
    if high >= end:
        starts = [s for s in starts if s < end] + [end]
    return starts


def _level_for(aim: Aim, shape: tuple[int, int]) -> int:
    wanted = aim.length / TARGET_FILL
    whole = float(max(shape))
    if wanted > whole:
        # More than the image would show nothing more, but objects shall not fill the crop.
        wanted = max(whole, aim.length / LARGEST_FILL)
        level = math.ceil(2 * math.log2(wanted) - 1e-9)
    else:
        level = round(2 * math.log2(wanted))
    level = max(_SMALLEST_LEVEL, level)
    # The grid may lie by half a step on either side of what is best.
    needed = longest(aim.box) * _PLACES / (_PLACES - 1)
    while _side(level) < min(needed, whole):
        level += 1
    return level


def _side(level: int) -> float:
    # Whole pixels, so that quarters of a side are exact numbers.
    return float(round(2 ** (level / 2)))


def _place(level: int, box: Box, shape: tuple[int, int]) -> Box:
    side = _side(max(level, _SMALLEST_LEVEL))
    row, column = (_start(side, (box[axis] + box[axis + 2]) / 2, shape[axis]) for axis in (0, 1))
    return row, column, row + side, column + side


def _start(side: float, middle: float, length: int) -> float:
    if length <= side:
        return (length - side) / 2
    step = side / _PLACES
    return min(max(0.0, round((middle - side / 2) / step) * step), length - side)
