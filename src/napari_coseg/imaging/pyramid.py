"""A picture that is there at several scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.array_source import ImageSource


class Pyramid(ImageSource):
    """A picture with coarser copies of itself.

    Parameters
    ----------
    levels : sequence of ImageSource
        The same picture, the finest first. Their sizes need not be halves of each other: each
        one shows all of the picture.

    Raises
    ------
    ValueError
        If there is none.
    """

    def __init__(self, levels: Sequence[ImageSource]) -> None:
        if not levels:
            raise ValueError("a pyramid has one level at least")
        self._levels = tuple(levels)
        self.name = levels[0].name
        self.mpp = levels[0].mpp

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the finest level."""
        return self._levels[0].shape

    @property
    def levels(self) -> tuple[ImageSource, ...]:
        """The picture at each scale, the finest first."""
        return self._levels

    def _read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        return self._levels[0].read(row0, column0, row1, column1)

    def close(self) -> None:
        """Close all levels."""
        for level in self._levels:
            level.close()
