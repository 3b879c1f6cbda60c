"""The one model worker that all docks of a program share."""

from __future__ import annotations

import atexit
import threading

from napari.utils.notifications import show_warning
from qtpy.QtCore import QCoreApplication, QObject, Signal

from napari_coseg.widgets.preferences import chosen_host
from napari_coseg.worker.client import Client
from napari_coseg.worker.launcher import RemoteHost


class Session(QObject):
    """Holds the client; what its thread says arrives in the GUI's thread.

    Attributes
    ----------
    notice : Signal
        A sentence about the worker that a person should read.
    """

    notice = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._client: Client | None = None
        self.notice.connect(show_warning)

    @property
    def client(self) -> Client:
        """The client; made when it is first needed."""
        if self._client is None or self._client.closed:
            self._client = Client(chosen_host(), self.notice.emit)
            application = QCoreApplication.instance()
            if application is not None:
                # Before Python waits for threads that may be reading pixels.
                application.aboutToQuit.connect(self.close)
        return self._client

    @property
    def remote(self) -> bool:
        """Whether the worker is on another machine, which has models of its own."""
        return isinstance(self.client.host, RemoteHost)

    def close(self) -> None:
        """End the worker."""
        if self._client is not None:
            self._client.close()
            self._client = None


_lock = threading.Lock()
_session: Session | None = None


def shared_session() -> Session:
    """Return the session of this program: models are in memory once, whatever docks are open."""
    global _session
    with _lock:
        if _session is None:
            _session = Session()
            atexit.register(_session.close)
        return _session
