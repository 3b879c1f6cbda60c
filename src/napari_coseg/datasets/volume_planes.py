"""Planes of volumes, for data sets whose images are volumes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.planes import plane_picture
from napari_coseg.imaging.volume_grid import VolumeGrid, sides
from napari_coseg.imaging.volume_headers import read_facts
from napari_coseg.imaging.volumes import as_ids, read_grid, read_info, read_voxels
from napari_coseg.imaging.voxel_faults import repaired
from napari_coseg.imaging.windows import automatic_window
from napari_coseg.types import CosegError

#: Volumes that stay unpacked, in files of their own. Samples are planes of any of them, and to
#: unpack a volume for each would take most of a training's time.
_KEPT = 512
_reading = Lock()
#: Voxels, their own window, and where they lie, as far as the file says.
_Read = tuple[npt.NDArray[Any], tuple[float, float], VolumeGrid | None]


def count_planes(path: Path) -> int:
    """Return how many planes a volume has, from its header.

    Raises
    ------
    CosegError
        If it cannot be read or has no three axes.
    """
    return read_info(path).shape[0]


def read_plane(
    path: Path,
    plane: int,
    window: tuple[float, float] | None,
    offsets: Sequence[float] | None = None,
) -> npt.NDArray[np.uint8]:
    """Read a plane as an 8-bit picture.

    Parameters
    ----------
    path : Path
        The volume.
    plane : int
        Index along its third axis as stored.
    window : (float, float) or None
        Grey values that become black and white; None takes them from the volume, see
        `napari_coseg.imaging.windows.automatic_window`.
    offsets : sequence of three floats, optional
        Where red, green and blue are taken, in planes from `plane`.

    Returns
    -------
    ndarray of uint8, (rows, columns, 3)

    Raises
    ------
    CosegError
        If the file cannot be read.
    """
    volume, found, _ = _volume(path)
    return plane_picture(volume, plane, found if window is None else window, offsets)


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
    volume, _, grid = _volume(path)
    pixels, _, expected = _volume(image)
    different = ""
    if volume.shape != pixels.shape:
        different = f"it has {sides(volume.shape)} voxels and not {sides(pixels.shape)}"
    elif grid is not None and expected is not None:
        # A file that does not say where it lies may be right.
        different = expected.difference(grid)
    if different:
        raise CosegError(
            f"{path} is not on the grid of its image: {different}; resample the labels to the "
            "image."
        )
    return as_ids(path, volume[plane])


def forget_volumes() -> None:
    """Give back the disk of all unpacked volumes, for who reads each of many only once."""
    with _reading:
        _read.cache_clear()


def _volume(path: Path) -> _Read:
    # Threads that look at planes of one volume shall not each read all of it.
    with _reading:
        return _read(path)


@lru_cache(maxsize=_KEPT)
def _read(path: Path) -> _Read:
    array = read_voxels(path)
    grid = read_grid(path)
    if np.issubdtype(array.dtype, np.floating):
        # As where a whole volume is read: what is no number is as dark as anything.
        array, _ = repaired(path, array, read_facts(path))
    # Mapped from a file that has no name, or loses it, and goes with the mapping: memory holds
    # what is looked at.
    try:
        with TemporaryFile() as file:
            # Written, and not only mapped: where the disk is full that is an error, and no crash.
            array.tofile(file)
            file.flush()
            mapped: npt.NDArray[Any] = np.memmap(file, array.dtype, "c", shape=array.shape)
    except OSError as error:
        raise CosegError(
            f"{path} cannot be unpacked into a temporary file ({error.strerror or error}): make "
            "room on that disk, or set TMPDIR to a larger one."
        ) from error
    return mapped, automatic_window(array), grid
