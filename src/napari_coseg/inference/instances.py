"""Objects from HV maps: where one touching nucleus ends and the next begins.

The manner is HoVer-Net's (Graham et al. 2019, "HoVer-Net: Simultaneous segmentation and
classification of nuclei in multi-tissue histology images", Medical Image Analysis 58, section
3.2): the horizontal map rises from -1 to +1 across each nucleus, so between two that touch it
falls steeply. The steepness of that fall is the energy; markers are the parts of the foreground
where it is low; a marker-controlled watershed on it divides the rest.

What differs: the scale of the energy is a constant of the kernel and not the window's own
minimum and maximum, so that the same pixels give the same objects in a tile and in a slide; and
only foreground parts that hold several markers go through the watershed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage
from skimage.segmentation import watershed

from napari_coseg.imaging.objects import pixel_table
from napari_coseg.inference.energy import LEVELS, hv_energy
from napari_coseg.inference.hovernet import divide_window
from napari_coseg.types import CosegError

_Bool = npt.NDArray[np.bool_]
_Int32 = npt.NDArray[np.int32]
_Pixels = npt.NDArray[np.intp]

#: HV values beyond this are a fault and no overshoot; the largest kernel cannot overflow below it.
_HV_LIMIT = 1e6


@dataclass(frozen=True)
class InstanceSettings:
    """How maps become objects. Lengths and areas are in pixels of the maps.

    Attributes
    ----------
    foreground_threshold : float
        Smallest foreground probability of an object's pixel.
    marker_threshold : float
        Largest energy of a marker's pixel. With ``scaling="fixed"`` 1 is the fall from +1 to -1
        between two neighbouring pixels and 0 a flat map; with ``"window"`` 0 is the steepest
        rise and 1 the steepest fall of the window.
    min_area : int
        Foreground parts and objects with fewer pixels are dropped, before holes are filled.
    marker_min_area : int
        Markers with fewer pixels are dropped.
    kernel_size : int
        Side of the derivative kernel, odd, 3 to 31. A smaller one sees thinner necks, a larger
        one stands more noise.
    min_score : float
        Objects whose mean foreground probability is below it are left out. `instances_from_maps`
        does not look at it: of an object that is cut by a window's side the mean is not known, so
        that whoever puts windows together does.
    scaling : {"fixed", "window"}
        ``"window"`` follows HoVer-Net's published post-processing for one window, with its
        scaling by that window's extremes and without filling holes; objects then depend on what
        else the window shows. `hovernet` has the settings that belong to it.

    Notes
    -----
    The defaults were chosen on true CoNSeP nuclei (0.25 µm a pixel) whose exact maps were
    shrunk to every second pixel and back, blurred and made noisy; a network's own validation
    images are the better judge.

    Raises
    ------
    CosegError
        If a value is out of its range.
    """

    foreground_threshold: float = 0.5
    marker_threshold: float = 0.05
    min_area: int = 16
    marker_min_area: int = 10
    kernel_size: int = 9
    min_score: float = 0.0
    scaling: Literal["fixed", "window"] = "fixed"

    @classmethod
    def hovernet(cls) -> InstanceSettings:
        """Make the published settings of HoVer-Net at 0.25 µm a pixel, for one window."""
        return cls(
            marker_threshold=0.4, min_area=10, marker_min_area=10, kernel_size=21, scaling="window"
        )

    def __post_init__(self) -> None:
        if not 0 < self.foreground_threshold < 1:
            raise CosegError(
                f"foreground_threshold must lie between 0 and 1: {self.foreground_threshold}."
            )
        if not 0 < self.marker_threshold < 1:
            raise CosegError(f"marker_threshold must lie between 0 and 1: {self.marker_threshold}.")
        if self.min_area < 1 or self.marker_min_area < 1:
            raise CosegError("min_area and marker_min_area must be at least 1 pixel.")
        if not 3 <= self.kernel_size <= 31 or self.kernel_size % 2 == 0:
            raise CosegError(f"kernel_size must be odd and from 3 to 31: {self.kernel_size}.")
        if not 0 <= self.min_score < 1:
            raise CosegError(f"min_score must be at least 0 and below 1: {self.min_score}.")
        if self.scaling not in ("fixed", "window"):
            raise CosegError(f'scaling must be "fixed" or "window": {self.scaling!r}.')


def instances_from_maps(
    foreground: npt.NDArray[np.floating[Any]],
    hv: npt.NDArray[np.floating[Any]],
    classes: npt.NDArray[np.floating[Any]] | None = None,
    *,
    settings: InstanceSettings | None = None,
) -> tuple[_Int32, pd.DataFrame]:
    """Divide the foreground into objects and say what each one is.

    Parameters
    ----------
    foreground : ndarray of float, (rows, columns)
        Probability that a pixel belongs to an object, 0 to 1.
    hv : ndarray of float, (2, rows, columns)
        Horizontal map (column offset) and vertical map (row offset), each -1 at the left or top
        edge of an object and +1 at its right or bottom edge.
    classes : ndarray of float, (C + 1, rows, columns), optional
        Class probabilities, background first.
    settings : InstanceSettings, optional
        Defaults where it is left out.

    Returns
    -------
    labels : ndarray of int32, (rows, columns)
        Objects 1 to n in the order of their first pixels, row by row; 0 background. With fixed
        scaling an object is 4-connected, has no hole but one that holds another object, and
        does not depend on anything further from its foreground part than half a kernel.
    objects : DataFrame
        One row an object, see `napari_coseg.imaging.objects.object_table`.

    Raises
    ------
    CosegError
        If shapes do not fit, a value is not finite, `foreground` leaves 0..1 or `hv` is far
        outside -1..1. Class values are looked at inside objects only.
    """
    settings = settings or InstanceSettings()
    _check(foreground, hv, classes)
    labels: _Int32 = np.zeros(foreground.shape, np.int32)
    if foreground.size:
        mask, pixels, parts = _foreground_parts(foreground, settings)
        if settings.scaling == "window":
            labels.ravel()[pixels] = divide_window(
                mask, hv, settings.kernel_size, settings.marker_threshold, settings.marker_min_area
            ).ravel()[pixels]
        else:
            energy = hv_energy(hv, mask, settings.kernel_size)
            labels.ravel()[pixels] = _divide(mask, pixels, parts, energy, settings)
            _fill_holes(labels)
    pixels, ids = _number(labels)
    return labels, pixel_table(pixels, ids, foreground.shape[1], foreground, classes)


def _check(
    foreground: npt.NDArray[Any], hv: npt.NDArray[Any], classes: npt.NDArray[Any] | None
) -> None:
    if foreground.ndim != 2 or hv.shape != (2, *foreground.shape):
        raise CosegError(
            "The foreground map must have the shape (rows, columns) and the HV maps "
            f"(2, rows, columns), not {foreground.shape} and {hv.shape}."
        )
    if classes is not None and (
        classes.ndim != 3 or len(classes) < 1 or classes.shape[1:] != foreground.shape
    ):
        raise CosegError(
            f"The class maps must have the shape (classes + 1, *{foreground.shape}), "
            f"not {classes.shape}."
        )
    if foreground.size == 0:
        return
    # minimum and maximum carry NaN along and need no array of their own
    low, high = float(foreground.min()), float(foreground.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise CosegError(
            f"The foreground map must hold probabilities from 0 to 1, not {low:g} to {high:g}."
        )
    low, high = float(hv.min()), float(hv.max())
    if not (low >= -_HV_LIMIT and high <= _HV_LIMIT):
        raise CosegError(f"The HV maps must hold values near -1 to 1, not {low:g} to {high:g}.")


def _foreground_parts(
    foreground: npt.NDArray[Any], settings: InstanceSettings
) -> tuple[_Bool, _Pixels, _Int32]:
    """Foreground without small parts, its raveled pixels, and the connected part of each."""
    mask = np.ascontiguousarray(foreground >= settings.foreground_threshold)
    parts = np.empty(mask.shape, np.int32)
    ndimage.label(mask, output=parts)
    pixels = np.flatnonzero(mask)
    ids = parts.ravel()[pixels]
    kept = (np.bincount(ids) >= settings.min_area)[ids]
    mask.ravel()[pixels[~kept]] = False
    return mask, pixels[kept], ids[kept]


def _divide(
    mask: _Bool,
    pixels: _Pixels,
    parts: _Int32,
    energy: npt.NDArray[np.uint16],
    settings: InstanceSettings,
) -> _Int32:
    """Object of each foreground pixel: its part, or its basin where a part has several markers.

    Basins smaller than the smallest object become background.
    """
    low = mask & (energy <= int(settings.marker_threshold * LEVELS))
    markers = np.empty(mask.shape, np.int32)
    count = ndimage.label(low, output=markers)
    found = markers.ravel()[pixels]
    big = np.bincount(found, minlength=count + 1) >= settings.marker_min_area
    big[0] = False
    # a marker lies in one part, so any of its pixels tells which
    home = np.zeros(count + 1, np.int32)
    home[found] = parts
    number_of_parts = int(parts.max(initial=0)) + 1
    contested = (np.bincount(home[big], minlength=number_of_parts) > 1)[parts]
    if not contested.any():
        return parts
    at = pixels[contested]
    seeds = np.where(big, np.arange(count + 1, dtype=np.int32), 0)[found[contested]]
    markers[:] = 0
    markers.ravel()[at] = seeds
    open_pixels = np.zeros(mask.shape, bool)
    open_pixels.ravel()[at] = True
    open_pixels &= ~_inner(markers > 0)
    # The order of flooding is energy, then place: scikit-image leaves ties between markers to
    # its heap, whose order depends on the rest of the image.
    order = np.zeros(mask.shape, np.int32)
    order.ravel()[at[np.argsort(energy.ravel()[at], kind="stable")]] = np.arange(at.size)
    basins = watershed(order, markers, mask=open_pixels)
    basins = basins.ravel()[at]
    divided = parts.copy()
    basins = np.where(seeds > 0, seeds, basins)
    small = np.bincount(basins) < settings.min_area
    divided[contested] = np.where(small[basins], 0, basins + number_of_parts)
    return divided


def _inner(mask: _Bool) -> _Bool:
    """Pixels whose four neighbours are set too: what the flood from a marker never leaves by."""
    inner = np.zeros_like(mask)
    middle = mask[1:-1, 1:-1]
    inner[1:-1, 1:-1] = middle & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return inner


def _fill_holes(labels: _Int32) -> None:
    """Fill, in place, background parts that one object alone encloses."""
    holes = np.empty(labels.shape, np.int32)
    count = ndimage.label(labels == 0, np.ones((3, 3)), output=holes)
    closed = np.ones(count + 1, bool)
    closed[0] = False
    for side in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
        closed[side] = False
    if not closed.any():
        return
    at = np.flatnonzero(closed[holes])
    ids = holes.ravel()[at]
    low = np.full(count + 1, np.iinfo(np.int32).max, np.int32)
    high = np.zeros(count + 1, np.int32)
    # a closed hole does not touch the image's edge, so its pixels have all their neighbours
    for offset in (-labels.shape[1], labels.shape[1], -1, 1):
        beside = labels.ravel()[at + offset]
        filled = beside > 0
        np.minimum.at(low, ids[filled], beside[filled])
        np.maximum.at(high, ids[filled], beside[filled])
    inside = (low == high)[ids]
    labels.ravel()[at[inside]] = low[ids[inside]]


def _number(labels: _Int32) -> tuple[_Pixels, _Int32]:
    """Renumber the objects in raster order, in place; return their pixels and the id of each."""
    pixels = np.flatnonzero(labels)
    ids = labels.ravel()[pixels]
    if not pixels.size:
        return pixels, ids
    first = np.full(int(ids.max()) + 1, labels.size, np.intp)
    # of equal indices the last assignment stays, so backwards the first pixel does
    first[ids[::-1]] = pixels[::-1]
    present = np.flatnonzero(first < labels.size)
    numbers = np.zeros(first.size, labels.dtype)
    numbers[present[np.argsort(first[present])]] = np.arange(1, present.size + 1)
    ids = numbers[ids]
    labels.ravel()[pixels] = ids
    return pixels, ids
