"""What a network sees of a volume: planes with their neighbours, at the model's scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.planes import plane_picture
from napari_coseg.imaging.resample import Resampler
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.windows import Window
from napari_coseg.inference.grid import SAME_SCALE, Box
from napari_coseg.types import CosegError

#: Side in target pixels of the squares by which it is known where there is anything to see. A
#: multiple of every network's stride.
BLOCK = 8
#: A square whose mean grey value, of 255, does not exceed this in any channel is air.
_AIR = 32
#: Largest ratio of a voxel's side and the model's that is believed, either way.
_LARGEST_RATIO = 20


@dataclass(frozen=True)
class PlaneScale:
    """Pixels of a volume's planes, and those of the model.

    Attributes
    ----------
    image_shape : tuple of int
        Rows and columns of a plane.
    factors : tuple of float
        Image pixels to a target pixel, along rows and along columns.
    """

    image_shape: tuple[int, int]
    factors: tuple[float, float]

    @classmethod
    def of(cls, grid: VolumeGrid, mpp: float) -> PlaneScale:
        """Choose the scale at which a model runs.

        Parameters
        ----------
        grid : VolumeGrid
        mpp : float
            Side of the model's pixel in µm.

        Raises
        ------
        CosegError
            If the voxels are beyond belief.
        """
        rows, columns = (mpp / 1000 / side for side in grid.spacing[1:])
        if not all(1 / _LARGEST_RATIO <= factor <= _LARGEST_RATIO for factor in (rows, columns)):
            said = " x ".join(f"{side:g}" for side in grid.spacing[1:])
            raise CosegError(
                f"The pixels of a plane are {said} mm, too far from the model's {mpp / 1000:g} mm: "
                "see whether the volume says its spacing in mm."
            )
        near = [1.0 if abs(factor - 1) < SAME_SCALE else factor for factor in (rows, columns)]
        return cls((grid.shape[1], grid.shape[2]), (near[0], near[1]))

    @cached_property
    def resampler(self) -> Resampler:
        """What brings planes to the model's scale."""
        return Resampler(self.image_shape, self.factors)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of target pixels that cover a plane."""
        return self.resampler.shape

    @cached_property
    def nearest(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """For each image row, and each image column, the target pixel that its centre lies in."""
        rows, columns = (
            np.minimum(((np.arange(length) + 0.5) / factor).astype(np.int64), target - 1)
            for length, factor, target in zip(
                self.image_shape, self.factors, self.shape, strict=True
            )
        )
        return rows, columns

    def image_box(self, box: Box) -> Box:
        """Image pixels whose centres lie in a box of target pixels."""
        rows, columns = self.nearest
        row0, row1 = np.searchsorted(rows, (box[0], box[2]))
        column0, column1 = np.searchsorted(columns, (box[1], box[3]))
        return int(row0), int(column0), int(row1), int(column1)

    def centres(self, box: Box) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Positions, in target pixel centres, of the rows and columns of a box of the image."""
        rows, columns = (
            np.asarray((np.arange(start, stop) + 0.5) / factor - 0.5, np.float64)
            for start, stop, factor in zip(box[:2], box[2:], self.factors, strict=True)
        )
        return rows, columns


class PlanePictures:
    """The planes of a volume as pictures at the model's scale; for several threads.

    Parameters
    ----------
    voxels : array, (planes, rows, columns)
    spacing : float
        mm from plane to plane.
    window : (float, float)
        Grey values that become black and white.
    offsets : tuple of three floats
        Where the channels are taken, in mm from the plane.
    scale : PlaneScale
    """

    def __init__(
        self,
        voxels: Any,
        spacing: float,
        window: Window,
        offsets: tuple[float, float, float],
        scale: PlaneScale,
    ) -> None:
        self._voxels = voxels
        self._window = window
        self._offsets = [offset / spacing for offset in offsets]
        self.scale = scale

    def read(self, plane: int) -> npt.NDArray[np.uint8]:
        """Return a plane with its neighbours.

        Returns
        -------
        ndarray of uint8, (rows, columns, 3)
            Channels at the three offsets: between stored planes linearly, beyond the volume's
            ends as its last plane.
        """
        picture = plane_picture(self._voxels, plane, self._window, self._offsets)
        return self.scale.resampler(picture)


def occupied(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Say where a picture holds anything but air.

    Parameters
    ----------
    picture : ndarray of uint8, (rows, columns, 3)

    Returns
    -------
    ndarray of bool, (ceil(rows / BLOCK), ceil(columns / BLOCK))
    """
    rows, columns, _ = picture.shape
    # What lacks of the last squares counts as they do: a mean of what there is.
    starts = [np.arange(0, length, BLOCK) for length in (rows, columns)]
    sums = np.add.reduceat(picture, starts[0], 0, dtype=np.uint32)
    sums = np.add.reduceat(sums, starts[1], 1)
    counts = np.outer(*(np.diff([*s, n]) for s, n in zip(starts, (rows, columns), strict=True)))
    return np.asarray((sums > _AIR * counts[..., None]).any(2))


def plane_step(spacing: float, mpp: float) -> int:
    """Return how many planes apart those lie that the network sees.

    More than one where planes are so thin that several of them fit into the model's pixel; maps
    of the planes between are interpolated.
    """
    return max(1, math.floor(mpp / 1000 / spacing + SAME_SCALE))
