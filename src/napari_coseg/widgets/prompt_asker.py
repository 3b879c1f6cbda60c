"""Asks the worker for masks; of an object's questions the last one counts."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_coseg.imaging.source import ImageSource
from napari_coseg.inference.zoom import Box
from napari_coseg.types import Prompt
from napari_coseg.widgets.prompt_ahead import LookAhead
from napari_coseg.widgets.session import Session
from napari_coseg.worker.pending import Handlers, Pending
from napari_coseg.worker.prompting import Crop, PromptAnswer


@dataclass(frozen=True, eq=False)
class Question:
    """What was asked, for whoever hears the answer.

    Attributes
    ----------
    purpose : Any
        The asker's own.
    asked : float
        When, on `time.perf_counter`.
    """

    purpose: Any
    prompts: tuple[Prompt, ...]
    asked: float


class PromptAsker(QObject):
    """Sends prompts on one plane of one image.

    Attributes
    ----------
    answered : Signal
        The `Question` and a list of `PromptAnswer`.
    failed : Signal
        The `Question` and the exception.
    """

    answered = Signal(object, list)
    failed = Signal(object, object)
    _done = Signal(object, object)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._source: ImageSource | None = None
        self._content = ""
        self._pending: dict[int, tuple[Question, Pending]] = {}
        self._preview: Question | None = None
        self.model, self.device = "", "auto"
        self._ahead = LookAhead(
            lambda prompt: self._sent([prompt]), lambda pending: session.client.cancel(pending)
        )
        self._done.connect(self._on_done)

    def look_at(self, source: ImageSource | None) -> None:
        """Ask about other pixels from now on; a preview of the others is not heard of any more."""
        self.drop_preview()
        self._ahead.end()
        self._source = source
        # New pixels, new name: the host keeps what it computed by the name.
        self._content = uuid.uuid4().hex

    def load(self) -> Future[dict[str, Any]]:
        """Bring the model into the worker's memory.

        Raises
        ------
        CosegError
            If there is no worker.
        """
        return self._session.client.load(self.model, self.device)

    @property
    def waiting(self) -> int:
        """How many questions are not answered."""
        return len(self._pending)

    def ask(
        self,
        purpose: Any,
        prompts: Sequence[Prompt],
        crops: Sequence[Crop | None] = (),
        hint: float | None = None,
        *,
        preview: bool = False,
    ) -> Question:
        """Ask for masks.

        Parameters
        ----------
        purpose : Any
            Comes back with the answer.
        prompts, crops, hint
            As in `Client.prompt`.
        preview : bool
            Whether it takes the place of the preview that was asked for before.

        Raises
        ------
        CosegError
            If there is no image, or the prompts cannot be sent.
        """
        if preview:
            self.drop_preview()
        self._ahead.end()
        question = Question(purpose, tuple(prompts), time.perf_counter())
        pending = self._sent(prompts, crops, hint)
        self._pending[id(question)] = (question, pending)
        if preview:
            self._preview = question
        pending.future.add_done_callback(lambda future: self._tell(question, future))
        return question

    def look_ahead(self, box: Box) -> None:
        """Let the model look at what is round a box that is still being drawn."""
        if self._source is not None and self.model:
            self._ahead.look(box, self._source.shape)

    def let_finish(self) -> None:
        """Let the preview that was asked for be answered, whatever is asked next."""
        self._preview = None

    def drop_preview(self) -> None:
        """Hear nothing more of the preview that was asked for."""
        if self._preview is not None:
            self._drop(self._preview)
            self._preview = None

    @property
    def questions(self) -> list[Question]:
        """What was asked and has no answer yet."""
        return [question for question, _ in self._pending.values()]

    def cancel(self) -> None:
        """Hear nothing more of anything that was asked."""
        self._ahead.end()
        for question in self.questions:
            self._drop(question)

    def _sent(
        self,
        prompts: Sequence[Prompt],
        crops: Sequence[Crop | None] = (),
        hint: float | None = None,
    ) -> Pending:
        assert self._source is not None
        return self._session.client.prompt(
            self._source,
            prompts,
            model=self.model,
            device=self.device,
            content=self._content,
            crops=crops,
            hint=hint,
            # "Going on with the CPU", for example.
            handlers=Handlers(notice=self._session.notice.emit),
        )

    def _drop(self, question: Question) -> None:
        known = self._pending.pop(id(question), None)
        if known is not None:
            self._session.client.cancel(known[1])

    def _tell(self, question: Question, future: Future[Any]) -> None:
        # In a thread of the client; the window may be closing.
        try:
            self._done.emit(question, future)
        except RuntimeError:
            return

    def _on_done(self, question: Question, future: Future[list[PromptAnswer]]) -> None:
        if self._pending.pop(id(question), None) is None:
            return
        if self._preview is question:
            self._preview = None
        try:
            answers = future.result()
        except CancelledError:
            return
        except Exception as error:
            self.failed.emit(question, error)
            return
        self.answered.emit(question, answers)
