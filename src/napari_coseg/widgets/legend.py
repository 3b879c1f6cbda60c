"""The legend: colour, name, count, area or volume, and an eye for each class."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from napari_coseg.layers.legend import LegendRow
from napari_coseg.layers.volume_legend import VolumeRow

#: Classes of a picture, or of a volume.
Rows = Sequence[LegendRow] | Sequence[VolumeRow]

_ID = Qt.ItemDataRole.UserRole
# Read on napari's light theme and on the dark one.
_GREY = QColor(128, 128, 128)
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class Legend(QTreeWidget):
    """Classes of the result's layers.

    Attributes
    ----------
    hidden_changed : Signal
        A layer's role ("regions", "instances") and the set of class ids that are switched off.
    """

    hidden_changed = Signal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setHeaderLabels(["Class", "Count", "Area"])
        self.setRootIsDecorated(False)
        self.setItemsExpandable(False)
        # Names are long and docks narrow: the boxes say well enough what belongs to what.
        self.setIndentation(2)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setToolTip("Switch a class off and on with its box.")
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self._row = QSize(0, self.fontMetrics().height() + 4)
        self.itemChanged.connect(self._on_changed)

    def show_rows(
        self,
        groups: Sequence[
            tuple[str, str, Sequence[LegendRow] | Sequence[VolumeRow], Collection[int]]
        ],
    ) -> None:
        """Show the classes of some layers.

        Parameters
        ----------
        groups : sequence of (role, title, rows, ids that are switched off)
        """
        self.blockSignals(True)
        self.clear()
        solid = any(isinstance(row, VolumeRow) for _, _, rows, _ in groups for row in rows)
        self.setHeaderLabels(["Class", "Count", "Volume" if solid else "Area"])
        for role, title, rows, hidden in groups:
            counts = [row.count for row in rows if row.count is not None]
            group = QTreeWidgetItem([title, f"{sum(counts):,}" if counts else "", ""])
            group.setData(0, _ID, role)
            group.setFlags(Qt.ItemFlag.ItemIsEnabled)
            font = group.font(0)
            font.setBold(True)
            group.setFont(0, font)
            group.setTextAlignment(1, _RIGHT)
            group.setSizeHint(0, self._row)
            self.addTopLevelItem(group)
            for row in rows:
                count = "" if row.count is None else f"{row.count:,}"
                item = QTreeWidgetItem([row.name, count, row.area])
                swatch = QPixmap(14, 14)
                swatch.fill(QColor(*row.colour))
                item.setIcon(0, QIcon(swatch))
                item.setData(0, _ID, row.id)
                item.setToolTip(0, f"{row.name}: its box switches it off and on.")
                item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
                shown = row.id not in hidden
                item.setCheckState(0, Qt.CheckState.Checked if shown else Qt.CheckState.Unchecked)
                item.setSizeHint(0, self._row)
                for column in (1, 2):
                    item.setTextAlignment(column, _RIGHT)
                self._shade(item, shown)
                group.addChild(item)
            group.setExpanded(True)
        self.blockSignals(False)

    def _shade(self, item: QTreeWidgetItem, shown: bool) -> None:
        """Write a class that is switched off in grey: an empty box alone is hardly seen."""
        # Without a colour of its own, an item has the theme's.
        colour = None if shown else _GREY
        for column in range(3):
            item.setData(column, Qt.ItemDataRole.ForegroundRole, colour)

    def _on_changed(self, item: QTreeWidgetItem, column: int) -> None:
        group = item.parent()
        if group is None:
            return
        children = [group.child(i) for i in range(group.childCount())]
        self.blockSignals(True)
        self._shade(item, item.checkState(0) == Qt.CheckState.Checked)
        self.blockSignals(False)
        hidden = {
            child.data(0, _ID)
            for child in children
            if child.checkState(0) == Qt.CheckState.Unchecked
        }
        self.hidden_changed.emit(group.data(0, _ID), hidden)
