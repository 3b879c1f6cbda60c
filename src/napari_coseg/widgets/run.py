"""One run of the Segment dock: planes in turn, progress, cancel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass

from qtpy.QtCore import QObject, Signal

from napari_coseg.imaging.source import ImageSource
from napari_coseg.types import PanopticResult
from napari_coseg.worker.client import Client
from napari_coseg.worker.pending import Handlers, Pending
from napari_coseg.worker.requests import SegmentRequest


@dataclass(frozen=True)
class Plan:
    """What a run is to do.

    Attributes
    ----------
    planes : sequence of callables
        Each opens a plane, in a thread that may wait.
    request : SegmentRequest
        For every one of them.
    """

    planes: Sequence[Callable[[], ImageSource]]
    request: SegmentRequest


class Run(QObject):
    """A run; its signals come in the GUI's thread.

    Attributes
    ----------
    progressed : Signal
        Tiles done and all tiles, of all planes.
    noticed : Signal
        A sentence.
    finished : Signal
        A list of `PanopticResult`, one a plane.
    failed : Signal
        The exception.
    """

    progressed = Signal(int, int)
    noticed = Signal(str)
    finished = Signal(list)
    failed = Signal(object)
    _progress = Signal(int, int)
    _plane_done = Signal(object)

    def __init__(self, client: Client, plan: Plan) -> None:
        super().__init__()
        self._client = client
        self._plan = plan
        self._results: list[PanopticResult] = []
        self._pending: Pending | None = None
        self._over = False
        self._progress.connect(self._on_progress)
        self._plane_done.connect(self._on_plane)

    def start(self) -> None:
        """Send the first plane."""
        self._next()

    def cancel(self) -> None:
        """End it; nothing more is heard of it."""
        self._over = True
        if self._pending is not None:
            self._client.cancel(self._pending)

    def _next(self) -> None:
        # Methods, and not signals: they keep this object alive as long as it may be called.
        handlers = Handlers(progress=self._tell_progress, notice=self._tell_notice)
        try:
            source = self._plan.planes[len(self._results)]()
            self._pending = self._client.segment(source, self._plan.request, handlers)
        except Exception as error:
            self._over = True
            self.failed.emit(error)
            return
        self._pending.future.add_done_callback(self._tell_done)

    # In a thread of the client.

    def _tell_progress(self, done: int, total: int) -> None:
        if not self._over:
            self._progress.emit(done, total)

    def _tell_notice(self, sentence: str) -> None:
        if not self._over:
            self.noticed.emit(sentence)

    def _tell_done(self, future: Future[PanopticResult]) -> None:
        if not self._over:
            self._plane_done.emit(future)

    # In the GUI's thread.

    def _on_progress(self, done: int, total: int) -> None:
        if not self._over:
            before = len(self._results)
            self.progressed.emit(before * total + done, len(self._plan.planes) * total)

    def _on_plane(self, future: Future[PanopticResult]) -> None:
        if self._over:
            return
        try:
            self._results.append(future.result())
        except CancelledError:
            self._over = True
            return
        except Exception as error:
            self._over = True
            self.failed.emit(error)
            return
        if len(self._results) < len(self._plan.planes):
            self._next()
        else:
            self._over = True
            self.finished.emit(self._results)
