"""The items of an index: looked up by number, in whatever process and thread."""

from __future__ import annotations

import os
import sqlite3
import threading
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol, Self, overload

import numpy as np

from napari_coseg.datasets.item_index import CIRCLE, Entry, IndexFacts, damaged, open_finished
from napari_coseg.datasets.labelled import PARTS, Item
from napari_coseg.datasets.many_items import ManyItems

_ORDER: tuple[str | None, ...] = (None, *PARTS)


class MakesItems(Protocol):
    """Whatever turns an index's entries into items; it goes to other processes."""

    def __call__(self, entry: Entry) -> Item:
        """Return the item of an entry."""


class IndexedItems(ManyItems):
    """Items of an index, or some of them.

    Parameters
    ----------
    path : Path
        The index.
    make : callable
    ranges : dict of (str or None) to sequence of range
        Numbers of each part's items.
    """

    def __init__(
        self, path: Path, make: MakesItems, ranges: dict[str | None, tuple[range, ...]]
    ) -> None:
        self._path = path
        self._make = make
        self._ranges = ranges
        self._flat = [(part, one) for part in _ORDER for one in ranges.get(part, ()) if len(one)]
        self._ends = list(accumulate(len(one) for _, one in self._flat))
        self._opened = threading.local()

    @classmethod
    def of(cls, path: Path, make: MakesItems, facts: IndexFacts) -> Self:
        """Return all items of an index."""
        return cls(path, make, {part: (one,) for part, one in facts.ranges.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the file again."""
        return type(self), (self._path, self._make, self._ranges)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, number: int) -> Item: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[Item]: ...

    def __getitem__(self, number: int | slice) -> Item | Sequence[Item]:
        """Look an item up.

        Raises
        ------
        CosegError
            If the index cannot be read any more.
        """
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        if number < 0:
            number += len(self)
        if not 0 <= number < len(self):
            raise IndexError("There is no item of that number.")
        chosen = bisect_right(self._ends, number)
        part, numbers = self._flat[chosen]
        return self._item(part, numbers[number - self._ends[chosen]])

    def __iter__(self) -> Iterator[Item]:
        for part, numbers in self._flat:
            for number in numbers:
                yield self._item(part, number)

    def of_parts(self, parts: Collection[str | None]) -> Self:
        """Return the items of some of the parts; see `ManyItems.of_parts`."""
        chosen = {part: ranges for part, ranges in self._ranges.items() if part in parts}
        return type(self)(self._path, self._make, chosen)

    def of_folds(self, chosen: Sequence[int], folds: int, seed: int, by_group: bool) -> Self:
        """Return the items of some of the folds; see `ManyItems.of_folds`.

        Groups lie on a circle by their hash, which the seed turns; a fold is an arc of it. Single
        items are dealt out to the folds in turn.
        """
        found: dict[str | None, tuple[range, ...]] = {}
        turn = int(np.random.default_rng(seed).integers(CIRCLE))
        for part, ranges in self._ranges.items():
            if by_group:
                arcs = [
                    [(turn + k * CIRCLE // folds) % CIRCLE for k in (fold, fold + 1)]
                    for fold in chosen
                ]
                pieces = [piece for one in ranges for arc in arcs for piece in self._arc(one, *arc)]
            else:
                dealt = sorted((fold + turn) % folds for fold in chosen)
                pieces = [one[place::folds] for one in ranges for place in dealt]
            found[part] = tuple(piece for piece in pieces if len(piece))
        return type(self)(self._path, self._make, found)

    def _arc(self, numbers: range, begin: int, end: int) -> list[range]:
        """Return the numbers whose groups lie on an arc, which may pass the circle's end."""
        first, last = self._first(numbers, begin), self._first(numbers, end)
        if begin < end:
            return [numbers[first:last]]
        return [numbers[:last], numbers[first:]]

    def _first(self, numbers: range, place: int) -> int:
        """Return the position of the first number whose group's hash is at least `place`."""
        low, high = 0, len(numbers)
        while low < high:
            middle = (low + high) // 2
            if self._row("SELECT hash FROM ranks WHERE number = ?", numbers[middle])[0] < place:
                low = middle + 1
            else:
                high = middle
        return low

    def _item(self, part: str | None, number: int) -> Item:
        image, labels, group = self._row(
            "SELECT image, labels, owner FROM entries "
            "WHERE id = (SELECT entry FROM ranks WHERE number = ?)",
            number,
        )
        return self._make(Entry(image, labels, group, part))

    def _row(self, query: str, number: int) -> tuple[Any, ...]:
        try:
            row: tuple[Any, ...] | None = self._database().execute(query, (number,)).fetchone()
        except sqlite3.Error as error:
            raise damaged(self._path) from error
        if row is None:
            raise damaged(self._path)
        return row

    def _database(self) -> sqlite3.Connection:
        # A connection belongs to one thread, and does not survive a fork.
        if getattr(self._opened, "process", None) != os.getpid():
            self._opened.database = open_finished(self._path)
            self._opened.process = os.getpid()
        database: sqlite3.Connection = self._opened.database
        return database
