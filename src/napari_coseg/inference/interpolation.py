"""Shapes between two shapes of one object on two planes. Torch-free.

Shape-based interpolation (Raya and Udupa 1990): the signed distances to the two outlines are mixed,
and what is inside of the mixture is the shape between.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_coseg.types import Mask

# Shapes that share less than this part of the smaller one are moved onto each other first: where
# they lie apart, nothing would be inside of the mixture.
_SHARED = 0.5


def between(
    first: Mask, second: Mask, share: float, sides: tuple[float, float] = (1.0, 1.0)
) -> Mask:
    """Return the shape between two shapes.

    Parameters
    ----------
    first, second : Mask
        (row, column), neither of them empty.
    share : float
        How far it is from the first to the second, 0 to 1.
    sides : tuple of float
        Height and width of a pixel.

    Returns
    -------
    Mask
        (row, column).
    """
    if not 0 <= share <= 1:
        raise ValueError(f"no place between two planes: {share}")
    if not (first.area and second.area):
        raise ValueError("a shape of no pixels")
    away = np.zeros(2, int)
    if overlap(first, second) < _SHARED * min(first.area, second.area):
        away = np.rint(_centre(second) - _centre(first)).astype(int)
    # The first is moved to the place of the shape between, and the second back to it.
    ahead = np.rint(share * away).astype(int)
    moved = _moved(first, ahead), _moved(second, ahead - away)
    low = np.min([mask.origin for mask in moved], axis=0) - 1
    high = np.max([np.add(mask.origin, mask.bits.shape) for mask in moved], axis=0) + 1
    one, two = (_signed_distance(mask, low, high, sides) for mask in moved)
    return Mask.of((1 - share) * one + share * two > 0, [int(v) for v in low])


def overlap(first: Mask, second: Mask) -> int:
    """Return how many pixels two masks share."""
    box = shared_box(first, second)
    if any(side.start >= side.stop for side in box):
        return 0
    one, two = (mask.bits[_inside(mask, box)] for mask in (first, second))
    return int(np.count_nonzero(one & two))


def bits_within(mask: Mask, frame: Mask) -> npt.NDArray[np.bool_]:
    """Return the bits of a mask in another one's box."""
    out = np.zeros(frame.bits.shape, bool)
    box = shared_box(mask, frame)
    if all(side.start < side.stop for side in box):
        out[_inside(frame, box)] = mask.bits[_inside(mask, box)]
    return out


def shared_box(first: Mask, second: Mask) -> tuple[slice, ...]:
    """Return the rows and columns that the boxes of two masks share; stop before start for none."""
    return tuple(
        slice(max(one.start, two.start), min(one.stop, two.stop))
        for one, two in zip(first.window, second.window, strict=True)
    )


def _inside(mask: Mask, box: tuple[slice, ...]) -> tuple[slice, ...]:
    """Return where a box of the image lies in a mask's bits."""
    return tuple(
        slice(side.start - first, side.stop - first)
        for side, first in zip(box, mask.origin, strict=True)
    )


def _centre(mask: Mask) -> npt.NDArray[np.float64]:
    centre: npt.NDArray[np.float64] = np.argwhere(mask.bits).mean(0) + mask.origin
    return centre


def _moved(mask: Mask, way: npt.NDArray[np.int_]) -> Mask:
    return Mask(tuple(int(v) for v in np.add(mask.origin, way)), mask.bits)


def _signed_distance(
    mask: Mask,
    low: npt.NDArray[np.int_],
    high: npt.NDArray[np.int_],
    sides: tuple[float, float],
) -> npt.NDArray[np.float64]:
    """Distance to the outline: positive inside, negative outside."""
    bits = np.zeros(tuple(high - low), bool)
    bits[
        tuple(slice(a, a + n) for a, n in zip(mask.origin - low, mask.bits.shape, strict=True))
    ] = mask.bits
    inside = ndimage.distance_transform_edt(bits, sides)
    distance: npt.NDArray[np.float64] = inside - ndimage.distance_transform_edt(~bits, sides)
    return distance
