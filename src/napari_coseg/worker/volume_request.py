"""A whole volume as a request: what is asked, and the voxels that the host pulls. Torch-free."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from napari_coseg.imaging.volume_grid import VolumeGrid, sides
from napari_coseg.imaging.windows import manual_window
from napari_coseg.types import CosegError
from napari_coseg.worker.protocol import MAX_ARRAY
from napari_coseg.worker.requests import Length, LoadRequest

#: Most voxels: of more, the labels alone would take 80 GB.
_VOXELS = 1 << 34
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Distance = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Vector = tuple[_Finite, _Finite, _Finite]
_Kind = Literal["|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<i8", "<f4", "<f8"]


class VolumeRequest(LoadRequest):
    """Segment a volume whose planes the host pulls.

    Attributes
    ----------
    shape : tuple of int
        Planes, rows, columns.
    dtype : str
        Type of the voxels, as NumPy writes it, little-endian.
    spacing, origin, direction
        As of `napari_coseg.imaging.volume_grid.VolumeGrid`.
    oriented : bool
        Whether `direction` is known; if not, the volume is taken as it lies.
    spacing_origin : {"given", "image", "assumed"}
        Who says how large a voxel is.
    name : str
        The volume in messages.
    window : tuple of float or None
        Grey values that become black and white; None takes the volume's automatic window.
    tta : bool
        Average over four flips.
    min_region_mm3 : float
        Smallest part of a jaw or of the pharynx.
    min_score : float or None
        Least mean foreground probability of an object; None takes the model's own.
    """

    shape: tuple[Length, Length, Length]
    dtype: _Kind
    spacing: tuple[_Distance, _Distance, _Distance]
    origin: _Vector = (0.0, 0.0, 0.0)
    direction: tuple[_Vector, _Vector, _Vector]
    oriented: bool = True
    spacing_origin: Literal["given", "image", "assumed"] = "image"
    name: Annotated[str, Field(max_length=4096)] = "the volume"
    window: tuple[_Finite, _Finite] | None = None
    tta: bool = False
    min_region_mm3: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 100.0
    min_score: Annotated[float, Field(ge=0, lt=1)] | None = None

    @field_validator("shape")
    @classmethod
    def _bounded(cls, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        planes, rows, columns = shape
        # Labels of 32 bits and grey values of 64 must both fit into a message, along any axis.
        largest = max(planes * rows, planes * columns, rows * columns)
        if planes * rows * columns > _VOXELS or largest * 8 > MAX_ARRAY:
            raise ValueError("the volume has too many voxels")
        return shape

    @model_validator(mode="after")
    def _sound(self) -> VolumeRequest:
        try:
            _ = self.grid
            if self.window is not None:
                manual_window(*self.window)
        except CosegError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def grid(self) -> VolumeGrid:
        """Where the voxels lie."""
        return VolumeGrid(self.shape, self.spacing, self.origin, self.direction)


class StoredVoxels:
    """A volume where the client reads the planes that the host pulls.

    Parameters
    ----------
    voxels : array, (planes, rows, columns)
        Grey values; NumPy's, or one that is read when it is sliced (Dask, Zarr, a memory map).

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
        In which voxels are sent: their own, or the nearest that can be.

    Raises
    ------
    CosegError
        If this is no volume of numbers.
    """

    def __init__(self, voxels: Any) -> None:
        shape = tuple(int(length) for length in voxels.shape)
        if len(shape) != 3 or 0 in shape:
            raise CosegError(f"An array of {sides(shape)} is no volume: it needs three axes.")
        own = np.dtype(voxels.dtype)
        if own.kind not in "buif":
            raise CosegError(f"A volume of {own} has no grey values: use numbers.")
        self._voxels = voxels
        self.shape = shape
        self.dtype = _sendable(own)

    def read(self, axis: int, plane: int, step: int = 1) -> npt.NDArray[Any]:
        """Return a plane, of its rows and columns every `step`.

        Raises
        ------
        CosegError
            If there is none.
        """
        if axis not in (0, 1, 2) or not 0 <= plane < self.shape[axis] or step < 1:
            raise CosegError("The model worker asked for a plane that the volume does not have.")
        index: list[Any] = [slice(None, None, step)] * 3
        index[axis] = plane
        return np.asarray(self._voxels[tuple(index)]).astype(self.dtype, copy=False)


def _sendable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type that holds as much as another one and that messages know."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f":
        return np.dtype("<f4" if dtype.itemsize <= 4 else "<f8")
    if dtype.kind == "u" and dtype.itemsize == 8:
        return np.dtype("<f8")
    return dtype.newbyteorder("<")
