"""Where in a volume it is worth looking closely, by planes that are far apart.

Jaws, pharynx and teeth hang together and reach over centimetres from head to foot, but may fill a
small part of a scan. So some planes are segmented whole first; of those between them,
only what lies near something that was found. Where nothing was found at all, everything is. Of
what is near a jaw but not near a tooth, only the jaw is looked for.

Where teeth were found, what is farther above and below them than jaws and pharynx reach is left
out: a vault of the skull looks like a jaw to a network that has seen few.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_coseg.inference.plane_maps import PlaneMaps
from napari_coseg.inference.runner import Task
from napari_coseg.inference.volume_input import BLOCK

#: mm between planes that are segmented whole.
APART = 8.0
#: mm around what they show that are looked at in the planes between.
AROUND = 12.0
#: Probability of a region or an object from which on it counts.
LEAST = 0.25
#: mm above the highest and below the lowest teeth in which there may be jaws and pharynx: from the
#: lower teeth to the head of the jaw's joint it is less than 80 mm, down to the larynx 100.
ABOVE, BELOW = 85.0, 120.0
#: mm above the highest and below the lowest teeth in which there may be more of them: roots are
#: less than 25 mm long, and what has not erupted lies beside or beyond them.
TEETH = 45.0
#: A plane has teeth if it has this part of what the plane with the most of them has; mm² of teeth
#: that one must have at all.
_SHARE, _LEAST_TEETH = 0.2, 100.0

_Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Near:
    """Squares (`BLOCK`) of a plane that are near something.

    Attributes
    ----------
    anything : ndarray of bool
        Near a region or an object.
    objects : ndarray of bool
        Near an object.
    """

    anything: _Bool
    objects: _Bool


def scout_planes(planes: Sequence[int], spacing: float) -> list[int]:
    """Choose which planes are segmented whole.

    Parameters
    ----------
    planes : sequence of int
        Those that the network may see, ascending.
    spacing : float
        mm between stored planes.

    Returns
    -------
    list of int
        Some of them, the first and the last too, at most `APART` from each other where the others
        are closer; all of them where leaving some out would save nothing.
    """
    chosen = [planes[0]]
    for plane, following in pairwise(planes[1:]):
        if (following - chosen[-1]) * spacing > APART + 1e-6:
            chosen.append(plane)
    return [*chosen, planes[-1]] if len(planes) > 1 else chosen


class Scouts:
    """What planes that were segmented whole say of those between them.

    Parameters
    ----------
    mpp : float
        Side of a target pixel in µm.
    blocks : tuple of int
        Rows and columns of squares (`BLOCK`) of a plane.
    spacing : float
        mm between stored planes.
    superior : int
        1 where planes follow each other towards the head, -1 towards the feet, 0 where neither.
    """

    def __init__(
        self, mpp: float, blocks: tuple[int, int], spacing: float = 1.0, superior: int = 0
    ) -> None:
        self._blocks = blocks
        self._mpp = mpp
        self._teeth: list[float] = []
        self._superior = superior
        self._spacing = spacing
        reach = AROUND * 1000 / mpp / BLOCK
        side = np.arange(-int(reach), int(reach) + 1)
        self._disc = np.hypot(*np.meshgrid(side, side)) <= reach
        self._planes: list[int] = []
        self._near: list[Near] = []

    def add(self, plane: int, maps: PlaneMaps | None) -> None:
        """Tell what a plane shows; planes come in ascending order."""
        self._teeth.append(0.0 if maps is None else maps.object_pixels() * (self._mpp / 1000) ** 2)
        self._planes.append(plane)
        regions, objects = self._around(maps, "regions"), self._around(maps, "instances")
        self._near.append(Near(regions | objects, objects))

    def _around(self, maps: PlaneMaps | None, task: Task) -> _Bool:
        """Return the squares near what a plane shows of a task."""
        found = np.zeros(self._blocks, bool)
        if maps is None or task not in maps.cells:
            return found
        top, left, bottom, right = (edge // BLOCK for edge in maps.box)
        found[top:bottom, left:right] = maps.busy(task, LEAST)
        return np.asarray(ndimage.binary_dilation(found, self._disc))

    def within(self, plane: int) -> bool:
        """Whether a plane is so near to the teeth that were found that jaws may reach it."""
        if not self._superior:
            return True
        before, after = (ABOVE, BELOW) if self._superior < 0 else (BELOW, ABOVE)
        return self._reached(plane, before, after)

    def _reached(self, plane: int, before: float, after: float) -> bool:
        """Whether a plane is no more mm before the first and after the last with teeth."""
        most = max(self._teeth, default=0.0)
        if most < _LEAST_TEETH:
            return True
        areas = zip(self._planes, self._teeth, strict=True)
        with_teeth = [plane for plane, area in areas if area >= _SHARE * most]
        first = with_teeth[0] - before / self._spacing
        return first <= plane <= with_teeth[-1] + after / self._spacing

    def near(self, plane: int) -> Near | None:
        """Return the squares of a plane that are near anything in the planes before and behind.

        None, for all of them, where no plane showed anything. Where none showed an object, one
        may be anywhere.
        """
        if not self.within(plane):
            nothing = np.zeros(self._blocks, bool)
            return Near(nothing, nothing)
        if not any(near.anything.any() for near in self._near):
            return None
        after = min(bisect_left(self._planes, plane), len(self._planes) - 1)
        one, other = self._near[max(after - 1, 0)], self._near[after]
        anything = one.anything | other.anything
        if not any(near.objects.any() for near in self._near):
            return Near(anything, anything)
        if not self._reached(plane, TEETH, TEETH):
            return Near(anything, np.zeros_like(anything))
        return Near(anything, one.objects | other.objects)
