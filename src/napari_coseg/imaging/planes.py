"""A plane of a volume as a picture: it alone, or with planes beside it as the colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.windows import Window, apply_window


def plane_picture(
    voxels: Any, plane: int, window: Window, offsets: Sequence[float] | None = None
) -> npt.NDArray[np.uint8]:
    """Return a plane as an 8-bit picture.

    Parameters
    ----------
    voxels : array, (planes, rows, columns)
        NumPy's, or one that is read plane by plane.
    plane : int
        Index of the plane.
    window : (float, float)
        Grey values that become black and white.
    offsets : sequence of three floats, optional
        Where red, green and blue are taken, in planes from `plane`: between two planes linearly,
        beyond the volume's first and last as these. None gives the plane itself in all three.

    Returns
    -------
    ndarray of uint8, (rows, columns, 3)
    """
    if offsets is None:
        eight = apply_window(np.asarray(voxels[plane]), window)
        return np.repeat(eight[..., None], 3, axis=2)
    channels = [apply_window(_between(voxels, plane + offset), window) for offset in offsets]
    return np.stack(channels, axis=2)


def _between(voxels: Any, position: float) -> npt.NDArray[Any]:
    """Return the grey values at a position along the first axis."""
    last = voxels.shape[0] - 1
    position = min(max(position, 0.0), float(last))
    below = math.floor(position)
    part = position - below
    lower = np.asarray(voxels[below])
    # A whole number of planes but for rounding needs no second one.
    if part < 1e-3:
        return lower
    upper = np.asarray(voxels[below + 1])
    if part > 1 - 1e-3:
        return upper
    mixed: npt.NDArray[np.float32] = lower.astype(np.float32)
    mixed += np.float32(part) * (upper.astype(np.float32) - mixed)
    return mixed
