"""Objects of a volume from the 2D components of its planes.

Sections that follow each other alone, one to one, are strung to rows first. Then all that is
ambiguous is decided by what the rows show before and after it:

1. A section through which several rows pass, each the same before and after, is of several
   objects that are joined for a while: it is cut, by the shapes before and after.
2. Where rows end in one section, they are roots if that has the cross-section of a single crown
   and is larger than any of them; if not, they are neighbours that are joined up to the end, and
   it is cut by the shapes of the rows.
3. What is cut is strung again. At last rows that overlap are joined, those most alike first;
   not where the object would have a waist (two crowns that bite on each other), and not where two
   rows run beside each other and no crown joined them.

Nothing of it knows where the head is: roots may lead up or down, and both in the same planes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from napari_coseg.inference.volume_cuts import cut_sections, fill_lost_planes
from napari_coseg.inference.volume_groups import group_rows
from napari_coseg.inference.volume_meetings import find_cuts
from napari_coseg.inference.volume_rows import string_rows
from napari_coseg.inference.volume_sections import (
    Int32,
    Int64,
    LinkSettings,
    Sections,
    Spacing,
    find_overlaps,
    find_sections,
)
from napari_coseg.types import CosegError

__all__ = ["LinkSettings", "link_planes"]

#: A cut can bring to light another one, of what is joined for long; they are few.
_ROUNDS = 6


def link_planes(
    components: Int32,
    spacing: Spacing,
    settings: LinkSettings | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> int:
    """Link the components of neighbouring planes to objects.

    Parameters
    ----------
    components : ndarray of int32, (planes, rows, columns)
        In each plane its components: ids from 1, unique within the plane, 0 background. Changed
        in place to object ids 1 .. n, in the order of the objects' first voxels.
    spacing : tuple of float
        mm between planes, rows and columns.
    settings : LinkSettings, optional
    progress : callable, optional
        Called with the steps that are done and their largest number.
    cancel : callable, optional
        Asked between steps; True ends the work, and leaves `components` half done.

    Returns
    -------
    int
        Number of objects. Planes that an object misses are filled in by shape; debris is gone.

    Raises
    ------
    CosegError
        If the array is of another kind, or a spacing is not above 0.
    Cancelled
        If `cancel` said so.
    """
    settings = settings or LinkSettings()
    if components.ndim != 3 or components.dtype != np.int32:
        raise CosegError(
            "Components of planes must be int32 in three dimensions, not "
            f"{components.dtype} in {components.ndim}."
        )
    if len(spacing) != 3 or not all(math.isfinite(side) and side > 0 for side in spacing):
        raise CosegError(f"The spacing of the voxels must be above 0, in mm: {spacing}.")
    steps = _ROUNDS + 2

    def step(done: int) -> None:
        if progress is not None:
            progress(done, steps)
        if cancel is not None and cancel():
            # Here, since it reaches torch, which nothing else of linking needs.
            from napari_coseg.inference.stream import Cancelled

            raise Cancelled("Linking the planes was cancelled.")

    step(0)
    if components.size == 0:
        return 0
    for number in range(_ROUNDS):
        sections = find_sections(components, spacing)
        overlaps = find_overlaps(components, sections, spacing)
        rows = string_rows(components, sections, overlaps, spacing[0], settings)
        cuts = find_cuts(rows, settings)
        step(number + 1)
        if not cuts or number == _ROUNDS - 1:
            break
        cut_sections(components, sections, cuts, spacing)
    group = group_rows(rows, settings)
    objects = _without_debris(sections, group, spacing[0], settings)
    step(_ROUNDS + 1)
    count = _renumber(components, sections, objects)
    fill_lost_planes(components, spacing, rows.gap)
    step(steps)
    return count


def _without_debris(
    sections: Sections, group: Int64, thickness: float, settings: LinkSettings
) -> Int64:
    """Object of each section, from 0 without gaps; -1 for debris."""
    count = int(group.max()) + 1 if group.size else 0
    volume = np.bincount(group, sections.area, count) * thickness
    first = np.full(count, np.iinfo(np.int64).max)
    last = np.full(count, -1)
    np.minimum.at(first, group, sections.plane)
    np.maximum.at(last, group, sections.plane)
    length = (last - first + 1) * thickness
    # Half a plane is forgiven: lengths are whole numbers of planes.
    kept = (volume >= settings.least_volume) & (length + thickness / 2 > settings.least_length)
    if thickness > settings.least_length:
        kept &= last > first
    number = np.where(kept, np.cumsum(kept) - 1, -1)
    return np.asarray(number[group], np.int64)


def _renumber(components: Int32, sections: Sections, objects: Int64) -> int:
    """Write object ids in the order of their first voxels."""
    count = int(objects.max()) + 1 if objects.size else 0
    number = np.zeros(count + 1, np.int32)
    given = 0
    for plane, first in zip(components, sections.first[:-1], strict=True):
        inside = np.nonzero(plane)
        there = objects[first + plane[inside] - 1]
        new, where = np.unique(there, return_index=True)
        fresh = (new >= 0) & (number[new] == 0)
        for index in new[fresh][np.argsort(where[fresh])]:
            given += 1
            number[index] = given
        # The last entry stands for debris, whose object is -1.
        plane[inside] = number[there]
    return given
