"""Rows of sections: what follows each other one to one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_coseg.inference.volume_sections import (
    Bool,
    Float,
    Int32,
    Int64,
    LinkSettings,
    Overlaps,
    Sections,
    beyond,
)

#: Sections overlap if they share this part of the smaller one.
TOUCHING = 0.3
#: One lies on the other if they share this part of the smaller one.
LYING = 0.5
#: Neighbours in a row share this part of their union; over planes that are passed, that.
_SAME, _SAME_BEYOND = 0.4, 0.5
#: Where a plane is lost, a part may go on as this part of the whole.
_PART = 0.15
#: A place is empty if less than this part of it is covered.
_EMPTY = 0.1
#: What lies within another shares this part of itself with it.
_WITHIN = 0.75
#: Planes of a waist are about as narrow as its narrowest.
_EVEN = 1.1
#: What is smaller than this part of a section does not make its way ambiguous.
_MINOR = 0.1


@dataclass(frozen=True)
class Passage:
    """A row that goes on behind sections which are not its own.

    Attributes
    ----------
    before, after : int
        Its sections on both sides.
    between : tuple of int
        Sections at its place in the planes between.
    """

    before: int
    after: int
    between: tuple[int, ...]


@dataclass(frozen=True)
class Rows:
    """Sections strung to rows.

    Attributes
    ----------
    sections : Sections
    overlaps : Overlaps
        Those that matter, also over lost planes.
    row : ndarray of int64, (sections,)
        Row of each section, from 0.
    passages : tuple of Passage
    thickness : float
        mm from plane to plane.
    gap : int
        Planes that may be lost.
    """

    sections: Sections
    overlaps: Overlaps
    row: Int64
    passages: tuple[Passage, ...]
    thickness: float
    gap: int

    def lengths(self) -> Int64:
        """Return the number of planes in which each row has sections of its own."""
        pairs = np.unique(np.stack([self.row, self.sections.plane]), axis=1)
        return np.bincount(pairs[0])


def string_rows(
    components: Int32,
    sections: Sections,
    overlaps: Overlaps,
    thickness: float,
    settings: LinkSettings,
) -> Rows:
    """Make rows of sections that follow one to one, over lost and ambiguous planes too."""
    gap = max(1, round(settings.gap / thickness))
    reach = max(gap + 1, round(settings.merged / thickness) + 1)
    clean, goes_on, comes_from = _clean(sections, overlaps)
    low, high = [overlaps.low[clean]], [overlaps.high[clean]]
    found, loose = _look_beyond(components, sections, overlaps, (goes_on, comes_from), reach, gap)
    used_low, used_high = goes_on.copy(), comes_from.copy()
    passages = []
    for _, _, passage in sorted(found, key=lambda one: one[:2]):
        if not (used_low[passage.before] or used_high[passage.after]):
            used_low[passage.before] = used_high[passage.after] = True
            passages.append(passage)
    low.append(np.array([p.before for p in passages], np.int64))
    high.append(np.array([p.after for p in passages], np.int64))
    row = _joined(len(sections), np.concatenate(low), np.concatenate(high))
    row = _without_waists(sections, row, thickness, gap, settings)
    return Rows(
        sections, _with_loose(sections, overlaps, loose), row, tuple(passages), thickness, gap
    )


def _look_beyond(
    components: Int32,
    sections: Sections,
    overlaps: Overlaps,
    strung: tuple[Bool, Bool],
    reach: int,
    gap: int,
) -> tuple[list[tuple[int, float, Passage]], list[tuple[int, int, float]]]:
    """Find where sections that do not simply go on are found again, whole or in parts.

    Between, they must lie within one larger section, or the place must be empty for no more than
    `gap` planes. Where an upper crown ends, the tips of the lower one soon cover its place too;
    but it lies within none of them.
    """
    goes_on, comes_from = strung
    touching = overlaps.held >= TOUCHING
    has_source = np.zeros(len(sections), bool)
    has_source[overlaps.high[touching]] = True
    found: list[tuple[int, float, Passage]] = []
    loose: list[tuple[int, int, float]] = []
    for section in (int(s) for s in np.flatnonzero(~goes_on)):
        size, start, empty = sections.area[section], int(sections.plane[section]), 0
        between: list[int] = []
        for plane, covered, others, iou in beyond(components, sections, section, 1):
            away = plane - start
            shared = iou / (1 + iou) * (size + sections.area[others])
            held = shared / np.minimum(size, sections.area[others])
            if away > 1:
                good = ~comes_from[others] & (iou >= _SAME_BEYOND)
                if good.any():
                    best = int(np.argmax(np.where(good, iou, -1)))
                    passage = Passage(section, int(others[best]), tuple(between))
                    found.append((away, -float(iou[best]), passage))
                    break
                if empty == away - 1:
                    fits = ~has_source[others] & (iou >= _PART) & (held >= LYING)
                    ends = zip(others[fits], shared[fits], strict=True)
                    loose += [(section, int(other), float(area)) for other, area in ends]
            around = shared >= _WITHIN * size
            if around.any():
                empty = 0
                between += [int(other) for other in others[around]]
            elif covered < _EMPTY:
                empty += 1
            else:
                break
            if away >= reach or empty > gap:
                break
    return found, loose


def _clean(sections: Sections, overlaps: Overlaps) -> tuple[Bool, Bool, Bool]:
    """Say which overlaps are one to one; which sections go on so, and which come from one so."""
    low, high = overlaps.low, overlaps.high
    one, two = sections.area[low], sections.area[high]
    touching = overlaps.held >= TOUCHING
    ways = np.bincount(low[touching & (two >= _MINOR * one)], minlength=len(sections))
    sources = np.bincount(high[touching & (one >= _MINOR * two)], minlength=len(sections))
    clean = touching & (overlaps.iou >= _SAME) & (ways[low] == 1) & (sources[high] == 1)
    goes_on, comes_from = np.zeros((2, len(sections)), bool)
    goes_on[low[clean]] = True
    comes_from[high[clean]] = True
    return clean, goes_on, comes_from


def _joined(count: int, low: Int64, high: Int64) -> Int64:
    graph = coo_array((np.ones(len(low), bool), (low, high)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _without_waists(
    sections: Sections, row: Int64, thickness: float, gap: int, settings: LinkSettings
) -> Int64:
    """Part rows where they narrow to a waist: there two teeth bite on each other."""
    row = row.copy()
    count = int(row.max()) + 1 if row.size else 0
    order = np.argsort(row, kind="stable")
    waiting = np.split(order, np.cumsum(np.bincount(row, minlength=count))[:-1])
    least = max(1, math.ceil(settings.apart / thickness))
    while waiting:
        own = waiting.pop()
        planes = sections.plane[own]
        if len(own) < 2 * least:
            continue
        area = bridged(
            np.interp(np.arange(planes[0], planes[-1] + 1), planes, sections.area[own]), gap
        )
        before, after = np.maximum.accumulate(area), np.maximum.accumulate(area[::-1])[::-1]
        part = area / np.minimum(before, after)
        part[:least] = part[-least:] = 1
        if part.min() < settings.waist:
            # The middle of the waist: crowns may end bluntly.
            narrow = np.flatnonzero(part <= part.min() * _EVEN)
            run = narrow[narrow - np.arange(narrow.size) == narrow[0]]
            first_beyond = planes[0] + (int(run[0]) + int(run[-1]) + 1) // 2
            beyond_waist = own[planes >= first_beyond]
            row[beyond_waist] = count
            count += 1
            waiting += [own[planes < first_beyond], beyond_waist]
    return row


def bridged(area: Float, gap: int) -> Float:
    """Raise dips of up to `gap` planes to the lower one of their sides."""
    width = gap + 1
    padded = np.pad(area, gap, mode="edge")
    raised = np.stack([padded[i : i + len(area) + gap] for i in range(width)]).max(0)
    filled: Float = np.stack([raised[i : i + len(area)] for i in range(width)]).min(0)
    return filled


def _with_loose(
    sections: Sections, overlaps: Overlaps, loose: list[tuple[int, int, float]]
) -> Overlaps:
    """Overlaps that touch, and those over lost planes."""
    kept = overlaps.held >= TOUCHING
    low = np.array([one for one, _, _ in loose], np.int64)
    high = np.array([two for _, two, _ in loose], np.int64)
    area = np.array([shared for _, _, shared in loose], float)
    one, two = sections.area[low], sections.area[high]
    return Overlaps(
        np.concatenate([overlaps.low[kept], low]),
        np.concatenate([overlaps.high[kept], high]),
        np.concatenate([overlaps.area[kept], area]),
        np.concatenate([overlaps.iou[kept], area / (one + two - area)]),
        np.concatenate([overlaps.held[kept], area / np.minimum(one, two)]),
    )
