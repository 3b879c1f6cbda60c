"""Finished cases written as a data set, from the Queue dock."""

from __future__ import annotations

from pathlib import Path

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_coseg.annotation.queue_export import Exported, Layout, export_cases
from napari_coseg.annotation.queue_export_plan import NoPixelSizeError, finished_cases
from napari_coseg.annotation.queue_store import DONE
from napari_coseg.types import CosegError
from napari_coseg.widgets.background import in_background
from napari_coseg.widgets.parts import Dock
from napari_coseg.widgets.queue_desk import QueueDesk


class QueueExporting(QObject):
    """Asks where to, and writes in a thread.

    Parameters
    ----------
    desk : QueueDesk
    dock : Dock
        Below which questions are asked.

    Attributes
    ----------
    said : Signal
        A sentence for the person.
    again : Signal
        Number of the case that was open, and was closed so that its journal can be read.
    changed : Signal
        It has begun, or ended.
    """

    said = Signal(str)
    again = Signal(int)
    changed = Signal()

    def __init__(self, desk: QueueDesk, dock: Dock) -> None:
        super().__init__(dock)
        self._desk = desk
        self._dock = dock
        self._work: object | None = None

    @property
    def busy(self) -> bool:
        """Whether cases are being written."""
        return self._work is not None

    def ask(self) -> None:
        """Ask for the layout and the folder, and write."""
        layouts: dict[str, Layout] = {"nnU-Net v2": "nnunet", "Folder data set": "folder"}
        kind, chosen = QInputDialog.getItem(
            self._dock, "Export finished cases", "Layout of the data set", [*layouts], 0, False
        )
        if not chosen:
            return
        folder = QFileDialog.getExistingDirectory(self._dock, "An empty folder for the data set")
        if folder:
            self.write(Path(folder), layouts[kind])

    def write(self, folder: Path, layout: Layout, mpp: float | None = None) -> None:
        """Write the finished cases; the open one, where it is one of them, is closed meanwhile."""
        project, number = self._desk.project, self._desk.number
        if project is None or self.busy:
            return
        cases = finished_cases(project)
        again = number if self._desk.looking is None else None
        if again is not None and project.case(again).status != DONE:
            again = None
        try:
            if again is not None:
                self._desk.close_case()
        except CosegError as error:
            self.said.emit(str(error))
            return
        told: list[str] = []
        sharing = self._desk.sharing
        keys = [case.key for case in project.cases if case.status == DONE]

        def write() -> Exported | NoPixelSizeError:
            try:
                if sharing is not None:
                    sharing.bring(keys)
                return export_cases(cases, folder, layout, name=folder.name, mpp=mpp)
            except NoPixelSizeError as error:
                return error

        def written(made: Exported | NoPixelSizeError) -> None:
            if isinstance(made, NoPixelSizeError):
                QTimer.singleShot(0, lambda: self._ask_size(str(made), folder, layout))
                return
            words = "1 case is" if made.count == 1 else f"{made.count} cases are"
            told.append(f"{words} in {folder}.")
            show_info(" ".join([*told, *made.notes]))

        def ended() -> None:
            self._work = None
            if self._dock.gone:
                return
            self.said.emit(" ".join(told))
            if again is not None and self._desk.number is None and self._desk.project is project:
                self._desk.opened.connect(tell_again)
                self.again.emit(again)
            self.changed.emit()

        def tell_again() -> None:
            """Say it once more: what opening a case says takes its place."""
            if not self._desk.reading:
                self._desk.opened.disconnect(tell_again)
                self.said.emit(" ".join(told))

        self._work = in_background(
            write,
            f"Writing {len(cases)} cases to {folder.name}",
            done=written,
            failed=lambda: None,
            ended=ended,
        )
        self.said.emit(f"Writing {folder.name} …")
        self.changed.emit()

    def _ask_size(self, words: str, folder: Path, layout: Layout) -> None:
        size, given = QInputDialog.getDouble(
            self._dock, "Size of a pixel", f"{words}\nµm a pixel:", 0.5, 0.001, 1000.0, 3
        )
        if given:
            self.write(folder, layout, size)
