"""The thread that brings changes of a queue to the disk; what gathers meanwhile goes together."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from napari_coseg.annotation.queue_faults import queue_trouble
from napari_coseg.annotation.queue_store import Change, QueueStore

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Seconds between two attempts after a failure.
RETRY = 1.0


class QueueWriter:
    """Owns the open file of a queue and writes to it in a thread of its own.

    Parameters
    ----------
    store : QueueStore
        Open; nobody else may use it from here on.
    on_trouble : callable, optional
        Called, in the writer's thread, with a sentence when writing fails, and with None when it
        works again.
    """

    def __init__(
        self, store: QueueStore, on_trouble: Callable[[str | None], None] | None = None
    ) -> None:
        self.error: str | None = None
        self._store = store
        self._on_trouble = on_trouble
        self._changes: list[Change] = []
        self._asked: list[Callable[[], None]] = []
        self._condition = threading.Condition()
        self._closing: float | None = None
        self._due = 0.0
        self._thread = threading.Thread(target=self._run, name="coseg-queue", daemon=True)
        self._thread.start()

    @property
    def saved(self) -> bool:
        """Whether everything is on the disk."""
        with self._condition:
            return not self._changes

    def put(self, *changes: Change) -> None:
        """Hand over what is to be written, together or not at all; returns at once."""
        with self._condition:
            if self._closing is not None:
                raise RuntimeError("the queue is closed")
            self._changes += changes
            self._condition.notify_all()

    def ask(self, question: Callable[[QueueStore], T]) -> Future[T]:
        """Let the writer's thread use the file."""
        future: Future[T] = Future()

        def answer() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(question(self._store))
            except Exception as error:
                future.set_exception(error)

        with self._condition:
            if self._closing is not None:
                raise RuntimeError("the queue is closed")
            self._asked.append(answer)
            self._condition.notify_all()
        return future

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything is on the disk; whether it is."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._changes, timeout)

    def close(self, timeout: float = 10.0) -> bool:
        """Write what is left and close the file; whether everything is on the disk."""
        with self._condition:
            if self._closing is None:
                self._closing = time.monotonic() + timeout
            self._condition.notify_all()
        self._thread.join(timeout + 5.0)
        return self.saved

    def _run(self) -> None:
        while True:
            with self._condition:
                now = time.monotonic()
                ready = bool(self._changes) and (now >= self._due or self._closing is not None)
                if not (ready or self._asked or self._closing is not None):
                    self._condition.wait(max(self._due - now, 0.01) if self._changes else None)
                    continue
                changes = list(self._changes) if ready else []
                asked, self._asked = self._asked, []
                closing = self._closing
            if changes and not self._write(changes) and closing is not None:
                if time.monotonic() >= closing:
                    break
                time.sleep(0.1)
            for answer in asked:
                answer()
            if closing is not None and not changes:
                break
        self._store.close()

    def _write(self, changes: list[Change]) -> bool:
        try:
            self._store.write(changes)
        # Whatever goes wrong, the changes stay here and the thread goes on.
        except Exception as error:
            log.debug("writing the queue failed", exc_info=True)
            self._due = time.monotonic() + RETRY
            self._say(queue_trouble(error, self._store.path))
            return False
        with self._condition:
            del self._changes[: len(changes)]
            self._condition.notify_all()
        self._say(None)
        return True

    def _say(self, sentence: str | None) -> None:
        if sentence == self.error:
            return
        self.error = sentence
        if self._on_trouble is not None:
            self._on_trouble(sentence)
