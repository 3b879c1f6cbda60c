"""Small Qt parts that docks share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QCoreApplication, QEvent, QEventLoop, Qt
from qtpy.QtWidgets import QComboBox, QLabel, QMainWindow, QSizePolicy, QWidget


class Dock(QWidget):
    """A dock's content, which is told when it goes.

    napari takes a dock's content out of the window before it deletes it, and sends no close event;
    a window of its own sends one and keeps its parent. Either way `let_go` is called once.
    """

    _gone = False

    @property
    def gone(self) -> bool:
        """Whether it has let go already."""
        return self._gone

    def let_go(self) -> None:
        """Hear no more of the viewer, and end what is under way."""

    def event(self, event: Any) -> bool:
        """See to it that `let_go` is called."""
        closing = event.type() == QEvent.Type.Close
        taken = event.type() == QEvent.Type.ParentChange and self.parent() is None
        if (closing or taken) and not self._gone:
            self._gone = True
            self.let_go()
        handled: bool = super().event(event)
        return handled


def wait_for(over: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is over, for some seconds at most; return whether it is.

    The window is drawn meanwhile, and answers of threads are heard; clicks and keys wait.
    """
    flags = QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents
    end = time.monotonic() + seconds
    while not over():
        if time.monotonic() > end:
            return False
        QCoreApplication.processEvents(flags, 20)
        time.sleep(0.005)
    return True


def focus_canvas(widget: QWidget) -> None:
    """Give the keyboard back to the picture: else a combo box eats the next key."""
    window = widget.window()
    central = window.centralWidget() if isinstance(window, QMainWindow) else None
    if central is None:
        return
    for child in central.findChildren(QWidget):
        # The canvas: of what a window has in its middle it alone takes the wheel.
        if child.focusPolicy() == Qt.FocusPolicy.WheelFocus:
            child.setFocus()
            return


def combo(tip: str) -> QComboBox:
    """Return a combo box that a long name does not widen."""
    box = QComboBox()
    shape_combo(box, tip)
    return box


def shape_combo(box: QComboBox, tip: str) -> None:
    """See to it that a long name does not widen a combo box."""
    box.setToolTip(tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(12)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)


def note() -> QLabel:
    """Return a label that breaks its lines instead of widening the dock."""
    label = QLabel()
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label
