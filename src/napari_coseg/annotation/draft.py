"""Pixels as an edit would leave them, before the layer is touched.

An edit is first drawn on a draft: chunks are copied as they are needed, and the layer stays as it
is until the whole edit is known to be valid. What differs in the end, chunk by chunk, is the edit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.annotation.chunks import (
    Grid,
    Labels,
    Patch,
    Window,
    make_patch,
    read_labels,
    relative,
    shape_of,
)
from napari_coseg.annotation.table import Tally


class Draft:
    """A layer's labels, to be drawn on.

    Parameters
    ----------
    labels : array-like of integers
        The layer's labels; only read.
    grid : Grid
        How they are cut into chunks.
    """

    def __init__(self, labels: Any, grid: Grid) -> None:
        self.grid = grid
        self._labels = labels
        self._before: dict[int, Labels] = {}
        self._after: dict[int, Labels] = {}
        # The window of each chunk in which anything was drawn.
        self._drawn: dict[int, Window] = {}

    def read(self, window: Window) -> Labels:
        """Return a copy of a window, which must lie inside the layer, as it would be."""
        values = read_labels(self._labels, window)
        if self._after:
            for part in self.grid.parts(window):
                drawn = self._after.get(part.chunk)
                if drawn is not None:
                    values[part.in_window] = drawn[part.in_chunk]
        return values

    def put(self, window: Window, values: Labels) -> None:
        """Set the labels of a window, which must lie inside the layer."""
        for part in self.grid.parts(window):
            if part.chunk not in self._after:
                whole = self.grid.chunk_window(part.chunk)
                self._before[part.chunk] = read_labels(self._labels, whole)
                self._after[part.chunk] = self._before[part.chunk].copy()
                self._drawn[part.chunk] = part.window
            self._drawn[part.chunk] = tuple(
                slice(min(a.start, b.start), max(a.stop, b.stop))
                for a, b in zip(self._drawn[part.chunk], part.window, strict=True)
            )
            self._after[part.chunk][part.in_chunk] = values[part.in_window]

    def fill(self, window: Window, where: npt.NDArray[np.bool_], label: int) -> None:
        """Set the pixels `where` of a window to one id."""
        if where.any():
            values = self.read(window)
            values[where] = label
            self.put(window, values)

    def patches(self, tally: Tally) -> tuple[Patch, ...]:
        """Return what differs from the layer, and count it."""
        found = []
        for chunk, drawn in self._drawn.items():
            inside = relative(drawn, self.grid.chunk_window(chunk))
            before, after = self._before[chunk][inside], self._after[chunk][inside]
            patch = make_patch(chunk, drawn, before, after)
            if patch is not None:
                found.append(patch)
                changed = relative(patch.window, drawn)
                tally.add(patch.window, before[changed], after[changed])
        return tuple(found)


def compare(
    grid: Grid, window: Window, before: Labels, after: Labels, tally: Tally
) -> tuple[Patch, ...]:
    """Return what differs between two states of a window of the layer, and count it."""
    if before.shape != after.shape or before.shape != shape_of(window):
        raise ValueError(f"states of {before.shape} and {after.shape} in a window {window}")
    found = []
    for part in grid.parts(window):
        old, new = before[part.in_window], after[part.in_window]
        patch = make_patch(part.chunk, part.window, old, new)
        if patch is not None:
            found.append(patch)
            changed = relative(patch.window, part.window)
            tally.add(patch.window, old[changed], new[changed])
    return tuple(found)


def overlap(one: Window, other: Window) -> bool:
    """Whether two windows share a pixel."""
    sides = zip(one, other, strict=True)
    return all(a.start < b.stop and b.start < a.stop for a, b in sides)
