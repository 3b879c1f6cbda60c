"""The number of a tooth: click the tooth, choose its FDI number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_coseg.layers.fdi_numbers import fdi_of, has_teeth, set_fdi
from napari_coseg.types import FDI_NUMBERS
from napari_coseg.widgets.parts import focus_canvas, note

if TYPE_CHECKING:
    from napari.layers import Layer

_CLICK = "Click a tooth to correct its FDI number."


def fdi_combo() -> QComboBox:
    """Return a field that offers all FDI numbers, and none; its data are numbers, 0 for none."""
    field = QComboBox()
    field.addItem("no number", 0)
    for number in FDI_NUMBERS:
        field.addItem(str(number), number)
    field.setToolTip(
        "FDI number: quadrant (1 upper right, 2 upper left, 3 lower left, 4 lower right of the "
        "patient; 5 to 8 for milk teeth) and place from the middle. It stands in the layer's "
        "table, column fdi, with a confidence of 1 once you chose it, the same one too."
    )
    return field


class ToothField(QWidget):
    """Shows the tooth that was clicked, and takes another number for it.

    Attributes
    ----------
    numbered : Signal
        A tooth has another number.
    """

    numbered = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layer: Layer | None = None
        self._label = 0
        self._name = QLabel()
        self._number = fdi_combo()
        self._words = note()
        row = QHBoxLayout()
        row.addWidget(self._name, 1)
        row.addWidget(self._number)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self._words)
        self._number.activated.connect(self._on_number)
        self.show_layer(None)

    def show_layer(self, layer: Layer | None) -> None:
        """Look at the objects of a layer; the field is seen if they are teeth."""
        if layer is None or layer != self._layer:
            self._layer = layer
            self._show(0)
        self.setVisible(layer is not None and has_teeth(layer))

    def show_tooth(self, label: int) -> None:
        """Show an object of the layer; 0 and unknown ones change nothing."""
        if self._layer is not None and label and fdi_of(self._layer, label) is not None:
            self._show(label)

    def _show(self, label: int) -> None:
        self._label = label
        number = fdi_of(self._layer, label) if self._layer is not None and label else None
        self._number.setEnabled(number is not None)
        self._number.setCurrentIndex(max(0, self._number.findData(number or 0)))
        self._name.setText(f"Object {label}, FDI number" if label else _CLICK)
        self._number.setVisible(bool(label))
        self._say([])

    def _on_number(self, index: int) -> None:
        if self._layer is None or not self._label:
            return
        number: Any = self._number.itemData(index)
        same = set_fdi(self._layer, self._label, int(number))
        self._say(same)
        self.numbered.emit()
        # Else the next key would choose a number.
        focus_canvas(self)

    def _say(self, same: list[int]) -> None:
        others = ", ".join(map(str, same))
        self._words.setText(f"Object {others} has this number too." if same else "")
        self._words.setVisible(bool(same))
