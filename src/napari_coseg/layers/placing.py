"""Where layers lie in the world: compared, and taken over from one to another."""

from __future__ import annotations

from typing import Any

import numpy as np

#: All that says where a layer's pixels lie.
_KEPT = ("scale", "translate", "rotate", "shear", "affine", "units")


def place_of(layer: Any) -> tuple[Any, ...]:
    """Return where a layer lies, as values that can be compared."""
    corners = (np.zeros(layer.ndim), *np.eye(layer.ndim))
    places = np.array([layer.data_to_world(corner) for corner in corners], float)
    return (*np.round(places, 9).ravel().tolist(), *map(str, layer.units))


def lay_on(layer: Any, image: Any) -> None:
    """Let a layer's pixels lie where those of an image lie."""
    for name in _KEPT:
        setattr(layer, name, getattr(image, name))
