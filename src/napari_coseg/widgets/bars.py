"""Cells of a table that show their value as a bar too."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QStyledItemDelegate


class BarDelegate(QStyledItemDelegate):
    """Draws a bar behind the text of cells that hold a value from 0 to 1 under `ROLE`."""

    ROLE = Qt.ItemDataRole.UserRole + 1
    # Okabe and Ito's blue; translucent, so that text is read on it in both themes.
    _COLOUR = QColor(86, 180, 233, 90)

    def paint(self, painter: QPainter, option: Any, index: Any) -> None:
        """Draw the bar, then the cell as usual."""
        value = index.data(self.ROLE)
        if value is not None:
            rect = option.rect.adjusted(1, 2, -1, -2)
            rect.setWidth(int(rect.width() * min(max(value, 0.0), 1.0)))
            painter.fillRect(rect, self._COLOUR)
        super().paint(painter, option, index)
