"""The Queue dock: a folder's cases one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QInputDialog,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_coseg.annotation.queue_export import Exported, Layout, export_cases
from napari_coseg.annotation.queue_export_plan import NoPixelSizeError, finished_cases
from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.queue_store import DONE, FAILED, FLAGGED, IN_PROGRESS, STATUSES
from napari_coseg.annotation.shared_queue import user_name
from napari_coseg.types import CosegError
from napari_coseg.widgets.background import in_background
from napari_coseg.widgets.parts import Dock, combo, note
from napari_coseg.widgets.queue_desk import QueueDesk
from napari_coseg.widgets.queue_note import NoteField
from napari_coseg.widgets.queue_suggest import SuggestAhead
from napari_coseg.widgets.queue_table import QueueModel, QueueTable

if TYPE_CHECKING:
    import napari.viewer


class QueueDock(Dock):
    """Shows the cases of a folder, and opens one after the other.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Handed in by napari.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.desk = QueueDesk(viewer)
        self.setMinimumWidth(320)
        self._folder = QPushButton("Open folder …")
        self._folder.setToolTip("Images, volumes and DICOM folders in it become the queue.")
        self._again = QPushButton("Look again")
        self._again.setToolTip("Take in files that are new in the folder.")
        self._share = QPushButton("Share …")
        self._share.setToolTip(
            "Work through this folder together: each case is with one person at a time."
        )
        self._find = QLineEdit()
        self._find.setPlaceholderText("Name or note")
        self._find.setClearButtonEnabled(True)
        self._shown = combo("Show cases of one status.")
        self._shown.setMinimumContentsLength(6)
        self._counts = note()
        self.model = QueueModel()
        self.table = QueueTable(self.model)
        self.table.setToolTip("Click a case to open it. J: the one before, K: the next.")
        self._back = QPushButton("◂ Previous (J)")
        self._next = QPushButton("Next (K) ▸")
        self._done = QPushButton("Done, next")
        self._done.setToolTip("The open case is finished: mark it, and open the next one.")
        self._done.setMinimumHeight(32)
        self._flag = QPushButton("⚑ Flag")
        self._flag.setCheckable(True)
        self._flag.setToolTip("Mark the open case for another look; press again to take it back.")
        self._flag.setMinimumHeight(32)
        self._note = NoteField()
        self._hide = QCheckBox("Hide names, shuffle")
        self._hide.setToolTip('Cases are called "Case 1", "Case 2", … in an order of their own.')
        self._export = QPushButton("Export done …")
        self._export.setToolTip("Write the finished cases as a data set that train reads.")
        self._exporting: object | None = None
        self.suggest = SuggestAhead(self.desk, self)
        self._message = note()
        layout = QVBoxLayout(self)
        layout.addWidget(_row(self._folder, self._again, self._share))
        filters = QHBoxLayout()
        filters.addWidget(self._find, 3)
        filters.addWidget(self._shown, 2)
        layout.addLayout(filters)
        layout.addWidget(self._counts)
        layout.addWidget(self.table, 1)
        layout.addWidget(_row(self._back, self._next))
        layout.addWidget(self._note)
        layout.addWidget(_row(self._flag, self._done))
        layout.addWidget(self.suggest.switch)
        layout.addWidget(_row(self._hide, self._export))
        layout.addWidget(self._message)
        for button in self.findChildren(QPushButton):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)

        self._shown.addItem("All", STATUSES)
        for status in STATUSES:
            self._shown.addItem(status.capitalize(), (status,))
        self._connect()
        self._refresh()
        self._message.setText("Choose the folder of your images.")

    @property
    def project(self) -> QueueProject | None:
        """The open queue."""
        return self.desk.project

    @property
    def holders(self) -> dict[int, str]:
        """Who else has cases of a shared queue."""
        return {} if self.desk.sharing is None else self.desk.sharing.holders

    @property
    def message(self) -> str:
        """The sentence at the bottom."""
        return str(self._message.text())

    def open_folder(self, root: Path | str) -> None:
        """Open the queue of a folder, at the case that was open last."""
        try:
            before = self.desk.project
            self.desk.open_project(Path(root))
        except CosegError as error:
            show_warning(str(error))
            self._message.setText(str(error))
            return
        project = self.desk.project
        assert project is not None
        if project is before:
            return
        self.model.forget()
        self._hide.blockSignals(True)
        self._hide.setChecked(project.anonymous)
        self._hide.blockSignals(False)
        self._message.setText("")
        self._refresh()
        first = project.last
        if first is None:
            first = self._neighbour(None, True)
        if first is not None:
            self.open_case(first)

    def share(self, name: str) -> None:
        """Share the open queue, or call the person differently where it is shared."""
        sharing = self.desk.sharing
        if sharing is not None:
            sharing.rename(name)
            return
        self._keep_note()
        number = self.desk.number
        try:
            self.desk.share(name)
        except CosegError as error:
            show_warning(str(error))
            self._message.setText(str(error))
        else:
            if number is not None:
                self.open_case(number)
        self._refresh()

    def _neighbour(self, number: int | None, forward: bool) -> int | None:
        """Return the next case that nobody else has, or the one before."""
        cases = [c for c in self.model.cases if c.id == number or c.id not in self.holders]
        return QueueProject.neighbour(cases, number, forward)

    def open_case(self, number: int) -> None:
        """Open a case."""
        self._keep_note()
        self._message.setText("")
        ahead = self._neighbour(number, True)
        holder = self.holders.get(number)
        if holder is not None:
            # Before the open case is left for it.
            self._message.setText(f"{holder} has this case open: choose another one.")
            return
        try:
            self.desk.open_case(number, ahead)
        except CosegError as error:
            show_warning(str(error))
            self._message.setText(str(error))

    def step(self, forward: bool) -> None:
        """Open the next case of those that are shown, or the one before."""
        wanted = self._neighbour(self.desk.number, forward)
        if wanted is None:
            self._message.setText(
                "This is the last case of the list." if forward else "This is the first case."
            )
        else:
            self.open_case(wanted)

    def finish(self) -> None:
        """Mark the open case as done, and open the next one."""
        project, number = self.desk.project, self.desk.number
        if project is None or number is None or self.desk.reading:
            return
        # Before its status changes, by which it may fall out of the list.
        following = self._neighbour(number, True)
        self._keep_note()
        if not self._set_status(number, DONE):
            return
        if following is None:
            left = len(project.cases) - project.counts()[DONE]
            self._message.setText(
                f"The end of the list; {left} cases are not done." if left else "All are done."
            )
        else:
            self.open_case(following)

    def flag(self) -> None:
        """Flag the open case, or take the flag back."""
        project, number = self.desk.project, self.desk.number
        if project is not None and number is not None:
            flagged = project.case(number).status == FLAGGED
            self._set_status(number, IN_PROGRESS if flagged else FLAGGED)

    def _set_status(self, number: int, status: str) -> bool:
        """Set a case's status; where that cannot be, say why."""
        assert self.desk.project is not None
        try:
            self.desk.project.set_status(number, status)
        except CosegError as error:
            self._message.setText(str(error))
            return False
        finally:
            self._refresh()
        return True

    def hide_names(self, hide: bool) -> None:
        """Hide names and shuffle, or show them again."""
        if self.desk.project is not None and hide != self.desk.project.anonymous:
            self._keep_note()
            self.desk.project.set_anonymous(hide)
            self._refresh()
            self.desk.rename()
            self._light()

    def export(self, folder: Path, layout: Layout, mpp: float | None = None) -> None:
        """Write the finished cases as a data set, in a thread.

        The open case is closed first, where it is one of them, so that its journal can be read;
        it opens again at the end.
        """
        project, number = self.desk.project, self.desk.number
        if project is None or self._exporting is not None:
            return
        self._keep_note()
        cases = finished_cases(project)
        again = number if number is not None and project.case(number).status == DONE else None
        try:
            if again is not None:
                self.desk.close_case()
        except CosegError as error:
            self._message.setText(str(error))
            return

        writing, said = f"Writing {folder.name} …", [""]
        sharing = self.desk.sharing
        keys = [case.key for case in project.cases if case.status == DONE]

        def write() -> Exported | NoPixelSizeError:
            try:
                if sharing is not None:
                    sharing.bring(keys)
                return export_cases(cases, folder, layout, name=folder.name, mpp=mpp)
            except NoPixelSizeError as error:
                return error

        def written(told: Exported | NoPixelSizeError) -> None:
            if isinstance(told, NoPixelSizeError):
                QTimer.singleShot(0, lambda: self._ask_size(str(told), folder, layout))
                return
            count = told.count
            words = [f"{count} cases are in {folder}." if count != 1 else f"1 case is in {folder}."]
            show_info(" ".join([*words, *told.notes]))
            said.extend(words)

        def ended() -> None:
            self._exporting = None
            if self.gone:
                return
            # What it says no longer holds, however it ended.
            if self.message == writing:
                self._message.setText(" ".join(said))
            if again is not None and self.desk.number is None and self.desk.project is project:
                self.open_case(again)
            self._light()

        self._exporting = in_background(
            write,
            f"Writing {len(cases)} cases to {folder.name}",
            done=written,
            failed=lambda: None,
            ended=ended,
        )
        self._message.setText(writing)
        self._light()

    def let_go(self) -> None:
        """Keep everything, close case and queue."""
        self._keep_note()
        self.suggest.let_go()
        self.desk.blockSignals(True)
        self.desk.let_go()

    def _connect(self) -> None:
        desk = self.desk
        self._folder.clicked.connect(self._ask_folder)
        self._again.clicked.connect(self._look_again)
        self._share.clicked.connect(self._ask_share)
        self._find.textChanged.connect(self._refresh)
        self._shown.currentIndexChanged.connect(self._refresh)
        self.table.chosen.connect(self.open_case)
        self.table.stepped.connect(self.step)
        self.model.small_wanted.connect(desk.want_small)
        desk.small.connect(self.model.set_small)
        desk.changed.connect(self._refresh)
        desk.opened.connect(self._on_opened)
        desk.said.connect(self._message.setText)
        self.suggest.said.connect(self._message.setText)
        self._back.clicked.connect(lambda: self.step(False))
        self._next.clicked.connect(lambda: self.step(True))
        self._done.clicked.connect(self.finish)
        self._flag.clicked.connect(self.flag)
        self._note.typed.connect(desk.touch)
        self._note.paused.connect(self._keep_note)
        self._hide.toggled.connect(self.hide_names)
        self._export.clicked.connect(self._ask_export)

    def _refresh(self, event: object = None) -> None:
        project = self.desk.project
        statuses = self._shown.currentData()
        cases = [] if project is None else project.search(self._find.text(), statuses)
        self.model.show(project, cases, self.holders)
        counts = {} if project is None else project.counts()
        parts = [f"{count:,} {status}" for status, count in counts.items() if count]
        self._counts.setText(" · ".join(parts))
        if self.desk.number is not None:
            self.desk.prepare(self._neighbour(self.desk.number, True))
        self._light()

    def _light(self) -> None:
        """Light the open case, and enable what can be done with it."""
        project, number = self.desk.project, self.desk.number
        self.table.light(number)
        is_open = project is not None and number is not None
        readable = False
        if project is not None and number is not None:
            readable = project.case(number).status != FAILED
        for part in (self._done, self._flag):
            part.setEnabled(readable and not self.desk.reading)
        self._note.setEnabled(is_open)
        for part in (self._again, self._share, self._hide, self._back, self._next):
            part.setEnabled(project is not None)
        sharing = self.desk.sharing
        self._share.setText("Share …" if sharing is None else f"Shared: {sharing.name}")
        self._export.setEnabled(project is not None and self._exporting is None)
        flagged = False
        if project is not None and number is not None:
            flagged = project.case(number).status == FLAGGED
        self._flag.setChecked(flagged)

    def _on_opened(self) -> None:
        project, number = self.desk.project, self.desk.number
        if self._note.waits:
            # Typed while the image was being read: what is kept of this case is older.
            self._keep_note()
        self._note.show_note("" if project is None or number is None else project.case(number).note)
        self._light()

    def _keep_note(self) -> None:
        text = self._note.take()
        project, number = self.desk.project, self.desk.number
        if project is None or number is None:
            return
        if text != project.case(number).note:
            project.set_note(number, text)
            self._refresh()

    def _look_again(self) -> None:
        if self.desk.project is None:
            return
        try:
            new = len(self.desk.project.rescan())
        except CosegError as error:
            show_warning(str(error))
            return
        words = "1 new case" if new == 1 else f"{new} new cases"
        self._message.setText(f"{words} at the end of the queue." if new else "No new files.")
        self._refresh()

    def _ask_folder(self) -> None:
        start = "" if self.desk.project is None else str(self.desk.project.root)
        chosen = QFileDialog.getExistingDirectory(self, "Folder of the images", start)
        if chosen:
            self.open_folder(chosen)

    def _ask_share(self) -> None:
        sharing = self.desk.sharing
        name, given = QInputDialog.getText(
            self,
            "Share this queue",
            "Others who open this folder with napari see what is done in it, and who has which "
            "case.\nYour name, as they see it:",
            text=user_name() if sharing is None else sharing.name,
        )
        if given:
            self.share(name)

    def _ask_export(self) -> None:
        layouts: dict[str, Layout] = {"nnU-Net v2": "nnunet", "Folder data set": "folder"}
        kind, chosen = QInputDialog.getItem(
            self, "Export finished cases", "Layout of the data set", [*layouts], 0, False
        )
        if not chosen:
            return
        folder = QFileDialog.getExistingDirectory(self, "An empty folder for the data set")
        if folder:
            self.export(Path(folder), layouts[kind])

    def _ask_size(self, words: str, folder: Path, layout: Layout) -> None:
        size, given = QInputDialog.getDouble(
            self, "Size of a pixel", f"{words}\nµm a pixel:", 0.5, 0.001, 1000.0, 3
        )
        if given:
            self.export(folder, layout, size)


def _row(*parts: Any) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        part.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        layout.addWidget(part, 1)
    return row
