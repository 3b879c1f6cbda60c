"""Which Image layers are volumes: voxels, their size in mm, and how they lie in the patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_coseg.imaging.volume_grid import Vector, VolumeGrid
from napari_coseg.layers.channels import channel_axis
from napari_coseg.layers.physical import millimetres
from napari_coseg.layers.volume_layers import grid_in
from napari_coseg.types import CosegError

#: A stack whose voxels are smaller, in mm, is one of a microscope.
_SMALLEST = 0.02
#: Fewer planes are more likely colours or points in time.
_LEAST_PLANES = 8
#: The grid's own numbers are taken where a layer's scale differs by less than this.
_SAME = 1e-4


@dataclass(frozen=True)
class LayerVolume:
    """An Image layer with three axes of space.

    Attributes
    ----------
    name : str
        The layer's.
    voxels : array, (planes, rows, columns)
        NumPy's, or one that is read when it is sliced; of a pyramid the finest level.
    spacing : tuple of float or None
        mm from one plane, row, column to the next; None where the layer has no unit of length.
    grid : VolumeGrid or None
        Of the file that it comes from; None where nobody knows how it lies in the patient.
    sure : bool
        False where it may be a stack of pictures as well.
    """

    name: str
    voxels: Any
    spacing: Vector | None
    grid: VolumeGrid | None
    sure: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, rows, columns."""
        planes, rows, columns = (int(length) for length in self.voxels.shape)
        return planes, rows, columns


def volume_of(layer: Any) -> LayerVolume | None:
    """Look at an Image layer; None if it is no volume.

    A volume has three axes, none of them of colours or channels. It is one for sure if a reader of
    volumes has made it, or its voxels are as large as those of a scanner of patients.

    Raises
    ------
    CosegError
        If what its metadata say of its place is damaged.
    """
    if layer.rgb or layer.ndim != 3:
        return None
    voxels = layer.data[0] if layer.multiscale else layer.data
    found = channel_axis(layer)
    if len(voxels.shape) != 3 or (found is not None and found.sure):
        return None
    grid = grid_in(layer.metadata)
    if grid is not None and grid.shape != tuple(voxels.shape):
        # A projection or a cut keeps the metadata.
        grid = None
    spacing = millimetres(layer.scale, layer.units)
    if grid is not None and (spacing is None or _same(spacing, grid.spacing)):
        spacing = grid.spacing
    sure = grid is not None or (spacing is not None and min(spacing) >= _SMALLEST)
    if not sure and (found is not None or voxels.shape[0] < _LEAST_PLANES):
        return None
    return LayerVolume(layer.name, voxels, spacing, grid, sure)


def volume_or_none(choice: Any) -> LayerVolume | None:
    """Return what `volume_of` does; None too for what is no single layer, or damaged."""
    if choice is None or not hasattr(choice, "multiscale"):
        return None
    try:
        return volume_of(choice)
    except CosegError:
        return None


def _same(one: Vector, other: Vector) -> bool:
    return all(abs(a - b) <= _SAME * b for a, b in zip(one, other, strict=True))
