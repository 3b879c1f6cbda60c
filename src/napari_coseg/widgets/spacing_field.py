"""The field for the size of a voxel, with a word about where it comes from."""

from __future__ import annotations

import math
import re

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QWidget

from napari_coseg.imaging.volume_grid import Vector
from napari_coseg.widgets.pixel_size import Origin

_WORDS: dict[Origin, tuple[str, str]] = {
    "image": ("mm, from image", "The layer's scale and units say so."),
    "given": ("mm, typed", "You typed it. Choose the image again to go back."),
    "assumed": (
        "mm, assumed",
        "The image does not say how large a voxel is: the model's own size is assumed, and volumes "
        "are in voxels. Type the true size if you know it: one number, or planes x rows x columns.",
    ),
}
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


class SpacingField(QWidget):
    """mm from one plane, row and column to the next.

    Attributes
    ----------
    changed : Signal
        Emitted when a person typed another size.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.origin: Origin = "assumed"
        self._spacing: Vector = (1.0, 1.0, 1.0)
        self._field = QLineEdit()
        self._field.setMinimumWidth(90)
        self._badge = QLabel()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._field, 1)
        layout.addWidget(self._badge)
        self._field.editingFinished.connect(self._on_typed)
        self.setFocusProxy(self._field)
        self.show_size(self._spacing, "assumed")

    def show_size(self, spacing: Vector, origin: Origin) -> None:
        """Show a size and who says so: "image", "given" or "assumed"."""
        self._spacing, self.origin = spacing, origin
        self._field.setText(words_of(spacing))
        # Of a long one the beginning is seen.
        self._field.setCursorPosition(0)
        word, explanation = _WORDS[origin]
        self._badge.setText(word)
        self._badge.setToolTip(explanation)
        self._field.setToolTip(f"{words_of(spacing)} mm, planes x rows x columns. {explanation}")

    @property
    def spacing(self) -> Vector:
        """What the field shows, as exact as it came."""
        return self._spacing

    def _on_typed(self) -> None:
        text = self._field.text()
        if text == words_of(self._spacing):
            return
        typed = read_size(text)
        # What is no size goes back to the one before.
        self.show_size(typed or self._spacing, "given" if typed else self.origin)
        if typed:
            self.changed.emit()


def words_of(spacing: Vector) -> str:
    """Write a size."""
    return " x ".join(f"{side:.4g}" for side in spacing)


def read_size(text: str) -> Vector | None:
    """Read one number, or three; None for anything else."""
    numbers = [float(one.replace(",", ".")) for one in _NUMBER.findall(text)]
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3 or not all(0 < number < math.inf for number in numbers):
        return None
    return numbers[0], numbers[1], numbers[2]
