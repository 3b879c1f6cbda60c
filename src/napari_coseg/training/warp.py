"""From a sample's pixels to those of the image that it is cut from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from PIL import Image


@dataclass(frozen=True)
class Warp:
    """Turn, scale, mirror and move: from a sample's pixels to those of its item.

    Attributes
    ----------
    centre : (float, float)
        Row and column of the item in the middle of the sample, continuous: a pixel's centre is at
        0.5.
    factor : float
        Pixels of the item that one of the sample stands for, along a side.
    angle : float
        Radians.
    mirror : bool
    """

    centre: tuple[float, float]
    factor: float
    angle: float
    mirror: bool

    def apply(
        self,
        picture: Image.Image,
        tile: int,
        stride: int,
        resampling: Image.Resampling,
        outside: int | tuple[int, ...],
    ) -> Image.Image:
        """Sample at the centres of a grid of `tile` / `stride` cells a side."""
        step = self.factor * stride
        cosine, sine = math.cos(self.angle) * step, math.sin(self.angle) * step
        flip = -1.0 if self.mirror else 1.0
        half = tile / stride / 2
        row, column = self.centre
        # PIL asks for x and y in continuous coordinates, in which a pixel's centre is at 0.5.
        a, b, d, e = flip * cosine, -sine, flip * sine, cosine
        c = column - a * half - b * half
        f = row - d * half - e * half
        size = (tile // stride, tile // stride)
        return picture.transform(
            size, Image.Transform.AFFINE, (a, b, c, d, e, f), resampling, fillcolor=outside
        )

    def shrunk(self, factor: float) -> Warp:
        """Return the same view of an item that was shrunk by a factor."""
        row, column = self.centre
        return replace(self, centre=(row / factor, column / factor), factor=self.factor / factor)
