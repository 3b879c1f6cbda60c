"""Messages from any thread to the one that owns a ZeroMQ socket. Torch-free."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Outbox(Generic[T]):
    """A queue that a poller can wait for, since ZeroMQ's sockets must stay in one thread.

    Its `fileno` becomes readable when something is put in.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        # A pair of sockets and not a pipe: Windows can poll nothing else.
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """Return what to poll for reading."""
        return self._reader.fileno()

    def put(self, item: T) -> None:
        """Add an item, from any thread."""
        self._items.append(item)
        # A full pair wakes the owner all the same; a closed one has no owner any more.
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def drain(self) -> list[T]:
        """Take all items, in the owner's thread."""
        with contextlib.suppress(OSError):
            while self._reader.recv(4096):
                pass
        items = []
        while self._items:
            items.append(self._items.popleft())
        return items

    def close(self) -> None:
        """Give the sockets back."""
        self._reader.close()
        self._writer.close()
