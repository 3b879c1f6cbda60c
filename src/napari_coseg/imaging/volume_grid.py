"""Where the voxels of a volume lie in the patient: spacing, origin, directions.

Positions are in mm, in the patient's own axes as DICOM has them (PS3.3 C.7.6.2): the first number
grows towards the left, the second towards the back, the third towards the head.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError

Vector = tuple[float, float, float]

#: Directions may be this far from being of length 1 and at right angles.
_SQUARE = 1e-3
#: Two grids are the same where no corner is further off than this part of a voxel's shortest side.
_SAME = 0.05
#: An axis runs from foot to head if it is closer to that than to any other: within 45 degrees.
_UPRIGHT = math.cos(math.pi / 4)
_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))


@dataclass(frozen=True)
class VolumeGrid:
    """The grid of a volume, its axes in the order (plane, row, column).

    Attributes
    ----------
    shape : tuple of int
        Planes, rows, columns.
    spacing : tuple of float
        mm from one plane, row, column to the next.
    origin : tuple of float
        Position of the centre of the first voxel, mm: left, back, head.
    direction : tuple of three vectors
        Where the index of planes, of rows and of columns grows, each of length 1: left, back, head.

    Raises
    ------
    CosegError
        If a number makes no sense, or the axes are not at right angles.
    """

    shape: tuple[int, int, int]
    spacing: Vector
    origin: Vector = (0.0, 0.0, 0.0)
    direction: tuple[Vector, Vector, Vector] = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise CosegError(f"A volume has planes, rows and columns, and not {sides(self.shape)}.")
        if len(self.spacing) != 3 or not all(math.isfinite(s) and s > 0 for s in self.spacing):
            said = " x ".join(f"{s:g}" for s in self.spacing)
            raise CosegError(
                f"The spacing of the voxels is {said} mm, and it must be above 0: export the "
                "volume again."
            )
        if len(self.origin) != 3 or not all(map(math.isfinite, self.origin)):
            raise CosegError("The place of the volume is no number: export the volume again.")
        axes = np.array(self.direction, float)
        if axes.shape != (3, 3) or not np.isfinite(axes).all():
            raise CosegError("The directions of the volume are no numbers: export it again.")
        if np.abs(axes @ axes.T - np.eye(3)).max() > _SQUARE:
            raise CosegError(
                "The axes of the volume are not at right angles (a tilted gantry, or a sheared "
                "registration): resample the volume to a rectangular grid first."
            )

    @property
    def superior(self) -> int:
        """Where the head is along the planes' axis.

        1: towards a higher plane index; -1: towards a lower one; 0: the planes do not lie on each
        other from foot to head.
        """
        up = self.direction[0][2]
        return 0 if abs(up) < _UPRIGHT else int(math.copysign(1, up))

    @property
    def orientation(self) -> str:
        """Where the index of planes, rows and columns grows, a letter each.

        Of L (left), R, P (back), A (front), S (head), I: ``"SPL"`` is an axial volume from foot to
        head. Oblique axes have the letter that is nearest.
        """
        letters = ""
        for vector in self.direction:
            axis = int(np.argmax(np.abs(vector)))
            letters += _LETTERS[axis][int(vector[axis] > 0)]
        return letters

    def position(self, index: Sequence[float]) -> Vector:
        """Return where the centre of a voxel lies, mm: left, back, head.

        Parameters
        ----------
        index : sequence of float
            Plane, row, column.
        """
        place = np.array(self.origin) + self._steps().T @ np.asarray(index, float)
        return (float(place[0]), float(place[1]), float(place[2]))

    def difference(self, other: VolumeGrid) -> str:
        """Say in some words how another grid differs, in an empty text if it does not.

        Numbers that formats round do not matter: corners must lie within a twentieth of a voxel.
        """
        if self.shape != other.shape:
            return f"it has {sides(other.shape)} voxels and not {sides(self.shape)}"
        nearest = _SAME * min(self.spacing)
        corners = [*itertools.product(*((0, length - 1) for length in self.shape))]
        if any(
            abs(one - two) > 1e-3 * one
            for one, two in zip(self.spacing, other.spacing, strict=True)
        ):
            return f"its voxels are {_mm(other.spacing)} mm and not {_mm(self.spacing)} mm"
        apart = max(math.dist(self.position(c), other.position(c)) for c in corners)
        if apart <= nearest:
            return ""
        if self.orientation != other.orientation:
            return f"its axes run {other.orientation} and not {self.orientation}"
        return f"it lies {apart:.3g} mm elsewhere"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain numbers, for a layer's metadata or JSON."""
        return {
            "shape": list(self.shape),
            "spacing": list(self.spacing),
            "origin": list(self.origin),
            "direction": [list(vector) for vector in self.direction],
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> VolumeGrid:
        """Make a grid of what `as_dict` returned.

        Raises
        ------
        CosegError
            If it is something else.
        """
        try:
            planes, rows, columns = (int(length) for length in facts["shape"])
            first, second, third = (_vector(vector) for vector in facts["direction"])
            return cls(
                (planes, rows, columns),
                _vector(facts["spacing"]),
                _vector(facts["origin"]),
                (first, second, third),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CosegError("This is not the grid of a volume: open the volume again.") from error

    def _steps(self) -> npt.NDArray[np.float64]:
        """Return the way from one voxel to the next along each axis, a row each, mm."""
        steps: npt.NDArray[np.float64] = np.array(self.direction) * np.array(self.spacing)[:, None]
        return steps


def _vector(values: Sequence[float]) -> Vector:
    first, second, third = (float(value) for value in values)
    return first, second, third


def sides(shape: Sequence[int]) -> str:
    """Return a shape in words."""
    return " x ".join(map(str, shape))


def _mm(spacing: Vector) -> str:
    return " x ".join(f"{side:.6g}" for side in spacing)
