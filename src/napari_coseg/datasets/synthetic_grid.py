"""The voxels of a generated CBCT volume in the millimetres of the head, which stands askew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Window = tuple[slice, slice, slice]

#: mm behind the front of the upper arch about which the head is turned.
PIVOT = 45.0


@dataclass(frozen=True)
class Grid:
    """Voxels and the pose of the head in them.

    Plane 0 is the uppermost, row 0 the foremost, column 0 at the patient's right. Head millimetres
    are (z, y, x) as in `synthetic_arches`. Yaw is a rotation; pitch and roll are shears, which for
    the few degrees used here differ from rotations by less than 1 %.

    Attributes
    ----------
    shape : tuple of int
        Planes, rows, columns.
    spacing : float
        Size of a voxel in mm.
    centre : tuple of float
        z, y and x of the middle of the volume in mm, before the head is turned.
    yaw, pitch, roll : float
        Radians.
    """

    shape: tuple[int, int, int]
    spacing: float
    centre: tuple[float, float, float]
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    def _axis(self, axis: int, first: int, last: int) -> Field:
        place = np.arange(first, last, dtype=np.float32) - np.float32((self.shape[axis] - 1) / 2)
        return place * np.float32(-self.spacing if axis == 0 else self.spacing) + np.float32(
            self.centre[axis]
        )

    def maps(self) -> tuple[Field, Field]:
        """Return y and x of the head at every (row, column): the same in all planes."""
        _, y, x = self.place((slice(0, 1), slice(0, self.shape[1]), slice(0, self.shape[2])))
        return y[0], x[0]

    def heights(self, plane: int, y: Field, x: Field) -> Field:
        """Return z of the head in a plane, for the maps of `maps`."""
        z = self._axis(0, plane, plane + 1)[0]
        tilt = np.float32(self.pitch) * (y - np.float32(PIVOT)) + np.float32(self.roll) * x
        return np.asarray(z + tilt, np.float32)

    def place(self, window: Window) -> tuple[Field, Field, Field]:
        """Return z, y and x of the head at each voxel of a window."""
        z, y, x = (self._axis(i, part.start, part.stop) for i, part in enumerate(window))
        rows, columns = (y - np.float32(PIVOT))[:, None], x[None, :]
        cosine, sine = np.float32(np.cos(self.yaw)), np.float32(np.sin(self.yaw))
        back = (cosine * rows - sine * columns)[None]
        left = (sine * rows + cosine * columns)[None]
        tilt = np.float32(self.pitch) * back + np.float32(self.roll) * left
        height: Field = np.asarray(z[:, None, None] + tilt, np.float32)
        shape = height.shape
        return (
            height,
            np.broadcast_to(back + np.float32(PIVOT), shape),
            np.broadcast_to(left, shape),
        )

    def window(self, corners: npt.NDArray[np.float64]) -> Window | None:
        """Voxels that hold points of the head; None where all are outside of the volume.

        Parameters
        ----------
        corners : ndarray of float, (n, 3)
            z, y, x in mm.
        """
        back, left = corners[:, 1] - PIVOT, corners[:, 2]
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        z = corners[:, 0] - self.pitch * back - self.roll * left
        y = PIVOT + cosine * back + sine * left
        x = cosine * left - sine * back
        parts = []
        for axis, values in enumerate((-z, y, x)):
            middle = -self.centre[0] if axis == 0 else self.centre[axis]
            index = (values - middle) / self.spacing + (self.shape[axis] - 1) / 2
            first = max(int(np.floor(index.min())) - 1, 0)
            last = min(int(np.ceil(index.max())) + 2, self.shape[axis])
            if first >= last:
                return None
            parts.append(slice(first, last))
        return parts[0], parts[1], parts[2]
