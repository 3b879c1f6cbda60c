"""Brush strokes on a Labels layer, told as windows in which something may have changed.

napari says when a stroke has ended (``events.paint``); what it hands over is its own affair and
differs from version to version. So the window is taken from where the mouse went, and whoever
keeps the labels compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from napari_coseg.layers.sheet import Sheet, Window

#: Modes in which the brush touches what is under it and no more.
_BRUSHES = ("paint", "erase")


class StrokeListener:
    """Hears of strokes on a sheet.

    Parameters
    ----------
    sheet : Sheet
    painted : callable
        Called with the window in which pixels may have changed, or None for anywhere.
    """

    def __init__(self, sheet: Sheet, painted: Callable[[Window | None], None]) -> None:
        self._sheet = sheet
        self._painted = painted
        self._points: list[np.ndarray] = []
        sheet.layer.events.paint.connect(self._on_paint)
        sheet.layer.mouse_drag_callbacks.append(self._on_drag)

    def let_go(self) -> None:
        """Hear no more."""
        self._sheet.layer.events.paint.disconnect(self._on_paint)
        with suppress(ValueError):
            self._sheet.layer.mouse_drag_callbacks.remove(self._on_drag)

    def _on_drag(self, layer: Any, event: Any) -> Iterator[None]:
        if layer.mode not in _BRUSHES:
            self._points = []
            return
        self._points = [self._place(layer, event)]
        yield
        while event.type == "mouse_move":
            self._points.append(self._place(layer, event))
            yield

    def _place(self, layer: Any, event: Any) -> np.ndarray:
        return np.asarray(layer.world_to_data(event.position[-layer.ndim :]), float)

    def _on_paint(self, event: Any) -> None:
        if self._sheet.writing:
            return
        points, self._points = self._points, []
        self._painted(self._window(points) if points else None)

    def _window(self, points: list[np.ndarray]) -> Window:
        layer = self._sheet.layer
        reach = layer.brush_size / 2 + 2
        places = np.array(points)[:, list(self._sheet.axes)]
        shape = self._sheet.labels.shape
        window = []
        for low, high, length in zip(places.min(0), places.max(0), shape, strict=True):
            first = int(np.clip(np.floor(low - reach), 0, length - 1))
            last = int(np.clip(np.ceil(high + reach) + 1, first + 1, length))
            window.append(slice(first, last))
        return tuple(window)
