"""The network of one scale on planes: what it reads of them, and the maps that it makes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.windows import Window
from napari_coseg.inference.plane_maps import PlaneMaps, Raster
from napari_coseg.inference.runner import Task, TilesRunner
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.stream import Model
from napari_coseg.inference.timing import Timings
from napari_coseg.inference.volume_input import (
    BLOCK,
    PlanePictures,
    PlaneScale,
    occupied,
)
from napari_coseg.inference.volume_scouting import Near
from napari_coseg.types import CosegError

#: Side of the largest tile of a plane, in sides of the tile that the network was trained with.
#: With twice the side jaws are better still, but teeth are seen where there are none.
_LARGEST = 1.5


class TiledPlane(NamedTuple):
    """A plane in tiles.

    Attributes
    ----------
    tiles : Raster or None
        None where there is nothing to see.
    pictures : list of ndarray of uint8, (rows, columns, 3)
        One for each tile.
    tasks : list of tuple of str
        What each tile is looked at for.
    """

    tiles: Raster | None
    pictures: list[npt.NDArray[np.uint8]]
    tasks: list[tuple[Task, ...]]


class PlaneNetwork:
    """The tasks of a network that run at one scale, on planes of a volume.

    Parameters
    ----------
    voxels : array, (planes, rows, columns)
    grid : VolumeGrid
    window : (float, float)
    model : Model
    tasks : tuple of str
    mpp : float
        Side of the model's pixel in µm.
    settings : PredictSettings
        Of the model.
    timings : Timings
    check : callable
        Called between batches; what it raises ends the work.
    """

    def __init__(
        self,
        voxels: Any,
        grid: VolumeGrid,
        window: Window,
        model: Model,
        tasks: tuple[Task, ...],
        mpp: float,
        settings: PredictSettings,
        timings: Timings,
        check: Callable[[], None],
    ) -> None:
        assert model.card.planes is not None
        self.scale = PlaneScale.of(grid, mpp)
        self.mpp = mpp
        self.runner = TilesRunner(
            model.network,
            model.card,
            tasks,
            batch=settings.batch,
            precision=settings.precision,
            tta=settings.tta,
        )
        self._pictures = PlanePictures(
            voxels, grid.spacing[0], window, model.card.planes, self.scale
        )
        self._settings = settings
        self._timings = timings
        self._check = check
        self._lock = Lock()
        self.tiles = 0

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows and columns of squares (`BLOCK`) of a plane."""
        rows, columns = (-(-length // BLOCK) for length in self.scale.shape)
        return rows, columns

    def read(self, plane: int, near: Near | None) -> TiledPlane:
        """Cut a plane into tiles, as far as there is anything to see.

        Parameters
        ----------
        plane : int
        near : Near or None
            Squares that are worth it, None for all.
        """
        self._check()
        with self._timings.of("read"):
            picture = self._pictures.read(plane)
            wanted = occupied(picture)
            if near is not None:
                wanted &= near.anything
            tile = self.runner.tile
            overlap, most = self._settings.overlap_of(tile), int(_LARGEST * tile)
            tiles = Raster.around(wanted, overlap, least=tile, most=most)
            if tiles is None:
                return TiledPlane(None, [], [])
            tasks = [self.runner.tasks] * len(tiles.origins)
            if near is not None and "regions" in self.runner.tasks:
                shown = tiles.show(wanted & near.objects)
                tasks = [self.runner.tasks if one else ("regions",) for one in shown]
            return TiledPlane(tiles, tiles.cut(picture, self._settings.padding), tasks)

    def run(self, planes: Sequence[TiledPlane]) -> list[PlaneMaps | None]:
        """Compute the maps of planes that were read; None for one with nothing to see."""
        tiles = [tile for plane in planes for tile in plane.pictures]
        wanted = [tasks for plane in planes for tasks in plane.tasks]
        outputs: dict[Task, list[Any]] = {task: [None] * len(tiles) for task in self.runner.tasks}
        by_kind: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
        for number, tile in enumerate(tiles):
            by_kind[tile.shape, wanted[number]].append(number)
        for (shape, tasks), alike in by_kind.items():
            done = 0
            while done < len(alike):
                self._check()
                together = alike[done : done + self._batch(shape)]
                with self._timings.of("network"):
                    found = self.runner.run_all([tiles[number] for number in together], tasks)
                for task, of_task in found.items():
                    for number, output in zip(together, of_task, strict=True):
                        outputs[task][number] = output
                done += len(together)
        with self._lock:
            self.tiles += len(tiles)
        maps: list[PlaneMaps | None] = []
        start = 0
        with self._timings.of("blend"):
            for plane in planes:
                stop = start + len(plane.pictures)
                if plane.tiles is None:
                    maps.append(None)
                else:
                    own = {task: outputs[task][start:stop] for task in outputs}
                    strides, widths = self.runner.strides, self.runner.widths
                    maps.append(PlaneMaps.blended(plane.tiles, own, strides, widths))
                start = stop
        return maps

    def _batch(self, shape: Sequence[int]) -> int:
        """Return how many tiles of a shape take the memory of the runner's batch."""
        of_one = shape[0] * shape[1] / self.runner.tile**2
        return max(1, int(self.runner.largest_batch / of_one))


def tasks_by_scale(model: Model) -> list[tuple[float, tuple[Task, ...]]]:
    """Return the tasks that run together: those with one pixel size share an encoding.

    Raises
    ------
    CosegError
        If a task has no pixel size, or there is no task.
    """
    card = model.card
    found: dict[float, tuple[Task, ...]] = {}
    if card.region_classes and card.region_mpp is not None:
        found[card.region_mpp] = ("regions",)
    if card.instance_mpp is not None:
        found[card.instance_mpp] = (*found.get(card.instance_mpp, ()), "instances")
    if not found or (card.region_classes and card.region_mpp is None):
        raise CosegError(f"The model {card.name} does not say at which pixel size it runs.")
    return list(found.items())
