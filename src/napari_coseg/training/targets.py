"""What the network is asked to say, made from instance labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def hv_maps(instances: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """Horizontal and vertical distance maps (Graham et al. 2019, HoVer-Net, section 3.1).

    Inside an object the horizontal map is the column's offset from the centre of mass, divided
    by the largest offset on its side, so that it runs from -1 at the left edge to +1 at the right
    one; the vertical map does so with rows. Background is 0.

    Parameters
    ----------
    instances : ndarray of int, (rows, columns)
        Object ids; 0 and negative values are background.

    Returns
    -------
    ndarray of float32, (2, rows, columns)
        Horizontal, then vertical.
    """
    maps = np.zeros((2, *instances.shape), np.float32)
    row, column = np.nonzero(instances > 0)
    if row.size == 0:
        return maps
    _, group = np.unique(instances[row, column], return_inverse=True)
    count = np.bincount(group)
    for channel, position in enumerate((column, row)):
        centre = np.bincount(group, position) / count
        offset = position - centre[group]
        low = np.zeros(count.size)
        high = np.zeros(count.size)
        np.minimum.at(low, group, offset)
        np.maximum.at(high, group, offset)
        # An object one pixel wide has no extent to divide by; its offset is 0 anyway.
        extent = np.where(offset < 0, -low[group], high[group])
        maps[channel, row, column] = offset / np.maximum(extent, 1e-6)
    return maps
