"""Objects followed through a volume: prompted on a plane or a few, plane by plane from there."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np

from napari_coseg.inference.interpolation import between, overlap
from napari_coseg.inference.key_planes import How, KeyPlane, PlaneMask, check_keys
from napari_coseg.inference.plane_asking import Pictures, PlaneAsker, Taken
from napari_coseg.inference.prompt_masks import mask_box
from napari_coseg.inference.prompt_shapes import checked, deepest
from napari_coseg.inference.prompted import PromptedMask, Prompter
from napari_coseg.inference.stopping import Course, Fault, Look, StopSettings
from napari_coseg.inference.stream import Cancel
from napari_coseg.inference.zoom import Box
from napari_coseg.types import Mask, Prompt

#: Planes in a row that may be lost without the object being so; shapes between take their place.
LOST = 1
_NOTHING = Mask((0, 0), np.zeros((0, 0), bool))


@dataclass(frozen=True)
class WalkSettings:
    """How objects are followed.

    Attributes
    ----------
    step_mm : float
        How far apart planes are that the network looks at, at least one plane. Those between are
        shapes between.
    margin_mm : float
        What the box of the plane before is grown by on each side.
    mask_prompt, point_prompt : bool
        Whether the mask of the plane before, and the point farthest inside of it, are prompts
        beside the box.
    share : float
        Least part of a crop's side that objects fill which share it; see `Prompter.segment`.
    agree : float
        Intersection over union of an answer with the shape between two key planes, from which on
        the answer counts and not that shape.
    trim : tuple of Fault
        Where an answer has one of these faults, what of it looks like the object on the plane
        before is tried instead.
    stop : StopSettings
    """

    step_mm: float = 0.8
    margin_mm: float = 0.8
    mask_prompt: bool = True
    point_prompt: bool = False
    share: float = 0.25
    agree: float = 0.6
    trim: tuple[Fault, ...] = ("unlike", "grown", "regrown")
    stop: StopSettings = field(default_factory=StopSettings)


@dataclass(eq=False)
class _Front:
    """How far an object has come on its way."""

    plane: int
    mask: Mask
    stability: float
    course: Course
    look: Look
    crop: Box | None = None
    lost: int = 0
    fault: Fault = ""


def propagate(
    prompter: Prompter,
    pictures: Pictures,
    keys: Sequence[KeyPlane],
    *,
    settings: WalkSettings | None = None,
    name: str = "",
    reach: Mapping[int, tuple[int, int]] | None = None,
    taken: Taken | None = None,
    hint: float | None = None,
    cancel: Cancel | None = None,
) -> Iterator[PlaneMask]:
    """Follow objects through a volume, in both directions from where they are prompted.

    The mask of the plane before is the prompt of the next one, with a box round it. An object ends
    where two planes in a row that the network looked at are no next plane of it, by the rules of
    `StopSettings`; a single one of them becomes the shape between its neighbours. Between two key
    planes the shape between them is the prompt, and where the answer is far from it, or unsure, it
    is the result itself.

    All objects go from plane to plane together and share what is computed of it. Pixels that two of
    them claim on a plane belong to the one that had them on the plane before, else to the one whose
    logit is higher; what was found before on a plane stays.

    Parameters
    ----------
    prompter : Prompter
    pictures : VolumePictures
        Or anything with its `count`, `shape`, `spacing`, `axis` and `picture`.
    keys : sequence of KeyPlane
        At least one plane of each object.
    settings : WalkSettings, optional
    name : str
        Names the content of the volume, so that encodings of crops are kept; see
        `Prompter.segment`.
    reach : mapping of int, optional
        By label the first plane and the one after the last that are asked for; all by default. Key
        planes may lie beside them.
    taken : callable, optional
        Given a plane, returns the pixels that no object may have, (rows, columns), or None.
    hint : float, optional
        Length in pixels of objects that are prompted by points alone.
    cancel : callable, optional
        Asked between batches; True ends the work.

    Yields
    ------
    PlaneMask
        Key planes first, an empty mask where nothing was found, then plane by plane in both
        directions in turns. No plane of an object comes twice, and none changes afterwards; planes
        of one object and direction are in the order of the way. In each direction that an object
        goes it ends: see `PlaneMask.fault`.

    Raises
    ------
    CosegError
        If a key plane cannot be used.
    napari_coseg.inference.stream.Cancelled
        If `cancel` said so.
    """
    check_keys(keys, pictures.count)
    walk = _Walk(prompter, pictures, settings or WalkSettings(), reach or {}, name, taken, cancel)
    yield from walk.starts(keys, hint)
    ways = [walk.way(direction) for direction in (1, -1)]
    while ways:
        for way in list(ways):
            found = next(way, None)
            if found is None:
                ways.remove(way)
            else:
                yield from found


class _Walk:
    """What both directions share: the network, the key planes, what was found."""

    def __init__(
        self,
        prompter: Prompter,
        pictures: Pictures,
        settings: WalkSettings,
        reach: Mapping[int, tuple[int, int]],
        name: str,
        taken: Taken | None,
        cancel: Cancel | None,
    ) -> None:
        self._pictures = pictures
        self._settings = settings
        self._reach = reach
        self._planes = PlaneAsker(prompter, pictures, settings.share, name, taken, cancel)
        _, *sides = pictures.spacing
        self._sides = (sides[0], sides[1])
        self._step = max(1, int(settings.step_mm / pictures.spacing[0] + 1e-3))
        #: By label and plane.
        self._keys: defaultdict[int, dict[int, _Front]] = defaultdict(dict)

    def starts(self, keys: Sequence[KeyPlane], hint: float | None) -> Iterator[PlaneMask]:
        """Segment the key planes."""
        planes: defaultdict[int, list[KeyPlane]] = defaultdict(list)
        for key in keys:
            planes[key.plane].append(key)
            if key.mask is None and key.prompt is not None:
                checked(key.prompt, self._pictures.shape, f"Label {key.label}")
        for plane, here in sorted(planes.items()):
            asked = [(key.label, key.prompt) for key in here if key.mask is None and key.prompt]
            given = {key.label: key.mask for key in here if key.mask is not None}
            answers = self._planes.ask(plane, asked, [None] * len(asked), hint)
            masks = {label: answer.mask for label, answer in answers.items()}
            for mask in given.values():
                self._planes.keep(plane, mask)
            self._planes.share_out(plane, masks, answers, {})
            for key in here:
                label = key.label
                answer = answers.get(label)
                mask = given[label] if answer is None else masks[label]
                sure = 1.0 if answer is None else answer.stability
                how: How = "confirmed" if answer is None else "prompted"
                if answer is not None:
                    self._planes.keep(plane, mask)
                yield PlaneMask(label, plane, mask, sure, how)
                if mask.area:
                    course = Course(self._settings.stop, math.prod(self._sides), mask)
                    look = Look.of(self._planes.grey(plane), mask)
                    crop = None if answer is None else answer.crop
                    self._keys[label][plane] = _Front(plane, mask, sure, course, look, crop)

    def way(self, direction: int) -> Iterator[list[PlaneMask]]:
        """Go from plane to plane in one direction; a list for each."""
        fronts: dict[int, _Front] = {}
        entries: defaultdict[int, list[int]] = defaultdict(list)
        for label, keys in self._keys.items():
            # What lies between key planes is done on the way up.
            for plane in keys if direction > 0 else [min(keys)]:
                entries[plane].append(label)
        if not entries:
            return
        plane = min(entries) if direction > 0 else max(entries)
        while fronts or entries:
            out: list[PlaneMask] = []
            for label in entries.pop(plane, ()):
                if (self._last(label, direction) - plane) * direction >= 0:
                    out += self._enter(fronts, label, plane)
            last = {label: self._last(label, direction) for label in fronts}
            due = [
                label
                for label, front in fronts.items()
                if front.plane != plane
                and self._wanted(label, plane)
                and (plane % self._step == 0 or plane == last[label])
            ]
            out += self._advance(fronts, due, plane, direction)
            for label in [label for label in fronts if last[label] == plane]:
                front = fronts.pop(label)
                fault: Fault = "" if front.plane == plane else front.fault
                out.append(_end(label, front.plane + direction, fault))
            yield out
            plane += direction

    def _range(self, label: int) -> tuple[int, int]:
        first, end = self._reach.get(label, (0, self._pictures.count))
        return max(first, 0), min(end, self._pictures.count)

    def _wanted(self, label: int, plane: int) -> bool:
        first, end = self._range(label)
        return first <= plane < end

    def _last(self, label: int, direction: int) -> int:
        """Return the last plane that an object may have on its way."""
        first, end = self._range(label)
        return end - 1 if direction > 0 else first

    def _enter(self, fronts: dict[int, _Front], label: int, plane: int) -> list[PlaneMask]:
        """Come to a key plane, or start from it."""
        key = self._keys[label][plane]
        before = fronts.get(label)
        # The other direction has a course of its own.
        course = deepcopy(key.course)
        fronts[label] = _Front(plane, key.mask, key.stability, course, key.look, key.crop)
        return [] if before is None else self._fill(label, before, fronts[label])

    def _advance(
        self, fronts: dict[int, _Front], labels: Sequence[int], plane: int, direction: int
    ) -> list[PlaneMask]:
        """Take objects to a plane that is looked at; those that end are let go of."""
        out = self._look(fronts, labels, plane)
        for label in labels:
            front = fronts[label]
            if front.plane == plane:
                continue
            front.lost += 1
            if front.lost <= LOST:
                # Its end may lie on the planes that were stepped over.
                for nearer in range(front.plane + direction, plane, direction):
                    lost = fronts[label].lost
                    out += self._look(fronts, [label], nearer)
                    fronts[label].lost = lost
                continue
            del fronts[label]
            out.append(_end(label, front.plane + direction, front.fault))
        return out

    def _look(
        self, fronts: dict[int, _Front], labels: Sequence[int], plane: int
    ) -> list[PlaneMask]:
        """Look at objects on a plane; the fronts of those that are there come to it."""
        expected = {label: self._expected(label, fronts[label], plane) for label in labels}
        asked = [
            (label, self._prompt(fronts[label].mask if shape is None else shape))
            for label, shape in expected.items()
        ]
        # One object stays in its crop as long as it fits; several are put together anew.
        crops = [fronts[label].crop if len(labels) == 1 else None for label in labels]
        answers = self._planes.ask(plane, asked, crops)
        found, trimmed = {}, set()
        for label, answer in answers.items():
            front, shape, mask = fronts[label], expected[label], answer.mask
            fits = self._fits(front, plane, mask, answer.stability, shape)
            if not fits and shape is None and front.fault in self._settings.trim:
                # The network may have taken the object for larger than it is.
                fault = front.fault
                mask = front.look.trimmed(self._planes.grey(plane), mask, front.mask)
                fits = self._fits(front, plane, mask, answer.stability, shape)
                front.fault = "" if fits else fault
                trimmed.add(label)
            if fits:
                found[label] = mask
        masks = self._share_out(fronts, plane, found, answers, expected)
        for mask in masks.values():
            self._planes.keep(plane, mask)
        out = []
        for label in labels:
            front, answer, shape = fronts[label], answers[label], expected[label]
            here, sure = masks.get(label), answer.stability
            how: How = "followed"
            if here is None and shape is not None:
                # What was seen is sure, and a shape between is not: it takes what is left.
                here, how = self._planes.free(plane, shape), "between"
                sure = min(front.stability, self._next_key(label, plane).stability)
                self._planes.keep(plane, here)
            if here is None or not here.area:
                continue
            # What the network has not seen says nothing of how the object looks.
            seen = how == "followed"
            look = Look.of(self._planes.grey(plane), here) if seen else front.look
            there = _Front(plane, here, sure, front.course, look, answer.crop)
            there.course.take(here, trimmed=label in trimmed)
            out += self._fill(label, front, there)
            out.append(PlaneMask(label, plane, here, sure, how))
            fronts[label] = there
        return out

    def _share_out(
        self,
        fronts: Mapping[int, _Front],
        plane: int,
        found: Mapping[int, Mask],
        answers: Mapping[int, PromptedMask],
        expected: Mapping[int, Mask | None],
    ) -> dict[int, Mask]:
        """Give each pixel to one object; one that no longer fits then has none of them."""
        before = {label: fronts[label].mask for label in found}
        claims = dict(found)
        while True:
            masks = dict(claims)
            self._planes.share_out(plane, masks, answers, before)
            unfit = [
                label
                for label, mask in masks.items()
                if not self._fits(
                    fronts[label], plane, mask, answers[label].stability, expected[label]
                )
            ]
            if not unfit:
                return masks
            # One at a time: what it had may be what the others lack.
            del claims[min(unfit, key=lambda label: masks[label].area / claims[label].area)]

    def _fits(
        self, front: _Front, plane: int, mask: Mask, stability: float, shape: Mask | None
    ) -> bool:
        """Whether a mask is the next plane of an object."""
        if shape is None:
            grey = self._planes.grey(plane)
            front.fault = front.course.fault_of(mask, stability, grey, front.mask, front.look)
            return not front.fault
        both = overlap(mask, shape)
        union = mask.area + shape.area - both
        return stability >= self._settings.stop.stability and both >= self._settings.agree * union

    def _next_key(self, label: int, plane: int) -> _Front:
        return self._keys[label][min(key for key in self._keys[label] if key > plane)]

    def _expected(self, label: int, front: _Front, plane: int) -> Mask | None:
        """Return the shape between key planes, None beyond them."""
        keys = self._keys[label]
        if not min(keys) < plane < max(keys):
            return None
        first = keys[max(key for key in keys if key < plane)]
        last = self._next_key(label, plane)
        share = (plane - first.plane) / (last.plane - first.plane)
        return between(first.mask, last.mask, share, self._sides)

    def _prompt(self, shape: Mask) -> Prompt:
        rows, columns = (self._settings.margin_mm / side for side in self._sides)
        row0, column0, row1, column1 = mask_box(shape)
        box = (row0 - rows, column0 - columns, row1 + rows, column1 + columns)
        points = ((*deepest(shape), True),) if self._settings.point_prompt else ()
        return Prompt(box, points, shape if self._settings.mask_prompt else None)

    def _fill(self, label: int, before: _Front, after: _Front) -> list[PlaneMask]:
        """Put shapes between on the planes that were stepped over."""
        direction = 1 if after.plane > before.plane else -1
        out = []
        for plane in range(before.plane + direction, after.plane, direction):
            if not self._wanted(label, plane):
                continue
            share = (plane - before.plane) / (after.plane - before.plane)
            shape = between(before.mask, after.mask, share, self._sides)
            shape = self._planes.free(plane, shape)
            sure = min(before.stability, after.stability)
            if shape.area:
                self._planes.keep(plane, shape)
                out.append(PlaneMask(label, plane, shape, sure, "between"))
        return out


def _end(label: int, plane: int, fault: Fault) -> PlaneMask:
    return PlaneMask(label, plane, _NOTHING, 0.0, "ended", fault)
