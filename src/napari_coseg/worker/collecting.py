"""How often a process that runs networks looks for garbage."""

from __future__ import annotations

import gc

#: Containers that come and stay until young ones are looked through, and looks until older ones
#: are. Measured with a volume on two cores: at Python's 700, importing PyTorch and running a
#: network spend a twentieth of their time on looking through what stays; at 20,000 hardly any.
YOUNG, OLDER = 20_000, 20


def collect_seldom() -> None:
    """Look for garbage less often than Python does by itself; what a person has set stays."""
    if gc.isenabled() and gc.get_threshold()[0] < YOUNG:
        gc.set_threshold(YOUNG, OLDER, OLDER)
