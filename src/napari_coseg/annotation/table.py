"""Areas and boxes of objects, kept up to date from the pixels that an edit changed.

Values are looked at as runs along the last axis: there are far fewer of them than pixels. An area
changes by what was gained and lost. A box grows by what was gained; it can shrink only where an
object lost pixels at the box's edge, and is then looked for in the box alone, from that edge
inwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.annotation.chunks import Labels, Window
from napari_coseg.annotation.records import ObjectRecord, Row

Ints = npt.NDArray[np.int64]
#: Thickness of the first slab that is searched for a box's new edge; each next one is twice that.
_SLAB = 16


@dataclasses.dataclass(frozen=True)
class Found:
    """Pixels by object: ids (n,), their areas (n,), and boxes low and high (n, axes)."""

    ids: Ints
    areas: Ints
    low: Ints
    high: Ints


def measure(values: Labels, origin: tuple[int, ...]) -> Found:
    """Return area and box of each id of a window, 0 left out, in the order of the ids.

    Parameters
    ----------
    values : ndarray of int32
        The window's labels.
    origin : tuple of int
        Where the window begins.

    Returns
    -------
    Found
        Boxes are in the layer's indices.
    """
    axes = values.ndim
    width = values.shape[-1]
    rows = np.ascontiguousarray(values).reshape(-1, width)
    edge = np.empty((len(rows), width + 1), bool)
    edge[:, 0] = edge[:, -1] = True
    np.not_equal(rows[:, 1:], rows[:, :-1], out=edge[:, 1:-1])
    # A row's last edge is followed by the next row's first: neither makes a run, since the pairs
    # between them have no pixel.
    places = np.flatnonzero(edge)
    starts, ends = places[:-1], places[1:]
    line = starts // (width + 1)
    first = starts - line * (width + 1)
    real = first < width
    line, first = line[real], first[real]
    length = (ends - starts)[real]
    ids = rows[line, first]
    kept = ids != 0
    line, first, length, ids = line[kept], first[kept], length[kept], ids[kept]
    low = np.empty((len(ids), axes), np.int64)
    low[:, -1] = first
    rest = line
    for axis in range(axes - 2, -1, -1):
        rest, low[:, axis] = np.divmod(rest, values.shape[axis])
    high = low + 1
    high[:, -1] = first + length
    offset = np.array(origin, np.int64)
    return combine(
        Found(ids.astype(np.int64), length.astype(np.int64), low + offset, high + offset)
    )


def combine(found: Found) -> Found:
    """Return the same with one entry for each id."""
    if not len(found.ids):
        return found
    order = np.argsort(found.ids, kind="stable")
    ids = found.ids[order]
    firsts = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    return Found(
        ids[firsts],
        np.add.reduceat(found.areas[order], firsts),
        np.minimum.reduceat(found.low[order], firsts, axis=0),
        np.maximum.reduceat(found.high[order], firsts, axis=0),
    )


def gather(parts: list[Found], axes: int) -> Found:
    """Return what was found in several windows as one."""
    if not parts:
        none = np.zeros((0, axes), np.int64)
        return Found(none[:, 0], none[:, 0], none, none)
    return combine(
        Found(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.areas for part in parts]),
            np.concatenate([part.low for part in parts]),
            np.concatenate([part.high for part in parts]),
        )
    )


class Tally:
    """What the objects gained and lost by an edit, window after window.

    Parameters
    ----------
    axes : int
        Number of the layer's axes.
    """

    def __init__(self, axes: int) -> None:
        self._axes = axes
        self._gained: list[Found] = []
        self._lost: list[Found] = []

    def add(self, window: Window, before: Labels, after: Labels) -> None:
        """Count the changes of one window, which shares no pixel with another one."""
        changed = before != after
        origin = tuple(side.start for side in window)
        self._gained.append(measure(np.where(changed, after, np.int32(0)), origin))
        self._lost.append(measure(np.where(changed, before, np.int32(0)), origin))

    def rows(
        self,
        objects: Mapping[int, ObjectRecord],
        told: Mapping[int, ObjectRecord],
        read: Callable[[Window], Labels],
        origin: str,
    ) -> dict[int, Row]:
        """Return the rows that change.

        Parameters
        ----------
        objects : mapping
            The records before the edit.
        told : mapping
            What is known of an object after it, but for area and box, which are set here.
        read : callable
            Returns the labels of a window after the edit.
        origin : str
            Where an object comes from that nobody told of.

        Returns
        -------
        dict
            Record before and after by label; None where there is no object.
        """
        changes: dict[int, _Change] = {}
        for parts, lost in ((self._lost, True), (self._gained, False)):
            found = gather(parts, self._axes)
            lists = zip(
                found.ids.tolist(),
                found.areas.tolist(),
                found.low.tolist(),
                found.high.tolist(),
                strict=True,
            )
            for label, area, low, high in lists:
                change = changes.setdefault(label, _Change())
                if lost:
                    change.lost, change.lost_box = area, (low, high)
                else:
                    change.gained, change.gained_box = area, (low, high)
        rows: dict[int, Row] = {}
        for label in (*changes, *(one for one in told if one not in changes)):
            before = objects.get(label)
            base = told.get(label) or before or ObjectRecord(label, origin=origin)
            after = _follow(base, before, changes.get(label), read)
            if after != before:
                rows[label] = (before, after)
        return rows


@dataclasses.dataclass
class _Change:
    gained: int = 0
    gained_box: tuple[list[int], list[int]] | None = None
    lost: int = 0
    lost_box: tuple[list[int], list[int]] | None = None


def _follow(
    base: ObjectRecord,
    before: ObjectRecord | None,
    change: _Change | None,
    read: Callable[[Window], Labels],
) -> ObjectRecord | None:
    """Return an object's record with the area and the box after a change, None without pixels."""
    old = 0 if before is None else before.area
    box: Any = None if before is None else before.box
    if change is None:
        return None if old == 0 else dataclasses.replace(base, area=old, box=box)
    area = old + change.gained - change.lost
    if area <= 0:
        return None
    axes = len(base.box or box or ()) // 2
    if change.gained_box is not None:
        low, high = change.gained_box
        axes = len(low)
        if box is None or change.lost >= old:
            box = (*low, *high)
        else:
            box = (
                *(min(a, b) for a, b in zip(box[:axes], low, strict=True)),
                *(max(a, b) for a, b in zip(box[axes:], high, strict=True)),
            )
    if change.lost_box is not None and change.lost < old:
        low, high = change.lost_box
        axes = len(low)
        touched = (
            [low[a] <= box[a] for a in range(axes)],
            [high[a] >= box[axes + a] for a in range(axes)],
        )
        if any(touched[0]) or any(touched[1]):
            box = shrink(base.label, box, touched, read)
    return dataclasses.replace(base, area=area, box=tuple(int(edge) for edge in box))


def shrink(
    label: int,
    box: tuple[int, ...],
    touched: tuple[list[bool], list[bool]],
    read: Callable[[Window], Labels],
) -> tuple[int, ...]:
    """Return the box of an object whose pixels lie inside `box`, looking at some sides only.

    Parameters
    ----------
    label : int
        The object.
    box : tuple of int
        A box that holds all of its pixels, of which there is one at least.
    touched : pair of list of bool
        Which first and which last sides may lie too far out, by axis.
    read : callable
        Returns the labels of a window.
    """
    axes = len(box) // 2
    low, high = list(box[:axes]), list(box[axes:])
    for axis in range(axes):
        others = tuple(a for a in range(axes) if a != axis)
        for last in (False, True):
            if not touched[last][axis]:
                continue
            thick = _SLAB
            while low[axis] < high[axis]:
                window = [slice(a, b) for a, b in zip(low, high, strict=True)]
                if last:
                    window[axis] = slice(max(high[axis] - thick, low[axis]), high[axis])
                else:
                    window[axis] = slice(low[axis], min(low[axis] + thick, high[axis]))
                there = np.flatnonzero((read(tuple(window)) == label).any(axis=others))
                if last:
                    high[axis] = window[axis].start + (int(there[-1]) + 1 if there.size else 0)
                else:
                    low[axis] = window[axis].start + int(
                        there[0] if there.size else window[axis].stop - window[axis].start
                    )
                if there.size:
                    break
                thick *= 2
    return (*low, *high)
