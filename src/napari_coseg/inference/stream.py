"""Panoptic prediction block by block: memory is set by the block, not by the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from napari_coseg.imaging.source import ImageSource
from napari_coseg.inference.blocks import BlockGrid, Claim, claim
from napari_coseg.inference.canvas import Canvas
from napari_coseg.inference.finding import Found, ObjectWindows
from napari_coseg.inference.grid import Box, Scale, scale_factor
from napari_coseg.inference.maps import TileMaps
from napari_coseg.inference.numbering import whole_table
from napari_coseg.inference.pool import TilePool
from napari_coseg.inference.precision import name_of
from napari_coseg.inference.regions import RegionWindows
from napari_coseg.inference.runner import Task, TaskRunner, device_of
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.timing import Timings
from napari_coseg.types import CosegError
from napari_coseg.weights.card import ModelCard

#: Called with the tiles done and all tiles.
Progress = Callable[[int, int], None]
#: Asked between tiles; True ends the work.
Cancel = Callable[[], bool]

# Of the image's own pixels, where these are finer than the model's: a block then has fewer of the
# model's pixels, and its halo costs more; where coarser, a block must have fewer of the image's.
_FINEST = 2.0


class Cancelled(CosegError):
    """The work was ended by the one who asked for it."""


class Model(Protocol):
    """What prediction needs of a `napari_coseg.weights.loading.LoadedModel`."""

    @property
    def network(self) -> torch.nn.Module:
        """The network, in evaluation mode."""

    @property
    def card(self) -> ModelCard:
        """Classes, scales and normalisation."""

    @property
    def sha256(self) -> str:
        """Hash of the weights file."""


class PanopticStream:
    """Regions and instances of one image, written to canvases block by block.

    Parameters
    ----------
    source : ImageSource
        The image.
    model : Model
        Network and card.
    mpp : float or None
        µm per pixel of the image; None runs the model on the pixels as they are.
    settings : PredictSettings, optional
        Defaults where left out.
    timings : Timings, optional
        Where seconds are added up.
    progress : callable, optional
        Called with the tiles done and all tiles.
    cancel : callable, optional
        Asked between tiles; True raises `Cancelled`.

    Raises
    ------
    CosegError
        If the pixel size is beyond belief, or the settings do not fit the model.
    """

    def __init__(
        self,
        source: ImageSource,
        model: Model,
        mpp: float | None,
        settings: PredictSettings | None = None,
        timings: Timings | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        self._settings = (settings or PredictSettings()).for_model(model.card)
        self.timings = timings or Timings()
        self._progress = progress
        self._cancel = cancel
        self._card = model.card
        self._mpp = mpp
        self._shape = source.shape
        self._done = 0
        self._pool = TilePool(device_of(model.network))
        self._runners: list[TaskRunner] = []
        self._regions: RegionWindows | None = None
        self._instances: ObjectWindows | None = None
        factors = []
        if has_regions(self._card):
            scale = self._scale(source, self._card.region_mpp)
            maps = self._maps(source, model, "regions", scale)
            smallest = 0.0
            if self._settings.min_region_um2 and mpp is not None:
                smallest = self._settings.min_region_um2 / mpp**2
            self._regions = RegionWindows(maps, scale, smallest)
            factors.append(scale.factor)
        if has_instances(self._card):
            scale = self._scale(source, self._card.instance_mpp)
            maps = self._maps(source, model, "instances", scale)
            self._instances = ObjectWindows(maps, scale, self._settings, self.timings)
            factors = [scale.factor]
        if not self._runners:
            raise CosegError(f"The model {self._card.name} has neither regions nor instances.")
        side = round(self._settings.block * min([_FINEST, *factors]))
        self.blocks = BlockGrid(self._shape, max(1, side))

    @property
    def batch(self) -> int:
        """Most tiles that ran together, after any lack of memory."""
        return min(runner.largest_batch for runner in self._runners)

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self._runners[0].device

    @property
    def precision(self) -> str:
        """In which numbers the network computes."""
        return name_of(self._runners[0].dtype)

    @property
    def tiles(self) -> int:
        """Tiles of both tasks."""
        return sum(len(maps.grid) for maps in self._all_maps())

    def run(
        self, regions: Canvas | None, instances: Canvas | None
    ) -> tuple[pd.DataFrame, npt.NDArray[np.int32]]:
        """Work through all blocks.

        Parameters
        ----------
        regions : Canvas or None
            uint8, zero; receives the region ids, if the model has regions.
        instances : Canvas or None
            int32, zero; receives provisional object ids, if the model has instances.

        Returns
        -------
        objects : DataFrame
            One row an object, `OBJECT_COLUMNS` and ``class_score``, in the order of their boxes
            (first row, then first column), which their labels follow.
        numbers : ndarray of int32
            The final label for each provisional id on the canvas.

        Raises
        ------
        Cancelled
            If `cancel` said so.
        """
        with self._pool:
            return self._run(regions, instances)

    def _run(
        self, regions: Canvas | None, instances: Canvas | None
    ) -> tuple[pd.DataFrame, npt.NDArray[np.int32]]:
        blocks = list(self.blocks)
        windows = [self._window(block) for block in blocks]
        if self._instances is not None:
            self._instances.maps.expect(map(self._instances.target_box, blocks))
        if self._regions is not None:
            self._regions.maps.expect(map(self._regions.target_box, windows))
        tables: list[pd.DataFrame] = []
        written = 0
        if self._instances is None:
            for block in blocks:
                self._check_cancel()
                if self._regions is not None and regions is not None:
                    regions[_slices(block)] = self._regions.read(block)
            return whole_table(tables, self._card, self._mpp)
        for number, found in enumerate(self._instances.find(blocks, self._prefetch)):
            block, window = blocks[number], windows[number]
            areas = None if self._regions is None else self._regions.read(window)
            with self.timings.of("facts"):
                if areas is not None and regions is not None:
                    regions[_slices(block)] = areas[_slices(block, window)]
            found, claimed = self._claimed(number, block, found, instances)
            if areas is not None and self._regions is not None and found.window != window:
                areas = self._regions.read(found.window, announced=False)
            with self.timings.of("facts"):
                table = self._write(found, claimed, areas, written, instances)
            tables.append(table)
            written += len(table)
        return whole_table(tables, self._card, self._mpp)

    def _scale(self, source: ImageSource, task_mpp: float | None) -> Scale:
        return Scale(self._shape, scale_factor(task_mpp, self._mpp, source.name))

    def _maps(self, source: ImageSource, model: Model, task: Task, scale: Scale) -> TileMaps:
        runner = TaskRunner(
            model.network,
            model.card,
            task,
            batch=self._settings.batch,
            precision=self._settings.precision,
            tta=self._settings.tta,
        )
        self._runners.append(runner)
        return TileMaps(
            source, runner, scale, self._settings, self.timings, self._after_tiles, self._pool
        )

    def _all_maps(self) -> Iterator[TileMaps]:
        if self._regions is not None:
            yield self._regions.maps
        if self._instances is not None:
            yield self._instances.maps

    def _after_tiles(self, count: int) -> None:
        # Tiles that are computed a second time do not count.
        self._done = min(self._done + count, self.tiles)
        if self._progress is not None:
            self._progress(self._done, self.tiles)
        self._check_cancel()

    def _check_cancel(self) -> None:
        if self._cancel is not None and self._cancel():
            raise Cancelled("The prediction was cancelled.")

    def _window(self, block: Box) -> Box:
        """Pixels of the image that a block's work looks at."""
        return block if self._instances is None else self._instances.window(block)

    def _prefetch(self, block: Box) -> None:
        """Keep the threads busy with a block's tiles; those of its regions are few."""
        if self._regions is not None:
            self._regions.maps.prefetch(self._regions.target_box(self._window(block)))
        if self._instances is not None:
            target = self._instances.target_box(block)
            self._instances.maps.prefetch(target, 4 * self._pool.ahead)

    def _claimed(
        self, number: int, block: Box, found: Found, canvas: Canvas | None
    ) -> tuple[Found, Claim]:
        """Choose what the block writes, through a halo that holds each object whole if it can."""
        assert self._instances is not None
        halo = self._settings.halo
        while True:
            with self.timings.of("facts"):
                window = found.window
                size = (window[2] - window[0], window[3] - window[1])
                earlier = (
                    np.zeros(size, np.int32)
                    if number == 0 or canvas is None
                    else np.asarray(canvas[_slices(window)])
                )
                claimed = claim(
                    found.labels, found.objects, earlier, block, window, self.blocks, number
                )
                if halo >= self._settings.max_halo or not found.is_cut(claimed.kept, self._shape):
                    return found, claimed
            halo = min(max(2 * halo, 1), self._settings.max_halo)
            found = self._instances.find_again(block, halo)

    def _write(
        self,
        found: Found,
        claimed: Claim,
        areas: npt.NDArray[np.uint8] | None,
        written: int,
        canvas: Canvas | None,
    ) -> pd.DataFrame:
        """Put a block's objects on the canvas, numbered on from `written`, and tell their facts."""
        kept = claimed.kept
        if claimed.trimmed:
            found = found.only(claimed.written)
            kept = np.arange(1, len(found.objects) + 1)
        window, labels = found.window, found.labels
        assert self._settings.instances is not None
        # Now that each is whole, or as whole as it will be, its score is what it is.
        sure = found.objects["score"].to_numpy()[kept - 1] >= self._settings.instances.min_score
        kept = kept[sure]
        objects = found.objects.iloc[kept - 1]
        numbers = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
        numbers[kept] = np.arange(written + 1, written + len(kept) + 1)
        if canvas is not None and len(kept):
            ours = numbers[labels]
            if written:
                # Read again rather than kept: it is one window, and most blocks need it once.
                ours = np.where(claimed.written, ours, canvas[_slices(window)])
            canvas[_slices(window)] = ours
        parents = np.zeros(len(kept), np.int64)
        if areas is not None and len(kept):
            classes = len(self._card.region_classes) + 1
            ids = labels[claimed.written].astype(np.int64)
            pairs = np.bincount(
                ids * classes + areas[claimed.written], minlength=len(numbers) * classes
            )
            parents = pairs.reshape(-1, classes)[kept].argmax(1)
        return objects.assign(label=numbers[kept].astype(np.int64), region=parents)


def has_regions(card: ModelCard) -> bool:
    """Whether a model segments regions."""
    return len(card.region_classes) > 0


def has_instances(card: ModelCard) -> bool:
    """Whether a model segments instances; it may do so without classes."""
    return len(card.instance_classes) > 0 or card.instance_mpp is not None


def _slices(box: Box, inside: Box | None = None) -> tuple[slice, slice]:
    row, column = (0, 0) if inside is None else inside[:2]
    return slice(box[0] - row, box[2] - row), slice(box[1] - column, box[3] - column)
