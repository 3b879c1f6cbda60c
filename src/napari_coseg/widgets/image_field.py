"""The field for the image: layers, and layers that are channels of one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_coseg.layers.channels import ChannelGroup, channel_groups
from napari_coseg.widgets.parts import shape_combo

if TYPE_CHECKING:
    import napari.viewer

# What decides whether layers are seen mixed, and what an image is.
_MATTERS = ("visible", "blending", "data", "scale", "translate", "units", "axis_labels")


class ImageField(QComboBox):
    """The viewer's Image layers, and groups of them that are seen as one picture.

    A group is chosen by itself when it comes up, unless somebody chose one of its channels here.
    The layer that is made active in napari's list is chosen, or its group.

    Attributes
    ----------
    chosen : Signal
        What is chosen may be another now, or changed, or nothing any more.
    """

    chosen = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        shape_combo(self, "The image to segment.")
        self._viewer = viewer
        self._heard: list[Image] = []
        # The channel that a person chose here where its group could have been chosen.
        self._single: Image | None = None
        layers = viewer.layers
        for event in self._list_events():
            event.connect(self.fill)
        layers.selection.events.active.connect(self._on_active)
        self.activated.connect(self._on_activated)
        self.currentIndexChanged.connect(self._on_index)
        self.fill()

    @property
    def layers(self) -> tuple[Image, ...]:
        """Layers of what is chosen, from the lowest to the highest."""
        return _layers_of(self.currentData())

    def fill(self, event: object = None) -> None:
        """List the viewer's images; the one that was chosen stays so."""
        before = _layers_of(self.currentData())
        images = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        self._hear(images)
        if self._single not in images:
            self._single = None
        self.blockSignals(True)
        self.clear()
        for group in channel_groups(images):
            self._add(f"All visible channels ({group.name})", group)
        for layer in images:
            self._add(layer.name, layer)
        kept = [layer for layer in before if layer in images]
        active = self._viewer.layers.selection.active
        if kept:
            # Of channels one may have been hidden: the others are still seen as a picture.
            seen = [layer for layer in kept if layer.visible]
            self.setCurrentIndex(self._row_of((seen or kept)[0]))
        elif active in images:
            self.setCurrentIndex(self._row_of(active))
        elif images:
            self.setCurrentIndex(self._row_of(images[-1]))
        self.blockSignals(False)
        self._on_index()

    def let_go(self) -> None:
        """Hear no more of the viewer."""
        for event in self._list_events():
            event.disconnect(self.fill)
        self._viewer.layers.selection.events.active.disconnect(self._on_active)
        self._hear([])

    def _list_events(self) -> list[Any]:
        events = self._viewer.layers.events
        return [events.inserted, events.removed, events.renamed, events.reordered]

    def _hear(self, images: list[Image]) -> None:
        """Hear of changes to these layers, and of no other's."""
        for layer in self._heard:
            if layer not in images:
                for name in _MATTERS:
                    getattr(layer.events, name).disconnect(self.fill)
        for layer in images:
            if layer not in self._heard:
                for name in _MATTERS:
                    getattr(layer.events, name).connect(self.fill)
        self._heard = images

    def _add(self, text: str, choice: Image | ChannelGroup) -> None:
        self.addItem(text, choice)
        self.setItemData(self.count() - 1, text, Qt.ItemDataRole.ToolTipRole)

    def _row_of(self, layer: Image) -> int:
        """Return the row of a layer's group, else its own."""
        rows = [row for row in range(self.count()) if layer in _layers_of(self.itemData(row))]
        # A group comes before its layers.
        if self._single in _layers_of(self.itemData(rows[0])):
            return rows[-1]
        return rows[0]

    def _on_active(self, event: object = None) -> None:
        active = self._viewer.layers.selection.active
        if active in self._heard:
            self.setCurrentIndex(self._row_of(active))
            if self._single is not None and self.currentData() is active:
                self._single = active

    def _on_activated(self, row: int) -> None:
        choice = self.itemData(row)
        self._single = choice if isinstance(choice, Image) else None

    def _on_index(self) -> None:
        if isinstance(self.currentData(), ChannelGroup):
            self.setToolTip(
                f"{self.currentText()}, mixed as they are seen: each with its colours, contrast "
                "limits, gamma and opacity."
            )
        else:
            self.setToolTip("The image to segment.")
        self.chosen.emit()


def _layers_of(choice: Image | ChannelGroup | None) -> tuple[Image, ...]:
    if choice is None:
        return ()
    return choice.layers if isinstance(choice, ChannelGroup) else (choice,)
