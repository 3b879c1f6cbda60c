"""How long a person worked at a case."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds after which a person who did nothing is taken for gone.
IDLE = 60.0


class ActiveTime:
    """Counts the seconds in which a case is open and the person does something.

    The clock is the monotonic one: setting the time of day changes nothing. Where a machine slept,
    or somebody left, no more than `idle` seconds of the gap are counted.

    Parameters
    ----------
    idle : float
        Seconds.
    clock : callable
        Seconds that never go back.
    """

    def __init__(self, idle: float = IDLE, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle = idle
        self._clock = clock
        self._last: float | None = None
        self._counted = 0.0

    @property
    def running(self) -> bool:
        """Whether a case is open."""
        return self._last is not None

    def begin(self) -> None:
        """Start from 0: a case was opened."""
        self._last, self._counted = self._clock(), 0.0

    def touch(self) -> None:
        """Count up to now: the person did something."""
        if self._last is None:
            return
        now = self._clock()
        # A clock that goes back, which it must not, takes nothing away.
        self._counted += min(max(now - self._last, 0.0), self._idle)
        self._last = now

    def take(self) -> float:
        """Return the seconds since the last call, and count on from 0.

        What lies after the person's last deed is not in it: it counts once there is another one.
        """
        taken, self._counted = self._counted, 0.0
        return taken

    def end(self) -> float:
        """Stop, since the person closed the case; return the seconds that were not taken yet."""
        self.touch()
        self._last = None
        return self.take()
