"""Items that are too many for a list: they are looked up by number, and divide themselves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Self, overload

from napari_coseg.datasets.labelled import Item


class ManyItems(Sequence[Item]):
    """A sequence of millions of items, none of which is in memory.

    Looking one up, and dividing all of them, takes the same time and memory whatever their number.
    Whoever walks over all of them waits for as many files: `spread` chooses a few.
    """

    @abstractmethod
    def of_parts(self, parts: Collection[str | None]) -> Self:
        """Return the items of some of the parts; None stands for those that belong to none."""

    @abstractmethod
    def of_folds(self, chosen: Sequence[int], folds: int, seed: int, by_group: bool) -> Self:
        """Return the items of some of the folds; each item is in one fold.

        Parameters
        ----------
        chosen : sequence of int
            Numbers of folds, from 0.
        folds : int
            How many there are.
        seed : int
            Which groups share a fold depends on it.
        by_group : bool
            Whether a group's items stay together.
        """

    def spread(self, count: int) -> list[Item]:
        """Return `count` items, evenly among all, or all where there are not more."""
        total = len(self)
        count = min(count, total)
        return [self[(2 * i + 1) * total // (2 * count)] for i in range(count)]

    @overload
    def __getitem__(self, number: int) -> Item: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[Item]: ...

    @abstractmethod
    def __getitem__(self, number: int | slice) -> Item | Sequence[Item]:
        """Look an item up."""
