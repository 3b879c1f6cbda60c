"""Volumes read from NIfTI, MetaImage and NRRD files with their grid."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from napari_coseg.imaging.opening import check_file
from napari_coseg.imaging.simple_itk import dtype_of, grid_of, itk
from napari_coseg.imaging.stored_voxels import check_stored
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_headers import (
    VOLUME_SUFFIXES,
    HeaderFacts,
    is_volume,
    read_facts,
    unreadable,
)
from napari_coseg.imaging.voxel_faults import repaired
from napari_coseg.types import CosegError

#: Unit of grey values that say none.
RAW = "raw"

_LARGEST = np.iinfo(np.int32).max
_READERS = {".nrrd": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
# The image and its copy as an array, both in memory for a moment.
_COPIES = 2


@dataclass(frozen=True, eq=False)
class Volume:
    """Grey values or labels with their place.

    Attributes
    ----------
    voxels : ndarray, (planes, rows, columns)
        In the file's own order and type.
    grid : VolumeGrid
    unit : str
        ``"HU"`` where the file says so, else ``"raw"``.
    notes : tuple of str
        What a person should know of the file, a sentence each.
    """

    voxels: npt.NDArray[Any]
    grid: VolumeGrid
    unit: str = RAW
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class VolumeInfo:
    """What a volume file is, by its header alone.

    Attributes
    ----------
    shape : tuple of int
        Planes, rows, columns.
    dtype : dtype
        Of the voxels once they are read.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]


def read_info(path: Path | str) -> VolumeInfo:
    """Read the header of a volume, and check no more than a reader of planes needs.

    Raises
    ------
    CosegError
        If it cannot be read, has other than three axes, or has several values a voxel.
    """
    path = Path(path)
    reader = _header(path)
    return VolumeInfo(_shape(path, reader), _dtype(path, reader))


def read_voxels(path: Path | str) -> npt.NDArray[Any]:
    """Read the voxels of a volume whose place does not matter.

    Returns
    -------
    ndarray, (planes, rows, columns)
        As stored, NaN included.

    Raises
    ------
    CosegError
        As `read_volume`, but for the spacing and the directions.
    """
    path = Path(path)
    return _voxels(path, _header(path), read_facts(path))


def read_grid(path: Path | str) -> VolumeGrid | None:
    """Read where a volume lies, from its header.

    Returns
    -------
    VolumeGrid or None
        None where the file does not say how large a voxel is or how the volume lies in the
        patient, or says what makes no sense.

    Raises
    ------
    CosegError
        If it cannot be read at all.
    """
    path = Path(path)
    reader, facts = _header(path), read_facts(path)
    if not (facts.has_spacing and facts.has_orientation):
        return None
    try:
        return grid_of(reader)
    except CosegError:
        return None


def read_volume(path: Path | str) -> Volume:
    """Read a volume.

    The file's own order of planes, rows and columns is kept. Voxels that are not finite (NaN,
    infinite) take the volume's lowest finite value, which is told in the notes.

    Parameters
    ----------
    path : Path or str
        ``.nii``, ``.nii.gz``, ``.mha``, ``.mhd`` or ``.nrrd``.

    Raises
    ------
    CosegError
        If the file cannot be read, is cut off, holds no volume of one value a voxel, needs more
        memory than there is, says no spacing, or has axes that are not at right angles.
    """
    path = check_file(path)
    if not is_volume(path):
        raise CosegError(f"{path} is no volume by its name: {', '.join(VOLUME_SUFFIXES)} are read.")
    reader = _header(path)
    grid, facts = _grid(path, reader)
    voxels = _voxels(path, reader, facts)
    voxels, notes = repaired(path, voxels, facts)
    if not facts.has_orientation:
        notes.append(
            f"{path.name} does not say how it lies in the patient: left, front and top are guesses."
        )
    return Volume(voxels, grid, notes=tuple(notes))


def read_label_volume(path: Path | str, grid: VolumeGrid | None = None) -> Volume:
    """Read a volume of labels.

    Parameters
    ----------
    path : Path or str
        As in `read_volume`.
    grid : VolumeGrid, optional
        Of the image that the labels belong to.

    Returns
    -------
    Volume
        Its voxels are whole numbers of 0 and above, in a type of at most 32 bits.

    Raises
    ------
    CosegError
        As `read_volume`, if there are other values than ids, or the grid is another.
    """
    path = check_file(path)
    reader = _header(path)
    own, facts = _grid(path, reader)
    different = "" if grid is None else grid.difference(own)
    if different:
        raise CosegError(
            f"{path} is not on the grid of its image: {different}; resample the "
            "labels to the image."
        )
    return Volume(as_ids(path, _voxels(path, reader, facts)), own)


def as_ids(path: Path, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return labels as whole numbers.

    Raises
    ------
    CosegError
        If some are not, or are below 0 or beyond 2,147,483,647.
    """
    # Some programs write whole numbers as floats. NaN equals nothing.
    if labels.dtype.kind == "f" and not (labels == np.round(labels)).all():
        raise CosegError(f"{path} holds numbers that are not whole: labels are ids.")
    if not 0 <= labels.min(initial=0) <= labels.max(initial=0) <= _LARGEST:
        raise CosegError(f"{path} holds values below 0 or above {_LARGEST:,}: labels are ids.")
    if labels.dtype.kind == "f" or labels.dtype.itemsize > 4:
        return labels.astype(np.int32)
    return labels


def _header(path: Path) -> Any:
    """Return ITK's reader of a file, its header read."""
    reader = itk().ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(itk_format(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise CosegError(
                f"{path} has axes that are not at right angles: resample it to a rectangular grid."
            ) from error
        raise unreadable(path) from error
    return reader


def itk_format(path: Path) -> str:
    """Return what ITK calls a format, so that no other reader has a try.

    Raises
    ------
    CosegError
        If the name ends in a way that ITK does not take.
    """
    kind = _READERS.get(path.suffix.lower())
    if kind is not None:
        return kind
    ending = re.search(r"(\.nii)?\.[^.]*$", path.name, re.IGNORECASE)
    if ending is not None and not (ending[0].islower() or ending[0].isupper()):
        raise CosegError(f"The ending of {path} has small and large letters: use small ones.")
    return "NiftiImageIO"


def _shape(path: Path, reader: Any) -> tuple[int, int, int]:
    size = [int(length) for length in reader.GetSize()]
    while len(size) > 3 and size[-1] == 1:
        size.pop()
    if len(size) != 3:
        axes = f"{path} has {len(size)} axes"
        if len(size) > 3:
            raise CosegError(f"{axes}: a volume has three; save one time point or channel of it.")
        raise CosegError(f"{axes}: a volume has three; it is a single picture.")
    return size[2], size[1], size[0]


def _dtype(path: Path, reader: Any) -> np.dtype[Any]:
    if reader.GetNumberOfComponents() != 1:
        raise CosegError(f"{path} has several values a voxel: a volume has one; save a grey one.")
    dtype = dtype_of(reader)
    if dtype is None:
        raise CosegError(f"{path} does not hold plain numbers: save it with integers or floats.")
    return dtype


def _grid(path: Path, reader: Any) -> tuple[VolumeGrid, HeaderFacts]:
    facts = read_facts(path)
    _shape(path, reader)
    _dtype(path, reader)
    if not facts.has_spacing:
        raise CosegError(
            f"{path} does not say how large a voxel is, or says 0: export it again with "
            "its spacing."
        )
    try:
        return grid_of(reader), facts
    except CosegError as error:
        raise CosegError(f"{path} cannot be used. {error}") from error


def _voxels(path: Path, reader: Any, facts: HeaderFacts) -> npt.NDArray[Any]:
    shape, dtype = _shape(path, reader), _dtype(path, reader)
    count = math.prod(shape)
    check_stored(path, facts, count, dtype.itemsize)
    needed, free = _COPIES * count * dtype.itemsize, psutil.virtual_memory().available
    if needed > free:
        raise CosegError(
            f"{path} needs {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: "
            "close other programs, or cut or resample the volume."
        )
    try:
        image = reader.Execute()
        array: npt.NDArray[Any] = itk().GetArrayFromImage(image)
    except (RuntimeError, MemoryError) as error:
        raise unreadable(path) from error
    return array.reshape(shape)
