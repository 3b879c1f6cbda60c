"""Edits that come as pixels: brush strokes, and whole model runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.annotation.change import Change, Run
from napari_coseg.annotation.chunks import Patch, Window, read_labels, shape_of
from napari_coseg.annotation.draft import compare, overlap
from napari_coseg.annotation.records import ObjectRecord, Row
from napari_coseg.annotation.state import State
from napari_coseg.annotation.steps import Base
from napari_coseg.annotation.table import Tally
from napari_coseg.types import CosegError


class PixelEdits:
    """The part of a case that takes in pixels.

    Parameters
    ----------
    state : State
        What is open.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def stroke(
        self,
        window: Window,
        before: npt.NDArray[Any],
        after: npt.NDArray[Any],
        *,
        class_id: int = 0,
        name: str = "brush",
    ) -> Change:
        """Take in pixels that are in the layer already.

        Parameters
        ----------
        window : tuple of slice
            Where the brush was; inside the layer, with a first and a last index each.
        before, after : ndarray of integers
            The labels there.
        class_id : int
            Class of objects that were not there before.
        name : str
            What the person reads.

        Raises
        ------
        CosegError
            If an id does not fit; the layer is set back then.
        """
        self._state.check_open()
        old = read_labels(before, ())
        try:
            new = read_labels(after, ())
        except CosegError:
            self._state.write(window, before)
            raise
        tally = Tally(len(self._state.grid.shape))
        patches = compare(self._state.grid, window, old, new, tally)
        told = {
            int(label): ObjectRecord(int(label), class_id, origin="brush")
            for label in np.unique(new[new != old])
            if label and label not in self._state.objects
        }
        rows = tally.rows(self._state.objects, told, self._state.read, "brush")
        return self._state.done("stroke", name, patches, rows, in_layer=True)

    def catch_up(self, window: Window | None = None, *, name: str = "brush") -> Change:
        """Find what was painted without `stroke`, by comparison with the journal.

        Parameters
        ----------
        window : tuple of slice, optional
            Where to look; the whole layer by default.
        name : str
            What the person reads.

        Raises
        ------
        CosegError
            If the journal cannot be read now, or an id does not fit.
        """
        state = self._state
        state.check_open()
        patches, tally = self._against_journal(window)
        rows = tally.rows(state.objects, {}, state.read, "brush")
        return state.done("stroke", name, patches, rows, in_layer=True)

    def take_over(self, objects: Mapping[int, ObjectRecord], run: Run) -> Change:
        """Take in, as one edit, that the layer holds other labels than the journal.

        Parameters
        ----------
        objects : mapping
            What is known of the objects in the layer.
        run : Run
            What made them, as the person reads it.

        Raises
        ------
        CosegError
            If the journal cannot be read now, or an id does not fit.
        """
        state = self._state
        state.check_open()
        patches, tally = self._against_journal(None)
        rows = tally.rows(state.objects, objects, state.read, "model")
        return state.done(
            "run", run.name, patches, rows, in_layer=True, model=run.model, settings=run.settings
        )

    def _against_journal(self, window: Window | None) -> tuple[list[Patch], Tally]:
        """Return in what the layer differs from the journal, in a window or anywhere."""
        state = self._state
        tally = Tally(len(state.grid.shape))
        patches: list[Patch] = []
        for part in state.grid.parts(state.grid.whole if window is None else window):
            stored = state.stored(part.chunk)[part.in_chunk]
            patches += compare(state.grid, part.window, stored, state.read(part.window), tally)
        return patches, tally

    def adopt(
        self,
        pixels: npt.NDArray[Any] | Iterable[tuple[Window, npt.NDArray[Any]]],
        objects: Mapping[int, ObjectRecord],
        name: str,
        *,
        model: str = "",
        settings: Mapping[str, Any] | None = None,
        before: npt.NDArray[Any] | None = None,
    ) -> Change:
        """Take in a whole model run as one edit.

        Parameters
        ----------
        pixels : ndarray of integers, or pairs of window and ndarray
            New labels of the whole layer, or of windows that do not overlap.
        objects : mapping
            Class, score and so on of the objects in them; area and box are counted here. Objects
            outside the windows keep their records.
        name : str
            What the person reads.
        model, settings
            For the journal.
        before : ndarray of integers, optional
            All labels as they were, where the layer has the new ones already.

        Raises
        ------
        CosegError
            If an id does not fit; nothing has changed then.
        """
        state = self._state
        state.check_open()
        tally = Tally(len(state.grid.shape))
        patches: list[Patch] = []
        pairs = [(state.grid.whole, pixels)] if hasattr(pixels, "shape") else pixels
        seen: dict[int, list[Window]] = {}
        for window, values in pairs:
            if tuple(values.shape) != shape_of(window):
                raise ValueError(f"labels of {values.shape} for a window of {shape_of(window)}")
            for part in state.grid.parts(window):
                others = seen.setdefault(part.chunk, [])
                if any(overlap(part.window, other) for other in others):
                    raise ValueError(f"two windows overlap at {part.window}")
                others.append(part.window)
                after = read_labels(values, part.in_window)
                if int(after.max()) > state.largest:
                    state.checked(int(after.max()))
                old = (
                    state.read(part.window) if before is None else read_labels(before, part.window)
                )
                patches += compare(state.grid, part.window, old, after, tally)
        if before is None:
            state.show(patches, True)
        rows = tally.rows(state.objects, objects, state.read, "model")
        return state.done("run", name, patches, rows, in_layer=True, model=model, settings=settings)

    def _began_with(self, made: Base, run: Run) -> None:
        """Make the first edit of a journal that is empty: a run, whose pixels are in the layer."""
        grid = self._state.grid
        patches = [
            Patch(chunk, grid.chunk_window(chunk), b"", after)
            for chunk, after in made.chunks.items()
        ]
        rows: dict[int, Row] = {label: (None, record) for label, record in made.objects.items()}
        self._state.done(
            "run", run.name, patches, rows, in_layer=True, model=run.model, settings=run.settings
        )
