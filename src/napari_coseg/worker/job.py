"""One request at work in the host: its messages, its cancel, its pixels."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError
from napari_coseg.worker.protocol import Message, ProtocolError

#: Windows that a request has on their way at once: enough to hide the way, few enough for memory.
CREDIT = 4
#: Seconds after which a client that does not send pixels is taken for gone.
PATIENCE = 120.0


class Stopped(CosegError):
    """The request was cancelled, or its client has gone."""


class _Window:
    """A window that was asked for."""

    def __init__(self) -> None:
        self.there = threading.Event()
        self.pixels: npt.NDArray[Any] | None = None
        self.error: str | None = None


class Job:
    """A request, seen from the thread that works on it.

    Parameters
    ----------
    client : bytes
        ZeroMQ's name of who asked.
    message : Message
        The request.
    send : callable
        Takes a message for that client, and whether to pack its arrays; from any thread.

    Attributes
    ----------
    ready : bool
        Whether its model is in memory: only then it looks now and again whether it is to stop.
    """

    def __init__(
        self, client: bytes, message: Message, send: Callable[[Message, bool], None]
    ) -> None:
        self.client = client
        self.kind = message.kind
        self.request = message.request
        self.body = message.body
        self.message = message
        self.ready = False
        self._send = send
        self._stop = threading.Event()
        self._credit = threading.Semaphore(CREDIT)
        self._windows: dict[int, _Window] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def send(
        self,
        kind: str,
        body: Mapping[str, Any] | None = None,
        arrays: Mapping[str, npt.NDArray[Any]] | None = None,
        *,
        pack: bool = False,
    ) -> None:
        """Answer the client; nothing is sent after a stop."""
        if not self.stopped():
            self._send(Message(kind, self.request, body or {}, arrays or {}), pack)

    def say_stopped(self) -> None:
        """Tell the client that the work has ended as it wanted."""
        body = {"message": "cancelled", "cancelled": True}
        self._send(Message("error", self.request, body), False)

    def stop(self) -> None:
        """End the work at its next look; from any thread."""
        self._stop.set()
        with self._lock:
            for window in self._windows.values():
                window.there.set()

    def stopped(self) -> bool:
        """Whether the work is to end."""
        return self._stop.is_set()

    def pull(
        self, row0: int, column0: int, row1: int, column1: int, level: int = 0
    ) -> npt.NDArray[np.uint8]:
        """Ask the client for a window and wait for it; from several threads at once.

        Parameters
        ----------
        row0, column0, row1, column1 : int
            The window, last edges exclusive.
        level : int
            Of an image that the request says to have several.

        Returns
        -------
        ndarray of uint8, (row1 - row0, column1 - column0, 3)

        Raises
        ------
        Stopped
            If the request was cancelled meanwhile.
        CosegError
            If the client cannot read these pixels, or does not answer.
        """
        box = [row0, column0, row1, column1]
        shape = (row1 - row0, column1 - column0, 3)
        return self._fetch({"box": box, "level": level}, shape, np.dtype(np.uint8))

    def pull_plane(
        self, axis: int, plane: int, step: int, shape: tuple[int, int], dtype: np.dtype[Any]
    ) -> npt.NDArray[Any]:
        """Ask the client for a plane of its volume, as `pull` asks for a window.

        Parameters
        ----------
        axis : int
            Of the volume as it is stored, along which planes are counted.
        plane : int
        step : int
            Of its rows and columns, every so many.
        shape : tuple of int
            Rows and columns that come then.
        dtype : dtype
            Of the volume.
        """
        return self._fetch({"axis": axis, "plane": plane, "step": step}, shape, dtype)

    def _fetch(
        self, wanted: dict[str, Any], expected: tuple[int, ...], dtype: np.dtype[Any]
    ) -> npt.NDArray[Any]:
        with self._credit:
            window = _Window()
            with self._lock:
                number = next(self._numbers)
                self._windows[number] = window
            try:
                self.send("pull", {"window": number, **wanted})
                if not self.stopped() and not window.there.wait(PATIENCE):
                    raise CosegError("The program that asked for this has stopped sending pixels.")
            finally:
                with self._lock:
                    del self._windows[number]
            if self.stopped():
                raise Stopped("The work was cancelled.")
            if window.error is not None:
                raise CosegError(window.error)
            assert window.pixels is not None
            if window.pixels.shape != expected or window.pixels.dtype != dtype:
                raise ProtocolError(
                    f"Pixels of the shape {window.pixels.shape} and the type "
                    f"{window.pixels.dtype} came instead of {expected} and {dtype}."
                )
            return window.pixels

    def deliver(self, message: Message) -> None:
        """Take a ``pixels`` message; in the I/O thread. One that nobody waits for is dropped."""
        number = message.body.get("window")
        with self._lock:
            window = self._windows.get(number) if isinstance(number, int) else None
        if window is None:
            return
        error = message.body.get("error")
        if error is not None:
            window.error = str(error)[:500]
        elif "pixels" in message.arrays:
            window.pixels = np.asarray(message.arrays["pixels"])
        else:
            window.error = "The pixels that were asked for did not come."
        window.there.set()
