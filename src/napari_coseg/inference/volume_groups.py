"""Objects from rows of sections: rows are joined, the most alike first."""

from __future__ import annotations

import numpy as np

from napari_coseg.inference.volume_meetings import is_crown, meetings
from napari_coseg.inference.volume_rows import LYING, Rows, bridged
from napari_coseg.inference.volume_sections import Float, Int64, LinkSettings

#: A group that has less than this part of the other's volume is a part of it.
_SMALL = 1 / 3
#: A group is present in planes where it has this part of its largest section.
_PRESENT = 0.2
#: mm from the place where two rows overlap in which a waist is looked for.
_NEAR = 2.0


def group_rows(rows: Rows, settings: LinkSettings) -> Int64:
    """Join rows to objects.

    Returns
    -------
    ndarray of int64, (sections,)
        Group of each section, from 0.
    """
    if not rows.row.size:
        return rows.row
    groups = _Groups(rows, settings)
    for low, high in _by_strength(rows):
        groups.offer(low, high)
    # What was refused may be right once a missing half is there.
    while groups.retry():
        pass
    return groups.numbers()


def _by_strength(rows: Rows) -> list[tuple[int, int]]:
    """Overlaps between rows, the most alike first, one a pair of rows."""
    overlaps = rows.overlaps
    one, two = rows.row[overlaps.low], rows.row[overlaps.high]
    use = np.flatnonzero((one != two) & (overlaps.held >= LYING))
    order = use[np.argsort(-overlaps.iou[use], kind="stable")]
    seen: set[tuple[int, int]] = set()
    chosen = []
    for index in order:
        pair = (int(min(one[index], two[index])), int(max(one[index], two[index])))
        if pair not in seen:
            seen.add(pair)
            chosen.append((int(overlaps.low[index]), int(overlaps.high[index])))
    return chosen


class _Groups:
    """Groups of rows with the area that each has in every plane."""

    def __init__(self, rows: Rows, settings: LinkSettings) -> None:
        self._rows = rows
        self._settings = settings
        sections = rows.sections
        count = int(rows.row.max()) + 1
        self._parent = list(range(count))
        order = np.argsort(rows.row, kind="stable")
        self._area: list[Float] = []
        self._first: list[int] = []
        for own in np.split(order, np.cumsum(np.bincount(rows.row))[:-1]):
            first = int(sections.plane[own].min())
            self._first.append(first)
            self._area.append(
                np.bincount(sections.plane[own] - first, sections.area[own]).astype(np.float64)
            )
        self._refused: list[tuple[int, int]] = []
        self._families: list[set[int]] = [set() for _ in range(count)]
        for number, meeting in enumerate(meetings(rows, settings)):
            if is_crown(rows, meeting, settings):
                for row in meeting.family:
                    self._families[row].add(number)

    def offer(self, low: int, high: int) -> bool:
        """Join the groups of two sections that overlap, if nothing speaks against it."""
        one, two = (self._find(int(self._rows.row[section])) for section in (low, high))
        if one == two:
            return False
        plane = int(self._rows.sections.plane[low])
        relatives = self._families[one] & self._families[two]
        if self._waist(one, two, plane) or (not relatives and self._beside(one, two)):
            self._refused.append((low, high))
            return False
        self._join(one, two)
        return True

    def retry(self) -> bool:
        """Offer again what was refused; say whether anything was joined."""
        again, self._refused = self._refused, []
        return any([self.offer(low, high) for low, high in again])

    def numbers(self) -> Int64:
        """Return the group of each section."""
        roots = np.array([self._find(row) for row in range(len(self._parent))])
        _, numbers = np.unique(roots, return_inverse=True)
        return np.asarray(numbers.reshape(-1)[self._rows.row], np.int64)

    def _find(self, row: int) -> int:
        while self._parent[row] != row:
            self._parent[row] = self._parent[self._parent[row]]
            row = self._parent[row]
        return row

    def _join(self, one: int, two: int) -> None:
        first, areas = self._both(one, two)
        self._parent[two] = one
        self._first[one], self._area[one] = first, areas.sum(0)
        self._families[one] |= self._families[two]

    def _both(self, one: int, two: int) -> tuple[int, Float]:
        """First plane of two groups, and the area of each from there on."""
        starts = [self._first[group] for group in (one, two)]
        ends = [s + len(self._area[g]) for s, g in zip(starts, (one, two), strict=True)]
        first = min(starts)
        areas = np.zeros((2, max(ends) - first))
        for number, group in enumerate((one, two)):
            areas[number, starts[number] - first : ends[number] - first] = self._area[group]
        return first, areas

    def _waist(self, one: int, two: int, plane: int) -> bool:
        """Whether two groups that lie on each other narrow to a waist where they meet."""
        rows, settings = self._rows, self._settings
        if min(len(self._area[one]), len(self._area[two])) * rows.thickness < settings.apart:
            return False
        first, areas = self._both(one, two)
        planes = np.arange(areas.shape[1])
        middle = [float(np.average(planes, weights=area)) for area in areas]
        # The larger one and not the sum: teeth that bite interlock, and fill each other's gaps.
        whole = bridged(areas.max(0), rows.gap)
        reach = max(1, round(_NEAR / rows.thickness))
        start = max(plane - first - reach, 0)
        near = whole[start : plane - first + 2 + reach]
        narrow = start + int(near.argmin())
        if not min(middle) < narrow < max(middle):
            return False
        if areas.shape[1] * rows.thickness > settings.longest:
            return True
        sides = min(whole[:narrow].max(), whole[narrow + 1 :].max())
        return bool(whole[narrow] < settings.waist * sides)

    def _beside(self, one: int, two: int) -> bool:
        """Whether two groups, none a small part of the other, run beside each other."""
        _, areas = self._both(one, two)
        volume = areas.sum(1)
        if volume.min() < _SMALL * volume.max():
            return False
        there = areas >= _PRESENT * areas.max(1, keepdims=True)
        both = np.count_nonzero(there.all(0))
        return bool(both * self._rows.thickness >= self._settings.apart)
