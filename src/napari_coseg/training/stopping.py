"""Ctrl-C and SIGTERM end a run between two steps, never in the middle of one."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

#: Exit code of a program that ends on SIGTERM, as shells have it.
TERMINATED = 143


class StopRequest:
    """Notes a signal while the block runs; a second one of Ctrl-C ends it at once.

    Signals reach Python's main thread alone: elsewhere nothing is noted, and the caller's own
    handlers stay in force.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether somebody wants the run to end."""
        return self._number is not None

    def obey(self) -> None:
        """Leave as the signal would have.

        Raises
        ------
        KeyboardInterrupt, SystemExit
            If a signal came.
        """
        if self._number == signal.SIGTERM:
            raise SystemExit(TERMINATED)
        if self._number is not None:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._number == number == signal.SIGINT:
            raise KeyboardInterrupt
        self._number = number
