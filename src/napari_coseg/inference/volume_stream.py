"""Planes of a volume through the network: regions, and components of objects, of each plane."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.windows import Window
from napari_coseg.inference.blending import most_probable
from napari_coseg.inference.instances import instances_from_maps
from napari_coseg.inference.plane_maps import PlaneMaps
from napari_coseg.inference.plane_network import PlaneNetwork, tasks_by_scale
from napari_coseg.inference.pool import TilePool
from napari_coseg.inference.precision import name_of
from napari_coseg.inference.regions import without_specks
from napari_coseg.inference.runner import CLASSES, FOREGROUND, HV, TilesRunner
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.stream import Cancel, Cancelled, Model, Progress
from napari_coseg.inference.timing import Timings
from napari_coseg.inference.volume_input import (
    PlaneScale,
    plane_step,
)
from napari_coseg.inference.volume_scouting import Scouts, scout_planes

#: Columns of what is told of the components of all planes.
COMPONENT_COLUMNS = ("plane", "row", "column", "class", "score", "class_score", "area_px")

_Bool = npt.NDArray[np.bool_]


class VolumeStream:
    """Regions and components of all planes of a volume, plane by plane.

    Parameters
    ----------
    voxels : array, (planes, rows, columns)
    grid : VolumeGrid
    window : (float, float)
        Grey values that become black and white.
    model : Model
        Network and card; a model of volumes.
    settings : PredictSettings
        Of the model.
    scouting : bool
        Whether the model's objects are such that `volume_scouting` may look for them.
    timings : Timings
        Where seconds are added up.
    progress : callable, optional
        Called with the planes done and all planes.
    cancel : callable, optional
        Asked between batches; True raises `Cancelled`.

    Raises
    ------
    CosegError
        If the voxels are beyond belief, or the model has no task with a scale.
    """

    def __init__(
        self,
        voxels: Any,
        grid: VolumeGrid,
        window: Window,
        model: Model,
        settings: PredictSettings,
        *,
        scouting: bool = False,
        timings: Timings | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        self._settings = settings
        self._grid = grid
        self._cancel = cancel
        self._progress = progress
        self._done = 0
        self.timings = timings or Timings()
        self._networks = [
            PlaneNetwork(
                voxels, grid, window, model, tasks, mpp, settings, self.timings, self._check_cancel
            )
            for mpp, tasks in tasks_by_scale(model)
        ]
        self._pool = TilePool(self._runner.device)
        finest = min(network.mpp for network in self._networks)
        count = grid.shape[0]
        step = plane_step(grid.spacing[0], finest)
        #: Planes that the network sees; maps of the others are interpolated.
        self.planes = sorted({*range(0, count, step), count - 1})
        # Planes of several scales have no squares in common.
        self._scouting = scouting and len(self._networks) == 1

    @property
    def _runner(self) -> TilesRunner:
        return self._networks[0].runner

    @property
    def device(self) -> str:
        """Where the network runs."""
        return str(self._runner.device)

    @property
    def precision(self) -> str:
        """In which numbers it computes."""
        return name_of(self._runner.dtype)

    @property
    def batch(self) -> int:
        """Most tiles that ran together, after any lack of memory."""
        return min(network.runner.largest_batch for network in self._networks)

    @property
    def tiles(self) -> int:
        """Tiles that went through the network."""
        return sum(network.tiles for network in self._networks)

    def run(
        self, regions: npt.NDArray[np.uint8] | None, components: npt.NDArray[np.int32] | None
    ) -> pd.DataFrame:
        """Work through all planes.

        Parameters
        ----------
        regions : ndarray of uint8, (planes, rows, columns), or None
            Zero; receives region ids.
        components : ndarray of int32, (planes, rows, columns), or None
            Zero; receives the components of each plane, numbered from 1 in each.

        Returns
        -------
        DataFrame
            One row a component, `COMPONENT_COLUMNS`: a voxel of it, its class, its mean foreground
            probability, its class's share, its area in the model's pixels.

        Raises
        ------
        Cancelled
            If `cancel` said so.
        """

        def finished(plane: int, maps: list[PlaneMaps | None]) -> pd.DataFrame | None:
            return self._finish(plane, maps, regions, components)

        tables: list[pd.DataFrame] = []
        with self._pool:
            waiting: deque[Future[pd.DataFrame | None]] = deque()
            for plane, maps in self._all_planes():
                waiting.append(self._pool.submit(finished, plane, maps))
                # Those of many planes take memory.
                while len(waiting) > 2 * self._pool.ahead:
                    _keep(tables, waiting.popleft().result())
            while waiting:
                _keep(tables, waiting.popleft().result())
        if self._progress is not None:
            self._progress(self._grid.shape[0], self._grid.shape[0])
        if not tables:
            return pd.DataFrame({name: np.zeros(0) for name in COMPONENT_COLUMNS})
        return pd.concat(tables, ignore_index=True)

    def _all_planes(self) -> Iterator[tuple[int, list[PlaneMaps | None]]]:
        """Yield all planes in order, and their maps by network; those between are mixed."""
        before: tuple[int, list[PlaneMaps | None]] | None = None
        for plane, maps in self._seen_planes():
            if before is not None:
                for between in range(before[0] + 1, plane):
                    part = (between - before[0]) / (plane - before[0])
                    pairs = zip(before[1], maps, strict=True)
                    yield between, [_between(first, second, part) for first, second in pairs]
            yield plane, maps
            before = plane, maps

    def _seen_planes(self) -> Iterator[tuple[int, list[PlaneMaps | None]]]:
        """Yield the planes that the network sees, in order."""
        if not self._scouting:
            yield from self._mapped(self.planes, None)
            return
        network = self._networks[0]
        chosen = scout_planes(self.planes, self._grid.spacing[0])
        grid = self._grid
        scouts = Scouts(network.mpp, network.blocks, grid.spacing[0], grid.superior)
        known = {}
        for plane, maps in self._mapped(chosen, None):
            scouts.add(plane, maps[0])
            known[plane] = maps
        others = self._mapped([plane for plane in self.planes if plane not in known], scouts)
        for plane in self.planes:
            if plane in known:
                maps = known.pop(plane)
                yield plane, maps if scouts.within(plane) else [None] * len(maps)
            else:
                yield next(others)

    def _mapped(
        self, planes: Sequence[int], scouts: Scouts | None
    ) -> Iterator[tuple[int, list[PlaneMaps | None]]]:
        """Yield the maps of some planes, in order; on a CPU several at a time."""
        # Elsewhere a batch takes the tiles of several planes.
        size = 1 if self._runner.on_cpu else max(1, self._runner.largest_batch // 4)
        groups = deque(planes[i : i + size] for i in range(0, len(planes), size))
        work = self._compute if self._runner.on_cpu else self._read
        pending: deque[tuple[Sequence[int], Future[Any]]] = deque()
        while groups or pending:
            while groups and len(pending) < self._pool.ahead:
                group = groups.popleft()
                pending.append((group, self._pool.submit(work, group, scouts)))
            group, future = pending.popleft()
            result = future.result()
            maps = result if self._runner.on_cpu else self._run(result)
            self._count(group)
            yield from zip(group, maps, strict=True)

    def _read(self, planes: Sequence[int], scouts: Scouts | None) -> list[Any]:
        return [
            [
                network.read(plane, None if scouts is None else scouts.near(plane))
                for plane in planes
            ]
            for network in self._networks
        ]

    def _run(self, read: list[Any]) -> list[list[PlaneMaps | None]]:
        """Run all networks on what was read of some planes; the results by plane."""
        by_network = [
            network.run(planes) for network, planes in zip(self._networks, read, strict=True)
        ]
        return [list(of_plane) for of_plane in zip(*by_network, strict=True)]

    def _compute(self, planes: Sequence[int], scouts: Scouts | None) -> list[Any]:
        return self._run(self._read(planes, scouts))

    def _finish(
        self,
        plane: int,
        maps: list[PlaneMaps | None],
        regions: npt.NDArray[np.uint8] | None,
        components: npt.NDArray[np.int32] | None,
    ) -> pd.DataFrame | None:
        """Write a plane's labels, and tell its components."""
        self._check_cancel()
        table = None
        for network, of_network in zip(self._networks, maps, strict=True):
            if of_network is None:
                continue
            if regions is not None and "regions" in of_network.cells:
                with self.timings.of("regions"):
                    self._write_regions(network.scale, of_network, regions[plane])
            if components is not None and "instances" in of_network.cells:
                with self.timings.of("post-processing"):
                    table = self._write_components(network.scale, of_network, components[plane])
        return None if table is None else table.assign(plane=plane)

    def _write_regions(
        self, scale: PlaneScale, maps: PlaneMaps, out: npt.NDArray[np.uint8]
    ) -> None:
        box = scale.image_box(maps.box)
        labels = most_probable(maps.planes_at("regions", *scale.centres(box)))
        out[box[0] : box[2], box[1] : box[3]] = labels
        pixel = self._grid.spacing[1] * self._grid.spacing[2] * 1e6
        smallest = self._settings.min_region_um2 / pixel
        if smallest > 0:
            out[...] = without_specks(out, smallest, (False,) * 4)

    def _write_components(
        self, scale: PlaneScale, maps: PlaneMaps, out: npt.NDArray[np.int32]
    ) -> pd.DataFrame | None:
        assert self._settings.instances is not None
        chosen = self._settings.instances
        part = maps.likely(chosen.foreground_threshold, chosen.kernel_size)
        if part is None:
            return None
        maps = part
        pixels = maps.pixels("instances")
        labels, objects = instances_from_maps(
            pixels[FOREGROUND], pixels[HV], pixels[CLASSES], settings=self._settings.instances
        )
        box = scale.image_box(maps.box)
        rows, columns = scale.nearest
        row_at, column_at = rows[box[0] : box[2]] - maps.box[0], columns[box[1] : box[3]]
        labels = labels[row_at][:, column_at - maps.box[1]]
        out[box[0] : box[2], box[1] : box[3]] = labels
        # A voxel of each: what object it belongs to is known when planes are linked.
        found, first = np.unique(labels, return_index=True)
        found, first = found[found > 0], first[found > 0]
        down, across = np.divmod(first, max(labels.shape[1], 1))
        known = objects.iloc[found - 1]
        facts = {name: known[name].to_numpy() for name in COMPONENT_COLUMNS[3:]}
        return pd.DataFrame({"row": down + box[0], "column": across + box[1], **facts})

    def _count(self, planes: Sequence[int]) -> None:
        """Say how many planes are done."""
        total = self._grid.shape[0]
        self._done += len(planes)
        if self._progress is not None:
            self._progress(self._done * total // len(self.planes), total)
        self._check_cancel()

    def _check_cancel(self) -> None:
        if self._cancel is not None and self._cancel():
            raise Cancelled("The prediction was cancelled.")


def _between(first: PlaneMaps | None, second: PlaneMaps | None, part: float) -> PlaneMaps | None:
    """Return the maps between two planes, each None where there is nothing to see."""
    if first is None:
        return None if second is None else second.faded(1 - part)
    return first.faded(part) if second is None else first.mixed(second, part)


def _keep(tables: list[pd.DataFrame], table: pd.DataFrame | None) -> None:
    if table is not None:
        tables.append(table)
