"""What a first Labels layer needs is brought into memory before a result is there."""

from __future__ import annotations

import threading

import numpy as np

_once = threading.Lock()


def warm_up() -> None:
    """Import, in a thread, what napari imports with the first Labels layer; once a program.

    It makes random colours with scikit-image (and SciPy), and looks labels of 32 bits up with numba
    where that is installed: half a second to two, for which a window should not stand still.
    """
    if _once.acquire(blocking=False):
        threading.Thread(target=_first_layer, name="first labels", daemon=True).start()


def _first_layer() -> None:
    from napari.layers import Labels

    # Never shown: made for what its making brings in.
    Labels(np.zeros((1, 1), np.int32))
