"""The field for the model: those that fit the image, volumes' own first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from qtpy.QtWidgets import QComboBox, QWidget

from napari_coseg.layers.volume_kinds import LayerVolume
from napari_coseg.weights.card import ModelCard
from napari_coseg.widgets.parts import shape_combo

#: What an image is: a stack may be a volume, or pictures on each other.
Kind = Literal["picture", "stack", "volume"]
_TIP = "The model, and what it knows."


class ModelField(QComboBox):
    """The models that can be used with an image, with their cards."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        shape_combo(self, _TIP)
        self._models: list[tuple[str, ModelCard]] = []
        # The model that was chosen last, by what it was chosen for.
        self._last: dict[Kind, str] = {}
        self.kind: Kind = "picture"

    @property
    def card(self) -> ModelCard | None:
        """Card of the chosen model; None where there is none."""
        card: ModelCard | None = self.currentData()
        return card

    def remember(self) -> None:
        """Note what is chosen, for the next image of this kind."""
        self._last[self.kind] = self.currentText()

    def show_models(self, models: Sequence[tuple[str, ModelCard]]) -> None:
        """Offer other models; the chosen one stays where it is among them. Says nothing of it."""
        self._models = list(models)
        self._offer(self.currentText())

    def fit(self, volume: LayerVolume | None) -> bool:
        """Offer what fits an image; return whether another model is chosen now.

        Says nothing of it. For a volume, a model of volumes comes first; between pictures and
        stacks the model stays.

        Parameters
        ----------
        volume : LayerVolume or None
            None for a picture.
        """
        before, name = self.kind, self.currentText()
        self.kind = "picture" if volume is None else "volume" if volume.sure else "stack"
        if self.kind == before:
            return False
        self._offer(self._last.get(self.kind) or ("" if self.kind == "volume" else name))
        return bool(self.currentText() != name)

    def _offer(self, wanted: str) -> None:
        pictures = [one for one in self._models if one[1].planes is None]
        volumes = [one for one in self._models if one[1].planes is not None]
        offered = {
            "picture": pictures,
            "stack": pictures + volumes,
            "volume": volumes + pictures,
        }[self.kind]
        self.blockSignals(True)
        self.clear()
        for name, card in offered:
            self.addItem(name, card)
        self.setCurrentIndex(max(0, self.findText(wanted)) if offered else -1)
        self.blockSignals(False)
        tip = _TIP
        if volumes and self.kind == "picture":
            names = ", ".join(name for name, _ in volumes)
            tip += f" Models of volumes ({names}) are offered for images with three axes of space."
        self.setToolTip(tip)
