"""Where rows of sections meet in one section: a crown with its roots, or what is to be cut."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from napari_coseg.inference.volume_cuts import Cut
from napari_coseg.inference.volume_rows import LYING, Passage, Rows
from napari_coseg.inference.volume_sections import (
    Int64,
    LinkSettings,
)

#: A section is larger than one of the rows that pass it by this, if it is of two objects.
_LARGER = 1.3


@dataclass(frozen=True)
class Meeting:
    """Rows that end at an end of another row.

    Attributes
    ----------
    row : int
        The row that they end at.
    ends : tuple of int
        Their sections there.
    upwards : bool
        Whether `row` begins here, and so goes on in later planes.
    family : frozenset of int
        All rows that take part: short ones lie between some ends and `row`.
    """

    row: int
    ends: tuple[int, ...]
    upwards: bool
    family: frozenset[int]


def find_cuts(rows: Rows, settings: LinkSettings) -> list[Cut]:
    """Find sections that are of several objects.

    First those that several rows pass; only where there are none, those in which rows end.
    """
    cuts = _passed(rows, settings)
    if cuts:
        return cuts
    members = _members(rows)
    taken: set[int] = set()
    found = meetings(rows, settings)
    # What is too short to be judged is, if it goes on in another row, judged with that.
    within = {row for meeting in found for row in meeting.family if row != meeting.row}
    long_rows = rows.lengths() * rows.thickness >= settings.apart
    for meeting in found:
        if meeting.row in taken or (meeting.row in within and not long_rows[meeting.row]):
            continue
        if not is_crown(rows, meeting, settings):
            taken.add(meeting.row)
            cuts.append(_ended(rows, meeting, members[meeting.row], found))
    return cuts


def _passed(rows: Rows, settings: LinkSettings) -> list[Cut]:
    """Cuts of sections that are passed by several rows, or by one and the end of another."""
    sections, long_rows = rows.sections, rows.lengths() * rows.thickness >= settings.apart
    through: defaultdict[int, dict[int, Passage]] = defaultdict(dict)
    for passage in rows.passages:
        for section in passage.between:
            through[section].setdefault(int(rows.row[passage.before]), passage)
    ending = _ending(rows)
    cuts = []
    for section, passing in sorted(through.items()):
        passing.pop(int(rows.row[section]), None)
        before: list[int | None] = [p.before for p in passing.values()]
        after: list[int | None] = [p.after for p in passing.values()]
        ends = [int(s) for s in before + after if s is not None]
        larger = bool(ends) and sections.area[section] >= _LARGER * sections.area[ends].max()
        for one in ending.get(section, ()) if larger else ():
            if long_rows[rows.row[one]] and rows.row[one] not in passing:
                earlier = sections.plane[one] < sections.plane[section]
                before.append(one if earlier else None)
                after.append(None if earlier else one)
        if len(before) > 1:
            cuts.append(Cut((section,), tuple(before), tuple(after)))
    return cuts


def _ending(rows: Rows) -> dict[int, list[int]]:
    """For each section, sections that lie on it and are the end of another row."""
    sections, overlaps = rows.sections, rows.overlaps
    low, high = _ends(rows)
    found: defaultdict[int, list[int]] = defaultdict(list)
    lying = (overlaps.held >= LYING) & (rows.row[overlaps.low] != rows.row[overlaps.high])
    for one, two in zip(overlaps.low[lying], overlaps.high[lying], strict=True):
        if high[rows.row[one]] == sections.plane[one]:
            found[int(two)].append(int(one))
        if low[rows.row[two]] == sections.plane[two]:
            found[int(one)].append(int(two))
    return found


def _ends(rows: Rows) -> tuple[Int64, Int64]:
    """First and last plane of each row."""
    count = int(rows.row.max()) + 1 if rows.row.size else 0
    low, high = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
    np.minimum.at(low, rows.row, rows.sections.plane)
    np.maximum.at(high, rows.row, rows.sections.plane)
    return low, high


def _members(rows: Rows) -> list[Int64]:
    """Return the sections of each row, from plane to plane."""
    if not rows.row.size:
        return []
    order = np.argsort(rows.row, kind="stable")
    return np.split(order, np.cumsum(np.bincount(rows.row))[:-1])


def meetings(rows: Rows, settings: LinkSettings) -> list[Meeting]:
    """Find where at least two long rows end at an end of another row, short rows between or not."""
    sections, members = rows.sections, _members(rows)
    long_rows = rows.lengths() * rows.thickness >= settings.apart
    ending = _ending(rows)

    def arriving(row: int, upwards: bool) -> tuple[set[int], set[int]]:
        """Sections at which long rows end, and the short rows that lead there."""
        edge = int(members[row][0 if upwards else -1])
        ends: set[int] = set()
        short: set[int] = set()
        for one in ending.get(edge, ()):
            if (sections.plane[one] < sections.plane[edge]) != upwards:
                continue
            other = int(rows.row[one])
            if long_rows[other]:
                ends.add(one)
            else:
                further, between = arriving(other, upwards)
                ends |= further
                short |= between | ({other} if further else set())
        return ends, short

    found = []
    for row in range(len(members)):
        for upwards in (True, False):
            ends, short = arriving(row, upwards)
            # Two sections of one row are no two rows.
            single = {int(rows.row[one]): one for one in sorted(ends)}
            if len(single) > 1:
                family = frozenset({row, *single, *short})
                found.append(Meeting(row, tuple(single.values()), upwards, family))
    return found


def is_crown(rows: Rows, meeting: Meeting, settings: LinkSettings) -> bool:
    """Whether a row in which others end is the crown of a single tooth, and they its roots."""
    sections = rows.sections
    own = np.flatnonzero(rows.row == meeting.row)
    area = sections.area[own]
    widest = own[area >= np.median(area)]
    length, width = np.median(sections.axes[widest], axis=0)
    roots = np.isin(rows.row, rows.row[list(meeting.ends)])
    grown = area.max() > sections.area[roots].max()
    return bool(
        length <= settings.widest and length <= settings.slender * max(width, 1e-6) and grown
    )


def _ended(rows: Rows, meeting: Meeting, members: Int64, found: list[Meeting]) -> Cut:
    """Cut all of a row by the rows that end in it, and by those that begin behind it."""
    sections = rows.sections
    order = tuple(int(s) for s in (members if meeting.upwards else members[::-1]))
    nearest: list[int | None] = [None] * len(meeting.ends)
    for other in found:
        if other.row != meeting.row or other.upwards == meeting.upwards:
            continue
        if len(other.ends) != len(meeting.ends):
            continue
        apart = np.linalg.norm(
            sections.centre[list(meeting.ends)][:, None] - sections.centre[list(other.ends)], axis=2
        )
        chosen = apart.argmin(1)
        if len(set(chosen.tolist())) == len(chosen):
            nearest = [other.ends[index] for index in chosen]
    return Cut(order, meeting.ends, tuple(nearest))
