"""How often a process that runs networks looks for garbage."""

from __future__ import annotations

import atexit
import gc
import sys

#: Containers that come and stay until young ones are looked through, and looks until older ones
#: are. Measured with a volume on two cores: at Python's 700, importing PyTorch and running a
#: network spend a twentieth of their time on looking through what stays; at 20,000 hardly any.
YOUNG, OLDER = 20_000, 20


def collect_seldom() -> None:
    """Look for garbage less often than Python does by itself; what a person has set stays."""
    if gc.isenabled() and gc.get_threshold()[0] < YOUNG:
        gc.set_threshold(YOUNG, OLDER, OLDER)


def leave_quickly() -> None:
    """Do not look through all that is there when the process ends, which takes more than a second.

    It comes after all that was registered to be done at the end. What a module still holds then is
    left to the system: files are to be closed by who opens them.
    """
    atexit.register(_freeze)


def _freeze() -> None:
    # Triton, which some trainings import, counts what is left of it, and prints a page of it.
    if "triton" not in sys.modules:
        gc.freeze()
