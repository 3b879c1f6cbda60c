"""Where tiles lie on an image, and how pixels of two scales answer to each other.

Nothing here reads pixels. All positions are the image's own or the model's ("target") pixels;
target pixel *t* covers the image's pixels ``[t * factor, (t + 1) * factor)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.resample import scaled_shape
from napari_coseg.types import CosegError

#: Tile origins are multiples of this, so that the outputs of all tiles lie on one raster.
ALIGNMENT = 4
#: Scales that differ by less are taken as equal: no network notices, and pixels stay as they are.
SAME_SCALE = 0.03
#: Largest ratio of two pixel sizes that is believed, either way.
_LARGEST_RATIO = 64

Box = tuple[int, int, int, int]


def scale_factor(task_mpp: float | None, mpp: float | None, name: str = "the image") -> float:
    """Image pixels per pixel of the model's scale.

    Parameters
    ----------
    task_mpp, mpp : float or None
        µm per pixel at which the model runs, and of the image; where one is None, pixels are
        taken as they are.
    name : str
        The image, for messages.

    Returns
    -------
    float
        ``task_mpp / mpp``, or 1 where they differ by less than `SAME_SCALE`.

    Raises
    ------
    CosegError
        If the ratio is beyond belief.
    """
    if task_mpp is None or mpp is None:
        return 1.0
    factor = task_mpp / mpp
    if not 1 / _LARGEST_RATIO <= factor <= _LARGEST_RATIO:
        raise CosegError(
            f"The pixel size of {name}, {mpp:g} µm, is too far from the model's {task_mpp:g} µm: "
            "give the right one with --mpp."
        )
    return 1.0 if abs(factor - 1) < SAME_SCALE else factor


@dataclass(frozen=True)
class Scale:
    """One image at one task's scale.

    Attributes
    ----------
    image_shape : tuple of int
        Rows and columns of the image.
    factor : float
        Image pixels per target pixel.
    """

    image_shape: tuple[int, int]
    factor: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of target pixels that cover the image."""
        return scaled_shape(self.image_shape, self.factor)

    @cached_property
    def nearest(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """For each image row, and each image column, the target pixel that its centre lies in."""
        rows, columns = (
            np.minimum(((np.arange(n) + 0.5) / self.factor).astype(np.int64), target - 1)
            for n, target in zip(self.image_shape, self.shape, strict=True)
        )
        return rows, columns

    def centres(self, axis: int, start: int, stop: int) -> npt.NDArray[np.float64]:
        """Positions, in target pixel centres, of image rows (axis 0) or columns (axis 1)."""
        return np.asarray((np.arange(start, stop) + 0.5) / self.factor - 0.5, np.float64)

    def target_box(self, box: Box, halo: int = 0) -> Box:
        """Target pixels of a box of the image and `halo` more on each side, inside the image."""
        rows, columns = self.nearest
        height, width = self.shape
        return (
            max(0, int(rows[box[0]]) - halo),
            max(0, int(columns[box[1]]) - halo),
            min(height, int(rows[box[2] - 1]) + 1 + halo),
            min(width, int(columns[box[3] - 1]) + 1 + halo),
        )

    def image_box(self, box: Box) -> Box:
        """Image pixels whose centres lie in a box of target pixels."""
        rows, columns = self.nearest
        row0, row1 = np.searchsorted(rows, (box[0], box[2]))
        column0, column1 = np.searchsorted(columns, (box[1], box[3]))
        return int(row0), int(column0), int(row1), int(column1)


def tile_origins(length: int, tile: int, overlap: int) -> tuple[int, ...]:
    """First pixels of the tiles along one side.

    Tiles are spread evenly, so that all overlaps are about alike and none is nearly a copy of
    its neighbour. A side shorter than a tile has one, with the image in its middle.

    Parameters
    ----------
    length : int
        Pixels of the side.
    tile, overlap : int
        Side of a tile; least overlap of two neighbours (the alignment may take 4 pixels of it).

    Returns
    -------
    tuple of int
        Multiples of `ALIGNMENT`; the first may be negative, and the last tile may reach out of
        the image by less than `ALIGNMENT`.
    """
    if length <= tile:
        return (-((tile - length) // 2 // ALIGNMENT * ALIGNMENT),)
    last = math.ceil((length - tile) / ALIGNMENT)
    count = 1 + math.ceil(last * ALIGNMENT / (tile - overlap))
    return tuple(round(i * last / (count - 1)) * ALIGNMENT for i in range(count))


@dataclass(frozen=True)
class TileGrid:
    """All tiles of one image at one scale, numbered row by row.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns in target pixels.
    tile : int
        Side of a tile.
    overlap : int
        Least overlap of neighbours.
    """

    shape: tuple[int, int]
    tile: int
    overlap: int

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """First rows of the tiles."""
        return tile_origins(self.shape[0], self.tile, self.overlap)

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """First columns of the tiles."""
        return tile_origins(self.shape[1], self.tile, self.overlap)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def origin(self, index: int) -> tuple[int, int]:
        """First row and column of a tile."""
        row, column = divmod(index, len(self.columns))
        return self.rows[row], self.columns[column]

    def touching(self, box: Box) -> list[int]:
        """Numbers of the tiles that share a pixel with a box, ascending."""
        rows = [i for i, at in enumerate(self.rows) if at < box[2] and at + self.tile > box[0]]
        columns = [
            i for i, at in enumerate(self.columns) if at < box[3] and at + self.tile > box[1]
        ]
        return [row * len(self.columns) + column for row in rows for column in columns]
