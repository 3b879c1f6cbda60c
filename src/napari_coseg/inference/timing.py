"""Seconds by stage, for records and benchmarks."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from threading import Lock


class Timings:
    """Add up wall-clock seconds under names; stages in several threads may overlap."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = Lock()

    @contextlib.contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Count the block's time towards a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._seconds[stage] += time.perf_counter() - start

    def as_dict(self) -> dict[str, float]:
        """Return seconds by stage, rounded to a millisecond."""
        with self._lock:
            return {stage: round(seconds, 3) for stage, seconds in self._seconds.items()}
