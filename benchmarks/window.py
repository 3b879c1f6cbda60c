"""What the benchmarks of the docks share: a display, a window that lives, a heartbeat.

Kept apart from the scripts that import torch: nothing here reaches it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

#: Milliseconds between two beats, and between two steps of a person who scrolls.
BEAT, STEP = 5, 16
SIZE = (1280, 800)


def need_display() -> None:
    """Start Xvfb where there is no display; leave with 2 where there is none to start."""
    shown = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform != "linux" or shown:
        return
    program = shutil.which("Xvfb")
    if program is None:
        print("There is no display: install Xvfb.", file=sys.stderr)
        sys.exit(2)
    read, write = os.pipe()
    command = [program, "-displayfd", str(write), "-screen", "0", "1400x900x24"]
    process = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    atexit.register(process.kill)
    os.close(write)
    with os.fdopen(read) as told:
        os.environ["DISPLAY"] = ":" + told.readline().strip()


def say_load() -> None:
    """Say what else runs: figures of a busy machine are worth less."""
    if hasattr(os, "getloadavg"):
        one, five, _ = os.getloadavg()
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        print(f"load {one:.1f} ({five:.1f} before), {os.cpu_count()} cores, nice {nice}")


def open_viewer() -> Any:
    """Return a napari viewer of a fixed size, once it has been drawn."""
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    live(1)
    return viewer


def live(seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
    """Let the window live; return whether what was waited for has come."""
    from qtpy.QtCore import QEventLoop
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 5)
        time.sleep(0.0005)
    return until()


class Draws:
    """Counts the draws of a viewer's canvas that have been finished, OpenGL's part included."""

    def __init__(self, viewer: Any) -> None:
        # napari has no public signal for it.
        self._canvas = viewer.window._qt_viewer.canvas._scene_canvas
        self.count = 0
        self._canvas.events.draw.connect(self._on_draw, position="last")

    def _on_draw(self, event: object) -> None:
        from vispy.gloo import gl

        # A software OpenGL computes later what it is told now.
        gl.glFinish()
        self.count += 1

    def timed(self, change: Callable[[], object]) -> tuple[float, float, float]:
        """Change something; return the seconds of the change and until it is drawn, and CPU's.

        Returns
        -------
        tuple of float
            Seconds until `change` returned, until the canvas was drawn after it, and of CPU that
            this process used for both.
        """
        before, cpu, start = self.count, time.process_time(), time.perf_counter()
        change()
        changed = time.perf_counter()
        if self.count == before and not live(60, lambda: self.count > before):
            sys.exit("nothing was drawn")
        drawn = time.perf_counter()
        return changed - start, drawn - start, time.process_time() - cpu


class Mouse:
    """A hand on a viewer's canvas: Qt's own mouse events, at places of the world in pixels.

    Parameters
    ----------
    viewer : napari.Viewer
        With rows and columns in sight.
    """

    def __init__(self, viewer: Any) -> None:
        self._native = viewer.window._qt_viewer.canvas._scene_canvas.native
        self._camera = viewer.scene.camera

    def drag(self, first: Any, last: Any, seconds: float) -> None:
        """Press at one place and move to another, as a hand does: slow at both ends."""
        from qtpy.QtCore import QEvent

        self._send(QEvent.Type.MouseButtonPress, first)
        began = time.perf_counter()
        part = 0.0
        while part < 1:
            live(STEP / 1000)
            part = min((time.perf_counter() - began) / seconds, 1.0)
            # The way of least jerk (Flash and Hogan 1985).
            way = part**3 * (10 - 15 * part + 6 * part**2)
            place = np.add(first, way * np.subtract(last, first))
            self._send(QEvent.Type.MouseMove, place)

    def release(self, place: Any) -> None:
        """Let the button go."""
        from qtpy.QtCore import QEvent

        self._send(QEvent.Type.MouseButtonRelease, place)

    def _send(self, kind: Any, place: Any) -> None:
        from qtpy.QtCore import QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        size = np.array([self._native.height(), self._native.width()])
        centre = np.asarray(self._camera.center[-2:])
        row, column = (np.asarray(place) - centre) * self._camera.zoom + size / 2
        here = QPointF(float(column), float(row))
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        changed = none if kind == QMouseEvent.Type.MouseMove else left
        held = none if kind == QMouseEvent.Type.MouseButtonRelease else left
        whole = QPointF(self._native.mapToGlobal(here.toPoint()))
        event = QMouseEvent(kind, here, whole, changed, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self._native, event)


class Heartbeat:
    """A timer's beats in the event loop; where one comes late, the window stood still.

    Parameters
    ----------
    viewer : napari.Viewer
        Scrolled all the while: its camera moves to and fro.
    """

    def __init__(self, viewer: Any) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._camera = viewer.scene.camera
        self._times: list[float] = []
        self._beat, self._scroll = QTimer(), QTimer()
        for timer, pause, call in (
            (self._beat, BEAT, self._on_beat),
            (self._scroll, STEP, self._on_step),
        ):
            timer.setTimerType(Qt.TimerType.PreciseTimer)
            timer.setInterval(pause)
            timer.timeout.connect(call)
        self._steps = 0

    def start(self) -> None:
        """Begin anew."""
        self._times = [time.perf_counter()]
        self._beat.start()
        self._scroll.start()

    def stop(self) -> dict[str, float]:
        """End; return the worst gap, the 99th percentile and the median, in milliseconds."""
        # What goes on at this moment counts too.
        self._times.append(time.perf_counter())
        self._beat.stop()
        self._scroll.stop()
        gaps = 1000 * np.diff(self._times)
        return {
            "worst": float(gaps.max()),
            "late": float(np.percentile(gaps, 99)),
            "median": float(np.median(gaps)),
            "seconds": float(gaps.sum() / 1000),
        }

    def _on_beat(self) -> None:
        self._times.append(time.perf_counter())

    def _on_step(self) -> None:
        self._steps += 1
        there = 10 if self._steps // 20 % 2 == 0 else -10
        plane, row, column = self._camera.center
        self._camera.center = (plane, row, column + there)
