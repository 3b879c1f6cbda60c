"""The energy of HV maps: where they fall from one object to the next.

Graham et al. 2019, "HoVer-Net", section 3.2: the horizontal map rises from -1 to +1 across each
nucleus, so at the border to the next it falls; Sobel filters find that fall.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

#: What a fall from +1 to -1 between two neighbouring pixels counts. Whole numbers, because a
#: border must not move with the rounding of a float.
LEVELS = 4096

#: Pixels worked on at a time, so that the passes of the kernel stay in the processor's cache.
_STRIP_PIXELS = 1 << 16


def hv_energy(
    hv: npt.NDArray[np.floating[Any]], mask: npt.NDArray[np.bool_], kernel_size: int
) -> npt.NDArray[np.uint16]:
    """How steeply the maps fall from one object to the next.

    The falls -d/dcolumn of the horizontal and -d/drow of the vertical map, each by a binomial
    (Sobel) kernel and divided by that kernel's answer to a step from +1 to -1, rises left out,
    are added: across a slanted border both maps fall, each by less.

    Every pixel is reached by the same additions in the same order, so two windows agree to the
    last bit where they overlap by more than half a kernel.

    Parameters
    ----------
    hv : ndarray of float, (2, rows, columns)
        The maps.
    mask : ndarray of bool, (rows, columns)
        Foreground; maps count as 0 outside.
    kernel_size : int
        Side of the kernel, odd, at least 3.

    Returns
    -------
    ndarray of uint16, (rows, columns)
        0 for flat or rising maps, `LEVELS` for the steepest fall of one map, at most twice that
        for HV maps within -1 to 1.
    """
    height, width = mask.shape
    reach = kernel_size // 2
    # twice the largest running sum is the answer to a step of -2; each pass below that adds a
    # neighbour without halving doubles it
    _, derivative = sobel_kernels(kernel_size)
    step = 2 * float(np.abs(np.cumsum(derivative)).max())
    unit = np.float32(LEVELS / (step * 2.0 ** (2 * kernel_size - 3)))
    rows = np.pad(np.arange(height), reach, mode="reflect")
    columns = np.pad(np.arange(width), reach, mode="reflect") + reach
    energy = np.empty(mask.shape, np.uint16)
    strip = max(4 * reach, _STRIP_PIXELS // (width + 2 * reach))
    # memory that is taken once: fresh pages for each pass would cost more than the additions
    work = np.empty((4, strip + 2 * reach, width + 2 * reach), np.float32)
    for top in range(0, height, strip):
        around = rows[top : top + strip + 2 * reach]
        inside = mask[around].astype(np.float32)
        falls: list[npt.NDArray[np.float32]] = []
        for plane, axis, slot in ((hv[0], 1, 0), (hv[1], 0, 2)):
            framed = work[slot, : len(around)]
            np.multiply(plane[around], inside, out=framed[:, reach : reach + width])
            framed[:, :reach] = framed[:, columns[:reach]]
            framed[:, reach + width :] = framed[:, columns[reach + width :]]
            falls.append(_fall(framed, work[slot + 1, : len(around)], kernel_size, axis))
        total = falls[0]
        total += falls[1]
        total *= unit
        np.minimum(total, np.iinfo(energy.dtype).max, out=total)
        energy[top : top + len(total)] = np.rint(total, out=total)
    return energy


def _fall(
    plane: npt.NDArray[np.float32], spare: npt.NDArray[np.float32], size: int, axis: int
) -> npt.NDArray[np.float32]:
    """Fall along `axis` times 2 ** (2 * size - 3), rises as 0.

    Both arrays are overwritten, and one of them, less half a kernel on each side, is the result.
    """
    for along, passes in ((axis, size - 3), (1 - axis, size - 1)):
        for _ in range(passes):
            before, after = _ends(plane, along, 1)
            into, _ = _ends(spare, along, 1)
            np.add(before, after, out=into)
            plane, spare = into, before
    before, after = _ends(plane, axis, 2)
    into, _ = _ends(spare, axis, 2)
    np.subtract(before, after, out=into)
    return np.maximum(into, 0, out=into)


def _ends(
    values: npt.NDArray[np.float32], axis: int, shift: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """All but the last and all but the first `shift` places along an axis, as views."""
    if axis:
        return values[:, :-shift], values[:, shift:]
    return values[:-shift], values[shift:]


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
