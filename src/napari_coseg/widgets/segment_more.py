"""What most people never touch in the Segment dock."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFormLayout, QWidget

from napari_coseg.weights.card import ModelCard
from napari_coseg.widgets.parts import combo

_DEVICES = (("Automatic", "auto"), ("CPU", "cpu"), ("CUDA", "cuda"), ("MPS", "mps"))


class MoreSettings(QWidget):
    """Device, least score, smallest region, flips; of volumes the grey values too.

    Attributes
    ----------
    device_chosen : Signal
        Another device.
    """

    device_chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._least: tuple[str, float] | None = None
        self._own_score = 0.0
        self._form = QFormLayout(self)
        self._form.setContentsMargins(12, 0, 0, 0)
        self._device = combo("Where the model runs. Automatic takes a GPU where there is one.")
        for text, name in _DEVICES:
            self._device.addItem(text, name)
        self._grey = combo(
            "Which grey values the model sees as black and white. Automatic leaves out half a per "
            "cent at either end, as in its training."
        )
        self._grey.addItem("Automatic window", False)
        self._grey.addItem("As shown (contrast limits)", True)
        self.surest = QDoubleSpinBox()
        self.surest.setRange(0, 0.99)
        self.surest.setSingleStep(0.05)
        self.surest.setSpecialValueText("keep all")
        self.surest.setToolTip(
            "Objects whose score (mean foreground probability, 0 to 1) is lower are left out. The "
            "model's own value is the best compromise; lower it where objects are missing, raise "
            "it where too much is found."
        )
        self._smallest = _size(
            " µm²", 0, "Smaller parts of regions, and holes, join what is around them."
        )
        self._part = _size(" mm³", 100, "Smaller parts of jaws and pharynx are left out.")
        self._flips = QCheckBox("Average four orientations")
        self._flips.setToolTip("Slightly better outlines; takes four times as long.")
        self._form.addRow("Device", self._device)
        self._form.addRow("Grey values", self._grey)
        self._form.addRow("Least object score", self.surest)
        self._form.addRow("Smallest region", self._smallest)
        self._form.addRow("Smallest region", self._part)
        self._form.addRow("", self._flips)
        self._device.currentIndexChanged.connect(lambda _: self.device_chosen.emit())
        self.fit(volume=False)

    @property
    def device(self) -> str:
        """Name of the chosen device."""
        return str(self._device.currentData())

    def choose_device(self, name: str) -> None:
        """Choose a device; the automatic one where there is none of that name."""
        self._device.setCurrentIndex(max(0, self._device.findData(name)))

    @property
    def min_score(self) -> float | None:
        """Least score of an object; None for the model's own."""
        return None if self.surest.value() == self._own_score else float(self.surest.value())

    @property
    def min_region_um2(self) -> float:
        """Smallest part of a region of a picture."""
        return float(self._smallest.value())

    @property
    def min_region_mm3(self) -> float:
        """Smallest part of a region of a volume."""
        return float(self._part.value())

    @property
    def as_shown(self) -> bool:
        """Whether a volume's grey values are taken with the contrast limits."""
        return bool(self._grey.currentData())

    @property
    def tta(self) -> bool:
        """Whether four orientations are averaged."""
        return bool(self._flips.isChecked())

    def fit(self, *, volume: bool) -> None:
        """Show what makes sense for a volume, or for a picture."""
        self._form.setRowVisible(self._grey, volume)
        self._form.setRowVisible(self._part, volume)
        self._form.setRowVisible(self._smallest, not volume)

    def show_model(self, name: str, card: ModelCard) -> None:
        """Show the model's own least score, unless a person has changed what that model said."""
        own = card.post_processing.get("min_score", 0.0)
        # What is wrong with a card is said when it is used.
        own = float(own) if isinstance(own, int | float) else 0.0
        if (name, own) != self._least:
            self.surest.setValue(own)
            self._least = name, own
            self._own_score = self.surest.value()


def _size(unit: str, value: float, tip: str) -> QDoubleSpinBox:
    field = QDoubleSpinBox()
    field.setRange(0, 1e6)
    field.setDecimals(0)
    field.setSuffix(unit)
    field.setSpecialValueText("keep all")
    field.setValue(value)
    field.setToolTip(tip)
    return field
