"""Maps of one plane of a volume, in the box of it that holds anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_coseg.inference.blending import enlarged, raster, tile_weights
from napari_coseg.inference.grid import Box, tile_origins
from napari_coseg.inference.runner import Outputs, Task
from napari_coseg.inference.volume_input import BLOCK

#: Sides of tiles are multiples of this, the coarsest stride of a network.
_STRIDE = 32

_Float32 = npt.NDArray[np.float32]
_Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Raster:
    """Where the tiles of a plane lie.

    Tiles of a plane are as large as what there is to see in it, within limits: in overlaps a
    network would see everything twice, and far-off bone tells it what is near.

    Attributes
    ----------
    box : Box
        Target pixels that have maps: whole squares of `BLOCK`, and so perhaps a little more than
        the plane.
    origins : tuple of (int, int)
        First row and column of each tile; what tiles show outside of the plane is padding.
    sides : tuple of int
        Rows and columns of a tile, multiples of 32.
    overlap : int
        Least overlap of neighbours.
    """

    box: Box
    origins: tuple[tuple[int, int], ...]
    sides: tuple[int, int]
    overlap: int

    @classmethod
    def around(cls, wanted: _Bool, overlap: int, *, least: int, most: int) -> Raster | None:
        """Lay tiles over the squares that are wanted; None where there is none.

        Parameters
        ----------
        wanted : ndarray of bool
            One for each square of `BLOCK`.
        overlap : int
            As the attribute.
        least, most : int
            Sides of the smallest tile, a multiple of 32, and of the largest.
        """
        rows, columns = np.flatnonzero(wanted.any(1)), np.flatnonzero(wanted.any(0))
        if not rows.size:
            return None
        top, left = int(rows[0]), int(columns[0])
        bottom, right = int(rows[-1]) + 1, int(columns[-1]) + 1
        lengths = (bottom - top) * BLOCK, (right - left) * BLOCK
        height, width = (_side(length, overlap, least, most) for length in lengths)
        origins = []
        for down in tile_origins(lengths[0], height, overlap):
            for across in tile_origins(lengths[1], width, overlap):
                row, column = down + top * BLOCK, across + left * BLOCK
                if _shows(wanted, (row, column), (height, width)):
                    origins.append((row, column))
        box = (top * BLOCK, left * BLOCK, bottom * BLOCK, right * BLOCK)
        return cls(box, tuple(origins), (height, width), overlap)

    def show(self, wanted: _Bool) -> list[bool]:
        """Say of each tile whether it has a part of any of the squares (`BLOCK`) wanted."""
        return [_shows(wanted, origin, self.sides) for origin in self.origins]

    def cut(
        self, picture: npt.NDArray[np.uint8], padding: str | None
    ) -> list[npt.NDArray[np.uint8]]:
        """Cut the tiles out of a plane's picture.

        Parameters
        ----------
        picture : ndarray of uint8, (rows, columns, 3)
        padding : {"white", "black", "reflect"} or None
            What surrounds the picture; None is black.
        """
        tiles = []
        for origin in self.origins:
            ends = [start + side for start, side in zip(origin, self.sides, strict=True)]
            inside = tuple(
                slice(max(0, start), min(length, end))
                for start, end, length in zip(origin, ends, picture.shape, strict=False)
            )
            margins = [
                (part.start - start, end - part.stop)
                for part, start, end in zip(inside, origin, ends, strict=True)
            ]
            tile = picture[inside]
            if any(map(any, margins)):
                pads = (*margins, (0, 0))
                if padding == "reflect":
                    tile = np.pad(tile, pads, mode="symmetric")
                else:
                    tile = np.pad(tile, pads, constant_values=255 if padding == "white" else 0)
            tiles.append(np.ascontiguousarray(tile))
        return tiles


@dataclass(frozen=True)
class PlaneMaps:
    """Network outputs of a plane, blended; everything outside of the box is background.

    Attributes
    ----------
    box : Box
        Target pixels.
    cells : dict of ndarray of float16, (channels, rows, columns)
        By task, at the network's stride; channels as `TilesRunner.run_all` has them.
    strides : dict of int
        By task.
    """

    box: Box
    cells: Mapping[Task, Outputs]
    strides: Mapping[Task, int]

    @classmethod
    def blended(
        cls,
        tiles: Raster,
        outputs: Mapping[Task, Sequence[Outputs | None]],
        strides: Mapping[Task, int],
        widths: Mapping[Task, int],
    ) -> PlaneMaps:
        """Put the outputs of a plane's tiles together.

        Parameters
        ----------
        tiles : Raster
        outputs : mapping
            By task, one for each tile; None for one that was not looked at for the task.
        strides, widths : mapping
            By task: target pixels of a cell, and number of maps.
        """
        cells = {}
        for task, of_task in outputs.items():
            cells[task] = _blended(tiles, of_task, strides[task], widths[task], task)
        return cls(tiles.box, cells, strides)

    def busy(self, task: Task, least: float) -> _Bool:
        """Say which squares of `BLOCK` in the box hold what is more than likely background.

        Parameters
        ----------
        task : {"regions", "instances"}
        least : float
            Smallest probability of any region, or of an object, that counts.
        """
        cells = self.cells[task]
        likely = cells[0] >= least if task == "instances" else 1 - cells[0] >= least
        side = BLOCK // self.strides[task]
        rows, columns = (length // side for length in likely.shape)
        return np.asarray(likely.reshape(rows, side, columns, side).any((1, 3)))

    def object_pixels(self) -> int:
        """Return how many target pixels are more likely an object's than not."""
        cells = self.cells.get("instances")
        return 0 if cells is None else int((cells[0] > 0.5).sum()) * self.strides["instances"] ** 2

    def mixed(self, other: PlaneMaps, part: float) -> PlaneMaps:
        """Return the maps between this plane's and another's.

        Parameters
        ----------
        other : PlaneMaps
        part : float
            0 is this plane, 1 the other.
        """
        box = (
            min(self.box[0], other.box[0]),
            min(self.box[1], other.box[1]),
            max(self.box[2], other.box[2]),
            max(self.box[3], other.box[3]),
        )
        cells = {}
        for task in self.cells:
            own, theirs = (one.in_box(task, box).astype(np.float32) for one in (self, other))
            cells[task] = ((1 - part) * own + part * theirs).astype(np.float16)
        return PlaneMaps(box, cells, self.strides)

    def faded(self, part: float) -> PlaneMaps:
        """Return the maps between this plane's and those of a plane that holds nothing."""
        cells = {}
        for task, own in self.cells.items():
            nothing = _background(own.shape[0], own.shape[1:], task)
            mixed = (1 - part) * own.astype(np.float32) + part * nothing
            cells[task] = mixed.astype(np.float16)
        return PlaneMaps(self.box, cells, self.strides)

    def in_box(self, task: Task, box: Box) -> Outputs:
        """Return the cells of a task in a larger box."""
        own, stride = self.cells[task], self.strides[task]
        if box == self.box:
            return own
        size = (box[2] - box[0]) // stride, (box[3] - box[1]) // stride
        out = _background(len(own), size, task).astype(np.float16)
        row, column = (self.box[0] - box[0]) // stride, (self.box[1] - box[1]) // stride
        out[:, row : row + own.shape[1], column : column + own.shape[2]] = own
        return out

    def likely(self, least: float, margin: int) -> PlaneMaps | None:
        """Return the part that may hold objects; None where there is none.

        Parameters
        ----------
        least : float
            Foreground probability of an object's pixel.
        margin : int
            Target pixels around that are kept.
        """
        stride = self.strides["instances"]
        cells = self.cells["instances"]
        hit = cells[0] >= least
        rows, columns = np.flatnonzero(hit.any(1)), np.flatnonzero(hit.any(0))
        if not rows.size:
            # Between cells nothing is higher than at them.
            return None
        more = -(-margin // stride) + 1
        top, left = max(0, int(rows[0]) - more), max(0, int(columns[0]) - more)
        part = cells[:, top : int(rows[-1]) + 1 + more, left : int(columns[-1]) + 1 + more]
        row, column = self.box[0] + top * stride, self.box[1] + left * stride
        end = row + part.shape[1] * stride, column + part.shape[2] * stride
        return PlaneMaps((row, column, *end), {"instances": part}, self.strides)

    def pixels(self, task: Task) -> _Float32:
        """Return a task's maps at all target pixels of the box."""
        return enlarged(self._ringed(task), self.strides[task])

    def planes_at(
        self, task: Task, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]
    ) -> list[_Float32]:
        """Return a task's maps at positions in the box, in target pixel centres, by channel."""
        stride = self.strides[task]
        first = self.box[0] // stride - 1, self.box[1] // stride - 1
        return list(raster(self._ringed(task), rows, columns, stride, first))

    def _ringed(self, task: Task) -> _Float32:
        cells = self.cells[task].astype(np.float32)
        return np.pad(cells, ((0, 0), (1, 1), (1, 1)), mode="edge")


def _side(length: int, overlap: int, least: int, most: int) -> int:
    """Return the side of the fewest tiles that cover a length, no larger than they must be."""
    most = max(least, most // _STRIDE * _STRIDE)
    count = 1 if length <= most else -(-(length - overlap) // (most - overlap))
    side = -(-(length + (count - 1) * overlap) // count)
    return max(least, -(-side // _STRIDE) * _STRIDE)


def _shows(wanted: _Bool, origin: tuple[int, int], sides: tuple[int, int]) -> bool:
    """Whether a tile has a part of any of the squares that are wanted."""
    rows, columns = (
        slice(max(0, start // BLOCK), -(-(start + side) // BLOCK))
        for start, side in zip(origin, sides, strict=True)
    )
    return bool(wanted[rows, columns].any())


def _blended(
    tiles: Raster, outputs: Sequence[Outputs | None], stride: int, width: int, task: Task
) -> Outputs:
    box = tiles.box
    size = (box[2] - box[0]) // stride, (box[3] - box[1]) // stride
    total = np.zeros((width, *size), np.float32)
    weights = np.zeros(size, np.float32)
    ramps = [tile_weights(side // stride, tiles.overlap // stride) for side in tiles.sides]
    for origin, output in zip(tiles.origins, outputs, strict=True):
        if output is None:
            continue
        at = [(start - edge) // stride for start, edge in zip(origin, box, strict=False)]
        here = tuple(
            slice(max(0, a), min(a + len(ramp), n))
            for a, n, ramp in zip(at, size, ramps, strict=True)
        )
        there = tuple(slice(h.start - a, h.stop - a) for h, a in zip(here, at, strict=True))
        weight = ramps[0][there[0], None] * ramps[1][None, there[1]]
        total[:, here[0], here[1]] += output[:, there[0], there[1]].astype(np.float32) * weight
        weights[here] += weight
    seen = weights > 0
    total /= np.where(seen, weights, 1)
    if not seen.all():
        # Where no tile lies, or none was looked at, there is nothing to see.
        total = np.where(seen, total, _background(len(total), size, task))
    return total.astype(np.float16)


def _background(channels: int, size: tuple[int, ...], task: Task) -> _Float32:
    out = np.zeros((channels, *size), np.float32)
    # Of regions the first channel is the background, of instances that of the classes.
    out[0 if task == "regions" else 3] = 1
    return out
