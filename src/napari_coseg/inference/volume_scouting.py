"""Where in a volume it is worth looking closely, by planes that are far apart.

Jaws, pharynx and teeth hang together and reach over centimetres from head to foot, but may fill a
small part of a scan. So some planes are segmented whole first; of those between them,
only what lies near something that was found. Where nothing was found at all, everything is.

Where teeth were found, what is farther above and below them than jaws and pharynx reach is left
out: a vault of the skull looks like a jaw to a network that has seen few.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_coseg.inference.plane_maps import PlaneMaps
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
#: A plane has teeth if it has this part of what the plane with the most of them has; mm² of teeth
#: that one must have at all.
_SHARE, _TEETH = 0.2, 100.0

_Bool = npt.NDArray[np.bool_]


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
        self._near: list[_Bool] = []

    def add(self, plane: int, maps: PlaneMaps | None) -> None:
        """Tell what a plane shows; planes come in ascending order."""
        found = np.zeros(self._blocks, bool)
        if maps is not None:
            top, left, bottom, right = (edge // BLOCK for edge in maps.box)
            found[top:bottom, left:right] = maps.busy(LEAST)
            self._teeth.append(maps.object_pixels() * (self._mpp / 1000) ** 2)
        else:
            self._teeth.append(0.0)
        self._planes.append(plane)
        self._near.append(np.asarray(ndimage.binary_dilation(found, self._disc)))

    def within(self, plane: int) -> bool:
        """Whether a plane is so near to the teeth that were found that jaws may reach it."""
        most = max(self._teeth, default=0.0)
        if most < _TEETH or not self._superior:
            return True
        with_teeth = [
            plane
            for plane, area in zip(self._planes, self._teeth, strict=True)
            if area >= _SHARE * most
        ]
        before, after = (ABOVE, BELOW) if self._superior < 0 else (BELOW, ABOVE)
        first = with_teeth[0] - before / self._spacing
        return first <= plane <= with_teeth[-1] + after / self._spacing

    def near(self, plane: int) -> _Bool | None:
        """Return the squares of a plane that are near anything in the planes before and behind.

        None, for all of them, where no plane showed anything.
        """
        if not self.within(plane):
            return np.zeros(self._blocks, bool)
        if not any(near.any() for near in self._near):
            return None
        after = min(bisect_left(self._planes, plane), len(self._planes) - 1)
        return np.asarray(self._near[max(after - 1, 0)] | self._near[after])
