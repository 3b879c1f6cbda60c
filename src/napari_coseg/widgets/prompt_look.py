"""Hears that an image is shown in another way, or lies elsewhere, once that has come to rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

#: What colours a mixed picture has, and where an image lies.
_MATTERS = (
    "contrast_limits",
    "gamma",
    "colormap",
    "opacity",
    "scale",
    "translate",
    "rotate",
    "shear",
    "affine",
    "units",
)
#: Milliseconds of rest: a slider that is dragged tells of every step.
_REST = 200


class LookListener(QObject):
    """Listens to the layers of one image.

    Attributes
    ----------
    changed : Signal
        After a short rest.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._heard: list[Any] = []
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.timeout.connect(self.changed)

    def hear(self, layers: Iterable[Any]) -> None:
        """Listen to these layers, and to no other."""
        wanted = list(layers)
        for layer in self._heard:
            if layer not in wanted:
                for name in _MATTERS:
                    getattr(layer.events, name).disconnect(self.touch)
        for layer in wanted:
            if layer not in self._heard:
                for name in _MATTERS:
                    getattr(layer.events, name).connect(self.touch)
        self._heard = wanted

    def touch(self, event: object = None) -> None:
        """Tell of a change, after a rest."""
        self._rest.start(_REST)

    def let_go(self) -> None:
        """Hear no more."""
        self._rest.stop()
        self.hear([])
