"""Sections of objects in the planes of a volume, and which of neighbouring planes overlap.

A section is one 2D component of one plane. Nothing here looks at more than a few planes at once,
and what is kept costs by the number of sections, not of voxels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class LinkSettings:
    """How sections become objects. Lengths are in mm, so that they hold at any spacing.

    Lengths "along" are measured across the planes, as their number times their distance.

    Attributes
    ----------
    gap : float
        Objects go on over planes without them up to this length; one lost plane is always
        bridged, whatever the distance of planes.
    merged : float
        An object that is joined with its neighbour for up to this length, and has the same
        section before and after, is looked for beyond the place.
    apart : float
        Sections that follow each other for this length are evidence of a root or an object;
        shorter ones are cusps, tips and pieces.
    widest : float
        Longest cross-section of a single tooth. Where two rows of sections end in a longer one,
        it is of two teeth.
    slender : float
        Longest ratio of length and width of a single tooth's crown, in cross-section.
    waist : float
        Where an object narrows to less than this part of its size on both sides, it is two that
        meet, as an upper and a lower tooth do.
    longest : float
        An object that is longer than this is cut at its narrowest place.
    least_volume : float
        Objects with less are debris, mm3.
    least_length : float
        Objects that are shorter, across planes, are debris. A single plane of a volume whose
        planes are further apart than this is debris too.

    Raises
    ------
    CosegError
        If a number makes no sense.
    """

    gap: float = 1.0
    merged: float = 4.0
    apart: float = 2.5
    widest: float = 13.5
    slender: float = 1.5
    waist: float = 0.55
    longest: float = 34.0
    least_volume: float = 20.0
    least_length: float = 1.5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise CosegError(f"{name} of linking planes must be 0 or above: {value}.")


@dataclass(frozen=True)
class Sections:
    """All sections of a volume, numbered from 0 in the order of planes.

    In the planes themselves their ids are ``1 .. count`` without gaps.

    Attributes
    ----------
    first : ndarray of int64, (planes + 1,)
        Number of the first section of each plane.
    plane : ndarray of int64, (sections,)
    area : ndarray of float64, (sections,)
        mm2.
    centre : ndarray of float64, (sections, 2)
        Row and column in mm.
    axes : ndarray of float64, (sections, 2)
        Length and width in mm: of the ellipse of the same second moments.
    box : ndarray of int64, (sections, 4)
        First row and column, last ones, exclusive.
    """

    first: Int64
    plane: Int64
    area: Float
    centre: Float
    axes: Float
    box: Int64

    def __len__(self) -> int:
        return len(self.plane)

    def id_of(self, section: int) -> int:
        """Return the id of a section in its plane."""
        return int(section - self.first[self.plane[section]]) + 1

    def window(self, section: int, margin: int = 0) -> tuple[slice, slice]:
        """Return where a section lies in its plane; the margin may leave the plane at the end."""
        row0, column0, row1, column1 = (int(v) for v in self.box[section])
        return (
            slice(max(row0 - margin, 0), row1 + margin),
            slice(max(column0 - margin, 0), column1 + margin),
        )

    def mask(self, components: Int32, section: int) -> Bool:
        """Return a section's pixels in its window."""
        inside: Bool = components[self.plane[section]][self.window(section)] == self.id_of(section)
        return inside


@dataclass(frozen=True)
class Overlaps:
    """Pairs of sections of planes that follow each other.

    Attributes
    ----------
    low, high : ndarray of int64, (pairs,)
        The section in the earlier plane, and that in the next.
    area : ndarray of float64, (pairs,)
        What they share, mm2.
    iou, held : ndarray of float64, (pairs,)
        Shared part of their union, and of the smaller one.
    """

    low: Int64
    high: Int64
    area: Float
    iou: Float
    held: Float


def find_sections(components: Int32, spacing: Spacing) -> Sections:
    """Measure the sections, and number them in each plane from 1 without gaps, in place.

    Raises
    ------
    CosegError
        If an id is negative.
    """
    pixel = spacing[1] * spacing[2]
    first = np.zeros(len(components) + 1, np.int64)
    tables: list[tuple[Float, ...]] = []
    for number, plane in enumerate(components):
        inside = np.nonzero(plane)
        names, ids = np.unique(plane[inside], return_inverse=True)
        if names.size and names[0] < 0:
            raise CosegError("Ids of components must not be negative; 0 is background.")
        ids = ids.reshape(-1)
        plane[inside] = ids + 1
        first[number + 1] = first[number] + names.size
        tables.append(_measure(inside, ids, spacing))
    size, centre, axes, box = (np.concatenate(column) for column in zip(*tables, strict=True))
    plane_of = np.repeat(np.arange(len(components)), np.diff(first))
    return Sections(first, plane_of, size * pixel, centre, axes, box.astype(np.int64))


def _measure(inside: tuple[Int64, ...], ids: Int64, spacing: Spacing) -> tuple[Float, ...]:
    """Pixels, centre, axes and box of each section of a plane."""
    count = int(ids.max()) + 1 if ids.size else 0
    row, column = inside
    size = np.bincount(ids, minlength=count).astype(float)
    mean = [np.bincount(ids, v, count) / size for v in (row, column)]
    off = [(v - m[ids]) * s for v, m, s in zip((row, column), mean, spacing[1:], strict=True)]
    # A pixel is a square and no point: it has second moments of its own.
    rr = np.bincount(ids, off[0] ** 2, count) / size + spacing[1] ** 2 / 12
    cc = np.bincount(ids, off[1] ** 2, count) / size + spacing[2] ** 2 / 12
    rc = np.bincount(ids, off[0] * off[1], count) / size
    middle, spread = (rr + cc) / 2, np.hypot((rr - cc) / 2, rc)
    axes = 4 * np.sqrt(np.maximum(np.stack([middle + spread, middle - spread], 1), 0))
    box = np.zeros((count, 4), np.int64)
    box[:, :2] = np.iinfo(np.int64).max
    for axis, values in enumerate((row, column)):
        np.minimum.at(box[:, axis], ids, values)
        np.maximum.at(box[:, axis + 2], ids, values + 1)
    centre = np.stack([mean[0] * spacing[1], mean[1] * spacing[2]], 1)
    return size, centre, axes, box


def find_overlaps(components: Int32, sections: Sections, spacing: Spacing) -> Overlaps:
    """Count what sections of neighbouring planes share, plane by plane."""
    pixel = spacing[1] * spacing[2]
    found: list[tuple[Int64, Int64, Int64]] = [(np.zeros(0, np.int64),) * 3]
    for plane in range(len(components) - 1):
        below, above = (int(n) for n in np.diff(sections.first[plane : plane + 3]))
        if not below or not above:
            continue
        inside = np.nonzero(components[plane])
        pair = components[plane][inside].astype(np.int64) * (above + 1)
        pair += components[plane + 1][inside]
        keys, counts = np.unique(pair, return_counts=True)
        low, high = np.divmod(keys, above + 1)
        both = high > 0
        first = sections.first
        found.append(
            (low[both] - 1 + first[plane], high[both] - 1 + first[plane + 1], counts[both])
        )
    low, high, counts = (np.concatenate(column) for column in zip(*found, strict=True))
    area = counts * pixel
    one, two = sections.area[low], sections.area[high]
    return Overlaps(low, high, area, area / (one + two - area), area / np.minimum(one, two))


def beyond(
    components: Int32, sections: Sections, section: int, step: int
) -> Iterator[tuple[int, float, Int64, Float]]:
    """Look through the planes after a section, at its own place.

    Parameters
    ----------
    step : int
        1 for later planes, -1 for earlier ones.

    Yields
    ------
    plane : int
    covered : float
        Part of the section's place that is no background there.
    others : ndarray of int64
        Sections that lie there.
    iou : ndarray of float64
        Of each with the section.
    """
    mask = sections.mask(components, section)
    window = sections.window(section)
    size = int(mask.sum())
    pixel = sections.area[section] / size
    plane = int(sections.plane[section]) + step
    while 0 <= plane < len(components):
        ids = components[plane][window][mask]
        counts = np.bincount(ids)
        names = np.flatnonzero(counts[1:])
        others = names + sections.first[plane]
        shared = counts[1:][names] * pixel
        union = sections.area[section] + sections.area[others] - shared
        yield plane, float(1 - counts[0] / size), others, shared / union
        plane += step
