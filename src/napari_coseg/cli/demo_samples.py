"""Pictures of the demo: a real stained one that scikit-image ships, and a generated one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets import stained_colon
from napari_coseg.datasets.synthetic_histology import SyntheticTile, generate_tile

#: Names of the pictures, which their files begin with.
REAL, GENERATED = stained_colon.NAME, "generated"

#: Side and pixel size of the generated tile: a CoNSeP tile's.
GENERATED_SHAPE, GENERATED_MPP = (1000, 1000), 0.25

GENERATED_SEED = 2


@dataclass(frozen=True)
class Sample:
    """One picture of the demo.

    Attributes
    ----------
    name : str
    image : ndarray of uint8, (rows, columns, 3)
    mpp : float
        µm per pixel.
    note : str
        What a person should know about it.
    truth : SyntheticTile or None
        Exact labels, where there are any.
    """

    name: str
    image: npt.NDArray[np.uint8]
    mpp: float
    note: str
    truth: SyntheticTile | None = None


def real_sample() -> Sample:
    """Colon stained with DAB and haematoxylin, as scikit-image ships it; read from disk."""
    return Sample(
        REAL,
        stained_colon.stained_colon(),
        stained_colon.MPP,
        f"real colon, DAB and haematoxylin (scikit-image); {stained_colon.NOTE}",
    )


def generated_sample() -> Sample:
    """Generate an H&E-like colon tile with exact truth."""
    tile = generate_tile(GENERATED_SEED, GENERATED_SHAPE, GENERATED_MPP)
    return Sample(
        GENERATED,
        tile.image,
        tile.mpp,
        f"generated, H&E-like, with exact truth; {tile.mpp:g} µm a pixel",
        tile,
    )


#: What the demo shows, in this order.
SAMPLES: tuple[Callable[[], Sample], ...] = (real_sample, generated_sample)
