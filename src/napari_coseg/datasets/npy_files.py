"""Arrays of NumPy's files, mapped into memory: nothing is read before it is asked for.

Format: NumPy's NPY (`numpy.lib.format`). Pickled objects are never loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.opening import check_file, damaged
from napari_coseg.types import CosegError


def open_npy(path: Path) -> npt.NDArray[Any]:
    """Map an array of a file.

    The mapping must not be kept in what is pickled for another process: that would copy it.

    Returns
    -------
    ndarray
        Read only; its pixels are read from the disk when they are looked at.

    Raises
    ------
    CosegError
        If the file cannot be read, ends too early, or holds pickled objects.
    """
    path = check_file(path)
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, TypeError, SyntaxError) as error:
        if "Object arrays" in str(error) or "Python objects" in str(error):
            raise CosegError(
                f"{path} holds Python objects, which are not loaded since they may run code: save "
                "it as an array of numbers or of text."
            ) from error
        raise damaged(path, error) from error
    if not isinstance(found, np.ndarray):
        # An archive of several arrays.
        found.close()
        raise CosegError(f"{path} is an archive of arrays, and one array was expected.")
    return found
