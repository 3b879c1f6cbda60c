"""Which grey values of a volume are shown black and white.

A window is (low, high): what is at most low is black, what is at least high is white.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError

Window = tuple[float, float]

#: What radiology calls Hounsfield units: -1000 is air, 0 water.
HOUNSFIELD = "HU"
#: Windows in Hounsfield units by name. "dental" reaches from soft tissue to enamel.
PRESETS: dict[str, Window] = {
    "bone": (-500.0, 1500.0),
    "soft tissue": (-160.0, 240.0),
    "dental": (-500.0, 2500.0),
}
#: Of the voxels that are looked at, this many per cent are darker than low, and brighter than high.
_PERCENTILES = (0.5, 99.5)
# What a scanner writes around the field of view is one value, the lowest, and much of it.
_PADDING = 0.01
_LOOKED_AT = 1 << 20


def preset_window(name: str, unit: str) -> Window:
    """Return the window of a name.

    Parameters
    ----------
    name : str
        One of `PRESETS`.
    unit : str
        Of the volume: presets hold for Hounsfield units only.

    Raises
    ------
    CosegError
        If there is no such window, or the volume is not in Hounsfield units.
    """
    if name not in PRESETS:
        raise CosegError(f"There is no window {name}: choose one of {', '.join(PRESETS)}.")
    if unit != HOUNSFIELD:
        raise CosegError(
            f"The window {name} is in Hounsfield units, and this volume does not say that it has "
            "them: choose the automatic window, or type one."
        )
    return PRESETS[name]


def manual_window(low: float, high: float) -> Window:
    """Return a window that a person typed.

    Raises
    ------
    CosegError
        If the numbers make none.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise CosegError(f"A window needs a lower and an upper grey value, and not {low}, {high}.")
    return float(low), float(high)


def automatic_window(voxels: Any) -> Window:
    """Return a window by the volume's own grey values.

    Half a per cent of the voxels is darker, half a per cent brighter. The lowest value is not
    counted where it makes up more than a hundredth: it is padding around the field of view. Voxels
    that are no numbers are not counted either.

    Parameters
    ----------
    voxels : array, (planes, rows, columns)
        NumPy's, or one that is read when it is wanted. About a million of its voxels, spread
        evenly, are looked at, and no others asked for.
    """
    shape = tuple(voxels.shape)
    step = max(1, math.ceil((math.prod(shape) / _LOOKED_AT) ** (1 / max(len(shape), 1))))
    seen = np.asarray(voxels[(slice(None, None, step),) * len(shape)]).ravel()
    if seen.dtype.kind == "f":
        seen = seen[np.isfinite(seen)]
    if not seen.size:
        return 0.0, 1.0
    lowest = seen.min()
    inside = seen[seen > lowest]
    if inside.size and inside.size < seen.size * (1 - _PADDING):
        seen = inside
    low, high = (float(value) for value in np.percentile(seen, _PERCENTILES))
    return (low, high) if low < high else (low, low + 1.0)


def apply_window(voxels: npt.NDArray[Any], window: Window) -> npt.NDArray[np.uint8]:
    """Return grey values as a screen shows them.

    Parameters
    ----------
    voxels : ndarray
        Of any shape and type.
    window : (float, float)

    Returns
    -------
    ndarray of uint8
        0 for low, 255 for high.
    """
    low, high = window
    grey = (voxels.astype(np.float32) - low) / max(high - low, 1e-6)
    shown: npt.NDArray[np.uint8] = (np.clip(grey, 0, 1) * 255).astype(np.uint8)
    return shown
