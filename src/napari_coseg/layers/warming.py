"""What a first Labels layer needs is brought into memory before a result is there."""

from __future__ import annotations

import threading

import numpy as np
from napari.utils.transforms import Affine

_once = threading.Lock()


def warm_up() -> None:
    """Import, in a thread, what napari imports with the first Labels layer; once a program.

    It makes random colours with scikit-image (and SciPy), and looks labels of 32 bits up with numba
    where that is installed: half a second to two, for which a window should not stand still.
    """
    if _once.acquire(blocking=False):
        # Units of length are read with the first layer, and not for two threads at once: an image
        # that a person opens meanwhile would find no unit "pixel". This reads them here (0.2 s).
        Affine(ndim=2)
        threading.Thread(target=_first_layer, name="first labels", daemon=True).start()


def _first_layer() -> None:
    from napari.layers import Labels

    # Never shown: made for what its making brings in.
    Labels(np.zeros((1, 1), np.int32))
