"""Network outputs of the tiles of one image: read, computed, kept while they are of use."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.resample import read_scaled
from napari_coseg.imaging.source import ImageSource
from napari_coseg.inference.grid import ALIGNMENT, Scale, TileGrid
from napari_coseg.inference.pool import TilePool
from napari_coseg.inference.runner import TaskRunner
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.inference.timing import Timings

Tile = npt.NDArray[np.float16]
_Pixels = npt.NDArray[np.uint8]


class TileOutputs:
    """Outputs of one task for the tiles of one image, by their numbers.

    Tiles run in groups that their numbers fix, filled up to one size: what a tile gives does not
    depend on what else is asked for.

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
    pool : TilePool
        Who does the work.
    timings : Timings
        Where seconds are added up.
    after_tiles : callable
        Called with the number of tiles that have just been computed; what it raises ends the work.

    Attributes
    ----------
    grid : TileGrid
        Where the tiles lie.
    cached_bytes : int
        Size of the outputs that are kept.
    """

    def __init__(
        self,
        source: ImageSource,
        runner: TaskRunner,
        scale: Scale,
        settings: PredictSettings,
        pool: TilePool,
        timings: Timings,
        after_tiles: Callable[[int], None],
    ) -> None:
        self._source = source
        self._runner = runner
        self._scale = scale
        self._settings = settings
        self._pool = pool
        self._timings = timings
        self._after_tiles = after_tiles
        self.grid = TileGrid(scale.shape, runner.tile, settings.overlap_of(runner.tile))
        self._group = even_groups(len(self.grid), runner.largest_batch)
        self._pending: dict[int, Future[list[_Pixels] | Tile]] = {}
        self._cache: OrderedDict[int, Tile] = OrderedDict()
        self.cached_bytes = 0
        self._uses: Counter[int] | None = None

    def __len__(self) -> int:
        """Return the number of outputs that are kept."""
        return len(self._cache)

    def expect(self, uses: Iterable[Sequence[int]]) -> None:
        """Announce the tiles that will be asked for, use by use; each goes after its last one."""
        self._uses = Counter()
        for numbers in uses:
            self._uses.update(numbers)

    def prefetch(self, numbers: Sequence[int], most: int | None = None) -> None:
        """Begin with tiles (groups: at most `most`) that will be asked for soon."""
        for group in self._missing(numbers)[:most]:
            self._begin(group)

    def get(self, numbers: Sequence[int]) -> Iterator[tuple[int, Tile]]:
        """Yield tiles with their numbers, in the order of `numbers`.

        Parameters
        ----------
        numbers : sequence of int
            Ascending.

        Yields
        ------
        number : int
        output : ndarray of float16, (channels, T/s, T/s)
        """
        waiting = deque(g for g in self._missing(numbers) if g not in self._pending)
        wanted = set(numbers)
        for number in numbers:
            while number not in self._cache:
                while waiting and len(self._pending) < self._pool.ahead:
                    self._begin(waiting.popleft())
                group = number // self._group
                if waiting and waiting[0] == group:
                    # Others, begun for later windows, have filled the queue.
                    self._begin(waiting.popleft())
                self._store(group, wanted)
            yield number, self._cache[number]

    def let_go(self, numbers: Sequence[int], announced: bool) -> None:
        """Count a use of each tile, if it was announced, and drop those without another one."""
        for number in numbers:
            self._cache.move_to_end(number)
            if self._uses is not None:
                self._uses[number] -= int(announced)
                if self._uses[number] <= 0:
                    self.cached_bytes -= self._cache.pop(number).nbytes

    def _missing(self, numbers: Sequence[int]) -> list[int]:
        return sorted({n // self._group for n in numbers if n not in self._cache})

    def _members(self, group: int) -> range:
        return range(group * self._group, min((group + 1) * self._group, len(self.grid)))

    def _begin(self, group: int) -> None:
        if group not in self._pending:
            work = self._compute if self._runner.on_cpu else self._read_group
            self._pending[group] = self._pool.submit(work, group)

    def _compute(self, group: int) -> Tile:
        return self._run(self._read_group(group))

    def _run(self, tiles: list[_Pixels]) -> Tile:
        with self._timings.of("network"):
            return self._runner.run(tiles)

    def _store(self, group: int, wanted: set[int]) -> None:
        """Wait for a group that was begun and keep what is of use of it."""
        with self._timings.of("waiting for tiles"):
            result = self._pending.pop(group).result()
            # Elsewhere than on the CPU, the threads have only read.
            outputs = self._run(result) if isinstance(result, list) else result
        members = self._members(group)
        for number, output in zip(members, outputs, strict=False):
            if number in self._cache:
                continue
            if number not in wanted and self._uses is not None and self._uses[number] <= 0:
                continue
            # A copy, so that one tile does not keep its whole group.
            self._cache[number] = output.copy()
            self.cached_bytes += output.nbytes
        while self.cached_bytes > self._settings.cache_bytes:
            # Oldest first, but never one of the window at work.
            old = next((number for number in self._cache if number not in wanted), None)
            if old is None:
                break
            self.cached_bytes -= self._cache.pop(old).nbytes
        self._after_tiles(len(members))

    def _read_group(self, group: int) -> list[_Pixels]:
        with self._timings.of("read"):
            tiles = [self._read(number) for number in self._members(group)]
            return tiles + [np.zeros_like(tiles[0])] * (self._group - len(tiles))

    def _read(self, number: int) -> _Pixels:
        row, column = self.grid.origin(number)
        tile = self.grid.tile
        rows, columns = self._scale.shape
        inside = (
            max(0, row),
            max(0, column),
            min(rows, row + tile),
            min(columns, column + tile),
        )
        pixels = read_scaled(self._source, self._scale.factor, *inside)
        margins = (
            (inside[0] - row, row + tile - inside[2]),
            (inside[1] - column, column + tile - inside[3]),
            (0, 0),
        )
        # What the alignment of tiles adds to a large image must not look like an edge in it.
        few = tuple(tuple(n if n < ALIGNMENT else 0 for n in sides) for sides in margins)
        rest = tuple(tuple(n if n >= ALIGNMENT else 0 for n in sides) for sides in margins)
        # "symmetric" repeats the edge pixel, and so is defined for a side of one pixel.
        if any(map(any, few)):
            pixels = np.pad(pixels, few, mode="symmetric")
        if any(map(any, rest)):
            if self._settings.padding == "reflect":
                return np.pad(pixels, rest, mode="symmetric")
            black = self._settings.padding == "black"
            return np.pad(pixels, rest, constant_values=0 if black else 255)
        return pixels


def even_groups(tiles: int, largest: int) -> int:
    """Size of the groups that run together: 9 tiles in batches of at most 4 are three of 3."""
    return -(-tiles // -(-tiles // largest))
