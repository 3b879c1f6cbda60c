"""Micrometres, and of volumes millimetres, from a layer's scale and units, if it has any."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

# µm in one of a unit, by the names that napari (pint) gives units of length.
_MICROMETRES = {
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "micron": 1.0,
    "um": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "angstrom": 1e-4,
}
# Rows and columns may differ by this much (calibration of two axes).
_SQUARE = 0.02


def pixel_sides(scale: Sequence[float], units: Sequence[Any]) -> tuple[float, float] | None:
    """Return height and width of a pixel in µm; None where a unit is no length.

    Parameters
    ----------
    scale : sequence of float
        Of rows and columns.
    units : sequence of str or pint.Unit
        Of rows and columns.
    """
    factors = [_MICROMETRES.get(str(unit)) for unit in units]
    if len(factors) < 2 or factors[0] is None or factors[1] is None:
        return None
    return abs(float(scale[0])) * factors[0], abs(float(scale[1])) * factors[1]


def millimetres(scale: Sequence[float], units: Sequence[Any]) -> tuple[float, float, float] | None:
    """Return the sides of a voxel in mm; None where a unit is no length, or a side is none.

    Parameters
    ----------
    scale : sequence of float
        Of planes, rows and columns.
    units : sequence of str or pint.Unit
        Of planes, rows and columns.
    """
    factors = [_MICROMETRES.get(str(unit)) for unit in units]
    known = [abs(float(s)) * f / 1000 for s, f in zip(scale, factors, strict=True) if f is not None]
    if len(known) != 3 or not all(0 < side < math.inf for side in known):
        return None
    return known[0], known[1], known[2]


def is_square(sides: tuple[float, float]) -> bool:
    """Whether a pixel's sides are equal, but for calibration."""
    down, across = sides
    return down > 0 and across > 0 and abs(down / across - 1) < _SQUARE


def mpp_of(scale: Sequence[float], units: Sequence[Any]) -> float | None:
    """Return µm per pixel; None where it is unknown or pixels are not square."""
    sides = pixel_sides(scale, units)
    return math.sqrt(sides[0] * sides[1]) if sides is not None and is_square(sides) else None
