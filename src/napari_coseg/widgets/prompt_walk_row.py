"""The row of the Prompt dock by which objects are followed through a volume."""

from __future__ import annotations

from typing import cast

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_coseg.widgets.parts import combo, focus_canvas
from napari_coseg.widgets.prompt_walk_plan import Way

_WAYS: dict[Way, str] = {
    "both": "Both ways",
    "higher": "Higher planes",
    "lower": "Lower planes",
    "onward": "From here on",
}
_TIP = (
    "Follow the object through the volume, plane by plane. Followed are: the object at work, with "
    "those that were boxed on this plane and are on no other; or the objects that are selected. "
    "Planes that you drew on stay as they are, and so does what lies beyond them."
)
_WAY_TIP = (
    "Which planes are done. From here on: not the side that the object came from, as after a "
    "correction."
)


class WalkRow(QWidget):
    """A button, which is Cancel while objects are followed, and the way.

    Parameters
    ----------
    key : str
        The button's key, as people write it.

    Attributes
    ----------
    pressed : Signal
        The button.
    """

    pressed = Signal()

    def __init__(self, key: str) -> None:
        super().__init__()
        self._hint = f" ({key})" if key else ""
        self._button = QPushButton("Propagate")
        self._button.setToolTip(_TIP + self._hint)
        self._button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._button.clicked.connect(lambda: self.pressed.emit())
        self.ways = combo(_WAY_TIP)
        for way, words in _WAYS.items():
            self.ways.addItem(words, way)
        self.ways.activated.connect(lambda row: focus_canvas(self))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button, 1)
        layout.addWidget(self.ways, 1)
        self.setVisible(False)

    @property
    def way(self) -> Way:
        """The way that is chosen."""
        return cast(Way, self.ways.currentData())

    @property
    def words(self) -> str:
        """What stands on the button."""
        return str(self._button.text())

    @property
    def ready(self) -> bool:
        """Whether the button can be pressed."""
        return bool(self._button.isEnabled())

    def show_state(self, *, volume: bool, running: bool, count: int) -> None:
        """Show what the button would do.

        Parameters
        ----------
        volume : bool
            Whether there are planes to go through.
        running : bool
            Whether objects are being followed.
        count : int
            How many would be.
        """
        self.setVisible(volume or running)
        objects = f" {count} objects" if count > 1 else ""
        self._button.setText(f"Cancel{self._hint}" if running else f"Propagate{objects}")
        self._button.setEnabled(running or count > 0)
        self.ways.setEnabled(not running)
