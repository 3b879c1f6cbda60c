"""What can be seen and pressed in the Queue dock."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_coseg.annotation.queue_store import STATUSES
from napari_coseg.widgets.parts import combo, note
from napari_coseg.widgets.queue_note import NoteField
from napari_coseg.widgets.queue_table import QueueModel, QueueTable


class Banner(QFrame):
    """A sentence that stays as long as a case is only looked at, and what can be done about it."""

    def __init__(self) -> None:
        super().__init__()
        # In both of napari's themes: dark words on Okabe and Ito's yellow.
        self.setStyleSheet(
            "Banner { background: #f0e442; border-radius: 3px; } Banner QLabel { color: black; "
            "background: transparent; }"
        )
        self._words = note()
        self.work = QPushButton("Work on it")
        self.leave = QPushButton("Stop looking")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.addWidget(self._words)
        layout.addWidget(row_of(self.work, self.leave))
        self.setVisible(False)

    @property
    def words(self) -> str:
        """The sentence."""
        return str(self._words.text())

    def tell(self, words: str, work: str) -> None:
        """Show a sentence, and a button with `work` on it; without a sentence nothing is seen."""
        self._words.setText(words)
        self.work.setText(work)
        self.work.setVisible(bool(work))
        self.setVisible(bool(words))


class QueueForm(QWidget):
    """Fields, buttons and the list; it knows no case.

    Parameters
    ----------
    suggest : QCheckBox
        The switch of `SuggestAhead`.
    """

    def __init__(self, suggest: QCheckBox) -> None:
        super().__init__()
        # Else napari puts empty room below it, where the list could be.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.folder = QPushButton("Open folder …")
        self.folder.setToolTip("Images, volumes and DICOM folders in it become the queue.")
        self.again = QPushButton("Look again")
        self.again.setToolTip("Take in files that are new in the folder.")
        self.share = QPushButton("Share …")
        self.share.setToolTip(
            "Work through this folder together: each case is with one person at a time."
        )
        self.copies = QPushButton()
        self.copies.setToolTip(
            "What somebody drew on a case that another person had taken over meanwhile: look at "
            "it, take it over, or dismiss it."
        )
        self.copies.setVisible(False)
        self.find = QLineEdit()
        self.find.setPlaceholderText("Name or note")
        self.find.setClearButtonEnabled(True)
        self.shown = combo("Show cases of one status.")
        self.shown.setMinimumContentsLength(6)
        self.shown.addItem("All", STATUSES)
        for status in STATUSES:
            self.shown.addItem(status.capitalize(), (status,))
        self.counts = note()
        self.model = QueueModel()
        self.table = QueueTable(self.model)
        self.table.setToolTip("Click a case to open it. J: the one before, K: the next.")
        self.banner = Banner()
        self.back = QPushButton("◂ Previous (J)")
        self.next = QPushButton("Next (K) ▸")
        self.done = QPushButton("Done, next")
        self.done.setToolTip("The open case is finished: mark it, and open the next one.")
        self.done.setMinimumHeight(32)
        self.flag = QPushButton("⚑ Flag")
        self.flag.setCheckable(True)
        self.flag.setToolTip("Mark the open case for another look; press again to take it back.")
        self.flag.setMinimumHeight(32)
        self.note = NoteField()
        self.hide_names = QCheckBox("Hide names, shuffle")
        self.hide_names.setToolTip(
            'Cases are called "Case 1", "Case 2", … in an order of their own.'
        )
        self.export = QPushButton("Export done …")
        self.export.setToolTip("Write the finished cases as a data set that train reads.")
        self.message = note()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(row_of(self.folder, self.again, self.share))
        layout.addWidget(self.copies)
        filters = QHBoxLayout()
        filters.addWidget(self.find, 3)
        filters.addWidget(self.shown, 2)
        layout.addLayout(filters)
        layout.addWidget(self.counts)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.banner)
        layout.addWidget(row_of(self.back, self.next))
        layout.addWidget(self.note)
        layout.addWidget(row_of(self.flag, self.done))
        layout.addWidget(suggest)
        layout.addWidget(row_of(self.hide_names, self.export))
        layout.addWidget(self.message)
        for button in self.findChildren(QPushButton):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)


def row_of(*parts: Any) -> QWidget:
    """Return widgets beside each other, equally wide."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        part.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        layout.addWidget(part, 1)
    return row
