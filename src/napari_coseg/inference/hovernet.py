"""HoVer-Net's published post-processing of one window, for comparison with its figures.

It scales its energy by the window's own minimum and maximum, so that an object depends on what
else the window shows; `napari_coseg.inference.instances` uses it only when it is asked to.

Graham et al. 2019, "HoVer-Net", section 3.2; the constants that the paper leaves out are those of
the authors' code at 40×.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import watershed

from napari_coseg.inference.energy import sobel_kernels


def divide_window(
    mask: npt.NDArray[np.bool_],
    hv: npt.NDArray[np.floating[Any]],
    kernel_size: int,
    marker_threshold: float,
    marker_min_area: int,
) -> npt.NDArray[np.int32]:
    """Label the foreground of one window as HoVer-Net's published post-processing does.

    Parameters
    ----------
    mask : ndarray of bool, (rows, columns)
        Foreground, small parts removed.
    hv : ndarray of float, (2, rows, columns)
        Horizontal and vertical map.
    kernel_size : int
        Side of the Sobel kernel, odd; HoVer-Net's is 21 at 0.25 µm a pixel.
    marker_threshold : float
        Markers have a smaller energy; HoVer-Net's is 0.4.
    marker_min_area : int
        Markers with fewer pixels are dropped, and with them foreground that has no other;
        HoVer-Net's is 10.

    Returns
    -------
    ndarray of int32, (rows, columns)
        Ids with gaps, 0 background.
    """
    energy = window_energy(hv, mask, kernel_size)
    # what HoVer-Net floods: the rise, smoothed a little, with background as the highest place
    basins = (1 - energy) * mask
    for axis in (0, 1):
        basins = ndimage.correlate1d(basins, [0.25, 0.5, 0.25], axis, mode="mirror")
    inside = ndimage.binary_fill_holes(mask & (energy < marker_threshold))
    # OpenCV's 5 x 5 ellipse; its opening takes what lies outside the image as set when it erodes
    ellipse = np.ones((5, 5), bool)
    ellipse[[0, 0, 0, 0, -1, -1, -1, -1], [0, 1, 3, 4, 0, 1, 3, 4]] = False
    inside = ndimage.binary_erosion(inside, ellipse, border_value=1)
    markers, count = ndimage.label(ndimage.binary_dilation(inside, ellipse))
    big = np.bincount(markers.ravel(), minlength=count + 1) >= marker_min_area
    big[0] = False
    markers = np.where(big[markers], markers, 0)
    return np.asarray(watershed(-basins, markers, mask=mask), np.int32)


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
