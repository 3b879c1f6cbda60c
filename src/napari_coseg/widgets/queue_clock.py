"""Counts how long a person works at the open case."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_coseg.annotation.queue_times import ActiveTime

if TYPE_CHECKING:
    import napari.viewer

#: Milliseconds between two looks at the clock.
_TICK = 15_000


class WorkClock(QObject):
    """Runs while a case is open, and stands still while nobody touches the picture.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    worked : callable
        Called now and then with the seconds since the last time.
    """

    def __init__(self, viewer: napari.viewer.Viewer, worked: Callable[[float], None]) -> None:
        super().__init__()
        self._viewer = viewer
        self._worked = worked
        self._time = ActiveTime()
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK)
        self._timer.timeout.connect(self._count)
        self._touches = (
            viewer.mouse_move_callbacks,
            viewer.mouse_wheel_callbacks,
            viewer.mouse_drag_callbacks,
        )
        for callbacks in self._touches:
            callbacks.append(self._on_mouse)
        viewer.dims.events.current_step.connect(self.touch)

    def begin(self) -> None:
        """Begin with a case."""
        self._time.begin()
        self._timer.start()

    def end(self) -> float:
        """End with it; the seconds that nobody was told of."""
        self._timer.stop()
        return self._time.end() if self._time.running else 0.0

    def touch(self, event: object = None) -> None:
        """Count time up to now: the person did something."""
        self._time.touch()

    def let_go(self) -> None:
        """Hear no more of the viewer."""
        for callbacks in self._touches:
            if self._on_mouse in callbacks:
                callbacks.remove(self._on_mouse)
        self._viewer.dims.events.current_step.disconnect(self.touch)
        self._timer.stop()

    def _count(self) -> None:
        if self._time.running:
            self._worked(self._time.take())

    def _on_mouse(self, viewer: Any, event: Any) -> None:
        self._time.touch()
