"""How threads of a network wait for each other on a CPU."""

from __future__ import annotations

import os

#: Turns of the loop in which a thread waits before it sleeps. Measured with two cores and another
#: program on one of them: at the library's default (some milliseconds) a crop took up to 40 times
#: as long, since the waiting thread took the core that the awaited one needed; at 1,000 it took
#: twice as long. Alone, 1,000 costs a tenth to a quarter of the time.
TURNS = 1000


def share_cores() -> None:
    """Make threads that wait leave their core to others soon.

    Works where PyTorch comes with GNU's OpenMP, which is on Linux, and must be called before
    PyTorch is imported. What a person has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(TURNS))
