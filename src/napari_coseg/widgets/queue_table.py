"""The list of a queue's cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.queue_store import (
    DONE,
    FAILED,
    FLAGGED,
    IN_PROGRESS,
    TO_DO,
    QueueCase,
)

#: After the Okabe-Ito set, in shades that can be read in napari's dark theme and in its light one.
_COLOURS = {
    IN_PROGRESS: QColor(40, 140, 200),
    DONE: QColor(0, 150, 110),
    FLAGGED: QColor(200, 130, 0),
    FAILED: QColor(213, 94, 0),
}
_SIGNS = {TO_DO: "○", IN_PROGRESS: "◐", DONE: "✔", FLAGGED: "⚑", FAILED: "✖"}
_SIDE = 40
_TITLES = ("Case", "Status", "Time")


def minutes(seconds: float) -> str:
    """Return a time as people read it: "4:05", "1:02:00"; empty for none."""
    whole = int(seconds)
    if not whole:
        return ""
    hours, rest = divmod(whole, 3600)
    parts = divmod(rest, 60)
    return f"{hours}:{parts[0]:02}:{parts[1]:02}" if hours else f"{parts[0]}:{parts[1]:02}"


class QueueModel(QAbstractTableModel):
    """Cases as rows.

    Attributes
    ----------
    small_wanted : Signal
        Number of a case whose small picture is to be shown.
    """

    small_wanted = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.cases: list[QueueCase] = []
        self._names: dict[int, str] = {}
        self._reasons: dict[int, str] = {}
        self._holders: dict[int, str] = {}
        self._icons: dict[int, QIcon] = {}
        self._blank = QPixmap(_SIDE, _SIDE)
        self._blank.fill(QColor(0, 0, 0, 0))

    def show(
        self,
        project: QueueProject | None,
        cases: Sequence[QueueCase],
        holders: Mapping[int, str] | None = None,
    ) -> None:
        """Show some cases, and who else has them."""
        self._holders = dict(holders or {})
        names = {} if project is None else project.names()
        if project is not None:
            self._reasons = {case.id: project.reason(case.id) for case in cases if case.reason}
        same = [case.id for case in cases] == [case.id for case in self.cases]
        if same and names == self._names:
            self.cases = list(cases)
            if cases:
                last = self.index(len(cases) - 1, len(_TITLES) - 1)
                self.dataChanged.emit(self.index(0, 0), last)
            return
        self.beginResetModel()
        self.cases, self._names = list(cases), names
        self.endResetModel()

    def forget(self) -> None:
        """Forget all small pictures: they are of another queue."""
        self._icons.clear()

    def set_small(self, number: int, png: bytes) -> None:
        """Show the small picture of a case."""
        pixmap = QPixmap()
        if not png or not pixmap.loadFromData(png):
            return
        scaled = pixmap.scaled(
            _SIDE,
            _SIDE,
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
        icon = QIcon(scaled)
        # Else Qt tints it in the lit row.
        icon.addPixmap(scaled, QIcon.Mode.Selected)
        self._icons[number] = icon
        row = self.row_of(number)
        if row is not None:
            self.dataChanged.emit(self.index(row, 0), self.index(row, 0))

    def row_of(self, number: int | None) -> int | None:
        """Return the row of a case, None where it is not shown."""
        return next((row for row, case in enumerate(self.cases) if case.id == number), None)

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of cases."""
        return 0 if parent is not None and parent.isValid() else len(self.cases)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return len(_TITLES)

    def headerData(
        self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a column's title."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return _TITLES[section]
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        case, column = self.cases[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            if column == 0:
                note = " ".join(case.note.split())
                name = self._names.get(case.id, "")
                return f"{name}\n{note}" if note else name
            if column == 1 and case.id in self._holders:
                return f"⇄ with {self._holders[case.id]}"
            return f"{_SIGNS[case.status]} {case.status}" if column == 1 else minutes(case.seconds)
        if role == Qt.ItemDataRole.DecorationRole and column == 0:
            icon = self._icons.get(case.id)
            if icon is None:
                self.small_wanted.emit(case.id)
            return icon or QIcon(self._blank)
        if role == Qt.ItemDataRole.ForegroundRole and column == 1:
            return _COLOURS.get(case.status)
        if role == Qt.ItemDataRole.TextAlignmentRole and column == 2:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ToolTipRole:
            holder = self._holders.get(case.id)
            told = [self._names.get(case.id, ""), self._reasons.get(case.id, ""), case.note]
            told += [] if holder is None else [f"{holder} has it open."]
            return "\n".join(words for words in told if words)
        return None


class QueueTable(QTableView):
    """Shows the model; the lit row is the open case, and a person's choice is only asked for.

    Attributes
    ----------
    chosen : Signal
        Number of the case that a person wants to open.
    stepped : Signal
        Whether a person wants the next case (K, Down) or the one before (J, Up).
    """

    chosen = Signal(int)
    stepped = Signal(bool)

    def __init__(self, model: QueueModel) -> None:
        super().__init__()
        self.setModel(model)
        self._cases = model
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        # Who clicks asks; what is lit follows the case that is open.
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setWordWrap(False)
        # What tells long names apart is often at their end.
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setIconSize(QSize(_SIDE, _SIDE))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(_SIDE + 6)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        wide = self.fontMetrics().horizontalAdvance
        self.setColumnWidth(1, wide("◐ in progress") + 18)
        self.setColumnWidth(2, wide("0:00:00") + 14)
        self.clicked.connect(self._on_clicked)
        self._open: int | None = None

    def light(self, number: int | None) -> None:
        """Light the row of the open case."""
        self._open = number
        row = self._cases.row_of(number)
        if row is None:
            self.clearSelection()
            return
        self.selectRow(row)
        self.scrollTo(self._cases.index(row, 0))

    def keyPressEvent(self, event: Any) -> None:
        """Go to the next case or the one before; other keys belong to napari."""
        plain = event.modifiers() in (
            Qt.KeyboardModifier.NoModifier,
            Qt.KeyboardModifier.KeypadModifier,
        )
        if plain and event.key() in (Qt.Key.Key_K, Qt.Key.Key_Down):
            self.stepped.emit(True)
        elif plain and event.key() in (Qt.Key.Key_J, Qt.Key.Key_Up):
            self.stepped.emit(False)
        elif event.key() in (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown):
            bar = self.verticalScrollBar()
            down = event.key() == Qt.Key.Key_PageDown
            bar.setValue(bar.value() + (bar.pageStep() if down else -bar.pageStep()))
        else:
            event.ignore()

    def _on_clicked(self, index: QModelIndex) -> None:
        wanted = self._cases.cases[index.row()].id
        # Until the case is there, the open one stays lit.
        self.light(self._open)
        self.chosen.emit(wanted)
