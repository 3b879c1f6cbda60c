"""The Evaluate dock: two Labels layers, a table of scores, a layer of errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from napari.layers import Labels
from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from napari_coseg.imaging.files import atomic_path
from napari_coseg.layers.crowds import PICTURE
from napari_coseg.layers.errors import ERROR_CLASSES, error_layer
from napari_coseg.layers.evaluation import Kind, Scored, kind_of, score_layers, side_of
from napari_coseg.layers.results import role_of
from napari_coseg.types import CosegError
from napari_coseg.widgets.background import in_background
from napari_coseg.widgets.bars import BarDelegate
from napari_coseg.widgets.parts import Dock, combo, note

if TYPE_CHECKING:
    import napari.viewer

#: Scores of the table, by kind: what `Evaluation` calls them, and a person.
_SCORES = {
    "regions": (("dice", "Dice"), ("iou", "IoU"), ("pq", "PQ"), ("hd95", "HD95")),
    "instances": (("pq", "PQ"), ("f1", "F1"), ("sq", "SQ"), ("aji", "AJI"), ("dice", "Dice")),
}
_TIPS = {
    "pq": "Panoptic quality: F1 times the mean IoU of matched objects.",
    "sq": "Mean IoU of matched objects.",
    "f1": "Share of objects that are matched at an IoU above 0.5.",
    "aji": "Aggregated Jaccard index.",
    "dice": "Overlap of the areas.",
    "iou": "Intersection over union of the areas.",
    "hd95": "95th percentile of the distance between the borders, in the layer's units.",
}


class EvaluateDock(Dock):
    """Scores one Labels layer against another.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Handed in by napari.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._worker: object | None = None
        self._summary: pd.DataFrame | None = None
        self._guessed: Any = None
        # Whether a person chose the layers.
        self._chosen = False
        self._errors: list[Any] = []
        self._kinds: WeakKeyDictionary[Any, Kind] = WeakKeyDictionary()
        self.setMinimumWidth(280)
        self._prediction = combo("The layer to be judged.")
        self._truth = combo("The layer that is right.")
        self._kind = combo("Whether labels are classes of areas, or one for each object.")
        self._kind.addItem("Instances", "instances")
        self._kind.addItem("Regions", "regions")
        self._show_errors = QCheckBox("Add a layer that shows the errors")
        self._show_errors.setChecked(True)
        self._button = QPushButton("Evaluate")
        self._button.setMinimumHeight(32)
        self._status = note()
        self._table = QTableWidget()
        self._table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self._table.verticalHeader().setVisible(False)
        self._table.setItemDelegate(BarDelegate(self._table))
        self._csv = QPushButton("Save as CSV …")
        self._csv.setEnabled(False)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Prediction", self._prediction)
        form.addRow("Truth", self._truth)
        form.addRow("Compare", self._kind)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self._show_errors)
        layout.addWidget(self._button)
        layout.addWidget(self._status)
        layout.addWidget(self._table, 1)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self._csv)
        layout.addLayout(row)

        self._button.clicked.connect(self.start)
        self._csv.clicked.connect(self._ask_csv)
        for box in (self._prediction, self._truth):
            box.currentIndexChanged.connect(self._on_choice)
        self._kind.activated.connect(self._on_kind)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.renamed):
            event.connect(self._fill)
        self._fill()

    @property
    def running(self) -> bool:
        """Whether scores are being computed."""
        return self._worker is not None

    def start(self) -> None:
        """Compare the two layers."""
        prediction, truth = self._prediction.currentData(), self._truth.currentData()
        if self.running or prediction is None or truth is None:
            return
        # What is compared stays, whatever layers come.
        self._chosen = True
        if prediction is truth:
            show_warning("Prediction and truth are the same layer: choose two.")
            return
        kind: Kind = self._kind.currentData()
        sides = side_of(prediction, kind), side_of(truth, kind)
        self._button.setEnabled(False)
        self._status.setText("Comparing …")
        self._worker = in_background(
            lambda: score_layers(*sides, kind),
            f"Comparing {prediction.name} with {truth.name}",
            done=lambda scored: self._on_scored(scored, truth, kind),
            failed=self._on_failed,
            ended=self._on_end,
        )

    def save_csv(self, path: str) -> None:
        """Write the whole table, not only what is shown.

        Raises
        ------
        CosegError
            If the file cannot be written.
        """
        if self._summary is not None:
            from pathlib import Path

            with atomic_path(Path(path)) as part:
                self._summary.to_csv(part, index=False)

    def _fill(self, event: object = None) -> None:
        if getattr(event, "type", "") == "removed":
            self._errors = [la for la in self._errors if la in self._viewer.layers]
        layers = [
            la
            for la in self._viewer.layers
            if isinstance(la, Labels) and role_of(la) != PICTURE and la not in self._errors
        ]
        boxes = self._prediction, self._truth
        chosen = [box.currentData() for box in boxes]
        if not self._chosen or chosen[0] is chosen[1] or any(la not in layers for la in chosen):
            self._chosen = False
            chosen = _guess(layers, self._kind_of)
        for box, one in zip(boxes, chosen, strict=True):
            box.blockSignals(True)
            box.clear()
            for layer in layers:
                box.addItem(layer.name, layer)
            box.setCurrentIndex(-1 if one is None else layers.index(one))
            box.blockSignals(False)
        self._enable()
        self._guess_kind()

    def _kind_of(self, layer: Any) -> Kind:
        # A guess reads pixels, maybe from a disk: once is enough.
        if layer not in self._kinds:
            self._kinds[layer] = kind_of(layer)
        return self._kinds[layer]

    def _enable(self) -> None:
        both = self._prediction.currentIndex() >= 0 and self._truth.currentIndex() >= 0
        self._button.setEnabled(both and not self.running)

    def _on_choice(self, index: int) -> None:
        self._chosen = True
        self._enable()
        self._guess_kind()

    def _on_kind(self, index: int) -> None:
        self._chosen = True

    def _guess_kind(self) -> None:
        layer = self._prediction.currentData()
        # Another layer list is no reason to change what a person chose.
        if layer is not None and layer is not self._guessed:
            self._guessed = layer
            self._kind.setCurrentIndex(self._kind.findData(self._kind_of(layer)))

    def _on_failed(self) -> None:
        if not self._gone:
            self._status.setText("Not done.")

    def _on_scored(self, scored: Scored, truth: Any, kind: Kind) -> None:
        if self._gone:
            return
        self._summary = scored.summary
        self._csv.setEnabled(True)
        self._fill_table(scored.summary, kind)
        counts = scored.errors.counts
        unit = "objects" if kind == "instances" else "pixels"
        # The colours of the error layer, so that it needs no legend of its own.
        said = ", ".join(
            f"<span style='color: rgb{c.colour}'>■</span> {counts[c.id]:,} {c.name}"
            for c in ERROR_CLASSES
        )
        self._status.setText(f"{said} ({unit}).")
        for words in scored.notes:
            show_info(words)
        if self._show_errors.isChecked():
            errors = error_layer(scored.errors, truth)
            self._errors.append(errors)
            self._viewer.add_layer(errors)

    def _on_end(self) -> None:
        self._worker = None
        if not self._gone:
            self._enable()

    def _fill_table(self, summary: pd.DataFrame, kind: Kind) -> None:
        scores = _SCORES[kind]
        rows = list(dict.fromkeys(summary["class"]))
        # Class-free first, then classes, then their mean.
        rows.sort(key=lambda name: (name != "all", name == "mean of classes"))
        self._table.setColumnCount(1 + len(scores))
        self._table.setHorizontalHeaderLabels(["Class", *(title for _, title in scores)])
        self._table.setRowCount(len(rows))
        values = summary.set_index(["class", "score"])
        for line, name in enumerate(rows):
            titled = QTableWidgetItem(name)
            titled.setToolTip(name)
            self._table.setItem(line, 0, titled)
            for column, (score, _) in enumerate(scores, 1):
                value = np.nan
                if (name, score) in values.index:
                    found = values.loc[(name, score)]
                    value = found["pooled"] if np.isfinite(found["pooled"]) else found["mean"]
                item = QTableWidgetItem("–" if np.isnan(value) else f"{value:.3f}")
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                if score != "hd95" and np.isfinite(value):
                    item.setData(BarDelegate.ROLE, float(value))
                item.setToolTip(_TIPS[score])
                self._table.setItem(line, column, item)
        header = self._table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def _ask_csv(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save scores", "scores.csv", "CSV (*.csv)")
        if path:
            try:
                self.save_csv(path)
            except CosegError as error:
                show_warning(str(error))

    def let_go(self) -> None:
        """Hear no more of the viewer."""
        events = self._viewer.layers.events
        for one in (events.inserted, events.removed, events.renamed):
            one.disconnect(self._fill)


def _guess(layers: Sequence[Any], kind_of: Callable[[Any], Kind]) -> list[Any]:
    """Choose a prediction and a truth of one kind, None where there is nothing to choose.

    The truth by its name, else what no model made, else the first layer.
    """
    named = [la for la in layers if {"true", "truth", "gt"} & set(la.name.lower().split())]
    foreign = [la for la in layers if "model" not in la.metadata]
    for truth in (*named[::-1], *foreign, *layers):
        kind = kind_of(truth)
        alike = [la for la in layers if la is not truth and kind_of(la) == kind]
        if alike:
            return [alike[-1], truth]
    if named and len(layers) > 1:
        return [next(la for la in reversed(layers) if la is not named[-1]), named[-1]]
    # Regions and instances of one run are nothing to compare.
    return [layers[-1] if layers else None, None]
