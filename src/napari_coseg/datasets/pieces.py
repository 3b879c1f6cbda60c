"""Connected pieces of a volume's labels, counted plane by plane, with two planes in memory."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.measure import label as connected


class Pieces:
    """Counts pieces of equal labels that touch by a face, an edge or a corner."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._value: list[int] = []
        self._last: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None

    def add(self, labels: npt.NDArray[Any]) -> None:
        """Take the next plane in.

        Parameters
        ----------
        labels : ndarray of int, (rows, columns)
            Of the same shape each time; 0 is background.
        """
        parts = connected(labels, background=0, connectivity=2)
        numbers, first = np.unique(parts, return_index=True)
        inside = numbers > 0
        start = len(self._parent)
        # Numbers within the plane are 1, 2, ...; within the volume they go on from `start`.
        parts = np.where(parts > 0, parts + (start - 1), -1)
        self._value += labels.ravel()[first[inside]].tolist()
        self._parent += range(start, start + int(inside.sum()))
        if self._last is not None:
            self._join(*self._last, labels, parts)
        self._last = labels, parts

    def counts(self) -> dict[int, int]:
        """Return how many pieces each label has."""
        return dict(Counter(value for n, value in enumerate(self._value) if self._parent[n] == n))

    def _join(
        self,
        below: npt.NDArray[Any],
        its: npt.NDArray[Any],
        above: npt.NDArray[Any],
        own: npt.NDArray[Any],
    ) -> None:
        """Join the pieces of two planes where neighbours have one label."""
        rows, columns = above.shape
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                one = _shifted(rows, down), _shifted(columns, right)
                two = _shifted(rows, -down), _shifted(columns, -right)
                touch = (below[one] == above[two]) & (above[two] != 0)
                if touch.any():
                    pairs = np.stack([its[one][touch], own[two][touch]], 1)
                    for first, second in np.unique(pairs, axis=0).tolist():
                        roots = self._root(first), self._root(second)
                        self._parent[max(roots)] = min(roots)

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number


def _shifted(length: int, by: int) -> slice:
    """Where an axis overlaps with itself, moved by some steps."""
    return slice(max(by, 0), length + min(by, 0))
