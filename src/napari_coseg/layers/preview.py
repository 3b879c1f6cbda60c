"""The layer that shows what an object would be, before it is one.

napari does much for a layer that moves, changes its shape or is shown and hidden: the extent of
everything is computed anew, and so is the scene. The preview is asked for with every click, so it
is a window that stays where it is as long as it can, in which pixels are set.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

from napari_coseg.layers.placing import lay_on
from napari_coseg.layers.tuples import METADATA
from napari_coseg.types import Mask

#: Role of the layer of the mask to come, in its metadata.
PREVIEW_ROLE = "preview"
#: Longest side in pixels of the window, unless a mask is longer.
WINDOW = 1024
#: Pixels that change at once up to which napari redraws these alone. It keeps lists of the last
#: hundred such changes for an undo of its own.
_PARTIAL = 1 << 12

Full = npt.NDArray[np.float64]


class Preview:
    """A window of an image's plane in which one mask is shown.

    Parameters
    ----------
    image : Image layer
        What masks are of.
    axes : tuple of int
        Its rows and columns.
    name : str
        Of the layer.
    colour : str
        Of the mask.
    placed : dict
        Where the image lies: scale, translate and so on.

    Attributes
    ----------
    layer : Labels layer
        To be added to a viewer.
    """

    def __init__(
        self, image: Any, axes: tuple[int, int], name: str, colour: str, placed: dict[str, Any]
    ) -> None:
        self._image = image
        self._axes = tuple(axis % image.ndim for axis in axes)
        lengths = image.data[0].shape if image.multiscale else image.data.shape
        self._lengths = tuple(int(lengths[axis]) for axis in self._axes)
        self._origin = np.zeros(image.ndim)
        self._shown: Mask | None = None
        self.layer: Any = Labels(
            self._empty(tuple(min(length, WINDOW) for length in self._lengths)),
            name=name,
            metadata={METADATA: {"role": PREVIEW_ROLE}},
            opacity=0.5,
            colormap={None: colour, 0: "transparent", 1: colour},
            **placed,
        )

    def show(self, mask: Mask | None, plane: Full) -> None:
        """Show a mask in place of the one before.

        Parameters
        ----------
        mask : Mask or None
            In pixels of the image's plane; None or an empty one shows nothing.
        plane : ndarray of float, (ndim,)
            Any point of the plane, in pixels of the image.
        """
        if mask is not None and not mask.area:
            mask = None
        if mask is None:
            if self._shown is not None:
                self._redraw(None)
            return
        origin = self._origin_for(mask, plane)
        if origin is None:
            self._redraw(mask)
        else:
            self._move(mask, origin)

    def follow(self) -> None:
        """Lie where the image lies now."""
        lay_on(self.layer, self._image)
        self.layer.translate = self._translate(self._origin)

    def _origin_for(self, mask: Mask, plane: Full) -> Full | None:
        """Return where the window must lie to hold a mask, None where it holds it already."""
        held = self._spans(self.layer.data.shape)
        fits = True
        origin = np.round(np.asarray(plane, float))
        for axis, length, first, side, window in zip(
            self._axes, self._lengths, mask.origin, mask.bits.shape, held, strict=True
        ):
            low = self._origin[axis]
            fits &= low <= first and first + side <= low + window
            window = max(window, side)
            middle = first + side / 2
            origin[axis] = round(max(min(middle - window / 2, length - window), 0))
        others = [axis for axis in range(len(origin)) if axis not in self._axes]
        same = np.array_equal(origin[others], self._origin[others])
        return None if fits and same else origin

    def _move(self, mask: Mask, origin: Full) -> None:
        layer = self.layer
        window = self._spans(layer.data.shape)
        larger = tuple(max(a, b) for a, b in zip(window, mask.bits.shape, strict=True))
        if self._shown is not None:
            self._part(self._shown)[...] = 0
        self._origin, self._shown = origin, mask
        # The window lies within the image: nothing else changes with it, and napari need not ask.
        with layer.events.translate.blocker(), layer.events.data.blocker():
            if larger != window:
                layer.data = self._empty(larger)
            self._part(mask)[...] = mask.bits
            layer.translate = self._translate(origin)

    def _redraw(self, mask: Mask | None) -> None:
        """Set the pixels that differ."""
        old, self._shown = self._shown, mask
        masks = [one for one in (old, mask) if one is not None]
        if not masks:
            return
        low = np.min([one.origin for one in masks], axis=0)
        high = np.max([np.add(one.origin, one.bits.shape) for one in masks], axis=0)
        now, then = np.zeros((2, *(high - low)), bool)
        for bits, one in ((then, old), (now, mask)):
            if one is not None:
                first = np.subtract(one.origin, low)
                last = first + one.bits.shape
                bits[first[0] : last[0], first[1] : last[1]] = one.bits
        rows, columns = np.nonzero(now != then)
        if not len(rows):
            return
        values = now[rows, columns].astype(np.uint8)
        indices: list[npt.NDArray[np.int64]] = [np.zeros(len(rows), np.int64)] * self.layer.ndim
        for axis, places, first in zip(self._axes, (rows, columns), low, strict=True):
            indices[axis] = places + int(first - self._origin[axis])
        if len(rows) <= _PARTIAL and self.layer.visible:
            self.layer.data_setitem(tuple(indices), values)
        else:
            self.layer.data[tuple(indices)] = values
            self.layer.refresh(extent=False, thumbnail=False, highlight=False)

    def _part(self, mask: Mask) -> npt.NDArray[np.uint8]:
        """Return the window's pixels under a mask, (rows, columns), as a view."""
        flat = self.layer.data.reshape(self._spans(self.layer.data.shape, ordered=True))
        if self._axes[0] > self._axes[1]:
            flat = flat.T
        first = [int(o - self._origin[a]) for a, o in zip(self._axes, mask.origin, strict=True)]
        rows, columns = mask.bits.shape
        part: npt.NDArray[np.uint8] = flat[
            first[0] : first[0] + rows, first[1] : first[1] + columns
        ]
        return part

    def _spans(self, shape: tuple[int, ...], *, ordered: bool = False) -> tuple[int, ...]:
        axes = sorted(self._axes) if ordered else self._axes
        return tuple(int(shape[axis]) for axis in axes)

    def _empty(self, spans: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        shape = [1] * self._image.ndim
        for axis, span in zip(self._axes, spans, strict=True):
            shape[axis] = span
        return np.zeros(shape, np.uint8)

    def _translate(self, first: Full) -> Full:
        """Return the translation of a layer whose first pixel is this one of the image."""
        world = np.asarray(self._image.data_to_world(first), float)
        inner: Full = np.asarray(self._image.affine.inverse(world), float)
        return inner
