"""Planes of volumes, for data sets whose images are volumes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.volumes import as_ids, read_info, read_voxels
from napari_coseg.imaging.windows import apply_window
from napari_coseg.types import CosegError

#: Volumes that stay in memory: an image and its labels.
_KEPT = 4
#: Where nothing says how grey values are shown: what is darker or brighter than these percentiles
#: of the volume is black or white.
_PERCENTILES = (0.5, 99.5)
_reading = Lock()


def count_planes(path: Path) -> int:
    """Return how many planes a volume has, from its header.

    Raises
    ------
    CosegError
        If it cannot be read or has no three axes.
    """
    return read_info(path).shape[0]


def read_plane(path: Path, plane: int, window: tuple[float, ...] | None) -> npt.NDArray[np.uint8]:
    """Read a plane as an 8-bit picture.

    Parameters
    ----------
    path : Path
        The volume.
    plane : int
        Index along its third axis as stored.
    window : (float, float) or None
        Grey values that become black and white; None takes them from the volume.

    Returns
    -------
    ndarray of uint8, (rows, columns, 3)

    Raises
    ------
    CosegError
        If the file cannot be read.
    """
    volume, found = _volume(path)
    low, high = window if window is not None else found
    eight = apply_window(volume[plane], (low, high))
    return np.repeat(eight[..., None], 3, axis=2)


def read_label_plane(path: Path, plane: int, image: Path) -> npt.NDArray[Any]:
    """Read a plane of labels.

    Parameters
    ----------
    path : Path
        The label volume.
    plane : int
    image : Path
        The volume that the labels belong to.

    Raises
    ------
    CosegError
        If the file cannot be read, has other values than ids, or is not on the image's grid.
    """
    volume, _ = _volume(path)
    expected = _volume(image)[0].shape
    if volume.shape != expected:
        raise CosegError(
            f"{path} is not on the grid of its image: it has {_sides(volume.shape)} voxels and the "
            f"image {_sides(expected)}."
        )
    return as_ids(path, volume[plane])


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _volume(path: Path) -> tuple[npt.NDArray[Any], tuple[float, float]]:
    # Threads that look at planes of one volume shall not each read all of it.
    with _reading:
        return _read(path)


@lru_cache(maxsize=_KEPT)
def _read(path: Path) -> tuple[npt.NDArray[Any], tuple[float, float]]:
    array = read_voxels(path)
    if np.issubdtype(array.dtype, np.floating):
        array = np.nan_to_num(array)
    low, high = np.percentile(array[:: max(1, len(array) // 32)], _PERCENTILES)
    return array, (float(low), float(high))
