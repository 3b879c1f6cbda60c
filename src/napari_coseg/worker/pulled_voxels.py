"""The client's volume as prediction sees it in the host: an array that is pulled plane by plane."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.windows import Window

#: Bytes of planes that are kept: neighbours of a plane are its colours, and planes share them.
_KEPT = 96 << 20
#: Planes that are kept at least: what the threads of a pool look at at once.
_LEAST = 24

#: Returns a plane: its axis, its number, every how many of its rows and columns.
Pull = Callable[[int, int, int, tuple[int, int], "np.dtype[Any]"], npt.NDArray[Any]]


class _Planes:
    """Planes as they are stored, the last ones kept; from several threads at once."""

    def __init__(
        self, pull: Pull, shape: tuple[int, int, int], dtype: np.dtype[Any], dark: float | None
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self._pull = pull
        self._dark = dark
        self._kept: OrderedDict[tuple[int, int], Future[npt.NDArray[Any]]] = OrderedDict()
        self._lock = Lock()
        self.faulty = False

    def whole(self, axis: int, number: int) -> npt.NDArray[Any]:
        """Return a plane; it is read only."""
        key = axis, number
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                mine: Future[npt.NDArray[Any]] | None = Future()
                assert mine is not None
                self._kept[key] = mine
                self._forget(axis)
            else:
                mine = None
                self._kept.move_to_end(key)
        if mine is None:
            assert kept is not None
            return kept.result()
        try:
            mine.set_result(self._repaired(self.part(axis, number, 1)))
        except BaseException as error:
            with self._lock:
                self._kept.pop(key, None)
            mine.set_exception(error)
            raise
        return mine.result()

    def part(self, axis: int, number: int, step: int) -> npt.NDArray[Any]:
        """Return a plane, of its rows and columns every `step`."""
        rows, columns = (-(-self.shape[a] // step) for a in range(3) if a != axis)
        return self._pull(axis, number, step, (rows, columns), self.dtype)

    def sample(self, step: int) -> npt.NDArray[Any]:
        """Return every so many voxels along each axis."""
        planes = [self.part(0, number, step) for number in range(0, self.shape[0], step)]
        found = np.stack(planes)
        if self._dark is None and found.dtype.kind == "f":
            finite = found[np.isfinite(found)]
            self._dark = float(finite.min()) if finite.size else 0.0
        return found

    def _repaired(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Take what is no number for the darkest there is, as a reader of files does."""
        if plane.dtype.kind != "f" or np.isfinite(plane).all():
            return plane
        self.faulty = True
        dark = 0.0 if self._dark is None else self._dark
        return np.where(np.isfinite(plane), plane, plane.dtype.type(dark))

    def _forget(self, axis: int) -> None:
        size = math.prod(self.shape) // self.shape[axis] * self.dtype.itemsize
        most = max(_LEAST, _KEPT // max(size, 1))
        for key in [k for k, plane in self._kept.items() if plane.done()]:
            if len(self._kept) <= most:
                break
            del self._kept[key]


class PulledVoxels:
    """A volume that is read by planes, and can be seen in another orientation.

    It is indexed as prediction does it: one plane of the first axis, slices that turn axes round,
    or the same step along each axis.

    Parameters
    ----------
    pull : callable
        Returns a plane of the client's.
    shape : tuple of int
        Planes, rows, columns, as they are stored.
    dtype : dtype
    window : (float, float), optional
        Grey values that become black and white, where they are known: what is no number is black.
        Else it is the darkest of the voxels that a window was looked for in.
    """

    def __init__(
        self,
        pull: Pull,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        window: Window | None = None,
    ) -> None:
        self._planes = _Planes(pull, shape, dtype, None if window is None else window[0])
        self._order = (0, 1, 2)
        self._back = (False, False, False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, rows and columns, as they are seen."""
        first, second, third = (self._planes.shape[axis] for axis in self._order)
        return first, second, third

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        return self._planes.dtype

    @property
    def faulty(self) -> bool:
        """Whether any of the planes that were read held what is no number."""
        return self._planes.faulty

    def transpose(self, order: Sequence[int]) -> PulledVoxels:
        """Return a view with the axes in another order."""
        first, second, third = order
        return self._view(
            (self._order[first], self._order[second], self._order[third]),
            (self._back[first], self._back[second], self._back[third]),
        )

    def __getitem__(self, index: int | tuple[slice, ...]) -> Any:
        """Return a plane, a view that is turned round, or a sample."""
        if not isinstance(index, tuple):
            return self._plane(int(index))
        if len(index) != 3 or any(one.start is not None or one.stop is not None for one in index):
            raise IndexError(f"planes are read whole, and not {index}")
        steps = [one.step for one in index]
        if all(step in (None, -1) for step in steps):
            a, b, c = (back != (step == -1) for back, step in zip(self._back, steps, strict=True))
            return self._view(self._order, (a, b, c))
        if len({*steps}) > 1 or steps[0] < 1 or self._turned:
            raise IndexError(f"a sample has one step along all stored axes, and not {steps}")
        return self._planes.sample(steps[0])

    @property
    def _turned(self) -> bool:
        return self._order != (0, 1, 2) or any(self._back)

    def _view(self, order: tuple[int, int, int], back: tuple[bool, bool, bool]) -> PulledVoxels:
        other = object.__new__(PulledVoxels)
        other._planes, other._order, other._back = self._planes, order, back
        return other

    def _plane(self, number: int) -> npt.NDArray[Any]:
        axis, rows, columns = self._order
        if self._back[0]:
            number = self._planes.shape[axis] - 1 - number
        plane = self._planes.whole(axis, number)
        if rows > columns:
            plane = plane.T
        down, across = (slice(None, None, -1 if back else None) for back in self._back[1:])
        return plane[down, across]
