"""A colour for each object, so that neighbours can be told apart."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import numpy.typing as npt

# Steps of the golden ratio never come back to a hue that was close before.
_GOLDEN = 0.6180339887498949
_COLOURS = 61
_TABLE = np.array(
    [
        (*colorsys.hsv_to_rgb(i * _GOLDEN % 1, 0.55 + 0.3 * (i % 2), 1 - 0.22 * (i % 3)), 1.0)
        for i in range(_COLOURS)
    ]
)


def object_colours(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float64]:
    """Return red, green, blue and alpha in 0..1 for each label, the same for the same label."""
    chosen: npt.NDArray[np.float64] = _TABLE[np.asarray(labels) % _COLOURS]
    return chosen
