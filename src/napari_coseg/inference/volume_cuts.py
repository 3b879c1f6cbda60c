"""Pixels of sections: cut where two objects are joined, filled in where a plane is lost.

Both by the shape of the planes beside: signed distances (positive inside) from the outline before
and from that after, mixed by how near each plane is (shape-based interpolation, Raya and Udupa,
IEEE Transactions on Medical Imaging 1990).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_coseg.inference.volume_sections import Bool, Float, Int32, Sections, Spacing

#: Outside of an outline, distances are only needed near it.
_FAR = 1e6


@dataclass(frozen=True)
class Cut:
    """Sections that follow each other and are each of the same several objects.

    Attributes
    ----------
    sections : tuple of int
        From the side of `before` on.
    before, after : tuple of (int or None)
        For each object, the section that is its own before and after these; None where it has
        none.
    """

    sections: tuple[int, ...]
    before: tuple[int | None, ...]
    after: tuple[int | None, ...]


def cut_sections(components: Int32, sections: Sections, cuts: list[Cut], spacing: Spacing) -> None:
    """Give each object its part of the sections, in place.

    Where an object has a section before and one after, its outline between is mixed of both;
    where it has one, the outline is handed on from plane to plane. A pixel goes to the object
    that it lies deepest in.

    The largest part keeps the section's id; each other one has a new id after the plane's last.
    """
    last = np.diff(sections.first)
    for cut in cuts:
        window = _window(sections, cut)
        known = [
            [None if one is None else _depth(components, sections, one, window, spacing) for one in side]
            for side in (cut.before, cut.after)
        ]
        handed = [one if one is not None else two for one, two in zip(*known, strict=True)]
        for section in cut.sections:
            plane = int(sections.plane[section])
            view = components[plane][window]
            mask = view == sections.id_of(section)
            depths = []
            for number, (before, after) in enumerate(zip(cut.before, cut.after, strict=True)):
                one, two = known[0][number], known[1][number]
                if before is None or after is None or one is None or two is None:
                    depths.append(handed[number])
                    continue
                first, final = sections.plane[before], sections.plane[after]
                share = (plane - first) / (final - first)
                depths.append((1 - share) * one + share * two)
            choice = np.argmax(np.stack(depths), 0)
            sizes = np.bincount(choice[mask], minlength=len(depths))
            for number in np.argsort(-sizes, kind="stable")[1:]:
                part = mask & (choice == number)
                if sizes[number]:
                    last[plane] += 1
                    view[part] = last[plane]
            for number in range(len(depths)):
                part = mask & (choice == number)
                # What has ended is not looked for any more.
                handed[number] = signed_distance(part, spacing)


def _window(sections: Sections, cut: Cut) -> tuple[slice, slice]:
    every = [*cut.sections, *(s for s in (*cut.before, *cut.after) if s is not None)]
    box = sections.box[every]
    return (
        slice(int(box[:, 0].min()), int(box[:, 2].max())),
        slice(int(box[:, 1].min()), int(box[:, 3].max())),
    )


def _depth(
    components: Int32,
    sections: Sections,
    section: int,
    window: tuple[slice, slice],
    spacing: Spacing,
) -> Float:
    plane = components[sections.plane[section]][window]
    return signed_distance(plane == sections.id_of(section), spacing)


def signed_distance(mask: Bool, spacing: Spacing) -> Float:
    """Return mm from the outline of a plane's mask, positive inside."""
    if not mask.any():
        return np.full(mask.shape, -_FAR)
    sampling = spacing[1:]
    # A border of background: the window may cut the outline.
    inner = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=sampling)[1:-1, 1:-1]
    distance: Float = inner - ndimage.distance_transform_edt(~mask, sampling=sampling)
    return distance


def fill_lost_planes(labels: Int32, spacing: Spacing, gap: int) -> None:
    """Draw objects into the planes that they miss between two of theirs, where nothing else is.

    Parameters
    ----------
    labels : ndarray of int32, (planes, rows, columns)
        Objects, changed in place.
    spacing : tuple of float
    gap : int
        Planes that may be missing between two.
    """
    last: dict[int, tuple[int, tuple[slice, slice]]] = {}
    for plane in range(len(labels)):
        boxes = ndimage.find_objects(labels[plane])
        for label, box in enumerate(boxes, start=1):
            if box is None:
                continue
            seen = last.get(label)
            if seen is not None and 1 < plane - seen[0] <= gap + 1:
                _fill(labels, label, seen, (plane, box), spacing)
            last[label] = (plane, box)


def _fill(
    labels: Int32,
    label: int,
    before: tuple[int, tuple[slice, slice]],
    after: tuple[int, tuple[slice, slice]],
    spacing: Spacing,
) -> None:
    window = tuple(
        slice(min(one.start, two.start), max(one.stop, two.stop))
        for one, two in zip(before[1], after[1], strict=True)
    )
    ends = [
        signed_distance(labels[plane][window] == label, spacing) for plane in (before[0], after[0])
    ]
    for plane in range(before[0] + 1, after[0]):
        share = (plane - before[0]) / (after[0] - before[0])
        view = labels[plane][window]
        view[((1 - share) * ends[0] + share * ends[1] > 0) & (view == 0)] = label
