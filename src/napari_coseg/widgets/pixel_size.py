"""The field for the size of a pixel, with a word about where it comes from."""

from __future__ import annotations

from typing import Literal

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QWidget

Origin = Literal["given", "image", "assumed"]

_WORDS: dict[Origin, tuple[str, str]] = {
    "image": ("from image", "The layer's scale and units say so."),
    "given": ("typed", "You typed it. Choose the image again to go back."),
    "assumed": (
        "assumed",
        "The image has no pixel size: the model's own is assumed, and areas are in pixels. "
        "Type the true size if you know it.",
    ),
}


class PixelSizeField(QWidget):
    """µm per pixel.

    Attributes
    ----------
    changed : Signal
        Emitted when a person types.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.origin: Origin = "assumed"
        self._field = QDoubleSpinBox()
        self._field.setDecimals(4)
        self._field.setRange(0.0001, 1000.0)
        self._field.setSingleStep(0.05)
        self._field.setSuffix(" µm")
        self._field.setKeyboardTracking(False)
        self._badge = QLabel()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._field, 1)
        layout.addWidget(self._badge)
        self._field.valueChanged.connect(self._on_typed)
        self.setFocusProxy(self._field)
        self.show_size(0.25, "assumed")

    def show_size(self, mpp: float, origin: Origin) -> None:
        """Show a size and who says so: "image", "given" or "assumed"."""
        self._field.blockSignals(True)
        self._field.setValue(mpp)
        self._field.blockSignals(False)
        self._mark(origin)

    @property
    def mpp(self) -> float:
        """What the field shows."""
        return float(self._field.value())

    def _mark(self, origin: Origin) -> None:
        self.origin = origin
        word, explanation = _WORDS[origin]
        self._badge.setText(word)
        self._badge.setToolTip(explanation)
        self._field.setToolTip(explanation)

    def _on_typed(self) -> None:
        self._mark("given")
        self.changed.emit()
