"""When an object that is followed from plane to plane is lost. Torch-free."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_coseg.inference.interpolation import bits_within, overlap
from napari_coseg.types import Mask

# What surrounds an object: this far from it, in pixels, and no nearer than the first.
_AROUND = (1, 4)
# Grey levels of 255 between an object and what surrounds it, under which they look the same.
_APART = 8.0
_EIGHT = np.ones((3, 3), bool)
# Part of its largest area under which an object is thin; where masks were cut, by the median of so
# many planes.
_THIN = 0.65
_RECENT = 3

#: Why a plane does not carry an object on; "" where it does.
Fault = Literal["", "nothing", "small", "shrunk", "grown", "regrown", "moved", "unsure", "unlike"]


@dataclass(frozen=True)
class StopSettings:
    """What a mask must be to count as the next plane of an object.

    Attributes
    ----------
    least_mm2 : float
        Its area at least.
    shrink, grow : float
        Its area must lie between these multiples of the median of the planes before.
    memory : int
        How many planes before count.
    shared : float
        Part of the smaller one of it and the mask before that both must have in common.
    stability : float
        Least stability of its outline.
    regrow : float
        Once the area has fallen under two thirds of its largest, it may not grow again to more
        than this multiple of its least since: another object has taken over, as the tooth that it
        bites on.
    alike : float
        Least part of its pixels that are as bright as the object was on the plane before, and not
        as bright as what surrounded it there. Not asked where both were alike.
    """

    least_mm2: float = 1.0
    shrink: float = 0.3
    grow: float = 1.8
    memory: int = 5
    shared: float = 0.6
    stability: float = 0.72
    regrow: float = 1.4
    alike: float = 0.8


@dataclass(frozen=True)
class Look:
    """How bright an object is on a plane, and what surrounds it: medians, 0 to 255."""

    inside: float
    around: float

    @classmethod
    def of(cls, grey: npt.NDArray[np.uint8], mask: Mask) -> Look:
        """Look at an object.

        Parameters
        ----------
        grey : ndarray of uint8, (rows, columns)
            The plane.
        mask : Mask
            (row, column), not empty.
        """
        more = _AROUND[1]
        bits = np.pad(mask.bits, more)
        ring = ndimage.binary_dilation(bits, _EIGHT, more)
        ring &= ~ndimage.binary_dilation(bits, _EIGHT, _AROUND[0])
        rows, columns = np.nonzero(ring)
        rows, columns = rows + mask.origin[0] - more, columns + mask.origin[1] - more
        there = (rows >= 0) & (columns >= 0) & (rows < grey.shape[0]) & (columns < grey.shape[1])
        inside = float(np.median(grey[mask.window][mask.bits]))
        if not there.any():
            return cls(inside, inside)
        return cls(inside, float(np.median(grey[rows[there], columns[there]])))

    def part_alike(self, grey: npt.NDArray[np.uint8], mask: Mask) -> float:
        """Return which part of a mask on another plane looks like the object; 1 if unclear.

        What is enclosed by it counts: a tooth has a pulp.
        """
        if abs(self.inside - self.around) < _APART or not mask.area:
            return 1.0
        bits = ndimage.binary_fill_holes(mask.bits & self._alike(grey[mask.window]))
        return float(bits[mask.bits].mean())

    def trimmed(self, grey: npt.NDArray[np.uint8], mask: Mask, before: Mask) -> Mask:
        """Return what of a mask looks like the object, holes filled, and hangs on it before."""
        bits = ndimage.binary_fill_holes(mask.bits & self._alike(grey[mask.window]))
        parts, count = ndimage.label(bits)
        if count:
            kept = np.zeros(count + 1, bool)
            kept[parts[bits_within(before, mask) & bits]] = True
            bits = kept[parts]
        return Mask.of(bits, mask.origin)

    def _alike(self, grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        middle = (self.inside + self.around) / 2
        return grey > middle if self.inside > self.around else grey < middle


class Course:
    """The areas of an object along its way, and whether a mask carries it on.

    Parameters
    ----------
    settings : StopSettings
    pixel_mm2 : float
        Area of a pixel.
    start : Mask
        Where the way begins.
    """

    def __init__(self, settings: StopSettings, pixel_mm2: float, start: Mask) -> None:
        self._settings = settings
        self._pixel = pixel_mm2
        self._areas: deque[int] = deque([start.area], settings.memory)
        self._largest = start.area
        self._least: float | None = None

    def fault_of(
        self, mask: Mask, stability: float, grey: npt.NDArray[np.uint8], before: Mask, look: Look
    ) -> Fault:
        """Say why a mask is not the next plane of the object, "" if it is.

        Parameters
        ----------
        mask : Mask
            (row, column), on this plane.
        stability : float
        grey : ndarray of uint8, (rows, columns)
            This plane.
        before : Mask
            On the plane before.
        look : Look
            How bright it was there.
        """
        rules, area = self._settings, mask.area
        usual = float(np.median(self._areas))
        if area == 0:
            return "nothing"
        if area * self._pixel < rules.least_mm2:
            return "small"
        if area < rules.shrink * usual:
            return "shrunk"
        if area > rules.grow * usual:
            return "grown"
        if self._least is not None and area > rules.regrow * self._least:
            return "regrown"
        if overlap(mask, before) < rules.shared * min(area, before.area):
            return "moved"
        if stability < rules.stability:
            return "unsure"
        if look.part_alike(grey, mask) < rules.alike:
            return "unlike"
        return ""

    def take(self, mask: Mask, *, trimmed: bool = False) -> None:
        """Count a mask as the next plane.

        Parameters
        ----------
        mask : Mask
        trimmed : bool
            Whether it is what `Look.trimmed` left of an answer.
        """
        self._areas.append(mask.area)
        self._largest = max(self._largest, mask.area)
        # Near metal half of a mask may be cut away: one such plane says little.
        area = float(np.median(list(self._areas)[-_RECENT:]) if trimmed else mask.area)
        if self._least is not None:
            self._least = min(self._least, area)
        elif area < _THIN * self._largest:
            self._least = area
