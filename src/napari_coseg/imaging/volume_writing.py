"""Labels and grey values written as volume files, on exactly the grid of their image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.files import atomic_path
from napari_coseg.imaging.simple_itk import image_of, itk
from napari_coseg.imaging.stored_voxels import check_stored
from napari_coseg.imaging.volume_grid import VolumeGrid, sides
from napari_coseg.imaging.volume_headers import read_facts
from napari_coseg.imaging.volumes import as_ids, itk_format, read_info
from napari_coseg.types import CosegError

#: Endings of the files that labels are written as: those that are one file.
LABEL_SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")


def write_labels(path: Path | str, labels: npt.NDArray[Any], grid: VolumeGrid) -> None:
    """Write labels on exactly a grid, whole or not at all.

    Parameters
    ----------
    path : Path or str
        ``.nii.gz``, ``.nii``, ``.mha`` or ``.nrrd``.
    labels : ndarray, (planes, rows, columns)
        Boolean or whole numbers from 0; kept in their type, but for boolean (uint8) and 64 bits
        (int32).
    grid : VolumeGrid
        Of the image that they belong to.

    Raises
    ------
    CosegError
        If the file cannot be written, the labels are not on the grid, or they are no ids.
    """
    path = Path(path)
    if labels.dtype.kind not in "biu":
        raise CosegError(f"{path} cannot be written: labels are whole numbers, not {labels.dtype}.")
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    write_volume(path, as_ids(path, labels), grid)


def write_volume(path: Path | str, voxels: npt.NDArray[Any], grid: VolumeGrid) -> None:
    """Write grey values or labels on exactly a grid, whole or not at all.

    NIfTI stores spacing and directions in 32 bits, the other formats as they are.

    Raises
    ------
    CosegError
        If the file cannot be written, its ending is none of `LABEL_SUFFIXES`, or the array does
        not have the grid's shape.
    """
    path = Path(path)
    if not path.name.lower().endswith(LABEL_SUFFIXES):
        raise CosegError(f"{path} cannot be written: use one of {', '.join(LABEL_SUFFIXES)}.")
    if tuple(voxels.shape) != grid.shape:
        raise CosegError(
            f"{path} cannot be written: it would have {sides(voxels.shape)} voxels, and its image "
            f"has {sides(grid.shape)}."
        )
    module = itk()
    image = image_of(voxels, grid)
    with atomic_path(path) as part:
        writer = module.ImageFileWriter()
        writer.SetFileName(str(part))
        writer.SetImageIO(itk_format(path))
        writer.UseCompressionOn()
        try:
            writer.Execute(image)
            # Not every writer of ITK notices that the disk is full.
            info = read_info(part)
            check_stored(part, read_facts(part), voxels.size, info.dtype.itemsize)
        except (RuntimeError, CosegError) as error:
            raise CosegError(
                f"Cannot write {path}: see whether the disk is full, and whether the folder may be "
                "written to."
            ) from error
