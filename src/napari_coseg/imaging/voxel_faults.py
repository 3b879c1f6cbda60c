"""What may be wrong with voxels: no numbers, and negative numbers that wrapped around."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.stored_voxels import not_finite
from napari_coseg.imaging.volume_headers import HeaderFacts

# Negative numbers that were saved as unsigned ones of 16 bits stand above this, and between them
# and all others there is nothing: -4096 and up, which is all that a scanner has.
_WRAPPED, _HALF = (1 << 16) - 4096, 1 << 15
# Air is at least this part of a volume; less may be metal that is as bright as numbers go.
_AIR = 0.01


def repaired(
    path: Path, voxels: npt.NDArray[Any], facts: HeaderFacts
) -> tuple[npt.NDArray[Any], list[str]]:
    """Return voxels that are all numbers, and what is odd about them.

    Parameters
    ----------
    path : Path
        For the sentences.
    voxels : ndarray
        As ITK read them; changed in place where some are no numbers.
    facts : HeaderFacts

    Returns
    -------
    voxels : ndarray
    notes : list of str
    """
    notes = []
    if voxels.dtype.kind == "f":
        if facts.mended is not None:
            bad = not_finite(facts, voxels.size)
        else:
            bad = np.flatnonzero(~np.isfinite(voxels))
        if bad.size:
            flat = voxels.ravel()
            flat[bad] = np.inf
            lowest = flat.min()
            flat[bad] = lowest if np.isfinite(lowest) else 0
            voxels = flat.reshape(voxels.shape)
            notes.append(
                f"{path.name} has {bad.size:,} voxels that are no numbers (NaN or infinite): they "
                f"take the lowest value, {voxels.min():g}."
            )
    elif voxels.dtype == np.uint16 and _looks_wrapped(voxels):
        notes.append(
            f"{path.name} looks like negative numbers that were saved as unsigned ones (values up "
            f"to {int(voxels.max()):,}): export it again as signed if air is white."
        )
    return voxels, notes


def _looks_wrapped(voxels: npt.NDArray[np.uint16]) -> bool:
    """Whether unsigned values look like negative ones that wrapped around."""
    high = voxels >= _HALF
    if not high.any():
        return False
    air = int(np.count_nonzero(high)) / voxels.size
    return _AIR < air < 1 and bool((voxels[high] >= _WRAPPED).all())
