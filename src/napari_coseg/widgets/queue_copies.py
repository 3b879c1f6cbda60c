"""The list of copies: what somebody drew on cases that others took over meanwhile."""

from __future__ import annotations

import time
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDialog, QListWidget, QListWidgetItem, QPushButton, QVBoxLayout, QWidget

from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.shared_copies import LostCopy
from napari_coseg.widgets.parts import note
from napari_coseg.widgets.queue_form import row_of

_ABOUT = (
    "Somebody was not heard of for some minutes while they had a case, and another person took it "
    "over. The other person's labels count; what the first one drew is kept here. Nothing is "
    "deleted: what is dismissed or taken over goes to the folder coseg-shared/conflicts/settled."
)


class CopiesDialog(QDialog):
    """Shows copies, and asks what is to become of one.

    Attributes
    ----------
    looked, taken_over, dismissed : Signal
        A `LostCopy` that a person wants to see, to put in the place of the case's labels, or not
        to be told of any more.
    """

    looked = Signal(object)
    taken_over = Signal(object)
    dismissed = Signal(object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Copies of work on cases that were taken over")
        self.setMinimumWidth(460)
        about = note()
        about.setText(_ABOUT)
        self.list = QListWidget()
        self._look = QPushButton("Look at it")
        self._look.setToolTip("See what was drawn, without changing anything.")
        self._take = QPushButton("Take it over")
        self._take.setToolTip(
            "Open the case and put the copy in the place of its labels; Ctrl+Z takes that back."
        )
        self._dismiss = QPushButton("Dismiss")
        self._dismiss.setToolTip("It is not needed: take it off this list, for everybody.")
        layout = QVBoxLayout(self)
        layout.addWidget(about)
        layout.addWidget(self.list, 1)
        layout.addWidget(row_of(self._look, self._take, self._dismiss))
        for button, signal in (
            (self._look, self.looked),
            (self._take, self.taken_over),
            (self._dismiss, self.dismissed),
        ):
            button.setAutoDefault(False)
            button.clicked.connect(lambda on, signal=signal: self._tell(signal))
        self.list.currentRowChanged.connect(self._light)
        self._light()

    def show_copies(self, project: QueueProject, copies: list[LostCopy]) -> None:
        """List copies; the one that was chosen stays so."""
        names = {project.case(number).key: name for number, name in project.names().items()}
        chosen = self.chosen
        self.list.clear()
        for copy in copies:
            when = time.strftime("%d %b %H:%M", time.localtime(copy.time))
            what = " and ".join(sorted(copy.labels)) or "nothing"
            name = names.get(copy.case_key, "a case that is not in this list")
            item = QListWidgetItem(f"{name}: {what} that {copy.name} drew, kept {when}")
            item.setData(Qt.ItemDataRole.UserRole, copy)
            item.setToolTip(copy.note)
            self.list.addItem(item)
            if copy == chosen:
                self.list.setCurrentItem(item)
        if self.list.currentRow() < 0 and copies:
            self.list.setCurrentRow(0)
        self._light()

    @property
    def chosen(self) -> LostCopy | None:
        """The copy whose row is lit."""
        item = self.list.currentItem()
        return None if item is None else item.data(Qt.ItemDataRole.UserRole)

    def _light(self, row: int = 0) -> None:
        for button in (self._look, self._take, self._dismiss):
            button.setEnabled(self.chosen is not None)

    def _tell(self, signal: Any) -> None:
        if self.chosen is not None:
            signal.emit(self.chosen)
