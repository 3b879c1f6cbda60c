"""The FDI number of the tooth that is chosen in the Prompt dock."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.widgets.parts import focus_canvas, note
from napari_coseg.widgets.prompt_words import confidence_words
from napari_coseg.widgets.tooth_field import fdi_combo


class ToothRow(QWidget):
    """Shows the number of an object, how sure it is, and who else has it; takes another one.

    Attributes
    ----------
    numbered : Signal
        Label of an object, and the number that a person chose for it, 0 for none.
    """

    numbered = Signal(int, int)

    def __init__(self) -> None:
        super().__init__()
        self._label = 0
        self._number = fdi_combo()
        self._sure = QLabel()
        self._others = note()
        row = QHBoxLayout()
        row.addWidget(QLabel("FDI"))
        row.addWidget(self._number)
        row.addWidget(self._sure, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self._others)
        self._number.activated.connect(self._on_number)

    def show_tooth(
        self, record: ObjectRecord | None, objects: Mapping[int, ObjectRecord] | None = None
    ) -> None:
        """Show the number of an object among others; None: no tooth is chosen."""
        self.setVisible(record is not None)
        if record is None:
            return
        self._label = record.label
        self._number.setCurrentIndex(max(0, self._number.findData(record.fdi)))
        proposed = confidence_words(record.fdi_confidence)
        words = f"proposed, {proposed}" if proposed else "sure"
        self._sure.setText(words if record.fdi else "")
        same = [
            other.label
            for other in (objects or {}).values()
            if record.fdi and other.fdi == record.fdi and other.label != record.label
        ]
        listed = ", ".join(map(str, same))
        words = "Object" if len(same) == 1 else "Objects"
        verb = "has" if len(same) == 1 else "have"
        self._others.setText(f"{words} {listed} {verb} this number too." if same else "")
        self._others.setVisible(bool(same))

    def _on_number(self, index: int) -> None:
        self.numbered.emit(self._label, int(self._number.itemData(index)))
        # Else the next key would choose a number.
        focus_canvas(self)
