"""Blocks of an image, and which block writes an object that lies on a seam."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_coseg.inference.grid import Box

_Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class BlockGrid:
    """An image divided into blocks of (nearly) equal size, numbered row by row.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of the image.
    side : int
        Largest side of a block.
    """

    shape: tuple[int, int]
    side: int

    @property
    def counts(self) -> tuple[int, int]:
        """Blocks down and across."""
        down, across = (-(-n // self.side) for n in self.shape)
        return down, across

    def __len__(self) -> int:
        return self.counts[0] * self.counts[1]

    def __iter__(self) -> Iterator[Box]:
        rows, columns = (self._edges(axis) for axis in (0, 1))
        for row0, row1 in pairwise(rows):
            for column0, column1 in pairwise(columns):
                yield int(row0), int(column0), int(row1), int(column1)

    def number_at(
        self, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.int64]:
        """Return the number of the block that each point (in pixel centres) lies in."""
        down, across = (
            np.searchsorted(self._edges(axis)[1:-1], points + 0.5, "right")
            for axis, points in enumerate((rows, columns))
        )
        return np.asarray(down * self.counts[1] + across, np.int64)

    def _edges(self, axis: int) -> npt.NDArray[np.int64]:
        count = self.counts[axis]
        return np.arange(count + 1) * self.shape[axis] // count


@dataclass(frozen=True)
class Claim:
    """Objects that a block writes.

    Attributes
    ----------
    kept : ndarray of int64
        Their labels in the window.
    written : ndarray of bool, (rows, columns)
        Pixels of the window that they get.
    trimmed : bool
        Whether some of them lose pixels to objects of earlier blocks.
    """

    kept: npt.NDArray[np.int64]
    written: npt.NDArray[np.bool_]
    trimmed: bool


def claim(
    labels: _Int32,
    objects: pd.DataFrame,
    earlier: _Int32,
    core: Box,
    window: Box,
    grid: BlockGrid,
    number: int,
) -> Claim:
    """Choose the objects of a block's window that this block writes.

    Each block sees a window around its core, so that neighbours see the objects on their seam
    alike, and each object is to be written once and whole. An object concerns the block if it
    touches the core or has its centre there. One with its centre in the core of a later block is
    left to that block. Any other is written, unless most of it is already taken; what is taken
    of the rest stays with the object that has it.

    Parameters
    ----------
    labels : ndarray of int32, (rows, columns)
        Objects 1 to n of the window.
    objects : DataFrame
        Row i is label i + 1, with ``row`` and ``column`` (pixel centres of the image).
    earlier : ndarray of int32, (rows, columns)
        What earlier blocks wrote into the window.
    core, window : Box
        The block and its window, in pixels of the image.
    grid : BlockGrid
        All blocks.
    number : int
        The block's.

    Returns
    -------
    Claim
        What to write.
    """
    count = len(objects)
    top, left = core[0] - window[0], core[1] - window[1]
    inner = labels[top : top + core[2] - core[0], left : left + core[3] - core[1]]
    touches = np.bincount(inner.ravel(), minlength=count + 1)[1:] > 0
    centre = grid.number_at(objects["row"].to_numpy(), objects["column"].to_numpy())
    mine = (touches | (centre == number)) & (centre <= number)
    taken = np.zeros(count, np.int64)
    if earlier.any():
        taken = np.bincount(labels[earlier > 0], minlength=count + 1)[1:]
        area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        mine &= 2 * taken < area
    chosen = np.concatenate([[False], mine])
    written = chosen[labels]
    trimmed = bool(taken[mine].any())
    if trimmed:
        written &= earlier == 0
    return Claim(np.flatnonzero(mine) + 1, written, trimmed)
