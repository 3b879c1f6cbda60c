"""SimpleITK, loaded when it is first wanted, and its images as arrays with their grid."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.volume_grid import VolumeGrid


@cache
def itk() -> Any:
    """Return the module SimpleITK, which no longer writes warnings of its own to the terminal.

    They would quote what stands in a file, and of a DICOM file that may be a patient's.
    """
    # Here, since it takes a while, and most runs read no volume.
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return SimpleITK


def dtype_of(reader: Any) -> np.dtype[Any] | None:
    """Return the dtype of an image or of a reader's, None where it has no plain numbers."""
    module = itk()
    kinds = {
        module.sitkUInt8: np.uint8,
        module.sitkInt8: np.int8,
        module.sitkUInt16: np.uint16,
        module.sitkInt16: np.int16,
        module.sitkUInt32: np.uint32,
        module.sitkInt32: np.int32,
        module.sitkUInt64: np.uint64,
        module.sitkInt64: np.int64,
        module.sitkFloat32: np.float32,
        module.sitkFloat64: np.float64,
    }
    found = kinds.get(reader.GetPixelID())
    return None if found is None else np.dtype(found)


def grid_of(reader: Any) -> VolumeGrid:
    """Return the grid of the first three axes of an image, or of a reader's.

    Raises
    ------
    CosegError
        If it makes no sense.
    """
    columns, rows, planes = (int(length) for length in reader.GetSize()[:3])
    across, down, through = (float(side) for side in reader.GetSpacing()[:3])
    # Zeros lose their sign.
    x, y, z = (float(value) + 0.0 for value in reader.GetOrigin()[:3])
    # ITK's matrix has a column for each axis, that of the image's columns first.
    matrix = np.array(reader.GetDirection(), float).reshape(len(reader.GetSize()), -1)[:3, :3] + 0.0
    third, second, first = ((float(v[0]), float(v[1]), float(v[2])) for v in matrix.T)
    return VolumeGrid(
        (planes, rows, columns), (through, down, across), (x, y, z), (first, second, third)
    )


def image_of(voxels: npt.NDArray[Any], grid: VolumeGrid) -> Any:
    """Return an array (plane, row, column) as an image on a grid."""
    image = itk().GetImageFromArray(np.ascontiguousarray(voxels), isVector=False)
    image.SetSpacing(grid.spacing[::-1])
    image.SetOrigin(grid.origin)
    image.SetDirection(np.array(grid.direction[::-1]).T.ravel().tolist())
    return image
