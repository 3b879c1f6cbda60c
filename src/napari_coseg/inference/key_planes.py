"""What is known of objects on single planes, and which planes hang on which. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_coseg.types import CosegError, Mask, Prompt

if TYPE_CHECKING:
    from napari_coseg.inference.stopping import Fault

#: How a plane came about: a person's own mask, the network's answer to a person's prompt, or to
#: the plane before; the shape between two planes; and, with an empty mask, where an object ended.
How = Literal["confirmed", "prompted", "followed", "between", "ended"]


@dataclass(frozen=True, eq=False)
class KeyPlane:
    """What a person said of an object on one plane.

    Attributes
    ----------
    label : int
        The object.
    plane : int
    prompt : Prompt or None
        What the network is asked.
    mask : Mask or None
        (row, column): what the object is. It is taken as it is, and no prompt is asked.
    """

    label: int
    plane: int
    prompt: Prompt | None = None
    mask: Mask | None = None


@dataclass(frozen=True, eq=False)
class PlaneMask:
    """An object on one plane.

    Attributes
    ----------
    label, plane : int
    mask : Mask
        (row, column); empty where the object ended.
    stability : float
        How sure its outline is, 0 to 1; 1 for what a person confirmed, that of the less sure of
        both sides for a shape between.
    how : str
        See `How`.
    fault : str
        Where the object ended, what was the matter with the first plane that is not of it; see
        `napari_coseg.inference.stopping.Fault`. "" where the volume ended, or the planes that were
        asked for.
    """

    label: int
    plane: int
    mask: Mask
    stability: float
    how: How
    fault: Fault = ""


def check_keys(keys: Sequence[KeyPlane], planes: int) -> None:
    """Raise `CosegError` unless objects can be followed from these planes.

    Parameters
    ----------
    keys : sequence of KeyPlane
    planes : int
        How many the volume has.
    """
    if not keys:
        raise CosegError("There is nothing to follow: prompt an object on a plane first.")
    seen = set()
    for key in keys:
        if not 0 <= key.plane < planes:
            raise CosegError(
                f"Label {key.label} is prompted on plane {key.plane}, and the volume has the "
                f"planes 0 to {planes - 1}: correct the plane."
            )
        if key.prompt is None and key.mask is None:
            raise CosegError(f"Label {key.label} has neither a prompt nor a mask on {key.plane}.")
        if (key.label, key.plane) in seen:
            raise CosegError(
                f"Label {key.label} is prompted twice on plane {key.plane}: put box and points of "
                "one plane together."
            )
        seen.add((key.label, key.plane))


def following_planes(
    keys: Iterable[int], plane: int, planes: int, *, onward: bool = False
) -> tuple[range, range]:
    """Return the planes that hang on a plane: what a correction of it changes.

    A plane that was followed hangs on the nearest key plane on its way, and a plane between two
    key planes on both. So those that hang on one are all up to the next key plane on either side,
    or to the end of the volume.

    Parameters
    ----------
    keys : iterable of int
        The key planes of the object, with or without `plane`.
    plane : int
        The one that is corrected.
    planes : int
        How many the volume has.
    onward : bool
        Leave out the side that the object came from, "from here on": where key planes lie on one
        side alone, the planes on that side stay as they are.

    Returns
    -------
    below, above : range
        Planes on either side, without key planes.
    """
    others = [key for key in keys if key != plane]
    lower = [key for key in others if key < plane]
    upper = [key for key in others if key > plane]
    below = range(max(lower) + 1 if lower else 0, plane)
    above = range(plane + 1, min(upper) if upper else planes)
    if onward and lower and not upper:
        below = range(plane, plane)
    if onward and upper and not lower:
        above = range(plane, plane)
    return below, above
