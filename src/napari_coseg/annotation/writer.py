"""The thread that brings edits to the disk, so that no other one ever waits for it.

What has gathered while one transaction was on its way goes into the next one. Where the disk
refuses, edits wait in memory, the person is told, and the thread tries again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from napari_coseg.annotation.faults import trouble
from napari_coseg.annotation.journal import Journal
from napari_coseg.annotation.steps import Base, Note, Step

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Seconds between two attempts after a failure.
RETRY = 1.0
#: Seconds without work after which the file is tidied.
_IDLE = 2.0


class Writer:
    """Owns an open journal and writes to it in a thread of its own.

    Parameters
    ----------
    journal : Journal
        Open; nobody else may use it from here on.
    on_saved : callable, optional
        Called, in any thread, with False when something waits to be written and True when all is
        on the disk. It must return at once and wait for no other thread.
    on_trouble : callable, optional
        Called, in the writer's thread, with a sentence when writing fails, with None when it works
        again.
    """

    def __init__(
        self,
        journal: Journal,
        on_saved: Callable[[bool], None] | None = None,
        on_trouble: Callable[[str | None], None] | None = None,
    ) -> None:
        self.error: str | None = None
        self.durable = journal.last_id
        self._journal = journal
        self._path: Path = journal.path
        self._on_saved = on_saved
        self._on_trouble = on_trouble
        self._steps: list[Step | Base | Note] = []
        self._asked: list[tuple[Future[Any], Callable[[Journal], Any]]] = []
        self._change = threading.Condition()
        self._closing: float | None = None
        # Held while `on_saved` is called, so that the last call tells the last state.
        self._telling = threading.RLock()
        self._told = True
        self._thread = threading.Thread(target=self._run, name="coseg-journal", daemon=True)
        self._thread.start()

    @property
    def saved(self) -> bool:
        """Whether everything is on the disk."""
        with self._change:
            return not self._steps

    def put(self, step: Step | Base | Note) -> None:
        """Hand over something to write; returns at once."""
        with self._change:
            if self._closing is not None:
                raise RuntimeError("the case is closed")
            self._steps.append(step)
            self._change.notify_all()
        self._tell()

    def ask(self, question: Callable[[Journal], T]) -> Future[T]:
        """Let the writer's thread read from the journal: what is durable at that moment."""
        future: Future[T] = Future()
        with self._change:
            if self._closing is not None:
                raise RuntimeError("the case is closed")
            self._asked.append((future, question))
            self._change.notify_all()
        return future

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything is on the disk; whether it is."""
        with self._change:
            return self._change.wait_for(lambda: not self._steps, timeout)

    def close(self, timeout: float = 10.0) -> bool:
        """Write what is left and close the file; whether everything is on the disk."""
        with self._change:
            if self._closing is None:
                self._closing = time.monotonic() + timeout
            self._change.notify_all()
        self._thread.join(timeout + 5.0)
        with self._change:
            return not self._steps

    def _run(self) -> None:
        most: int | None = None
        due = 0.0
        tidy = True
        while True:
            with self._change:
                now = time.monotonic()
                ready = bool(self._steps) and (now >= due or self._closing is not None)
                if not (self._asked or ready or self._closing is not None):
                    pause = due - now if self._steps else _IDLE if tidy else None
                    notified = self._change.wait(pause)
                    if notified or self._steps or self._asked:
                        continue
                asked, self._asked = self._asked, []
                steps = self._steps[:most] if ready else []
                closing = self._closing
            for future, question in asked:
                self._answer(future, question)
            if steps:
                failed = self._write(steps)
                most, due = (1, time.monotonic() + RETRY) if failed else (None, 0.0)
                tidy = True
                if failed and closing is not None:
                    if time.monotonic() >= closing:
                        break
                    time.sleep(0.1)
            elif closing is not None:
                break
            elif not asked:
                self._tidy(True)
                tidy = False
        for future, _ in self._asked:
            future.cancel()
        self._journal.close()

    def _write(self, steps: list[Step | Base | Note]) -> bool:
        """Write some steps and tell of it; whether that failed."""
        try:
            self._journal.write(steps)
        # Whatever goes wrong, the edits stay here and the thread goes on.
        except Exception as error:
            log.debug("writing the journal failed", exc_info=True)
            self._say(trouble(error, self._path))
            return True
        with self._change:
            del self._steps[: len(steps)]
            for step in steps:
                if isinstance(step, Step):
                    self.durable = max(self.durable, step.edit.id)
            self._change.notify_all()
            # With little room some edits may pass while others do not.
            over = not self._steps
        if over:
            self._say(None)
        self._tell()
        self._tidy(False)
        return False

    def _answer(self, future: Future[Any], question: Callable[[Journal], Any]) -> None:
        try:
            future.set_result(question(self._journal))
        except Exception as error:
            future.set_exception(error)

    def _tidy(self, idle: bool) -> None:
        try:
            self._journal.tidy(idle)
        except Exception:
            # No room for it now: the -wal file holds everything.
            log.debug("tidying the journal failed", exc_info=True)

    def _say(self, sentence: str | None) -> None:
        if sentence == self.error:
            return
        self.error = sentence
        if self._on_trouble is not None:
            _call(self._on_trouble, sentence)

    def _tell(self) -> None:
        with self._telling:
            while True:
                saved = self.saved
                if saved == self._told:
                    return
                self._told = saved
                if self._on_saved is not None:
                    _call(self._on_saved, saved)


def _call(listener: Callable[[Any], None], value: Any) -> None:
    try:
        listener(value)
    except Exception:
        log.exception("a listener of the journal failed")
