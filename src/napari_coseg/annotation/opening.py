"""A layer and its journal made equal when a case is opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from napari_coseg.annotation.chunks import Grid, Labels, Window, pack, read_labels, shape_of
from napari_coseg.annotation.journal import Journal
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.annotation.steps import Base
from napari_coseg.annotation.table import gather, measure
from napari_coseg.types import CosegError


def take_in(labels: Any, grid: Grid, known: Mapping[int, ObjectRecord]) -> Base:
    """Return what a layer holds, for a new journal.

    Parameters
    ----------
    labels : array-like of integers
        The layer's labels.
    grid : Grid
        How they are cut into chunks.
    known : mapping
        What is known of objects in it; area and box are set here.

    Raises
    ------
    CosegError
        If an id does not fit 32 bits.
    """
    chunks: dict[int, bytes] = {}
    found = []
    for part in grid.parts(grid.whole):
        values = read_labels(labels, part.window)
        if values.any():
            chunks[part.chunk] = pack(values)
            found.append(measure(values, tuple(side.start for side in part.window)))
    all_found = gather(found, len(grid.shape))
    objects = {}
    lists = (all_found.ids, all_found.areas, np.hstack([all_found.low, all_found.high]))
    for label, area, box in zip(*(each.tolist() for each in lists), strict=True):
        base = known.get(label)
        if base is None:
            # Not replace(), which takes longer: there may be 50,000 of them.
            objects[label] = ObjectRecord(label, area=area, box=tuple(box), origin="file")
        else:
            objects[label] = dataclasses.replace(base, label=label, area=area, box=tuple(box))
    return Base(chunks, objects)


def restore(
    journal: Journal, labels: Any, write: Callable[[Window, Labels], None] | None
) -> dict[int, ObjectRecord]:
    """Bring a layer to what its journal holds; the objects.

    Only what differs is written, and nothing where `write` is None.

    Raises
    ------
    CosegError
        If the journal is damaged, or the layer's dtype is too small; nothing is written then.
    """
    objects = journal.objects()
    journal.check()
    largest = max(objects, default=0)
    if largest > np.iinfo(labels.dtype).max:
        raise CosegError(
            f"The journal holds object {largest}, which labels of {labels.dtype} cannot; convert "
            "the layer to int32."
        )
    if write is None:
        return objects
    filled = set()
    for chunk, values in journal.chunks():
        filled.add(chunk)
        window = journal.grid.chunk_window(chunk)
        if not np.array_equal(np.asarray(labels[window]), values):
            write(window, values)
    for part in journal.grid.parts(journal.grid.whole):
        if part.chunk not in filled and np.asarray(labels[part.window]).any():
            write(part.window, np.zeros(shape_of(part.window), np.int32))
    return objects
