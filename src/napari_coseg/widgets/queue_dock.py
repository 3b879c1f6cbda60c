"""The Queue dock: a folder's cases one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QFileDialog, QInputDialog, QVBoxLayout

from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.queue_store import DONE, FAILED, FLAGGED, IN_PROGRESS
from napari_coseg.annotation.shared_copies import LostCopy
from napari_coseg.annotation.shared_queue import user_name
from napari_coseg.types import CosegError
from napari_coseg.widgets.parts import Dock
from napari_coseg.widgets.queue_copies import CopiesDialog
from napari_coseg.widgets.queue_desk import QueueDesk
from napari_coseg.widgets.queue_exporting import QueueExporting
from napari_coseg.widgets.queue_form import QueueForm
from napari_coseg.widgets.queue_look import Look
from napari_coseg.widgets.queue_suggest import SuggestAhead
from napari_coseg.widgets.queue_suggest_here import SuggestHere

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
        self.setMinimumWidth(320)
        self.desk = QueueDesk(viewer)
        self.suggest = SuggestAhead(self.desk, self)
        self.here = SuggestHere(self.desk, self.suggest)
        self.exporting = QueueExporting(self.desk, self)
        self.form = QueueForm(self.suggest.switch)
        QVBoxLayout(self).addWidget(self.form)
        self._copies = CopiesDialog(self)
        self._connect()
        self._refresh()
        self._say("Choose the folder of your images.")

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
        return str(self.form.message.text())

    def open_folder(self, root: Path | str) -> None:
        """Open the queue of a folder, at the case that was open last."""
        try:
            before = self.desk.project
            self.desk.open_project(Path(root))
        except CosegError as error:
            show_warning(str(error))
            self._say(str(error))
            return
        project = self.desk.project
        assert project is not None
        if project is before:
            return
        self.form.model.forget()
        self.form.hide_names.blockSignals(True)
        self.form.hide_names.setChecked(project.anonymous)
        self.form.hide_names.blockSignals(False)
        self._say("")
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
            self._say(str(error))
        else:
            if number is not None:
                self.open_case(number)
        self._refresh()

    def _neighbour(self, number: int | None, forward: bool) -> int | None:
        """Return the next case that nobody else has, or the one before."""
        cases = [c for c in self.form.model.cases if c.id == number or c.id not in self.holders]
        return QueueProject.neighbour(cases, number, forward)

    def open_case(self, number: int) -> None:
        """Open a case; one that somebody else has, only to look at it."""
        self._keep_note()
        self._say("")
        ahead = self._neighbour(number, True)
        holder = self.holders.get(number)
        try:
            self.desk.open_case(number, ahead, None if holder is None else Look(holder))
        except CosegError as error:
            show_warning(str(error))
            self._say(str(error))

    def step(self, forward: bool) -> None:
        """Open the next case of those that are shown, or the one before."""
        wanted = self._neighbour(self.desk.number, forward)
        if wanted is None:
            self._say(
                "This is the last case of the list." if forward else "This is the first case."
            )
        else:
            self.open_case(wanted)

    def finish(self) -> None:
        """Mark the open case as done, and open the next one."""
        project, number = self.desk.project, self.desk.number
        if project is None or number is None or self.desk.reading or self.desk.looking is not None:
            return
        # Before its status changes, by which it may fall out of the list.
        following = self._neighbour(number, True)
        self._keep_note()
        if not self._set_status(number, DONE):
            return
        if following is None:
            left = len(project.cases) - project.counts()[DONE]
            self._say(
                f"The end of the list; {left} cases are not done." if left else "All are done."
            )
        else:
            self.open_case(following)

    def flag(self) -> None:
        """Flag the open case, or take the flag back."""
        project, number = self.desk.project, self.desk.number
        if project is not None and number is not None and self.desk.looking is None:
            flagged = project.case(number).status == FLAGGED
            self._set_status(number, IN_PROGRESS if flagged else FLAGGED)

    def _set_status(self, number: int, status: str) -> bool:
        """Set a case's status; where that cannot be, say why."""
        assert self.desk.project is not None
        try:
            self.desk.project.set_status(number, status)
        except CosegError as error:
            self._say(str(error))
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

    def let_go(self) -> None:
        """Keep everything, close case and queue."""
        self._keep_note()
        self.suggest.let_go()
        self.here.let_go()
        self.desk.blockSignals(True)
        self.desk.let_go()

    def _say(self, words: str) -> None:
        self.form.message.setText(words)

    def _connect(self) -> None:
        desk, form = self.desk, self.form
        form.folder.clicked.connect(self._ask_folder)
        form.again.clicked.connect(self._look_again)
        form.share.clicked.connect(self._ask_share)
        form.copies.clicked.connect(self._show_copies)
        form.find.textChanged.connect(self._refresh)
        form.shown.currentIndexChanged.connect(self._refresh)
        form.table.chosen.connect(self.open_case)
        form.table.stepped.connect(self.step)
        form.model.small_wanted.connect(desk.want_small)
        desk.small.connect(form.model.set_small)
        desk.changed.connect(self._refresh)
        desk.opened.connect(self._on_opened)
        desk.said.connect(self._say)
        self.suggest.said.connect(self._say)
        self.here.said.connect(self._say)
        self.exporting.said.connect(self._say)
        self.exporting.again.connect(self.open_case)
        self.exporting.changed.connect(self._light)
        form.back.clicked.connect(lambda: self.step(False))
        form.next.clicked.connect(lambda: self.step(True))
        form.banner.work.clicked.connect(self._work_on_it)
        form.banner.leave.clicked.connect(self._stop_looking)
        form.done.clicked.connect(self.finish)
        form.flag.clicked.connect(self.flag)
        form.note.typed.connect(desk.clock.touch)
        form.note.paused.connect(self._keep_note)
        form.hide_names.toggled.connect(self.hide_names)
        form.export.clicked.connect(self._ask_export)
        self._copies.looked.connect(self._look_at_copy)
        self._copies.taken_over.connect(self.take_over)
        self._copies.dismissed.connect(self._dismiss)

    def _refresh(self, event: object = None) -> None:
        project = self.desk.project
        statuses = self.form.shown.currentData()
        cases = [] if project is None else project.search(self.form.find.text(), statuses)
        self.form.model.show(project, cases, self.holders)
        counts = {} if project is None else project.counts()
        parts = [f"{count:,} {status}" for status, count in counts.items() if count]
        self.form.counts.setText(" · ".join(parts))
        if self.desk.number is not None:
            self.desk.prepare(self._neighbour(self.desk.number, True))
        self._light()

    def _light(self) -> None:
        """Light the open case, and enable what can be done with it."""
        project, number, form = self.desk.project, self.desk.number, self.form
        sharing, looking = self.desk.sharing, self.desk.looking
        form.table.light(number)
        case = None if project is None or number is None else project.case(number)
        mine = case is not None and looking is None
        readable = mine and case is not None and case.status != FAILED
        for part in (form.done, form.flag):
            part.setEnabled(readable and not self.desk.reading)
        form.note.setEnabled(mine)
        for part in (form.again, form.share, form.hide_names, form.back, form.next):
            part.setEnabled(project is not None)
        form.share.setText("Share …" if sharing is None else f"Shared: {sharing.name}")
        form.export.setEnabled(project is not None and not self.exporting.busy)
        form.flag.setChecked(mine and case is not None and case.status == FLAGGED)
        copies = [] if sharing is None else sharing.copies
        form.copies.setText(f"Copies of lost work: {len(copies)} …")
        form.copies.setVisible(bool(copies))
        if project is not None:
            self._copies.show_copies(project, copies)
        form.banner.tell(*self._banner(looking, number))

    def _banner(self, look: Look | None, number: int | None) -> tuple[str, str]:
        """Return what a person reads who only looks at a case, and what they can do."""
        if look is None or number is None:
            return "", ""
        if look.copy is not None:
            return look.words, "Take it over"
        if number in self.holders:
            return look.words, ""
        return f"{look.who} has left this case: it is free now.", "Work on it"

    def _on_opened(self) -> None:
        project, number = self.desk.project, self.desk.number
        if self.form.note.waits:
            # Typed while the image was being read: what is kept of this case is older.
            self._keep_note()
        words = "" if project is None or number is None else project.case(number).note
        self.form.note.show_note(words)
        self._light()

    def _keep_note(self) -> None:
        text = self.form.note.take()
        project, number = self.desk.project, self.desk.number
        if project is None or number is None or self.desk.looking is not None:
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
        self._say(f"{words} at the end of the queue." if new else "No new files.")
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
        self._keep_note()
        self.exporting.ask()

    # Only to look at.

    def _work_on_it(self) -> None:
        look, number = self.desk.looking, self.desk.number
        if look is None or number is None:
            return
        if look.copy is not None:
            self.take_over(look.copy)
        else:
            self.open_case(number)

    def _stop_looking(self) -> None:
        if self.desk.looking is not None:
            self.desk.close_case()

    def _show_copies(self) -> None:
        self._copies.show()
        self._copies.raise_()

    def _number_of(self, copy: LostCopy) -> int | None:
        project = self.desk.project
        cases = [] if project is None else project.cases
        number = next((case.id for case in cases if case.key == copy.case_key), None)
        if number is None:
            self._say("The case of this copy is not in the list: its file is not in the folder.")
        return number

    def _look_at_copy(self, copy: LostCopy) -> None:
        number = self._number_of(copy)
        if number is None:
            return
        self._keep_note()
        try:
            self.desk.open_case(number, self._neighbour(number, True), Look(copy.name, copy))
        except CosegError as error:
            self._say(str(error))

    def take_over(self, copy: LostCopy) -> None:
        """Open the case of a copy, and put what is in the copy in the place of its labels."""
        number = self._number_of(copy)
        if number is None:
            return
        holder = self.holders.get(number)
        if holder is not None:
            self._say(f"{holder} has this case open: take the copy over once it is free.")
            return
        self._keep_note()
        try:
            self.desk.take_over(number, copy, self._neighbour(number, True))
        except CosegError as error:
            self._say(str(error))

    def _dismiss(self, copy: LostCopy) -> None:
        if self.desk.sharing is not None:
            self.desk.sharing.settle(copy)
