"""Layers that one dock keeps under a journal, and lends to another that wants to edit them.

A journal belongs to one opener at a time. The queue keeps the objects of its open case; the Prompt
dock borrows them while it works on that image, and gives them back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(eq=False)
class HeldLayer:
    """A Labels layer under a journal.

    Attributes
    ----------
    image, layer : layer
        The image, and what is drawn on it.
    path : Path
        Of the journal.
    lend : callable
        Closes the journal, so that somebody else can open it; nothing where it is lent already.
    take_back : callable
        Opens it again.
    borrowed : object
        The open case's target of whoever has it, None while nobody has.
    """

    image: Any
    layer: Any
    path: Path
    lend: Callable[[], None]
    take_back: Callable[[], None]
    borrowed: Any = None


_held: list[HeldLayer] = []


def hold(held: HeldLayer) -> None:
    """Let others know of a layer."""
    _held.append(held)


def forget(held: HeldLayer) -> None:
    """Lend a layer no more."""
    if held in _held:
        _held.remove(held)


def held_on(image: Any) -> HeldLayer | None:
    """Return the layer that is kept for an image, None for none."""
    return next((held for held in _held if held.image == image), None)


def held_as(layer: Any, path: Path | None) -> HeldLayer | None:
    """Return what is known of a layer, or of a journal; None where nobody keeps it."""
    for held in _held:
        if held.path == path or (layer is not None and held.layer == layer):
            return held
    return None
