"""Network outputs of a whole image, by window: overlapping tiles, blended, in bounded memory.

A map's value at a pixel depends on the image, the model and the settings alone, never on which
window was asked for or in which order: tiles lie on a raster fixed by the image's size, run in
groups fixed by their numbers, and are summed in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from napari_coseg.imaging.source import ImageSource
from napari_coseg.inference.blending import enlarged, raster, tile_weights
from napari_coseg.inference.grid import ALIGNMENT, Box, Scale
from napari_coseg.inference.pool import TilePool
from napari_coseg.inference.runner import TaskRunner
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.tiles import TileOutputs
from napari_coseg.inference.timing import Timings

_Float32 = npt.NDArray[np.float32]


class TileMaps:
    """Blended outputs of one task for one image.

    Parameters
    ----------
    source : ImageSource
        The image.
    runner : TaskRunner
        The network's task.
    scale : Scale
        The image at the task's scale.
    settings : PredictSettings
        Overlap, padding, cache.
    timings : Timings, optional
        Where seconds are added up.
    after_tiles : callable, optional
        Called with the number of tiles that have just been computed. What it raises ends the
        work; so a job is cancelled.
    pool : TilePool, optional
        Who computes tiles; without one, the caller.

    Attributes
    ----------
    tiles : TileOutputs
        What they are blended from.
    grid : TileGrid
        Where the tiles lie.
    """

    def __init__(
        self,
        source: ImageSource,
        runner: TaskRunner,
        scale: Scale,
        settings: PredictSettings,
        timings: Timings | None = None,
        after_tiles: Callable[[int], None] | None = None,
        pool: TilePool | None = None,
    ) -> None:
        self._runner = runner
        self._scale = scale
        self._timings = timings or Timings()
        self.tiles = TileOutputs(
            source,
            runner,
            scale,
            settings,
            pool or TilePool(runner.device),
            self._timings,
            after_tiles or (lambda count: None),
        )
        self.grid = self.tiles.grid

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self._runner.device

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the maps in target pixels."""
        return self._scale.shape

    def expect(self, boxes: Iterable[Box]) -> None:
        """Announce the windows to come, so that a tile is let go after its last use.

        Parameters
        ----------
        boxes : iterable of Box
            Boxes in target pixels, each to be asked for once.
        """
        self.tiles.expect(map(self._needed, boxes))

    def prefetch(self, box: Box, most: int | None = None) -> None:
        """Begin to compute the tiles of a window; of those not begun, `most` groups at most."""
        self.tiles.prefetch(self._needed(box), most)

    def window(self, box: Box, *, announced: bool = True) -> _Float32:
        """Return the maps at the target pixels of a box.

        Parameters
        ----------
        box : Box
            Target pixels, inside the image.
        announced : bool
            Whether the box is one of those given to `expect`.

        Returns
        -------
        ndarray of float32, (channels, rows, columns)
            Bilinear between the network's outputs, see `TaskRunner.run` for the channels.
        """
        cells, origin = self._cells(box, announced)
        stride = self._runner.stride
        with self._timings.of("blend"):
            # All pixels of the cells, then the box.
            out = enlarged(cells, stride)
            top = box[0] - (origin[0] + 1) * stride
            left = box[1] - (origin[1] + 1) * stride
            return out[:, top : top + box[2] - box[0], left : left + box[3] - box[1]]

    def box_at(self, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]) -> Box:
        """Return the box of target pixels that positions lie in, for `expect`."""
        return (
            max(0, int(rows[0])),
            max(0, int(columns[0])),
            min(self.shape[0], int(rows[-1]) + 2),
            min(self.shape[1], int(columns[-1]) + 2),
        )

    def planes_at(
        self,
        rows: npt.NDArray[np.float64],
        columns: npt.NDArray[np.float64],
        *,
        announced: bool = True,
    ) -> Iterator[_Float32]:
        """Return the maps on any regular raster of positions, one channel after the other.

        Parameters
        ----------
        rows, columns : ndarray of float64
            Ascending positions in target pixel centres. Beyond the outermost centres the
            outermost values hold.
        announced : bool
            Whether `box_at` of these positions is one of the boxes given to `expect`.

        Yields
        ------
        ndarray of float32, (rows, columns)
            One for each channel.
        """
        cells, origin = self._cells(self.box_at(rows, columns), announced)
        planes = raster(cells, rows, columns, self._runner.stride, origin)
        for _ in range(len(cells)):
            with self._timings.of("blend"):
                plane = next(planes)
            yield plane

    def _needed(self, box: Box) -> list[int]:
        """Tiles that the cells of a box and one more on each side are blended from."""
        margin = 2 * ALIGNMENT
        return self.grid.touching(
            (box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)
        )

    def _cells(self, box: Box, announced: bool) -> tuple[_Float32, tuple[int, int]]:
        """Blended outputs of all cells in a box and one more on each side.

        Returns the cells and the place of the first one. Cells outside the image repeat those
        on its edge.
        """
        stride = self._runner.stride
        outer = (
            box[0] // stride - 1,
            box[1] // stride - 1,
            -(-box[2] // stride) + 1,
            -(-box[3] // stride) + 1,
        )
        inner = (
            max(0, outer[0]),
            max(0, outer[1]),
            min(-(-self.shape[0] // stride), outer[2]),
            min(-(-self.shape[1] // stride), outer[3]),
        )
        size = (inner[2] - inner[0], inner[3] - inner[1])
        total = np.zeros((self._runner.channels, *size), np.float32)
        weights = np.zeros(size, np.float32)
        ramp = tile_weights(self.grid.tile // stride, self.grid.overlap // stride)
        needed = self._needed(box)
        for index, tile in self.tiles.get(needed):
            with self._timings.of("blend"):
                at = [start // stride for start in self.grid.origin(index)]
                first = [max(a, b) for a, b in zip(at, inner[:2], strict=True)]
                last = [min(a + len(ramp), b) for a, b in zip(at, inner[2:], strict=True)]
                if first[0] >= last[0] or first[1] >= last[1]:
                    continue
                here = tuple(
                    slice(a - o, b - o) for a, b, o in zip(first, last, inner[:2], strict=True)
                )
                there = tuple(slice(a - o, b - o) for a, b, o in zip(first, last, at, strict=True))
                weight = ramp[there[0], None] * ramp[None, there[1]]
                part = torch.from_numpy(tile)[:, there[0], there[1]].float()
                total[:, here[0], here[1]] += part.numpy() * weight
                weights[here] += weight
        self.tiles.let_go(needed, announced)
        with self._timings.of("blend"):
            total /= weights
            margins = (
                (inner[0] - outer[0], outer[2] - inner[2]),
                (inner[1] - outer[1], outer[3] - inner[3]),
            )
            if any(map(any, margins)):
                total = np.pad(total, ((0, 0), *margins), mode="edge")
        return total, outer[:2]
