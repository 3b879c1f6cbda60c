"""What all samples have in common: which set each is from, and items kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from napari_coseg.types import CosegError

_GOLDEN = 0.6180339887498949
#: Memory of a loading process for items that it has read.
CACHE_BYTES = 1 << 30


class _Weighted(Protocol):
    @property
    def weight(self) -> float: ...

    @property
    def items(self) -> Sequence[object]: ...


class _Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


S = TypeVar("S", bound=_Weighted)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=_Sized)


class Wheel(Generic[S]):
    """Deals samples out to data sets by their weights.

    Golden-ratio steps spread the sets evenly over every batch; the seed turns the wheel.

    Parameters
    ----------
    sets : sequence
        Those without an item are left out.
    seed : int

    Raises
    ------
    CosegError
        If no item is left.
    """

    def __init__(self, sets: Sequence[S], seed: int) -> None:
        self.sets = [one for one in sets if one.items]
        if not self.sets:
            raise CosegError("No image is left to train on: every item is held out.")
        shares = np.array([one.weight for one in self.sets], float)
        self._shares = np.cumsum(shares / shares.sum())
        self._start = float(np.random.default_rng(seed).random())

    def of_sample(self, index: int) -> int:
        """Return the number of the set that a sample is from."""
        return self.at((index * _GOLDEN + self._start) % 1.0)

    def at(self, turn: float) -> int:
        """Return the number of the set at a place of the wheel, 0 to 1."""
        chosen = int(np.searchsorted(self._shares, turn, side="right"))
        return min(chosen, len(self.sets) - 1)


class Kept(Generic[K, V]):
    """Values that were used last, as many as `CACHE_BYTES` hold, and one at least."""

    def __init__(self) -> None:
        self._values: OrderedDict[K, V] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of a key; it is made where it is not kept."""
        if key not in self._values:
            self._values[key] = make()
            self._bytes += self._values[key].nbytes
        self._values.move_to_end(key)
        while self._bytes > CACHE_BYTES and len(self._values) > 1:
            self._bytes -= self._values.popitem(last=False)[1].nbytes
        return self._values[key]
