"""Models of a worker on another machine: asked for once it can be, and offered in place of ours."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_coseg.types import CosegError
from napari_coseg.weights.card import ModelCard
from napari_coseg.weights.listing import from_message
from napari_coseg.widgets.parts import Dock
from napari_coseg.widgets.prompt_form import PromptForm
from napari_coseg.widgets.session import Session

#: Milliseconds after which a machine that did not answer is asked again.
_AGAIN = 20_000


class HostModels(QObject):
    """Asks a worker on another machine which models it has; of our own worker it knows nothing.

    Parameters
    ----------
    session : Session
    kind : {"models", "prompt_models"}
        By which name a host tells of them.
    dock : Dock
        For whom; nothing is told to one that is gone.

    Attributes
    ----------
    listed : Signal
        A list of (name, `ModelCard`).
    failed : Signal
        A sentence, once: the machine is asked again until it answers.
    """

    listed = Signal(list)
    failed = Signal(str)
    _described = Signal(object)

    def __init__(self, session: Session, kind: str, dock: Dock) -> None:
        super().__init__(dock)
        self._session = session
        self._kind = kind
        self._dock = dock
        self._told = False
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self.ask)
        self._described.connect(self._on_described)

    def ask(self) -> None:
        """Ask, where the worker is on another machine."""
        if self._dock.gone:
            return
        try:
            if self._session.remote:
                self._session.client.describe().add_done_callback(self._tell)
        except CosegError as error:
            self._fail(str(error))

    def _tell(self, future: Future[dict[str, Any]]) -> None:
        with suppress(RuntimeError):  # the dock was closed meanwhile
            self._described.emit(future)

    def _on_described(self, future: Future[dict[str, Any]]) -> None:
        if self._dock.gone or future.cancelled():
            return
        try:
            models = from_message(future.result().get(self._kind))
        except CosegError as error:
            self._fail(str(error))
            return
        self.listed.emit(models)

    def _fail(self, sentence: str) -> None:
        self._later.start(_AGAIN)
        if not self._told:
            self._told = True
            self.failed.emit(sentence)


def offer_prompt_models(
    session: Session, dock: Dock, form: PromptForm, ours: Sequence[tuple[str, ModelCard]]
) -> None:
    """Offer the models of this machine, or those of the one that does the work.

    Until that one has told of its own, none is offered: it may not have ours.
    """
    models = HostModels(session, "prompt_models", dock)

    def show(listed: list[tuple[str, ModelCard]]) -> None:
        form.show_models(listed, "The model worker has no model for boxes and points.")

    def fail(sentence: str) -> None:
        form.show_models([], "The model worker has not said which models it has.")
        show_warning(sentence)

    models.listed.connect(show)
    models.failed.connect(fail)
    # A worker that cannot be reached as the preferences say is no reason to offer ours either.
    remote = True
    with suppress(CosegError):
        remote = session.remote
    if remote:
        form.show_models([], "The model worker is asked which models it has.")
        models.ask()
    else:
        form.show_models(ours)
