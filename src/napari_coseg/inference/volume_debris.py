"""Small parts of a volume's regions are taken out: what a network saw in a plane or two."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage


def drop_small_parts(
    regions: npt.NDArray[np.uint8], spacing: tuple[float, float, float], least: float
) -> int:
    """Make background of connected parts that are too small, in place.

    Parameters
    ----------
    regions : ndarray of uint8, (planes, rows, columns)
        Class ids; parts are those of one class, connected by faces.
    spacing : (float, float, float)
        mm between planes, rows and columns.
    least : float
        Volume in mm³ from which on a part stays.

    Returns
    -------
    int
        Number of parts that are gone.
    """
    fewest = math.ceil(least / math.prod(spacing) - 1e-6)
    if fewest <= 1:
        return 0
    gone = 0
    for number, box in enumerate(ndimage.find_objects(regions), start=1):
        if box is None:
            continue
        part = regions[box]
        labels, count = ndimage.label(part == number)
        # Plane by plane: counting turns labels into numbers of 8 bytes.
        size = np.zeros(count + 1, np.int64)
        for plane in labels:
            there = np.bincount(plane.ravel())
            size[: len(there)] += there
        small = size < fewest
        small[0] = False
        gone += int(small.sum())
        for plane, ids in zip(part, labels, strict=True):
            plane[small[ids]] = 0
    return gone
