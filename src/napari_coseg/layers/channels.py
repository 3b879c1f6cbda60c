"""Which pixels are channels of one picture: an axis of a layer, or layers on each other.

napari itself is not imported: what a layer is asked for is public, and tests can pretend it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Axes of more channels are not mixed: their colours could not be told apart. Who wants some of
#: forty splits them into layers, and shows those.
MOST_CHANNELS = 6
_NAMES = ("c", "ch", "channel", "channels")
# What napari calls an axis that nobody named.
_NO_NAME = re.compile(r"-\d+|")
_NO_UNIT = ("", "pixel", "dimensionless")
# Of an axis without a name: what is larger is a side of a picture (as napari sees colours).
_SIDE = 30


@dataclass(frozen=True)
class ChannelAxis:
    """An axis of a layer that holds channels.

    Attributes
    ----------
    axis : int
        Counted from the first one.
    sure : bool
        False where it may be a short stack of depth or time as well.
    """

    axis: int
    sure: bool


def channel_axis(layer: Any) -> ChannelAxis | None:
    """Return the axis of an Image layer that holds channels; None where there is none.

    An axis is one of channels if its label says so, or if nothing is labelled and it is the last
    one, or the only one before rows and columns, that is 2 to 6 long and has neither unit nor
    scale.
    """
    if getattr(layer, "rgb", False):
        return None
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    shape = tuple(int(length) for length in data.shape)
    if len(shape) < 3:
        return None
    labels = [str(label).strip().lower() for label in getattr(layer, "axis_labels", ()) or ()]
    for axis, label in enumerate(labels):
        if label in _NAMES:
            return ChannelAxis(axis, True)
    if not all(_NO_NAME.fullmatch(label) for label in labels):
        return None
    if 2 <= shape[-1] <= MOST_CHANNELS and min(shape[-3:-1]) > _SIDE:
        return ChannelAxis(len(shape) - 1, True)
    units = [str(unit) for unit in getattr(layer, "units", ()) or ()] or [""] * len(shape)
    likely = [
        axis
        for axis, (length, unit, size) in enumerate(
            zip(shape[:-2], units, layer.scale, strict=False)
        )
        if 2 <= length <= MOST_CHANNELS and unit in _NO_UNIT and size == 1
    ]
    return ChannelAxis(likely[0], False) if len(likely) == 1 else None


@dataclass(frozen=True)
class ChannelGroup:
    """Image layers that lie on each other as channels of one picture.

    Attributes
    ----------
    layers : tuple of Image layer
        From the lowest to the highest.
    """

    layers: tuple[Any, ...]

    @property
    def name(self) -> str:
        """Names of the layers."""
        return ", ".join(layer.name for layer in self.layers)


def channel_groups(images: Sequence[Any]) -> list[ChannelGroup]:
    """Return the visible layers that are seen mixed: same pixels and place, added to each other.

    Parameters
    ----------
    images : sequence of Image layer
        From the lowest to the highest.
    """
    places: list[list[Any]] = []
    for layer in images:
        if layer.visible and not layer.rgb:
            for place in places:
                if _same_place(place[0], layer):
                    place.append(layer)
                    break
            else:
                places.append([layer])
    groups = (_seen(place) for place in places)
    return [ChannelGroup(group) for group in groups if len(group) > 1]


def _seen(layers: list[Any]) -> tuple[Any, ...]:
    """Return what is seen of layers that cover each other; nothing if they are not added."""
    seen: list[Any] = []
    for layer in reversed(layers):
        if layer.blending in ("minimum", "multiplicative"):
            return ()
        seen.insert(0, layer)
        # One that is not added to those below hides them.
        if layer.blending != "additive":
            break
    return tuple(seen)


def _same_place(one: Any, other: Any) -> bool:
    shapes = [
        [tuple(level.shape) for level in (layer.data if layer.multiscale else [layer.data])]
        for layer in (one, other)
    ]
    if shapes[0] != shapes[1] or tuple(one.units) != tuple(other.units):
        return False
    # Where the first pixel and the last one of each axis lie says all of scale, place and turn.
    corners = np.vstack([np.zeros(one.ndim), np.diag(shapes[0][0])])
    return all(
        np.allclose(one.data_to_world(corner), other.data_to_world(corner)) for corner in corners
    )
