"""Channels mixed to one RGB picture, as napari shows them.

How a channel is shown is copied from its layer once, in the GUI's thread; windows are then read
and mixed in any thread, and no layer is asked again. napari itself is not imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.source import ImageSource
from napari_coseg.layers.channels import MOST_CHANNELS, ChannelGroup
from napari_coseg.layers.pictures import Box, Plane
from napari_coseg.layers.planes import Stack
from napari_coseg.types import CosegError

# Values that are told apart between the contrast limits: 16 between two of 8 bits, of which none
# is lost.
_STEPS = 16 * 255 + 1
_BLOCK_PIXELS = 1 << 18
_RED, _GREEN, _BLUE = (1, 0, 0), (0, 1, 0), (0, 0, 1)
_CYAN, _MAGENTA, _YELLOW = (0, 1, 1), (1, 0, 1), (1, 1, 0)


@dataclass(frozen=True)
class Channel:
    """How a channel is shown.

    Attributes
    ----------
    low, high : float
        Contrast limits: values outside are as these.
    table : ndarray of float32, (steps, 3)
        Red, green and blue, 0 to 255, of values evenly spread from `low` to `high`; gamma,
        transparency and opacity are in it.
    """

    low: float
    high: float
    table: npt.NDArray[np.float32]

    @classmethod
    def of(cls, layer: Any, colour: tuple[int, int, int] | None = None) -> Channel:
        """Copy it from an Image layer; call this in the GUI's thread.

        Parameters
        ----------
        layer : Image layer
            Its contrast limits and gamma are taken, and its colormap and opacity where no colour
            is given.
        colour : tuple of int, optional
            Of the brightest value, of 0 to 1; the darkest is black.
        """
        low, high = (float(limit) for limit in layer.contrast_limits)
        values = np.linspace(0, 1, _STEPS) ** float(layer.gamma)
        if colour is None:
            rgba = np.asarray(layer.colormap.map(values), float)
            table = rgba[:, :3] * rgba[:, 3:] * float(layer.opacity)
        else:
            table = values[:, None] * colour
        return cls(low, high, (table * 255).astype(np.float32))

    def same(self, other: Channel) -> bool:
        """Whether another channel is shown in the same way."""
        limits = (self.low, self.high) == (other.low, other.high)
        return limits and np.array_equal(self.table, other.table)

    def coloured(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the light of some pixels, a new last axis for colour; none where NaN is."""
        # 16 bits fit float32.
        kind = "f8" if values.dtype.itemsize > 2 else "f4"
        # Not in place: of a single value, NumPy returns no array.
        part = np.clip(values.astype(kind), self.low, self.high)
        part = (part - self.low) * ((_STEPS - 1) / max(self.high - self.low, 1e-30))
        missing = np.isnan(part)
        part[missing] = 0
        light: npt.NDArray[np.float32] = self.table[np.rint(part).astype(np.intp)]
        light[missing] = 0
        return light


def mix(windows: Sequence[npt.NDArray[Any]], channels: Sequence[Channel]) -> npt.NDArray[np.uint8]:
    """Add the light of channels.

    Parameters
    ----------
    windows : sequence of ndarray, (rows, columns)
        Values, one array a channel.
    channels : sequence of Channel
        How each is shown.

    Returns
    -------
    ndarray of uint8, (rows, columns, 3)
        Where the sum is more than white, it is cut.
    """
    rows, columns = windows[0].shape
    out = np.empty((rows, columns, 3), np.uint8)
    step = max(1, _BLOCK_PIXELS // max(1, columns))
    for row in range(0, rows, step):
        part = slice(row, row + step)
        light = sum(
            channel.coloured(window[part])
            for window, channel in zip(windows, channels, strict=True)
        )
        out[part] = np.rint(np.clip(light, 0, 255))
    return out


class CompositeSource(ImageSource):
    """Planes whose channels are mixed when a window is read.

    Parameters
    ----------
    planes : sequence of Plane
        Of one channel each, or of several, last.
    channels : sequence of Channel
        How they are shown, in the order of the planes.
    mpp : float or None
        µm per pixel.
    name : str
        For messages.
    """

    def __init__(
        self, planes: Sequence[Plane], channels: Sequence[Channel], mpp: float | None, name: str
    ) -> None:
        self._planes = planes
        self._channels = channels
        self.mpp = mpp
        self.name = name

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._planes[0].shape[0], self._planes[0].shape[1]

    def _read(self, row0: int, column0: int, row1: int, column1: int) -> npt.NDArray[np.uint8]:
        windows: list[npt.NDArray[Any]] = []
        for plane in self._planes:
            window = plane[row0:row1, column0:column1]
            self._look_at(window)
            windows.extend([window] if window.ndim == 2 else np.moveaxis(window, -1, 0))
        return mix(windows, self._channels)


@dataclass(frozen=True)
class Composite(Stack):
    """Channels as planes of mixed pictures.

    Attributes
    ----------
    channels : tuple of Channel
        How they are shown.
    parts : tuple of Stack
        Where their pixels are: one stack with an axis of channels, or a stack a channel.
    mixed : int or None
        That axis, which is one long here: a plane of results lies on all its channels.
    """

    channels: tuple[Channel, ...] = ()
    parts: tuple[Stack, ...] = ()
    mixed: int | None = None

    @classmethod
    def of(cls, layer: Any) -> Self:
        """Look at a layer with an axis of channels.

        napari shows one channel at a time, in grey. Mixed, two are magenta and green, three red,
        green and blue, more have the colours that napari gives when it splits channels; contrast
        limits and gamma are the layer's.

        Raises
        ------
        CosegError
            If it is no image, or has no such axis.
        """
        stack = Stack.of(layer)
        if not can_mix(stack) or stack.channel is None:
            raise CosegError(
                f"{stack.name} has no axis of 2 to {MOST_CHANNELS} channels that could be mixed."
            )
        colours = _colours(stack.length(stack.channel))
        channels = tuple(Channel.of(layer, colour) for colour in colours)
        return cls(
            stack.name,
            stack.levels,
            False,
            stack.mpp,
            stack.channel,
            channels=channels,
            parts=(stack,),
            mixed=stack.channel,
        )

    @classmethod
    def of_group(cls, group: ChannelGroup) -> Self:
        """Look at layers that lie on each other; each is mixed in as it is shown.

        Raises
        ------
        CosegError
            If one of them is no image.
        """
        stacks = tuple(Stack.of(layer) for layer in group.layers)
        channels = tuple(Channel.of(layer) for layer in group.layers)
        first = stacks[0]
        return cls(
            group.name,
            first.levels,
            False,
            first.mpp,
            first.channel,
            channels=channels,
            parts=stacks,
        )

    @classmethod
    def of_grey(cls, layer: Any) -> Self:
        """Look at a grey layer as it is shown: contrast limits and gamma say what is black, white.

        Raises
        ------
        CosegError
            If it is no image.
        """
        stack = Stack.of(layer)
        channels = (Channel.of(layer, (1, 1, 1)),)
        return cls(
            stack.name,
            stack.levels,
            False,
            stack.mpp,
            stack.channel,
            channels=channels,
            parts=(stack,),
        )

    @property
    def axes(self) -> tuple[int, ...]:
        """Lengths of the axes other than rows and columns; that of mixed channels is one."""
        return tuple(1 if a == self.mixed else self.length(a) for a in self.leading)

    def turned(self, layer: Any, shown: tuple[int, int]) -> Self:
        """Return the same pixels as pictures along other axes; see `Stack.turned`."""
        parts = tuple(part.turned(layer, shown) for part in self.parts)
        return replace(super().turned(layer, shown), parts=parts)

    def ratios(self, level: int) -> tuple[float, ...]:
        """Return how many pixels of each axis lie under one of a result's."""
        known = super().ratios(level)
        return tuple(float(self.length(a)) if a == self.mixed else v for a, v in enumerate(known))

    def source(
        self,
        index: Sequence[int],
        level: int,
        box: Box | None,
        mpp: float | None,
        like: ImageSource | None = None,
    ) -> CompositeSource:
        """Return a mixed picture as prediction reads it; contrast limits say what is white."""
        places: list[int | slice] = [
            slice(None) if a == self.mixed else i for a, i in zip(self.leading, index, strict=True)
        ]
        planes = [part.plane(places, level, box) for part in self.parts]
        return CompositeSource(planes, self.channels, mpp, self.name)


def can_mix(stack: Stack) -> bool:
    """Whether a stack has an axis of channels whose colours can be told apart."""
    return stack.channel is not None and 2 <= stack.length(stack.channel) <= MOST_CHANNELS


def same_look(one: Stack, other: Stack) -> bool:
    """Whether two stacks are read as the same pictures."""
    if (one.mpp, one.rgb, one.levels[0] is other.levels[0]) != (other.mpp, other.rgb, True):
        return False
    if not isinstance(one, Composite) or not isinstance(other, Composite):
        return type(one) is type(other)
    return (
        (one.mixed, len(one.channels)) == (other.mixed, len(other.channels))
        and all(a.same(b) for a, b in zip(one.channels, other.channels, strict=True))
        and all(a.levels[0] is b.levels[0] for a, b in zip(one.parts, other.parts, strict=True))
    )


def _colours(count: int) -> tuple[tuple[int, int, int], ...]:
    if count == 2:
        return _MAGENTA, _GREEN
    if count == 3:
        return _RED, _GREEN, _BLUE
    return (_CYAN, _MAGENTA, _YELLOW, _BLUE, _GREEN, _RED)[:count]
