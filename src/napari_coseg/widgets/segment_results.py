"""What the runs of the Segment dock made: legend, colours, undo, the object under the cursor."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_coseg.layers.crowds import PICTURE, is_crowd, paint_picture
from napari_coseg.layers.legend import LegendRow, describe_object, label_at, legend_rows
from napari_coseg.layers.results import class_table, colour_layer, own_facts, role_of
from napari_coseg.layers.volume_legend import VolumeRow, is_volume_result
from napari_coseg.layers.writing import export, free_base, labelled
from napari_coseg.types import CosegError
from napari_coseg.widgets import volume_export
from napari_coseg.widgets.background import in_background
from napari_coseg.widgets.legend import Legend
from napari_coseg.widgets.parts import note
from napari_coseg.widgets.tooth_field import ToothField

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer


@dataclass(eq=False)
class _Shown:
    """A run: its layers, what is said of it, the classes that are switched off, its legend."""

    layers: list[Layer]
    words: str = ""
    hidden: dict[str, set[int]] = field(default_factory=dict)
    seen: list[Layer] = field(default_factory=list)
    _rows: dict[str, list[LegendRow] | list[VolumeRow]] = field(default_factory=dict)

    @property
    def facts(self) -> list[Layer]:
        """Layers with labels and facts of their own; without a picture that stands for one."""
        return [layer for layer in self.layers if role_of(layer) != PICTURE]

    @property
    def picture(self) -> Layer | None:
        return next((layer for layer in self.layers if role_of(layer) == PICTURE), None)

    def hidden_of(self, layer: Layer) -> set[int]:
        return self.hidden.get(role_of(layer), set())

    def hide(self) -> None:
        # Hidden already, it comes back as it was seen last.
        self.seen = [layer for layer in self.layers if layer.visible] or self.seen
        for layer in self.seen:
            layer.visible = False

    def show(self) -> None:
        for layer in self.seen:
            layer.visible = True

    def colour(self, layer: Layer, by_object: bool) -> None:
        hidden = self.hidden_of(layer)
        if role_of(layer) != "instances" or not is_crowd(layer.data):
            colour_layer(layer, hidden, by_object=by_object)
        elif self.picture is not None:
            paint_picture(self.picture, layer, hidden, by_object=by_object)

    def rows(self, layer: Layer) -> list[LegendRow] | list[VolumeRow]:
        """Count once: a region image may be large."""
        role = role_of(layer)
        if role not in self._rows:
            self._rows[role] = legend_rows(layer)
        return self._rows[role]


class ResultsPanel(QWidget):
    """Shows the layers of the last run, and remembers those of the runs before.

    Signals
    -------
    changed()
        Another run is the last one now, or there is none: one was undone, or its layers deleted.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._runs: list[_Shown] = []
        self._exporting: object | None = None
        self._adding = False
        self._colour_by = QComboBox()
        self._colour_by.addItem("Colour by class", False)
        self._colour_by.addItem("Colour by object", True)
        self._colour_by.setToolTip("Colour instances by their class, or each one in its own.")
        self._undo = QPushButton("Undo run")
        self._undo.setToolTip("Take the last run's layers away; those of the run before come back.")
        self._undo.setEnabled(False)
        self._export = QPushButton("Export …")
        self._export.setToolTip(
            "Write labels (TIFF), the table (CSV) and outlines for QuPath (GeoJSON) into a folder; "
            "of a volume, labels on its grid (NIfTI) and the table."
        )
        self._export.setEnabled(False)
        self._legend = Legend()
        self._legend.setMinimumHeight(150)
        self._under_cursor = note()
        # Room for two lines, so that nothing jumps while the mouse moves.
        self._under_cursor.setMinimumHeight(2 * self.fontMetrics().height())
        self._tooth = ToothField()
        row = QHBoxLayout()
        row.addWidget(self._colour_by, 1)
        row.addWidget(self._undo)
        row.addWidget(self._export)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self._legend, 1)
        layout.addWidget(self._under_cursor)
        layout.addWidget(self._tooth)

        self._colour_by.currentIndexChanged.connect(self._on_colour_by)
        self._undo.clicked.connect(self.undo)
        self._export.clicked.connect(self._ask_folder)
        self._legend.hidden_changed.connect(self._on_hidden)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.mouse_move_callbacks.append(self._on_mouse)
        viewer.mouse_drag_callbacks.append(self._on_press)

    @property
    def layers(self) -> list[Layer]:
        """Layers of the last run that are still in the viewer."""
        return list(self._runs[-1].layers) if self._runs else []

    @property
    def words(self) -> str:
        """What is said of the last run."""
        return self._runs[-1].words if self._runs else ""

    def add(self, layers: Iterable[Layer], words: str = "") -> None:
        """Show the layers of a new run; those of the run before are hidden, not lost.

        Parameters
        ----------
        layers : iterable of Layer
        words : str
            What is said of the run as long as it is the last one.
        """
        for _ in self.adding(layers, words):
            pass

    def adding(self, layers: Iterable[Layer], words: str = "") -> Generator[None, None, None]:
        """Do the same in steps, of which each is short, for `napari_coseg.widgets.turns.Turns`.

        Closed before its end, it takes away what it has added; the run before is seen again.

        Parameters
        ----------
        layers : iterable of Layer
            Asked for a layer only once the one before is shown.
        words : str
            As for `add`.
        """
        run = _Shown([], words)
        self._adding = True
        self._undo.setEnabled(False)
        try:
            for layer in layers:
                yield
                if not run.layers and self._runs:
                    self._runs[-1].hide()
                self._show_layer(run, layer)
                yield
            # A person may have taken some away meanwhile.
            run.layers = [layer for layer in run.layers if layer in self._viewer.layers]
            if run.layers:
                self._runs.append(run)
        except BaseException:
            for layer in run.layers:
                if layer in self._viewer.layers:
                    self._viewer.layers.remove(layer)
            if run.layers and self._runs:
                self._runs[-1].show()
            raise
        finally:
            self._adding = False
            self._refresh()

    def _show_layer(self, run: _Shown, layer: Layer) -> None:
        """Add a layer of a run that goes on, in the colours that a person has chosen."""
        run.layers.append(layer)
        if is_volume_result(layer) and _one_class(layer):
            # By class, all teeth would be one.
            self._colour_by.blockSignals(True)
            self._colour_by.setCurrentIndex(self._colour_by.findData(True))
            self._colour_by.blockSignals(False)
        # By class they come.
        if role_of(layer) in ("instances", PICTURE) and self._colour_by.currentData():
            for facts in run.facts:
                if role_of(facts) == "instances":
                    run.colour(facts, True)
        self._viewer.add_layer(layer)

    def undo(self) -> None:
        """Take the last run's layers away; those of the run before come back."""
        if not self._runs or self._adding:
            return
        # Taken off the list first: layers that go are not looked at any more.
        for layer in self._runs.pop().layers:
            self._viewer.layers.remove(layer)
        if self._runs:
            self._runs[-1].show()
        self._refresh()
        self.changed.emit()

    def export(self, folder: Path) -> None:
        """Write the last run's layers into a folder, under a name that is free there."""
        if self._exporting is not None or not self._runs or not self._runs[-1].facts:
            return
        try:
            base, work = _export_of(folder, self._runs[-1].facts)
        except CosegError as error:
            show_warning(str(error))
            return
        self._export.setEnabled(False)
        self._exporting = in_background(
            work,
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
            self._export.setEnabled(bool(self._runs and self._runs[-1].facts))

    def let_go(self) -> None:
        """Hear no more of the viewer."""
        with suppress(ValueError):
            self._viewer.mouse_move_callbacks.remove(self._on_mouse)
        with suppress(ValueError):
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
        self._tooth.show_layer(None)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_removed(self, event: Any) -> None:
        """Forget a layer that a person took away, and runs of which nothing is left."""
        gone = event.value
        ours = [run for run in self._runs if gone in run.layers]
        for run in ours:
            run.layers.remove(gone)
            run.seen = [layer for layer in run.seen if layer is not gone]
        if ours:
            before = self._runs[-1]
            self._runs = [run for run in self._runs if run.layers]
            self._refresh()
            if before not in self._runs:
                self.changed.emit()

    def _refresh(self) -> None:
        groups = []
        if self._runs:
            shown = self._runs[-1]
            groups = [
                (role_of(la), role_of(la).capitalize(), shown.rows(la), shown.hidden_of(la))
                for la in shown.facts
            ]
        self._legend.show_rows(groups)
        self._tooth.show_layer(self._teeth)
        self._undo.setEnabled(bool(self._runs) and not self._adding)
        self._export.setEnabled(bool(groups) and self._exporting is None)

    def _on_hidden(self, role: str, hidden: set[int]) -> None:
        if self._runs:
            self._runs[-1].hidden[role] = hidden
            self._recolour(role)

    def _on_colour_by(self, index: int) -> None:
        self._recolour("instances")

    def _recolour(self, role: str) -> None:
        if self._runs:
            for layer in self._runs[-1].facts:
                if role_of(layer) == role:
                    self._runs[-1].colour(layer, self._colour_by.currentData())

    def _on_mouse(self, viewer: napari.viewer.Viewer, event: Any) -> None:
        self._under_cursor.setText(self._words_at(event))

    def _on_press(self, viewer: napari.viewer.Viewer, event: Any) -> Iterator[None]:
        """Choose the tooth that is clicked; a drag moves the view."""
        start = event.pos
        yield
        while event.type == "mouse_move":
            yield
        teeth = self._teeth
        if teeth is not None and max(abs(a - b) for a, b in zip(start, event.pos, strict=True)) < 4:
            self._tooth.show_tooth(label_at(teeth, event))

    @property
    def _teeth(self) -> Layer | None:
        """The instances of the last run, where it was one over a volume."""
        facts = self._runs[-1].facts if self._runs else []
        return next((la for la in facts if _is_solid(la)), None)

    def _words_at(self, event: Any) -> str:
        if not self._runs:
            return ""
        run = self._runs[-1]
        for layer in reversed(run.facts):
            stands = run.picture if run.picture and role_of(layer) == "instances" else layer
            if stands.visible or layer.visible:
                words = describe_object(layer, label_at(layer, event))
                if words:
                    return words
        return ""


def _is_solid(layer: Layer) -> bool:
    return role_of(layer) == "instances" and is_volume_result(layer)


def _one_class(layer: Layer) -> bool:
    return role_of(layer) == "instances" and len(class_table(layer)) < 2


def _export_of(folder: Path, layers: list[Layer]) -> tuple[Path, Callable[[], Any]]:
    """Return under which name the layers of a run are written, and what writes them.

    Raises
    ------
    CosegError
        If they cannot be written.
    """
    image = str((own_facts(layers[0]) or {}).get("image", ""))
    if is_volume_result(layers[0]):
        solid = volume_export.take(layers)
        base = volume_export.free_volume_base(folder, image)
        return base, lambda: volume_export.write(base, solid)
    flat = [labelled(*layer.as_layer_data_tuple()[:2]) for layer in layers]
    base = free_base(folder, image)
    return base, lambda: export(base, flat)
