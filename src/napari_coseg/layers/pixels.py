"""A sheet's pixels for whoever keeps a journal of them: read in any thread, written in one go.

A layer may be handed other pixels while its journal is open, so these are looked up each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.layers.sheet import Sheet, Window

#: Windows of one edit that are drawn one by one; of more, the layer is drawn once, at the end.
_FEW = 8


class StoppedError(Exception):
    """Reading was stopped; what is read is wanted no more."""


class SheetPixels:
    """What a journal is given as labels.

    Parameters
    ----------
    sheet : Sheet
    """

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self.stopped = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the sheet."""
        return self._sheet.labels.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the layer."""
        kind: np.dtype[Any] = self._sheet.labels.dtype
        return kind

    def __getitem__(self, window: Window) -> npt.NDArray[Any]:
        """Return a window, as a view.

        Raises
        ------
        StoppedError
            If nobody wants it any more.
        """
        if self.stopped:
            raise StoppedError
        values: npt.NDArray[Any] = self._sheet.labels[window]
        return values


class SheetWriter:
    """Writes into a sheet: a few windows one by one, many of one edit at once.

    Parameters
    ----------
    sheet : Sheet

    Attributes
    ----------
    shown : bool
        Whether napari shows the layer. Until it does, only pixels are written, in any thread.
    """

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self.shown = False
        self._together: int | None = None

    def __call__(self, window: Window, values: npt.NDArray[Any]) -> None:
        """Set the pixels of a window."""
        if self._together is not None:
            self._together += 1
        if self.shown and (self._together is None or self._together <= _FEW):
            self._sheet.write(window, values)
        else:
            self._sheet.labels[window] = values

    @contextmanager
    def together(self) -> Iterator[None]:
        """Take all windows that are written meanwhile for those of one edit."""
        before, self._together = self._together, 0
        try:
            yield
        finally:
            many, self._together = self._together > _FEW, before
            if many and self.shown:
                self._sheet.layer.refresh(extent=False)
