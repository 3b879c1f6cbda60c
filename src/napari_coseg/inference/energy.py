"""The energy of HV maps: where they fall from one object to the next.

Graham et al. 2019, "HoVer-Net", section 3.2: the horizontal map rises from -1 to +1 across each
nucleus, so at the border to the next it falls; Sobel filters find that fall.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

#: Steps into which the fixed energy is divided: ties in the watershed are then broken by the
#: distance from the marker, and rounding in the derivative can hardly move a border.
LEVELS = 255


def hv_energy(
    hv: npt.NDArray[np.floating[Any]], mask: npt.NDArray[np.bool_], kernel_size: int
) -> npt.NDArray[np.uint8]:
    """How steeply the maps fall from one object to the next.

    The larger of -d/dcolumn of the horizontal and -d/drow of the vertical map, each with a
    binomial (Sobel) kernel, divided by that kernel's answer to a fall from +1 to -1.

    Parameters
    ----------
    hv : ndarray of float, (2, rows, columns)
        The maps.
    mask : ndarray of bool, (rows, columns)
        Foreground; maps count as 0 outside.
    kernel_size : int
        Side of the kernel, odd.

    Returns
    -------
    ndarray of uint8, (rows, columns)
        0 for a flat or rising map, 255 for the steepest fall.
    """
    smooth, derivative = sobel_kernels(kernel_size)
    gain = 2 * float(np.cumsum(derivative[::-1]).max())
    falls = []
    for plane, axis in ((hv[0], 1), (hv[1], 0)):
        inside = np.where(mask, plane, 0).astype(np.float32)
        fall = ndimage.correlate1d(inside, -derivative / gain, axis, mode="mirror")
        falls.append(ndimage.correlate1d(fall, smooth, 1 - axis, mode="mirror"))
    energy = np.clip(np.maximum(*falls), 0, 1) * LEVELS
    return np.asarray(np.rint(energy), np.uint8)


def sobel_kernels(size: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Smoothing and derivative part of a Sobel kernel of any odd size.

    Parameters
    ----------
    size : int
        Length, odd, at least 3.

    Returns
    -------
    smooth, derivative : ndarray of float64, (size,)
        Binomial weights of sum 1, and (for correlation) weights that answer 1 to a ramp which
        rises by 1 a pixel.
    """
    narrow = np.ones(1)
    for _ in range(size - 3):
        narrow = np.convolve(narrow, [0.5, 0.5])
    return np.convolve(narrow, [0.25, 0.5, 0.25]), np.convolve(narrow, [-0.5, 0, 0.5])


def window_energy(
    hv: npt.NDArray[np.floating[Any]], mask: npt.NDArray[np.bool_], kernel_size: int
) -> npt.NDArray[np.float32]:
    """HoVer-Net's own energy, scaled by the extremes of the window it is given.

    Parameters
    ----------
    hv : ndarray of float, (2, rows, columns)
        The maps.
    mask : ndarray of bool, (rows, columns)
        Foreground.
    kernel_size : int
        Side of the kernel, odd; HoVer-Net's is 21 at 0.25 µm a pixel.

    Returns
    -------
    ndarray of float32, (rows, columns)
        0 at the steepest rise of the window, 1 at its steepest fall, 0 outside the mask.
    """
    smooth, derivative = sobel_kernels(kernel_size)
    falls = []
    for plane, axis in ((hv[0], 1), (hv[1], 0)):
        rise = ndimage.correlate1d(
            _unit_range(plane).astype(np.float64), derivative, axis, mode="mirror"
        )
        rise = ndimage.correlate1d(rise, smooth, 1 - axis, mode="mirror")
        falls.append(1 - _unit_range(rise))
    return np.asarray(np.where(mask, np.maximum(*falls), 0), np.float32)


def _unit_range(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Minimum to 0 and maximum to 1; a constant becomes 0."""
    low, high = float(values.min()), float(values.max())
    scale = 1 / (high - low) if high > low else 0.0
    return ((values - low) * scale).astype(np.float32)
