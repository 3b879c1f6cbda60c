"""The object at work, from the first stroke of the mouse to its commit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, QTimer, Signal

from napari_coseg.types import CosegError, Mask, Prompt
from napari_coseg.widgets.prompt_asker import PromptAsker, Question
from napari_coseg.widgets.prompt_canvas import PromptCanvas
from napari_coseg.widgets.prompt_desk import Desk
from napari_coseg.widgets.prompt_keeper import Keeper
from napari_coseg.widgets.prompt_layers import Box
from napari_coseg.widgets.prompt_words import answer_words
from napari_coseg.widgets.prompt_work import Context, Work
from napari_coseg.worker.prompting import PromptAnswer

#: Milliseconds of silence after which a person is told that something is under way.
_SOON = 500


class Drawing(QObject):
    """Turns strokes into questions and answers into objects.

    Attributes
    ----------
    work : Work
        The object at work.
    changed : Signal
        It is another one, or has changed.
    """

    changed = Signal()

    def __init__(self, desk: Desk, canvas: PromptCanvas, asker: PromptAsker) -> None:
        super().__init__()
        self._desk = desk
        self._canvas = canvas
        self._asker = asker
        self._keeper = Keeper(desk)
        self._hint: float | None = None
        self.work = Work()
        self._slow = QTimer(self)
        self._slow.setSingleShot(True)
        self._slow.timeout.connect(self._on_slow)
        asker.answered.connect(self._on_answered)
        asker.failed.connect(self._on_failed)

    @property
    def idle(self) -> bool:
        """Whether no object is at work."""
        return not self.work.steps and self.work.label is None

    @property
    def owed(self) -> int:
        """How many objects a person has committed whose masks are still on the way."""
        owed = 0
        for question in self._asker.questions:
            if not isinstance(question.purpose, Work):
                owed += len(question.prompts)
            elif question.purpose.wanted is not None:
                owed += 1
        return owed

    @property
    def waiting(self) -> int:
        """How many questions are not answered."""
        return self._asker.waiting

    def begin(self, work: Work | None = None) -> None:
        """Begin with another object; what was not committed is dropped."""
        self._asker.drop_preview()
        self._take(work or Work())

    def boxing(self, box: Box) -> None:
        """Let the model see what a box is being drawn round, where that is a new object."""
        if self.idle or self._desk.form.each_box.isChecked():
            self._asker.look_ahead(box)

    def box(self, box: Box) -> None:
        """Take a box."""
        if self._settled(box):
            self.work.box(box)
        self._ask()

    def click(self, row: float, column: float, positive: bool) -> None:
        """Take a click."""
        if self.work.empty and not positive:
            self._say("Click on the object first, then on what does not belong to it.")
            return
        self.work.click(row, column, positive)
        self._ask()

    def scribble(self, line: Any, positive: bool) -> None:
        """Take a scribble."""
        if self.work.empty and not positive:
            self._say("Draw on the object first, then on what does not belong to it.")
            return
        self.work.scribble(line, positive)
        self._ask()

    def lasso(self, line: Any) -> None:
        """Take an outline."""
        low, high = np.min(line, axis=0), np.max(line, axis=0)
        if not self._settled((low[0], low[1], high[0], high[1])):
            self._ask()
            return
        try:
            self.work.lasso(line, self._desk.place.shape)
        except CosegError as error:
            self._say(str(error))
            self._canvas.show([self.work.drawn], self.work.lines)
            return
        self._ask()

    def boxes(self, boxes: Sequence[Box]) -> None:
        """Segment many boxes at once; they are committed as one step."""
        if boxes and self._question(self.context(), map(Prompt, boxes)):
            self._say(f"Segmenting {len(boxes):,} boxes …")

    def commit(self) -> None:
        """Keep the object at work; as soon as its mask is there, if need be."""
        work = self.work
        if work.asked and not work.empty:
            # Its answer is on the way, and commits it.
            work.wanted = self.context()
            self._asker.let_finish()
            self._take(Work())
        elif work.label is not None and not work.steps:
            # Opened again and left as it was.
            self.discard()
        elif work.mask is not None and work.mask.area and self._keep(work, self.context()):
            self.begin()

    def discard(self) -> None:
        """Drop the object at work; one that was opened again stays as it was."""
        if not self.idle:
            self.begin()
            self._say("")

    def context(self) -> Context:
        """Return what an object would be committed to now."""
        desk, form, place = self._desk, self._desk.form, self._desk.place
        return Context(
            desk.turn,
            place.image,
            place.stack,
            place.index,
            form.class_id,
            self._asker.model,
            form.protect.isChecked(),
        )

    def bring_back(self, work: Work, context: Context) -> None:
        """Show an object again that could not be kept, where nothing else is at work."""
        if self.idle and context.index == self._desk.place.index:
            self._take(work)

    def look_again(self, *, other: bool) -> None:
        """Show the object at work where it lies now; ask again where the model saw `other` values.

        A mask that is there stays until the next stroke.
        """
        if other and self.work.asked:
            self._ask()
        self._canvas.preview(self.work.mask)

    def back(self) -> None:
        """Take the last stroke back."""
        self.work.back()
        self._ask()

    def _settled(self, box: Box) -> bool:
        """Make room for a new box; return whether there is.

        Where each box is a new object, the one before is committed; one that was opened again
        stays as it was, unless the box is on it.
        """
        work = self.work
        if self.idle or not self._desk.form.each_box.isChecked():
            return True
        if work.label is not None:
            if not _touches(box, work.mask):
                self.begin()
            return True
        nothing = work.answer is None or not work.answer.mask.area
        if nothing and not work.asked:
            self.begin()
            return True
        self.commit()
        return self.work is not work

    def _take(self, work: Work) -> None:
        self.work = work
        self._canvas.show([work.drawn], work.lines)
        self._canvas.preview(work.mask)
        self.changed.emit()

    def _ask(self) -> None:
        work = self.work
        nothing = work.empty or not work.steps
        self._canvas.show([work.drawn], work.lines, with_mask=not nothing)
        if nothing:
            # Nothing is drawn, or nothing more than the object that was opened again.
            self._asker.drop_preview()
            work.asked = False
            self._canvas.preview(work.mask)
        else:
            # Before it is asked: the answer may be there at once.
            work.asked = True
            if not self._question(work, [work.prompt], [work.crop], preview=True):
                work.asked = False
        self.changed.emit()

    def _question(
        self, purpose: Any, prompts: Any, crops: Sequence[Any] = (), *, preview: bool = False
    ) -> bool:
        if not self._asker.model:
            self._say("There is no model for boxes and points: see `napari-coseg models import`.")
            return False
        try:
            length = self._hint or self._canvas.usual_length
            self._asker.ask(purpose, list(prompts), crops, length, preview=preview)
        except CosegError as error:
            self._say(str(error))
            return False
        self._slow.start(_SOON)
        return True

    def _on_slow(self) -> None:
        if self._asker.waiting:
            self._say("The model is at work, or still being loaded …")

    def _on_answered(self, question: Question, answers: list[PromptAnswer]) -> None:
        if isinstance(question.purpose, Work):
            seconds = time.perf_counter() - question.asked
            self._on_mask(question.purpose, answers[0], seconds)
        else:
            self._keeper.many(question, answers)

    def _on_mask(self, work: Work, answer: PromptAnswer, seconds: float) -> None:
        work.answer, work.asked = answer, False
        mask = answer.mask
        if mask.area:
            self._hint = float(max(mask.bits.shape))
        if work is self.work:
            self._canvas.show_waiting()
            self._canvas.preview(mask)
            self._say(answer_words(answer, seconds, self._desk.mpp))
        context, work.wanted = work.wanted, None
        if context is not None:
            if not mask.area:
                self._say("Nothing was found for the object before: it was not kept.")
            elif not self._keep(work, context):
                self.bring_back(work, context)
        self.changed.emit()

    def _on_failed(self, question: Question, error: Exception) -> None:
        if isinstance(error, CosegError):
            self._say(str(error))
        else:
            self._say("The model gave no answer.")
            show_error(f"Segmenting failed: {type(error).__name__}: {error}")
        work = question.purpose
        if isinstance(work, Work):
            work.asked = False
            context, work.wanted = work.wanted, None
            if context is not None:
                self.bring_back(work, context)
        self.changed.emit()

    def _keep(self, work: Work, context: Context) -> bool:
        return self._keeper.one(work, context, lambda: self.bring_back(work, context))

    def _say(self, words: str) -> None:
        self._desk.said.emit(words)


def _touches(box: Box, mask: Mask | None) -> bool:
    """Whether a box and a mask have pixels in common, nearly."""
    if mask is None or not mask.area:
        return False
    (row, column), (rows, columns) = mask.origin, mask.bits.shape
    down = min(box[2], row + rows) > max(box[0], row)
    return bool(down and min(box[3], column + columns) > max(box[1], column))
