"""The object at work, from the first stroke of the mouse to its commit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, QTimer, Signal

from napari_coseg.annotation.change import Commit
from napari_coseg.layers.sheet import Alignment
from napari_coseg.types import CosegError, Mask, Prompt
from napari_coseg.widgets.prompt_asker import PromptAsker, Question
from napari_coseg.widgets.prompt_canvas import Box, PromptCanvas
from napari_coseg.widgets.prompt_desk import Desk
from napari_coseg.widgets.prompt_target import size_words
from napari_coseg.widgets.prompt_work import Work
from napari_coseg.worker.prompting import PromptAnswer

#: An object smaller than this many pixels is told of.
_TINY = 6
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

    def begin(self, work: Work | None = None) -> None:
        """Begin with another object; what was not committed is dropped."""
        self._asker.drop_preview()
        self._take(work or Work())

    def box(self, box: Box) -> None:
        """Take a box."""
        self._settle()
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
        self._settle()
        try:
            self.work.lasso(line, self._desk.place.shape)
        except CosegError as error:
            self._say(str(error))
            self._canvas.show([self.work.drawn], self.work.lines)
            return
        self._ask()

    def boxes(self, boxes: Sequence[Box]) -> None:
        """Segment many boxes at once; they are committed as one step."""
        if boxes and self._question(("boxes", self._desk.form.class_id), map(Prompt, boxes)):
            self._say(f"Segmenting {len(boxes):,} boxes …")

    def commit(self) -> None:
        """Keep the object at work; as soon as its mask is there, if need be."""
        if self.work.answer is None and self._asker.waiting and not self.work.empty:
            # Its answer is on the way, and commits it.
            self.work.wanted = True
            self._asker.let_finish()
            self._take(Work())
        elif (mask := self.work.mask) is not None and mask.area:
            self._commit(self.work)
            self.begin()

    def discard(self) -> None:
        """Drop the object at work; one that was opened again stays as it was."""
        if not self.idle:
            self.begin()
            self._say("")

    def back(self) -> None:
        """Take the last stroke back."""
        self.work.back()
        self._ask()

    def _settle(self) -> None:
        """Commit the object before, where each box is a new one."""
        if self.idle or self.work.label is not None or not self._desk.form.each_box.isChecked():
            return
        self.commit()

    def _take(self, work: Work) -> None:
        self.work = work
        self._canvas.show([work.drawn], work.lines)
        self._canvas.preview(work.mask)
        self.changed.emit()

    def _ask(self) -> None:
        self._canvas.show([self.work.drawn], self.work.lines)
        if self.work.empty:
            self._asker.drop_preview()
            self._canvas.preview(None)
        else:
            self._question(self.work, [self.work.prompt], [self.work.crop], preview=True)
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
            self._on_many(question, answers)

    def _on_mask(self, work: Work, answer: PromptAnswer, seconds: float) -> None:
        work.answer = answer
        mask = answer.mask
        if mask.area:
            self._hint = float(max(mask.bits.shape))
        if work is self.work:
            self._canvas.preview(mask)
            self._say(self._words(answer, seconds))
        if work.wanted:
            work.wanted = False
            if mask.area:
                self._commit(work)
            else:
                self._say("Nothing was found for the object before: it was not kept.")
        self.changed.emit()

    def _words(self, answer: PromptAnswer, seconds: float) -> str:
        area = answer.mask.area
        if not area:
            return "Nothing was found there: draw a closer box, or click in the middle."
        size = size_words(area, self._desk.mpp)
        words = f"{answer.stability:.2f} · {size} · {1000 * seconds:.0f} ms"
        if area < _TINY:
            return f"{words} · very small: is it right?"
        if answer.touches_border:
            return f"{words} · it may go on beyond what the model saw."
        return words

    def _on_many(self, question: Question, answers: list[PromptAnswer]) -> None:
        _, class_id = question.purpose
        found = [(p, a) for p, a in zip(question.prompts, answers, strict=True) if a.mask.area]
        if not found:
            self._say("Nothing was found in these boxes.")
            return
        target, alignment = self._desk.need(), self._desk.alignment()
        if target is None or alignment is None:
            return
        items = [self._item(alignment, a.mask, p, a.stability, None, class_id) for p, a in found]
        protect = self._desk.form.protect.isChecked()
        change = self._desk.do(lambda: target.commit(items, protect=protect))
        if change is not None:
            left, empty = len(change.left_out), len(answers) - len(found)
            words = f"{len(items) - left:,} objects from {len(answers):,} boxes."
            if empty or left:
                words += f" {empty:,} found nothing, {left:,} lay on other objects."
            self._say(words)

    def _on_failed(self, question: Question, error: Exception) -> None:
        if isinstance(error, CosegError):
            self._say(str(error))
        else:
            self._say("The model gave no answer.")
            show_error(f"Segmenting failed: {type(error).__name__}: {error}")
        self.changed.emit()

    def _commit(self, work: Work) -> None:
        # First the layer: before it is there, nothing lies on it.
        target, alignment = self._desk.need(), self._desk.alignment()
        mask = work.mask
        if target is None or alignment is None or mask is None:
            return
        score = float("nan") if work.answer is None else work.answer.stability
        item = self._item(alignment, mask, work.drawn, score, work.label, self._desk.form.class_id)
        protect = self._desk.form.protect.isChecked()
        self._desk.do(lambda: target.commit([item], protect=protect))

    def _item(
        self,
        alignment: Alignment,
        mask: Mask,
        prompt: Prompt,
        score: float,
        label: int | None,
        class_id: int,
    ) -> Commit:
        plane = alignment.plane
        return Commit(
            alignment.mask_on_sheet(mask),
            label,
            class_id,
            score,
            (prompt,),
            None if plane is None else (plane,),
            self._asker.model,
        )

    def _say(self, words: str) -> None:
        self._desk.said.emit(words)
