"""Planes of volumes, for data sets whose images are volumes; read with SimpleITK."""

from __future__ import annotations

import gzip
import math
import zlib
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")
#: Volumes that stay in memory: an image and its labels.
_KEPT = 4
#: Where nothing says how grey values are shown: what is darker or brighter than these percentiles
#: of the volume is black or white.
_PERCENTILES = (0.5, 99.5)
_LARGEST = np.iinfo(np.int32).max
_CHUNK = 1 << 20
_reading = Lock()


def is_volume(path: Path) -> bool:
    """Whether a file is a volume by its name."""
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def volume_stem(path: Path) -> str:
    """Name of a volume without its ending."""
    for suffix in VOLUME_SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def count_planes(path: Path) -> int:
    """Return how many planes a volume has, from its header.

    Raises
    ------
    CosegError
        If it cannot be read or has no three axes.
    """
    reader = _header(path)
    size = reader.GetSize()
    if len(size) != 3:
        raise CosegError(f"{path} has {len(size)} axes: a volume of a data set has three.")
    if reader.GetNumberOfComponents() != 1:
        raise CosegError(f"{path} has several values a voxel: a volume of a data set has one.")
    return int(size[2])


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
    grey = (volume[plane].astype(np.float32) - low) / max(high - low, 1e-6)
    eight = (np.clip(grey, 0, 1) * 255).astype(np.uint8)
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
    labels: npt.NDArray[Any] = volume[plane]
    if not np.issubdtype(labels.dtype, np.integer):
        # Some programs write whole numbers as floats.
        if not (labels == np.round(labels)).all():
            raise CosegError(f"{path} holds numbers that are not whole: labels are ids.")
        labels = labels.astype(np.int64)
    if labels.size and not 0 <= labels.min() <= labels.max() <= _LARGEST:
        raise CosegError(f"{path} holds values below 0 or above {_LARGEST:,}: labels are ids.")
    return labels


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _volume(path: Path) -> tuple[npt.NDArray[Any], tuple[float, float]]:
    # Threads that look at planes of one volume shall not each read all of it.
    with _reading:
        return _read(path)


@lru_cache(maxsize=_KEPT)
def _read(path: Path) -> tuple[npt.NDArray[Any], tuple[float, float]]:
    import SimpleITK

    _check_whole(path)
    try:
        array: npt.NDArray[Any] = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    except RuntimeError as error:
        raise _unreadable(path) from error
    if array.ndim != 3:
        raise CosegError(f"{path} has {array.ndim} axes: a volume of a data set has three.")
    if np.issubdtype(array.dtype, np.floating):
        array = np.nan_to_num(array)
    low, high = np.percentile(array[:: max(1, len(array) // 32)], _PERCENTILES)
    return array, (float(low), float(high))


def _header(path: Path) -> Any:
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path) from error
    return reader


@cache
def _check_whole(path: Path) -> None:
    """Refuse a NIfTI file that is cut off, whose missing planes ITK takes for zeros."""
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return
    reader = _header(path)
    bits, offset = (float(reader.GetMetaData(key)) for key in ("bitpix", "vox_offset"))
    needed = offset + math.prod(reader.GetSize()) * bits / 8
    if path.name.lower().endswith(".gz"):
        try:
            with gzip.open(path) as file:
                stored = sum(len(part) for part in iter(lambda: file.read(_CHUNK), b""))
        except (EOFError, OSError, zlib.error) as error:
            raise _unreadable(path) from error
    else:
        stored = path.stat().st_size
    if stored < needed:
        raise _unreadable(path)


def _unreadable(path: Path) -> CosegError:
    return CosegError(f"{path} cannot be read as a volume: copy it again, or take it out.")
