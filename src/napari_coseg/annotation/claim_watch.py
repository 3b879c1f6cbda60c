"""Whether the programs that have cases of a shared queue still live.

Each shows that it does by a counter in a file of its own (`Seat`). How long that counter stood
still is measured by the clock of who looks (`Watch`).
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from napari_coseg.annotation.claims import Step

#: Seconds between two beats of a program, and for which a counter must stand still until its
#: claims count for nothing.
BEAT, PATIENCE = 10.0, 180.0
#: Seconds between two looks of which no more are counted: a machine that slept did not look.
_LONGEST = 30.0


class Seat:
    """The counter by which a program shows that it lives.

    Parameters
    ----------
    folder : Path
        Of all counters; it must exist.
    seat : str
        The program's own.
    """

    def __init__(self, folder: Path, seat: str) -> None:
        self._path = folder / f"{seat}.beat"
        # Not from 0: a program that was started again differs from what it showed before.
        self._count = secrets.randbelow(1 << 40)

    def beat(self) -> None:
        """Count on.

        Raises
        ------
        OSError
            If the folder is gone.
        """
        self._count += 1
        # In place: who looks asks only whether it changed, and on Windows a file that somebody
        # reads cannot be replaced.
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(handle, f"{self._count:020}".encode())
        finally:
            os.close(handle)


class Watch:
    """Measures how long programs stood still that have cases, by the clock of who looks.

    Two clocks are never compared, nor is the time of day looked at.

    Parameters
    ----------
    folder : Path
        Of all counters.
    patience : float
        Seconds.
    clock : callable
        Seconds that never go back.
    """

    def __init__(
        self,
        folder: Path,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._patience = patience
        self._clock = clock
        self._last: float | None = None
        self._seen: dict[str, tuple[object, float]] = {}

    def look(self, steps: Mapping[str, Step]) -> None:
        """Look at the counters of those who have cases.

        Only time between two looks is counted, and no more than half a minute of it: not what
        passed while this machine slept, or the share was away.
        """
        now = self._clock()
        passed = 0.0 if self._last is None else min(max(now - self._last, 0.0), _LONGEST)
        self._last = now
        beats: dict[str, bytes] = {}
        seen: dict[str, tuple[object, float]] = {}
        for key, step in steps.items():
            if not step.token:
                continue
            if step.seat not in beats:
                beats[step.seat] = self._beat(step.seat)
            sign = (step.turn, step.token, beats[step.seat])
            before = self._seen.get(key)
            still = before[1] + passed if before is not None and before[0] == sign else 0.0
            seen[key] = sign, still
        self._seen = seen

    def lost(self) -> None:
        """Forget the last look: the share could not be reached."""
        self._last = None

    def expired(self, key: str, step: Step) -> bool:
        """Whether the program that has a case stood still for too long."""
        seen = self._seen.get(key)
        if seen is None or seen[1] < self._patience:
            return False
        return seen[0] == (step.turn, step.token, self._beat(step.seat))

    def _beat(self, seat: str) -> bytes:
        try:
            return (self._folder / f"{seat}.beat").read_bytes()
        except OSError:
            return b""
