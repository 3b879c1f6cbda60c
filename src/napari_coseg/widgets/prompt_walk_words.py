"""How the Prompt dock speaks of objects that are followed through a volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_coseg.inference.key_planes import PlaneMask
from napari_coseg.widgets.prompt_walk import Walk
from napari_coseg.widgets.prompt_walk_plan import Followed

if TYPE_CHECKING:
    from napari_coseg.inference.stopping import Fault

#: Why an object ended.
FAULTS: dict[Fault, str] = {
    "nothing": "the object is gone",
    "small": "too small",
    "shrunk": "much smaller at once",
    "grown": "much larger at once",
    "regrown": "another object takes over",
    "moved": "it lies elsewhere",
    "unsure": "unclear outline",
    "unlike": "like its surroundings",
}


def progress_words(walk: Walk) -> str:
    """Say how far objects have come."""
    low, high = walk.reached
    count = len(walk.objects)
    what = "the object" if count == 1 else f"{count:,} objects"
    return f"Following {what}: planes {low} to {high} of {walk.pictures.count} …"


def end_words(
    walk: Walk, found: Sequence[PlaneMask], lost: int, left_out: int, labels: Sequence[int]
) -> tuple[str, str]:
    """Say what has become of objects.

    Parameters
    ----------
    walk : Walk
    found : sequence of PlaneMask
    lost : int
        How many were changed meanwhile.
    left_out : int
        How many lay on others.
    labels : sequence of int
        Those that were kept.

    Returns
    -------
    pair of str
        A sentence or two, and for several objects a line each.
    """
    lines = [
        _one(one, [f for f in found if f.label == one.number], walk.pictures.count)
        for one in walk.objects
    ]
    if len(walk.objects) == 1:
        return f"Object {labels[0]}: {lines[0]}", ""
    words = f"{len(labels):,} objects followed"
    if lost:
        words += f"; {lost:,} changed meanwhile and stay so"
    if left_out:
        words += f"; {left_out:,} lay on others"
    named = [_name(one) + line for one, line in zip(walk.objects, lines, strict=True)]
    return f"{words}. Where each ended: rest the mouse here.", "\n".join(named)


def _name(one: Followed) -> str:
    return "New object: " if one.record is None else f"Object {one.record.label}: "


def _one(one: Followed, found: Sequence[PlaneMask], planes: int) -> str:
    there = [f.plane for f in found if f.mask.area and one.covers(f.plane)]
    there += [plane for plane in one.keys if one.covers(plane)]
    ends = sorted(
        (f.plane, FAULTS[f.fault] if f.fault else "the volume ends")
        for f in found
        # Where the walk was to end nothing need be said.
        if f.how == "ended" and (f.fault or f.plane in (-1, planes))
    )
    low, high = min(there), max(there)
    words = f"plane {low}." if low == high else f"planes {low} to {high}."
    told = [f"at {plane}: {why}" for plane, why in ends]
    return f"{words} Ended {'; '.join(told)}." if told else words
