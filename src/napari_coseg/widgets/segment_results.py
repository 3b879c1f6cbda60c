"""What the runs of the Segment dock made: legend, colours, undo, the object under the cursor."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info, show_warning
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_coseg.layers.legend import LegendRow, describe_object, legend_rows
from napari_coseg.layers.results import colour_layer, own_facts, role_of
from napari_coseg.layers.writing import export, free_base, labelled
from napari_coseg.types import CosegError
from napari_coseg.widgets.background import in_background
from napari_coseg.widgets.legend import Legend
from napari_coseg.widgets.parts import note

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer


@dataclass
class _Shown:
    """A run: its layers, the classes that are switched off, its legend."""

    layers: list[Layer]
    hidden: dict[str, set[int]] = field(default_factory=dict)
    _rows: dict[str, list[LegendRow]] = field(default_factory=dict)

    def hidden_of(self, layer: Layer) -> set[int]:
        return self.hidden.get(role_of(layer), set())

    def rows(self, layer: Layer) -> list[LegendRow]:
        """Count once: a region image may be large."""
        role = role_of(layer)
        if role not in self._rows:
            self._rows[role] = legend_rows(layer)
        return self._rows[role]


class ResultsPanel(QWidget):
    """Shows the layers of the last run, and remembers those of the runs before."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._runs: list[_Shown] = []
        self._exporting: object | None = None
        self._colour_by = QComboBox()
        self._colour_by.addItem("Colour by class", False)
        self._colour_by.addItem("Colour by object", True)
        self._colour_by.setToolTip("Colour instances by their class, or each one in its own.")
        self._undo = QPushButton("Undo run")
        self._undo.setToolTip("Take the last run's layers away; those of the run before come back.")
        self._undo.setEnabled(False)
        self._export = QPushButton("Export …")
        self._export.setToolTip(
            "Write labels (TIFF), the table (CSV) and outlines for QuPath (GeoJSON) into a folder."
        )
        self._export.setEnabled(False)
        self._legend = Legend()
        self._legend.setMinimumHeight(150)
        self._under_cursor = note()
        # Room for two lines, so that nothing jumps while the mouse moves.
        self._under_cursor.setMinimumHeight(2 * self.fontMetrics().height())
        row = QHBoxLayout()
        row.addWidget(self._colour_by, 1)
        row.addWidget(self._undo)
        row.addWidget(self._export)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self._legend, 1)
        layout.addWidget(self._under_cursor)

        self._colour_by.currentIndexChanged.connect(self._recolour)
        self._undo.clicked.connect(self.undo)
        self._export.clicked.connect(self._ask_folder)
        self._legend.hidden_changed.connect(self._on_hidden)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.mouse_move_callbacks.append(self._on_mouse)

    @property
    def layers(self) -> list[Layer]:
        """Layers of the last run that are still in the viewer."""
        return list(self._runs[-1].layers) if self._runs else []

    def add(self, layers: list[Layer]) -> None:
        """Show the layers of a new run; those of the run before are hidden, not lost."""
        for layer in self.layers:
            layer.visible = False
        for layer in layers:
            if role_of(layer) == "instances":
                colour_layer(layer, by_object=self._colour_by.currentData())
            self._viewer.add_layer(layer)
        self._runs.append(_Shown(list(layers)))
        self._refresh()

    def undo(self) -> None:
        """Take the last run's layers away; those of the run before come back."""
        if not self._runs:
            return
        # Taken off the list first: layers that go are not looked at any more.
        for layer in self._runs.pop().layers:
            self._viewer.layers.remove(layer)
        for layer in self.layers:
            layer.visible = True
        self._refresh()

    def export(self, folder: Path) -> None:
        """Write the last run's layers into a folder, under a name that is free there."""
        if self._exporting is not None or not self.layers:
            return
        try:
            taken = [labelled(*layer.as_layer_data_tuple()[:2]) for layer in self.layers]
        except CosegError as error:
            show_warning(str(error))
            return
        base = free_base(folder, str((own_facts(self.layers[0]) or {}).get("image", "")))
        self._export.setEnabled(False)
        self._exporting = in_background(
            lambda: export(base, taken),
            f"Writing {base.name}",
            done=lambda written: show_info(f"Written into {folder}: {base.name}"),
            failed=lambda: None,
            ended=self._on_exported,
        )

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder for the results")
        if folder:
            self.export(Path(folder))

    def _on_exported(self) -> None:
        self._exporting = None
        with suppress(RuntimeError):  # the dock was closed meanwhile
            self._export.setEnabled(bool(self.layers))

    def let_go(self) -> None:
        """Hear no more of the viewer."""
        with suppress(ValueError):
            self._viewer.mouse_move_callbacks.remove(self._on_mouse)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_removed(self, event: Any) -> None:
        """Forget a layer that a person took away, and runs of which nothing is left."""
        gone = event.value
        ours = [run for run in self._runs if gone in run.layers]
        for run in ours:
            run.layers.remove(gone)
        if ours:
            self._runs = [run for run in self._runs if run.layers]
            self._refresh()

    def _refresh(self) -> None:
        groups = []
        if self._runs:
            shown = self._runs[-1]
            groups = [
                (role_of(la), role_of(la).capitalize(), shown.rows(la), shown.hidden_of(la))
                for la in shown.layers
            ]
        self._legend.show_rows(groups)
        self._undo.setEnabled(bool(groups))
        self._export.setEnabled(bool(groups) and self._exporting is None)

    def _on_hidden(self, role: str, hidden: set[int]) -> None:
        if self._runs:
            self._runs[-1].hidden[role] = hidden
        self._recolour()

    def _recolour(self, index: object = None) -> None:
        for layer in self.layers:
            hidden = self._runs[-1].hidden_of(layer)
            colour_layer(layer, hidden, by_object=self._colour_by.currentData())

    def _on_mouse(self, viewer: napari.viewer.Viewer, event: Any) -> None:
        self._under_cursor.setText(self._words_at(event))

    def _words_at(self, event: Any) -> str:
        for layer in reversed(self.layers):
            if not layer.visible:
                continue
            label = layer.get_value(
                event.position,
                view_direction=event.view_direction,
                dims_displayed=list(event.dims_displayed),
                world=True,
            )
            words = describe_object(layer, int(label or 0))
            if words:
                return words
        return ""
