"""Objects of one block's window, in the image's own pixels."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_coseg.imaging.objects import object_table
from napari_coseg.inference.grid import Box, Scale
from napari_coseg.inference.instances import instances_from_maps
from napari_coseg.inference.maps import TileMaps
from napari_coseg.inference.runner import CLASSES, FOREGROUND, HV
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.timing import Timings

_Int32 = npt.NDArray[np.int32]


@dataclass
class Found:
    """Objects of one block's window.

    Attributes
    ----------
    window : Box
        Pixels of the image.
    labels : ndarray of int32, (rows, columns) of the window
        1 to the number of objects, 0 background.
    objects : DataFrame
        As `object_table`, in the order of the labels; places are the image's, not the window's.
    """

    window: Box
    labels: _Int32
    objects: pd.DataFrame

    def only(self, written: npt.NDArray[np.bool_]) -> Found:
        """Leave the pixels where `written` is true; the objects that stay are numbered anew."""
        labels, objects = _refreshed(np.where(written, self.labels, 0), self.objects)
        return Found(self.window, labels, _moved(objects, self.window))

    def is_cut(self, kept: npt.NDArray[np.integer], shape: tuple[int, int]) -> bool:
        """Whether one of the `kept` labels reaches a side of the window that is not the image's."""
        objects, window = self.objects.iloc[kept - 1], self.window
        cut = np.zeros(len(objects), bool)
        if window[0] > 0:
            cut |= objects["row0"].to_numpy() <= window[0]
        if window[1] > 0:
            cut |= objects["column0"].to_numpy() <= window[1]
        if window[2] < shape[0]:
            cut |= objects["row1"].to_numpy() >= window[2]
        if window[3] < shape[1]:
            cut |= objects["column1"].to_numpy() >= window[3]
        return bool(cut.any())


class ObjectWindows:
    """Finds the objects in windows around blocks.

    Parameters
    ----------
    maps : TileMaps
        Foreground, HV and class maps.
    scale : Scale
        The image at their scale.
    settings : PredictSettings
        Thresholds, halo and threads.
    timings : Timings
        Where seconds are added up.
    """

    def __init__(
        self, maps: TileMaps, scale: Scale, settings: PredictSettings, timings: Timings
    ) -> None:
        self.maps = maps
        self._scale = scale
        self._settings = settings
        self._timings = timings

    def target_box(self, block: Box, halo: int | None = None) -> Box:
        """Target pixels that a block's objects are looked for in."""
        return self._scale.target_box(block, self._settings.halo if halo is None else halo)

    def window(self, block: Box, halo: int | None = None) -> Box:
        """Pixels of the image that a block's objects are looked for in."""
        return self._scale.image_box(self.target_box(block, halo))

    def find(self, blocks: list[Box], prefetch: Callable[[Box], None]) -> Iterator[Found]:
        """Yield the objects of each block's window, some blocks ahead in other threads.

        Parameters
        ----------
        blocks : list of Box
            All of them, announced to the maps.
        prefetch : callable
            Called with the next block before the maps of the one before are waited for.

        Yields
        ------
        Found
        """
        workers = self._settings.workers
        if workers is None:
            on_cpu = self.maps.device.type == "cpu"
            workers = 0 if on_cpu else max(0, min(3, (os.cpu_count() or 1) - 2))
        if workers == 0 or len(blocks) == 1:
            for box, maps in self._read(blocks, prefetch):
                yield self._separate(box, maps)
            return
        with ThreadPoolExecutor(workers) as pool:
            ahead: deque[Future[Found]] = deque()
            for box, maps in self._read(blocks, prefetch):
                ahead.append(pool.submit(self._separate, box, maps))
                if len(ahead) > workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def find_again(self, block: Box, halo: int) -> Found:
        """Look for a block's objects in a window with another halo."""
        box = self.target_box(block, halo)
        return self._separate(box, self.maps.window(box, announced=False))

    def _read(
        self, blocks: list[Box], prefetch: Callable[[Box], None]
    ) -> Iterator[tuple[Box, npt.NDArray[np.float32]]]:
        """Yield each block's target box and its maps; the next block's tiles are under way."""
        for block, following in zip_longest(blocks, blocks[1:]):
            prefetch(block)
            box = self.target_box(block)
            maps = self.maps.window(box)
            if following is not None:
                prefetch(following)
            yield box, maps

    def _separate(self, box: Box, maps: npt.NDArray[np.float32]) -> Found:
        with self._timings.of("post-processing"):
            labels, objects = instances_from_maps(
                maps[FOREGROUND], maps[HV], maps[CLASSES], settings=self._settings.instances
            )
        with self._timings.of("facts"):
            window = self._scale.image_box(box)
            if self._scale.factor != 1:
                rows = self._scale.nearest[0][window[0] : window[2]] - box[0]
                columns = self._scale.nearest[1][window[1] : window[3]] - box[1]
                labels, objects = _refreshed(labels[rows][:, columns], objects)
            return Found(window, labels, _moved(objects, window))


def _refreshed(labels: _Int32, objects: pd.DataFrame) -> tuple[_Int32, pd.DataFrame]:
    """Facts of labels that changed since `objects` was made; what is gone leaves no gap."""
    fresh = object_table(labels)
    before = fresh["label"].to_numpy()
    numbers = np.zeros(len(objects) + 1, np.int32)
    numbers[before] = np.arange(1, len(fresh) + 1)
    known = objects.iloc[before - 1]
    fresh = fresh.assign(
        label=np.arange(1, len(fresh) + 1),
        **{name: known[name].to_numpy() for name in ("class", "score", "class_score")},
    )
    return numbers[labels], fresh


def _moved(objects: pd.DataFrame, window: Box) -> pd.DataFrame:
    """Facts of a window's objects in the image's coordinates."""
    down = {name: objects[name] + window[0] for name in ("row", "row0", "row1")}
    across = {name: objects[name] + window[1] for name in ("column", "column0", "column1")}
    return objects.assign(**down, **across)
