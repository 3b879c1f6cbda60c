"""A suggestion for the open case of a queue: a model runs over it until somebody draws."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_coseg.annotation.queue_store import DONE
from napari_coseg.types import CosegError
from napari_coseg.weights.card import ModelCard
from napari_coseg.widgets.queue_desk import QueueDesk
from napari_coseg.widgets.queue_labels import CaseLabels
from napari_coseg.widgets.queue_reader import Prepared
from napari_coseg.widgets.queue_suggest import SuggestAhead, send, suggestions_of
from napari_coseg.worker.pending import Pending

if TYPE_CHECKING:
    from napari_coseg.annotation.queue_project import QueueProject


class SuggestHere(QObject):
    """Runs the model that fits over the open case, where nothing has been drawn, and puts it in.

    The first case of a queue is opened before anything could be made ready for it, and so is one
    that a person jumps to. What comes after a first edit is dropped, and that is said.

    Parameters
    ----------
    desk : QueueDesk
    ahead : SuggestAhead
        Whose switch, models and worker it shares.

    Attributes
    ----------
    said : Signal
        A sentence for the person.
    """

    said = Signal(str)
    _found = Signal(object, object)

    def __init__(self, desk: QueueDesk, ahead: SuggestAhead) -> None:
        super().__init__(ahead.parent())
        self._desk = desk
        self._ahead = ahead
        self._open: tuple[QueueProject, int, Prepared] | None = None
        self._pending: Pending | None = None
        # What was begun for a case before it was opened.
        self._handed: tuple[int, Pending] | None = None
        self._found.connect(self._on_found)
        ahead.switch.toggled.connect(self._on_switch)
        ahead.handed.connect(self._on_handed)
        desk.began.connect(self._on_began)
        desk.opened.connect(self._on_opened)

    @property
    def busy(self) -> bool:
        """Whether the model is at it."""
        return self._pending is not None

    def let_go(self) -> None:
        """End what is under way."""
        self._stop()

    def _on_switch(self, on: bool) -> None:
        if on:
            self._begin()
        else:
            self._stop()

    def _on_handed(self, number: int, pending: Pending) -> None:
        self._stop()
        self._handed = (number, pending)

    def _on_opened(self) -> None:
        """Let go of a case that is left."""
        desk = self._desk
        if self._open is not None and self._open[:2] != (desk.project, desk.number):
            self._open = None
            pending, self._pending = self._pending, None
            self._cancel(pending)
        if self._handed is not None and self._handed[0] != desk.number:
            handed, self._handed = self._handed, None
            self._cancel(handed[1])

    def _on_began(self, number: int, prepared: Prepared) -> None:
        if self._desk.project is not None:
            self._open = (self._desk.project, number, prepared)
            self._begin()

    def _stop(self) -> None:
        handed, self._handed = self._handed, None
        pending, self._pending = self._pending, None
        self._cancel(pending)
        if handed is not None:
            self._cancel(handed[1])

    def _cancel(self, pending: Pending | None) -> None:
        if pending is not None:
            self._ahead.client.cancel(pending)

    @property
    def _labels(self) -> CaseLabels | None:
        """Those of the open case, if something may be suggested for it."""
        labels = self._desk.labels
        if self._open is None or not isinstance(labels, CaseLabels):
            return None
        project, number, _ = self._open
        return None if project.case(number).status == DONE else labels

    def _begin(self) -> None:
        labels = self._labels
        if not self._ahead.switch.isChecked() or labels is None or not labels.untouched:
            self._stop()
            return
        handed, self._handed = self._handed, None
        if handed is not None:
            self._wait_for(handed[1])
        elif self._pending is None:
            try:
                self._ahead.with_models(self._ask)
            except CosegError as error:
                self._fail(error)

    def _ask(self, models: list[tuple[str, ModelCard]]) -> None:
        if self._open is None or self._pending is not None or not self._ahead.switch.isChecked():
            return
        project, number, prepared = self._open
        name = project.name(number)
        try:
            pending = send(self._ahead.client, prepared.image, models, name)
        except CosegError as error:
            self._fail(error)
            return
        self.said.emit(f"Preparing a suggestion for {name} …")
        self._wait_for(pending)

    def _wait_for(self, pending: Pending) -> None:
        self._pending = pending
        pending.future.add_done_callback(lambda future: self._tell(pending, future))

    def _tell(self, pending: Pending, future: Future[Any]) -> None:
        with suppress(RuntimeError):  # the dock was closed meanwhile
            self._found.emit(pending, future)

    def _on_found(self, pending: Pending, future: Future[Any]) -> None:
        if pending is not self._pending:
            return
        self._pending = None
        if future.cancelled():
            return
        error, labels = future.exception(), self._labels
        if error is not None:
            self._fail(error)
        elif labels is not None and not labels.untouched:
            self.said.emit(
                "You drew before the suggestion was ready: it is left out. Run in the Segment dock "
                "makes it again."
            )
        elif labels is not None:
            # Its journals are open: it goes in as any edit does.
            roles = dict.fromkeys(("objects", "regions"), Path())
            found = suggestions_of(future.result(), roles)
            labels.suggest(found)
            if not found:
                self.said.emit("The model found nothing in this case.")

    def _fail(self, error: BaseException) -> None:
        self._pending = None
        words = str(error) if isinstance(error, CosegError) else f"{type(error).__name__}: {error}"
        self.said.emit(f"No suggestion for this case. {words}")
