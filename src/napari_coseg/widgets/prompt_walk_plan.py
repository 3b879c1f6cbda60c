"""What is to be followed through a volume: objects, the planes that are known of them, how far."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from napari_coseg.annotation.change import Commit
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.inference.key_planes import KeyPlane, PlaneMask, following_planes
from napari_coseg.layers.volume_sheet import VolumeSheet
from napari_coseg.types import Mask, Prompt

#: Which way objects are followed from a plane.
Way = Literal["both", "higher", "lower", "onward"]


@dataclass(frozen=True, eq=False)
class Followed:
    """An object that is to be followed; planes are counted as the volume's pictures are.

    Attributes
    ----------
    number : int
        What the worker calls it.
    plane : int
        The one from which it is followed.
    keys : mapping of Mask
        What it is for certain, by plane; that of `plane` is among them.
    prompts : mapping of Prompt
        What was drawn for it on those of them that the walk passes.
    span : pair of int
        The first plane that may change, and the one behind the last.
    record : ObjectRecord or None
        What it was before; None for a new one.
    class_id : int or None
        Of a new one.
    """

    number: int
    plane: int
    keys: Mapping[int, Mask]
    prompts: Mapping[int, Prompt]
    span: tuple[int, int]
    record: ObjectRecord | None = None
    class_id: int | None = None

    @property
    def key_planes(self) -> list[KeyPlane]:
        """What the worker is told is certain."""
        return [KeyPlane(self.number, p, mask=mask) for p, mask in sorted(self.keys.items())]

    def covers(self, plane: int) -> bool:
        """Whether a plane may change."""
        return self.span[0] <= plane < self.span[1]

    def untouched(self, now: ObjectRecord | None) -> bool:
        """Whether an object still is what it was when it began to be followed."""
        before = self.record
        if before is None or now is None:
            return before is now
        return (before.area, before.box, before.placed) == (now.area, now.box, now.placed)

    def commit(self, found: Collection[PlaneMask], sheet: VolumeSheet, model: str) -> Commit:
        """Return what becomes of it.

        Parameters
        ----------
        found : collection of PlaneMask
            Of this object.
        sheet : VolumeSheet
            Where it goes.
        model : str
        """
        masks = {one.plane: one.mask for one in found if one.mask.area and self.covers(one.plane)}
        masks |= {plane: mask for plane, mask in self.keys.items() if self.covers(plane)}
        seen = [one for one in found if one.mask.area and one.plane not in self.keys]
        area = sum(one.mask.area for one in seen)
        sure = sum(one.mask.area * one.stability for one in seen)
        # Where nothing new was seen, what was known of it still counts.
        known = float("nan") if self.record is None else self.record.score
        planes = sorted(self.prompts)
        return Commit(
            sheet.solid(masks),
            None if self.record is None else self.record.label,
            self.class_id,
            sure / area if area else known,
            [self.prompts[plane] for plane in planes],
            [plane + sheet.first for plane in planes],
            model,
            sheet.axis,
            (self.span[0] + sheet.first, self.span[1] + sheet.first),
        )


def new_object(
    number: int, plane: int, planes: int, way: Way, mask: Mask, prompt: Prompt, class_id: int
) -> Followed:
    """Follow an object that is not kept yet.

    Parameters
    ----------
    number : int
    plane : int
        Where it is drawn.
    planes : int
        How many the volume has.
    way : Way
    mask, prompt
        What it is there.
    class_id : int
    """
    span = span_of([plane], plane, planes, way)
    return Followed(number, plane, {plane: mask}, {plane: prompt}, span, None, class_id)


def known_object(
    number: int,
    plane: int,
    way: Way,
    record: ObjectRecord,
    sheet: VolumeSheet,
    at_work: tuple[Mask, Prompt] | None = None,
) -> Followed:
    """Follow an object that is kept already: again, or for the first time.

    Planes that a person drew on are certain, and so is the one that it is followed from: the plane
    that is seen or, where the object is not there, the nearest of those that are certain.

    Parameters
    ----------
    number : int
    plane : int
        The plane that is seen.
    way : Way
    record : ObjectRecord
    sheet : VolumeSheet
    at_work : pair of Mask and Prompt, optional
        What it is on the plane that is seen, and what was drawn there, where it is being corrected.
    """
    there = sheet.planes_of(record.label, record.window)
    drawn = {at - sheet.first: prompt for prompt, at, axis in record.placed if axis == sheet.axis}
    certain = [at for at in there if at in drawn]
    if at_work is None and plane not in there:
        plane = min(certain or there, key=lambda at: abs(at - plane))
    keys = {at: sheet.mask(record.label, at) for at in {*certain, plane}}
    if at_work is not None:
        keys[plane], drawn[plane] = at_work
    # What was never followed has nothing beyond its outer planes that could stay.
    fresh = set(there) <= set(keys)
    span = span_of(sorted(keys), plane, len(sheet.labels), way, fresh=fresh)
    prompts = {at: drawn.get(at, Prompt()) for at in keys if span[0] <= at < span[1]}
    return Followed(number, plane, keys, prompts, span, record)


def span_of(
    keys: Collection[int], plane: int, planes: int, way: Way, *, fresh: bool = False
) -> tuple[int, int]:
    """Return which planes may change: the first, and the one behind the last.

    Parameters
    ----------
    keys : collection of int
        Planes that are certain.
    plane : int
        The one that is followed from.
    planes : int
        How many the volume has.
    way : Way
        "onward" leaves out the side that the object came from.
    fresh : bool
        Whether planes beyond the other ones that are certain may change too.
    """
    below, above = following_planes(keys, plane, planes, onward=way == "onward")
    if fresh and way != "onward":
        below, above = range(plane), range(plane + 1, planes)
    first = below.start if len(below) and way != "higher" else plane
    end = above.stop if len(above) and way != "lower" else plane + 1
    return first, end
