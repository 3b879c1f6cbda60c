"""The open case of a queue in the viewer: its layers come, and go when its work is on the disk."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.share_files import is_shared
from napari_coseg.annotation.shared_copies import LostCopy
from napari_coseg.annotation.shared_opening import begin_sharing, open_shared
from napari_coseg.annotation.stored_labels import StoredLabels
from napari_coseg.layers.cases import mark_case
from napari_coseg.types import CosegError
from napari_coseg.widgets.parts import wait_for
from napari_coseg.widgets.queue_clock import WorkClock
from napari_coseg.widgets.queue_labels import CaseLabels
from napari_coseg.widgets.queue_layers import CaseLayers, image_layer
from napari_coseg.widgets.queue_look import CaseLook, Look
from napari_coseg.widgets.queue_reader import Prepared, QueueReader
from napari_coseg.widgets.queue_sharing import QueueSharing

if TYPE_CHECKING:
    import napari.viewer

#: Seconds that leaving a case waits for the disk.
_PATIENCE = 5.0


class QueueDesk(QObject):
    """Opens and closes cases of a queue.

    Attributes
    ----------
    project : QueueProject or None
        The open queue.
    number : int or None
        The case that is open, or is being read.
    looking : Look or None
        Why that case is only looked at; None where it is worked on.
    sharing : QueueSharing or None
        With others; None where the queue is this person's alone.
    changed : Signal
        Something about the cases.
    opened : Signal
        Another case is open, or none.
    saving : Signal
        Whether everything that was drawn is on the disk.
    said : Signal
        A sentence for the person.
    small : Signal
        Number of a case, and its small picture.
    prepared : Signal
        Number of a case that is read ahead, and its `Prepared`.
    began : Signal
        The same of a case that is there to be worked on.
    """

    changed = Signal()
    opened = Signal()
    saving = Signal(bool)
    said = Signal(str)
    small = Signal(int, bytes)
    prepared = Signal(int, object)
    began = Signal(int, object)
    _trouble = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.project: QueueProject | None = None
        self.number: int | None = None
        self.reading = False
        self.looking: Look | None = None
        self.sharing: QueueSharing | None = None
        self._reader: QueueReader | None = None
        self._case: CaseLayers | None = None
        self._stored: Mapping[str, StoredLabels] = {}
        self._copy: LostCopy | None = None
        self._notes = ""
        self._shown: Prepared | None = None
        self._next: int | None = None
        self.clock = WorkClock(viewer, self._count)
        self._trouble.connect(self._on_trouble)

    @property
    def labels(self) -> CaseLabels | CaseLook | None:
        """What is drawn on the open case."""
        return None if self._case is None else self._case.labels

    def open_project(self, root: Path, paths: list[Path] | None = None) -> None:
        """Open the queue of a folder.

        Raises
        ------
        CosegError
            If it cannot be opened; the queue before stays open then, unless it is this one.
        """
        if self.project is not None and self.project.root == Path(root).absolute():
            self.project.rescan()
            self.changed.emit()
            return
        root = Path(root).absolute()
        shared = open_shared(root) if paths is None and is_shared(root) else None
        project = QueueProject.open(root, paths) if shared is None else shared.project
        try:
            self.close_project()
        except CosegError:
            project.close()
            raise
        self.project = project
        if shared is not None:
            self.sharing = QueueSharing(shared)
            self.sharing.taken.connect(self._on_taken)
            self.sharing.read.connect(self._on_stored)
            self.sharing.changed.connect(self.changed)
            self.sharing.said.connect(self.said)
        project.on_trouble = self._trouble.emit
        self._reader = QueueReader(project)
        self._reader.ready.connect(self._on_ready)
        self._reader.small.connect(self.small)
        self._reader.ahead_ready.connect(self.prepared)

    def share(self, name: str) -> None:
        """Share the open queue with others, and open it anew.

        Parameters
        ----------
        name : str
            What the person is called.

        Raises
        ------
        CosegError
            If that cannot be; the queue is closed then, unless work is not on the disk yet.
        """
        assert self.project is not None
        root = self.project.root
        self.close_project()
        begin_sharing(root)
        self.open_project(root)
        assert self.sharing is not None
        self.sharing.rename(name)
        self.sharing.publish_all()

    def close_project(self) -> None:
        """Close the open case and the queue.

        Raises
        ------
        CosegError
            If work on the case, or on the queue, is not on the disk yet.
        """
        self.close_case()
        project = self.project
        if project is not None and not wait_for(lambda: project.wait(0), _PATIENCE):
            raise CosegError(
                project.writer.error or "Changes of the queue are not on the disk yet: try again."
            )
        self._end()

    def open_case(self, number: int, ahead: int | None = None, look: Look | None = None) -> None:
        """Open a case; the one before is closed once its work is on the disk.

        Parameters
        ----------
        number : int
        ahead : int, optional
            The case that is likely to be next: its image is read then, too.
        look : Look, optional
            Only to look at it, in a shared queue: it is not taken, and nothing can be drawn.

        Raises
        ------
        CosegError
            If work on the case before is not on the disk yet.
        """
        assert self.project is not None
        assert self._reader is not None
        same = number == self.number and look == self.looking
        if same and (self.reading or self._case is not None):
            return
        self.close_case()
        self.number, self.reading, self._next = number, True, ahead
        self.looking = None if self.sharing is None else look
        if not self._reader.is_ready(number):
            self.said.emit(f"Reading {self.project.name(number)} …")
        if self.sharing is None:
            self._reader.want(number)
        elif look is None:
            self.sharing.take(number)
        else:
            self.sharing.ask_labels(number, look.copy)
        self.opened.emit()

    def take_over(self, number: int, copy: LostCopy, ahead: int | None = None) -> None:
        """Open a case, and put what somebody drew on a copy of it in the place of its labels.

        That is one step for the objects and one for the regions, which can be undone.

        Raises
        ------
        CosegError
            As `open_case`.
        """
        self.close_case()
        self._copy = copy
        self.open_case(number, ahead)

    def prepare(self, ahead: int | None) -> None:
        """Read another case ahead than `open_case` said: the list has changed, or who has what."""
        if self.number is None or self.reading or self._reader is None or ahead == self._next:
            return
        self._next = ahead
        self._reader.ahead(ahead, self.number)

    def close_case(self) -> None:
        """Close the open case and take its layers away.

        Raises
        ------
        CosegError
            If work on it is not on the disk yet; it stays open then.
        """
        if self.number is None or self.project is None:
            return
        if self._case is not None and not self._case.wait(_PATIENCE):
            raise CosegError(
                f"{self.project.name(self.number)} stays open: work on it is not on the disk yet. "
                "See whether the disk is full or its folder gone, and try again."
            )
        self.project.add_time(self.number, self.clock.end())
        left, self.number, self.reading = self.number, None, False
        looked, self.looking, self._copy = self.looking, None, None
        self._take_away()
        if self.sharing is not None and looked is None:
            self.sharing.leave(left)
        self.changed.emit()
        self.opened.emit()

    def _take_away(self) -> None:
        case, self._case = self._case, None
        if case is not None:
            case.take_away()

    def want_small(self, number: int) -> None:
        """Make the small picture of a case."""
        if self._reader is not None:
            self._reader.want_small(number)

    def rename(self) -> None:
        """Call the open image what its case is called now: names were hidden or shown."""
        if self.project is None or self.number is None or self._case is None:
            return
        number, look = self.number, self.looking
        # Labels know their image by its name.
        with contextlib.suppress(CosegError):
            self.close_case()
            self.open_case(number, look=look)

    def let_go(self) -> None:
        """Close everything: what cannot be written within seconds is told."""
        self.clock.let_go()
        try:
            self.close_case()
        except CosegError:
            case, self._case = self._case, None
            if case is not None:
                case.write_late()
        self._end()

    def _end(self) -> None:
        if self._reader is not None:
            self._reader.let_go()
            self._reader = None
        if self.sharing is not None:
            # The queue's file keeps others out of what is published now.
            self.sharing.let_go()
            self.sharing = None
        project, self.project = self.project, None
        if project is not None:
            project.on_trouble = None
            if not project.close():
                show_warning(project.writer.error or "Changes of the queue were not saved.")

    def _on_taken(self, number: int, error: object) -> None:
        if number != self.number or not self.reading or self._reader is None:
            return
        if error is None:
            self._reader.want(number)
            return
        self.number, self.reading, self._copy = None, False, None
        self.changed.emit()
        self.opened.emit()
        self.said.emit(str(error))

    def _on_stored(self, number: int, found: object) -> None:
        """Go on with the labels of a case that is only looked at."""
        if number != self.number or not self.reading or self._reader is None:
            return
        if isinstance(found, Mapping):
            self._stored = found
            self._reader.want(number)
            return
        self.number, self.reading, self.looking = None, False, None
        self.changed.emit()
        self.opened.emit()
        self.said.emit(str(found))

    def _on_ready(self, number: int, found: object) -> None:
        if number != self.number or not self.reading or self.project is None:
            return
        try:
            if isinstance(found, BaseException):
                raise found
            assert isinstance(found, Prepared)
            self._show(number, found)
        except (CosegError, OSError, MemoryError, ValueError) as error:
            self._on_labels(number, error)

    def _on_labels(self, number: int, error: BaseException | None) -> None:
        """Go on once all of a case is there, or cannot be read."""
        if number != self.number or not self.reading or self.project is None:
            return
        self.reading = False
        copying = self._copy is not None
        if error is not None:
            self._fail(number, str(error) or type(error).__name__)
        elif self.looking is not None:
            self.said.emit(self._notes)
        else:
            self.project.opened(number)
            self.clock.begin()
            self.said.emit(self._notes)
            self._replace()
        assert self._reader is not None
        self._reader.ahead(self._next, number)
        self.changed.emit()
        self.opened.emit()
        shown, self._shown = self._shown, None
        if shown is not None and error is None and self.looking is None and not copying:
            self.began.emit(number, shown)

    def _replace(self) -> None:
        """Put the labels of a copy in the place of the open case's."""
        copy, self._copy = self._copy, None
        sharing, labels = self.sharing, self.labels
        if copy is None or sharing is None or not isinstance(labels, CaseLabels):
            return

        def read(stored: Mapping[str, StoredLabels]) -> None:
            if labels is self.labels:
                labels.take_over(stored, copy.name, lambda: sharing.settle(copy))

        sharing.with_copy(copy, read)

    def _show(self, number: int, prepared: Prepared) -> None:
        assert self.project is not None
        assert self._reader is not None
        image, self._shown = prepared.image, prepared
        layer, self._notes = image_layer(image, self.project.name(number)), " ".join(image.notes)
        # Before others see the image: they ask whose it is.
        labels: CaseLabels | CaseLook
        if self.looking is not None:
            stored, self._stored = self._stored, {}
            labels = CaseLook(self._viewer, layer, stored, image.mpp, self.looking)
        else:
            # Two cases may have one name.
            mark_case(layer, self.project.known_as(number))
            journals = {role: self.project.journal(number, role) for role in ("objects", "regions")}
            readers, identity = self._reader.labels, prepared.identity
            labels = CaseLabels(self._viewer, layer, identity, journals, image.mpp, readers)
        labels.saving.connect(self.saving)
        labels.trouble.connect(self._trouble)
        labels.said.connect(self.said)
        labels.opened.connect(lambda error: self._on_labels(number, error))
        # Before it opens: where one of two journals fails, the other is closed.
        self._case = CaseLayers(self._viewer, layer, labels)
        self._case.image_gone.connect(self._on_image_gone)
        self._case.show()

    def _fail(self, number: int, reason: str) -> None:
        assert self.project is not None
        self._take_away()
        self._copy = None
        if self.looking is not None:
            self.said.emit(reason)
            return
        self.project.failed(number, reason)
        self.said.emit(self.project.reason(number))

    def _on_image_gone(self) -> None:
        # That is leaving the case.
        self.said.emit("The image was taken away: the case is closed, its work is kept.")
        QTimer.singleShot(0, self._leave)

    def _leave(self) -> None:
        try:
            self.close_case()
        except CosegError as error:
            show_warning(str(error))

    def _count(self, seconds: float) -> None:
        if self.project is not None and self.number is not None:
            self.project.add_time(self.number, seconds)
            self.changed.emit()

    def _on_trouble(self, sentence: str | None) -> None:
        if sentence:
            show_warning(sentence)
            self.said.emit(sentence)
