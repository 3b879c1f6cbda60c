"""One run of the Segment dock over a whole volume: progress, cancel."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future

from qtpy.QtCore import QObject, Signal

from napari_coseg.imaging.volume_result import VolumeResult
from napari_coseg.widgets.volume_planning import VolumePlan
from napari_coseg.worker.client import Client
from napari_coseg.worker.pending import Handlers, Pending


class VolumeRun(QObject):
    """A run; its signals come in the GUI's thread.

    Attributes
    ----------
    progressed : Signal
        Planes done and all planes. Once all are, they are linked to objects.
    noticed : Signal
        A sentence.
    finished : Signal
        A `napari_coseg.imaging.volume_result.VolumeResult`.
    failed : Signal
        The exception.
    """

    progressed = Signal(int, int)
    noticed = Signal(str)
    finished = Signal(object)
    failed = Signal(object)
    _progress = Signal(int, int)
    _done = Signal(object)

    def __init__(self, client: Client, plan: VolumePlan) -> None:
        super().__init__()
        self._client = client
        self._plan = plan
        self._pending: Pending | None = None
        self._over = False
        self._progress.connect(self._on_progress)
        self._done.connect(self._on_done)

    def start(self) -> None:
        """Send the request."""
        handlers = Handlers(progress=self._tell_progress, notice=self._tell_notice)
        try:
            self._pending = self._client.segment_volume(
                self._plan.voxels, self._plan.request, handlers
            )
        except Exception as error:
            self._over = True
            self.failed.emit(error)
            return
        self._pending.future.add_done_callback(self._tell_done)

    def cancel(self) -> None:
        """End it; nothing more is heard of it."""
        self._over = True
        if self._pending is not None:
            self._client.cancel(self._pending)

    # In a thread of the client.

    def _tell_progress(self, done: int, total: int) -> None:
        if not self._over:
            self._progress.emit(done, total)

    def _tell_notice(self, sentence: str) -> None:
        if not self._over:
            self.noticed.emit(sentence)

    def _tell_done(self, future: Future[VolumeResult]) -> None:
        if not self._over:
            self._done.emit(future)

    # In the GUI's thread.

    def _on_progress(self, done: int, total: int) -> None:
        if not self._over:
            self.progressed.emit(done, total)

    def _on_done(self, future: Future[VolumeResult]) -> None:
        if self._over:
            return
        self._over = True
        try:
            result = future.result()
        except CancelledError:
            return
        except Exception as error:
            self.failed.emit(error)
            return
        self.finished.emit(result)
