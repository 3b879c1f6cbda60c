"""Labels that the disk did not take in time: they stay in the viewer, and are written later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QObject, QTimer

from napari_coseg.widgets.queue_labels import CaseLabels

#: Milliseconds between two looks whether the disk takes them now.
_AGAIN = 500


class LateWork(QObject):
    """Keeps the journals of a case open after its dock was closed, until all is on the disk.

    Parameters
    ----------
    labels : CaseLabels
        Of the case; nobody else closes them any more.
    """

    _all: ClassVar[list[LateWork]] = []

    def __init__(self, labels: CaseLabels) -> None:
        super().__init__()
        self._labels = labels
        self._all.append(self)
        warn_unsaved(labels.layers)
        self._timer = QTimer(self)
        self._timer.setInterval(_AGAIN)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    def _look(self) -> None:
        if not self._labels.wait(0):
            return
        self._timer.stop()
        self._all.remove(self)
        names = ", ".join(layer.name for layer in self._labels.layers)
        self._labels.let_go()
        show_info(f"All of {names} is on the disk now.")


def warn_unsaved(layers: Sequence[Any]) -> None:
    """Tell that layers hold work that is not on the disk."""
    names = ", ".join(layer.name for layer in layers)
    show_warning(
        f"Not all of {names} is on the disk: the layers stay here. See whether the disk is full or "
        "its folder gone, leave napari open, or save the layers to files."
    )
