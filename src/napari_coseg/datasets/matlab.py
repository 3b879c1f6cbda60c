"""Variables of MATLAB files.

Format: MATLAB's MAT-file level 5, which `scipy.io` reads; it holds arrays and no code. Files of
level 7.3 are HDF5 and are refused with what to do.
"""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import io

from napari_coseg.imaging.opening import MAX_WHOLE_PIXELS, check_file, damaged
from napari_coseg.types import CosegError

_HDF5 = b"\x89HDF\r\n\x1a\n"
# Where HDF5 may begin, after MATLAB's own text.
_HDF5_AT = (0, 512)
_DECODING = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    MemoryError,
    NotImplementedError,
    zlib.error,
    io.matlab.MatReadError,
)


def read_mat(path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Read variables of a MATLAB file.

    Parameters
    ----------
    path : Path
    names : sequence of str
        Variables that must be there; others are not read.

    Returns
    -------
    dict of str to ndarray
        Numbers as they are stored, with the two axes that MATLAB gives everything.

    Raises
    ------
    CosegError
        If the file cannot be read, is of level 7.3, lacks a variable, or one of them is no array
        of numbers or larger than any label of a picture.
    """
    path = check_file(path)
    _refuse_hdf5(path)
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            # What scipy warns of here (names that stand twice) does not concern a person.
            warnings.simplefilter("ignore")
            shapes = {name: shape for name, shape, _ in io.whosmat(file)}
            missing = [name for name in names if name not in shapes]
            if missing:
                raise CosegError(
                    f"{path} has no variable {missing[0]!r} (it has {', '.join(shapes) or 'none'})"
                    ": it is no label of this set, is of another version of it, or ends too early."
                )
            for name in names:
                if math.prod(shapes[name]) > MAX_WHOLE_PIXELS:
                    raise CosegError(
                        f"{path} has {' x '.join(map(str, shapes[name]))} values in {name!r}, more "
                        "than any picture that can be read."
                    )
            file.seek(0)
            found = io.loadmat(file, variable_names=list(names))
    except _DECODING as error:
        raise damaged(path, error) from error
    for name in names:
        value = found[name]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
            raise CosegError(f"{path} has no numbers in {name!r}.")
    return {name: found[name] for name in names}


def _refuse_hdf5(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(_HDF5_AT[-1] + len(_HDF5))
    if any(head[at : at + len(_HDF5)] == _HDF5 for at in _HDF5_AT):
        raise CosegError(
            f"{path} is a MATLAB file of level 7.3 (HDF5), which is not read: save it with "
            "MATLAB's -v7, or with scipy.io.savemat."
        )
