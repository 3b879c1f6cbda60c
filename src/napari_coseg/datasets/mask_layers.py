"""Masks that may overlap, as few label images in which none does."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError

#: Label images that an image may need; more of them is a fault of the set, and memory's end.
_MOST = 64


def packed(
    masks: Iterable[npt.NDArray[np.bool_]], shape: tuple[int, int], where: str
) -> list[npt.NDArray[np.int32]]:
    """Put each mask into the first label image that has room for it.

    Parameters
    ----------
    masks : iterable of ndarray of bool, (rows, columns)
        Empty ones get a number, but no place.
    shape : (int, int)
    where : str
        What they belong to, for the error's sentence.

    Returns
    -------
    list of ndarray of int32, (rows, columns)
        One at least. Mask number i, from 0, has the id i + 1, whichever image it is in.

    Raises
    ------
    CosegError
        If more than 64 masks lie on each other.
    """
    layers = [np.zeros(shape, np.int32)]
    for number, mask in enumerate(masks, 1):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            continue
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        inside = mask[box]
        free = next((one for one in layers if not one[box][inside].any()), None)
        if free is None:
            if len(layers) == _MOST:
                raise CosegError(f"More than {_MOST} masks of {where} lie on each other.")
            free = np.zeros(shape, np.int32)
            layers.append(free)
        free[box][inside] = number
    return layers
