"""The open case of a queue in the viewer: its layers come, and go when its work is on the disk."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.queue_times import ActiveTime
from napari_coseg.annotation.share_files import is_shared
from napari_coseg.annotation.shared_opening import begin_sharing, open_shared
from napari_coseg.layers.cases import mark_case
from napari_coseg.layers.queue_layers import picture_image, volume_image
from napari_coseg.types import CosegError
from napari_coseg.widgets.parts import wait_for
from napari_coseg.widgets.queue_labels import CaseLabels
from napari_coseg.widgets.queue_late import LateWork, warn_unsaved
from napari_coseg.widgets.queue_reader import Prepared, QueueReader
from napari_coseg.widgets.queue_sharing import QueueSharing

if TYPE_CHECKING:
    import napari.viewer

#: Milliseconds between two looks at the clock.
_TICK = 15_000
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
    """

    changed = Signal()
    opened = Signal()
    saving = Signal(bool)
    said = Signal(str)
    small = Signal(int, bytes)
    prepared = Signal(int, object)
    _trouble = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.project: QueueProject | None = None
        self.number: int | None = None
        self.reading = False
        self.sharing: QueueSharing | None = None
        self._reader: QueueReader | None = None
        self._image: Any = None
        self._labels: CaseLabels | None = None
        self._notes = ""
        self._next: int | None = None
        self._time = ActiveTime()
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK)
        self._timer.timeout.connect(self._count)
        self._trouble.connect(self._on_trouble)
        self._touches = (
            viewer.mouse_move_callbacks,
            viewer.mouse_wheel_callbacks,
            viewer.mouse_drag_callbacks,
        )
        for callbacks in self._touches:
            callbacks.append(self._on_mouse)
        viewer.dims.events.current_step.connect(self.touch)

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
            self.sharing.changed.connect(self.changed)
            self.sharing.said.connect(self.said)
        project.on_trouble = self._trouble.emit
        self._reader = QueueReader(project)
        self._reader.ready.connect(self._on_ready)
        self._reader.small.connect(self.small)
        self._reader.ahead_ready.connect(self.prepared)
        self._timer.start()

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

    def open_case(self, number: int, ahead: int | None = None) -> None:
        """Open a case; the one before is closed once its work is on the disk.

        Parameters
        ----------
        number : int
        ahead : int, optional
            The case that is likely to be next: its image is read then, too.

        Raises
        ------
        CosegError
            If work on the case before is not on the disk yet.
        """
        assert self.project is not None
        assert self._reader is not None
        if number == self.number and (self.reading or self._image is not None):
            return
        self.close_case()
        self.number, self.reading, self._next = number, True, ahead
        if not self._reader.is_ready(number):
            self.said.emit(f"Reading {self.project.name(number)} …")
        if self.sharing is None:
            self._reader.want(number)
        else:
            self.sharing.take(number)
        self.opened.emit()

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
        labels = self._labels
        if labels is not None:
            labels.look_again()
        if labels is not None and not (
            labels.wait(0.2) or wait_for(lambda: labels.wait(0), _PATIENCE)
        ):
            raise CosegError(
                f"{self.project.name(self.number)} stays open: work on it is not on the disk yet. "
                "See whether the disk is full or its folder gone, and try again."
            )
        if self._time.running:
            self.project.add_time(self.number, self._time.end())
        left, self.number, self.reading = self.number, None, False
        self._take_away()
        if self.sharing is not None:
            self.sharing.leave(left)
        self.changed.emit()
        self.opened.emit()

    def _take_away(self) -> None:
        """Take the case's layers out of the viewer; what is not on the disk stays there."""
        image, self._image = self._image, None
        labels, self._labels = self._labels, None
        if image is not None:
            self._listen(image, False)
        if labels is not None:
            layers = labels.layers
            labels.blockSignals(True)
            if labels.let_go():
                for layer in layers:
                    self._viewer.layers.remove(layer)
            else:
                warn_unsaved(layers)
        if image is not None and image in self._viewer.layers:
            self._viewer.layers.remove(image)

    def want_small(self, number: int) -> None:
        """Make the small picture of a case."""
        if self._reader is not None:
            self._reader.want_small(number)

    def rename(self) -> None:
        """Call the open image what its case is called now: names were hidden or shown."""
        if self.project is None or self.number is None or self._image is None:
            return
        number = self.number
        # Labels know their image by its name.
        with contextlib.suppress(CosegError):
            self.close_case()
            self.open_case(number)

    def touch(self, event: object = None) -> None:
        """Count time up to now: the person did something."""
        self._time.touch()

    def let_go(self) -> None:
        """Close everything: what cannot be written within seconds is told."""
        for callbacks in self._touches:
            if self._on_mouse in callbacks:
                callbacks.remove(self._on_mouse)
        self._viewer.dims.events.current_step.disconnect(self.touch)
        self._timer.stop()
        try:
            self.close_case()
        except CosegError:
            labels, self._labels = self._labels, None
            if labels is not None:
                LateWork(labels)
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
        self._timer.stop()

    def _on_taken(self, number: int, error: object) -> None:
        if number != self.number or not self.reading or self._reader is None:
            return
        if error is None:
            self._reader.want(number)
            return
        self.number, self.reading = None, False
        self.changed.emit()
        self.opened.emit()
        self.said.emit(str(error))

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
        if error is not None:
            self._fail(number, str(error) or type(error).__name__)
        else:
            self.project.opened(number)
            self._time.begin()
            self.said.emit(self._notes)
        assert self._reader is not None
        self._reader.ahead(self._next, number)
        self.changed.emit()
        self.opened.emit()

    def _show(self, number: int, prepared: Prepared) -> None:
        assert self.project is not None
        assert self._reader is not None
        image, name = prepared.image, self.project.name(number)
        if image.grid is None:
            layer = picture_image(image.pixels, name, image.mpp)
        else:
            layer = volume_image(image.pixels, image.grid, image.unit, name, image.window)
        # Two cases may have one name.
        mark_case(layer, self.project.known_as(number))
        self._image, self._notes = layer, " ".join(image.notes)
        journals = {role: self.project.journal(number, role) for role in ("objects", "regions")}
        readers = self._reader.labels
        # Before others see the image: they ask whose it is.
        labels = CaseLabels(self._viewer, layer, prepared.identity, journals, image.mpp, readers)
        labels.saving.connect(self.saving)
        labels.trouble.connect(self._trouble)
        labels.said.connect(self.said)
        # Before it opens: where one of two journals fails, the other is closed.
        self._labels = labels
        self._viewer.layers.append(layer)
        self._listen(layer, True)
        if layer.ndim == 3:
            self._viewer.dims.set_current_step(0, layer.data.shape[0] // 2)
        self._viewer.reset_view()
        labels.opened.connect(lambda error: self._on_labels(number, error))
        labels.open()

    def _fail(self, number: int, reason: str) -> None:
        assert self.project is not None
        self._take_away()
        self.project.failed(number, reason)
        self.said.emit(self.project.reason(number))

    def _listen(self, image: Any, on: bool) -> None:
        event = self._viewer.layers.events.removed
        if on:
            event.connect(self._on_removed)
        else:
            with contextlib.suppress(TypeError, ValueError, RuntimeError):
                event.disconnect(self._on_removed)

    def _on_removed(self, event: Any) -> None:
        if self._image is not None and event.value == self._image:
            # The person took the image away: that is leaving the case.
            self.said.emit("The image was taken away: the case is closed, its work is kept.")
            QTimer.singleShot(0, self._leave)

    def _leave(self) -> None:
        try:
            self.close_case()
        except CosegError as error:
            show_warning(str(error))

    def _count(self) -> None:
        if self.project is not None and self.number is not None and self._time.running:
            self.project.add_time(self.number, self._time.take())
            self.changed.emit()

    def _on_mouse(self, viewer: Any, event: Any) -> None:
        self._time.touch()

    def _on_trouble(self, sentence: str | None) -> None:
        if sentence:
            show_warning(sentence)
            self.said.emit(sentence)
