"""A volume seen in another orientation: axes swapped and turned round, nothing resampled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.volume_grid import VolumeGrid

_AXES = ("LR", "AP", "IS")


@dataclass(frozen=True)
class Turning:
    """How the axes of a volume are put in another order and direction.

    Attributes
    ----------
    order : tuple of int
        For each axis as it is seen, which of the stored ones it is.
    reversed : tuple of bool
        For each axis as it is seen, whether it runs against the stored one.
    """

    order: tuple[int, int, int] = (0, 1, 2)
    reversed: tuple[bool, bool, bool] = (False, False, False)

    @classmethod
    def to(cls, grid: VolumeGrid, orientation: str) -> Turning:
        """Find how a volume is seen in an orientation.

        Parameters
        ----------
        grid : VolumeGrid
            As stored.
        orientation : str
            Where the index of planes, rows and columns shall grow, as `VolumeGrid.orientation`:
            ``"IPL"`` is axial from head to foot, rows from front to back.

        Returns
        -------
        Turning
            Nothing is turned where two axes are so oblique that they have the same letter.
        """
        kinds = [_kind(letter) for letter in grid.orientation]
        wanted = [_kind(letter) for letter in orientation]
        if sorted(kinds) != sorted(wanted):
            return cls()
        first, second, third = (kinds.index(kind) for kind in wanted)
        order = (first, second, third)
        stored = grid.orientation
        a, b, c = (stored[axis] != letter for axis, letter in zip(order, orientation, strict=True))
        return cls(order, (a, b, c))

    def seen(self, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of stored voxels as they are seen."""
        return voxels.transpose(self.order)[self._steps()]

    def stored(self, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of voxels that are seen so as they are stored."""
        return voxels[self._steps()].transpose(np.argsort(self.order))

    def grid(self, grid: VolumeGrid) -> VolumeGrid:
        """Return the grid of `seen` voxels, given that of the stored ones."""
        corner = [0, 0, 0]
        directions = []
        for axis, back in zip(self.order, self.reversed, strict=True):
            way = grid.direction[axis]
            if back:
                corner[axis] = grid.shape[axis] - 1
                way = (-way[0], -way[1], -way[2])
            directions.append(way)
        first, second, third = self.order
        return replace(
            grid,
            shape=(grid.shape[first], grid.shape[second], grid.shape[third]),
            spacing=(grid.spacing[first], grid.spacing[second], grid.spacing[third]),
            origin=grid.position(corner),
            direction=(directions[0], directions[1], directions[2]),
        )

    def _steps(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if back else None) for back in self.reversed)


def _kind(letter: str) -> int:
    return next(number for number, letters in enumerate(_AXES) if letter in letters)
