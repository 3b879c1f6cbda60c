"""Brings what the model found into the layer of objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from napari_coseg.annotation.change import Commit
from napari_coseg.layers.sheet import Alignment
from napari_coseg.types import CosegError, Mask, Prompt
from napari_coseg.widgets.prompt_asker import Question
from napari_coseg.widgets.prompt_desk import Desk
from napari_coseg.widgets.prompt_target import Target
from napari_coseg.widgets.prompt_work import Context, Work
from napari_coseg.worker.prompting import PromptAnswer


class Keeper:
    """Commits objects to what they were meant for.

    Parameters
    ----------
    desk : Desk
        Has the layer.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def one(self, work: Work, context: Context, missed: Callable[[], None]) -> bool:
        """Keep an object.

        Parameters
        ----------
        work : Work
        context : Context
            What it is committed to.
        missed : callable
            Called where it waited for a layer that is being read, and was not kept then.

        Returns
        -------
        bool
            Whether it is kept, or will be. Else a sentence has said why.
        """
        if work.mask is None:
            return False
        if context.turn != self._desk.turn:
            self._say("Another layer was chosen before the mask came: the object was not kept.")
            return False
        return self._desk.with_target(
            lambda target: self._keep(target, work, context),
            missed,
        )

    def _keep(self, target: Target, work: Work, context: Context) -> bool:
        alignment, mask = self._alignment(target, context), work.mask
        if alignment is None or mask is None:
            return False
        score = float("nan") if work.answer is None else work.answer.stability
        device = "" if work.answer is None else work.answer.device
        item = self._item(alignment, mask, work.drawn, score, work.label, context)
        edit = self._desk.do(lambda: target.commit([item], protect=context.protect, device=device))
        return edit is not None

    def _alignment(self, target: Target, context: Context) -> Alignment | None:
        try:
            return target.alignment(context.image, context.stack, context.index)
        except CosegError as error:
            self._say(str(error))
            return None

    def _item(
        self,
        alignment: Alignment,
        mask: Mask,
        prompt: Prompt,
        score: float,
        label: int | None,
        context: Context,
    ) -> Commit:
        plane = alignment.plane
        return Commit(
            alignment.mask_on_sheet(mask),
            label,
            context.class_id,
            score,
            (prompt,),
            None if plane is None else (plane,),
            context.model,
            alignment.axis,
        )

    def many(self, question: Question, answers: Sequence[PromptAnswer]) -> None:
        """Keep what was found in many boxes, as one step; say what became of them."""
        context: Context = question.purpose
        found = [(p, a) for p, a in zip(question.prompts, answers, strict=True) if a.mask.area]
        if not found:
            self._say("Nothing was found in these boxes.")
            return
        if context.turn != self._desk.turn:
            self._say(
                f"Another layer was chosen before the masks came: {len(found):,} objects were not "
                "kept."
            )
            return
        nothing, device = len(answers) - len(found), answers[0].device
        self._desk.with_target(
            lambda target: self._keep_many(target, context, found, nothing, device),
            count=len(found),
        )

    def _keep_many(
        self,
        target: Target,
        context: Context,
        found: Sequence[tuple[Prompt, PromptAnswer]],
        nothing: int,
        device: str,
    ) -> bool:
        alignment = self._alignment(target, context)
        if alignment is None:
            return False
        items = [self._item(alignment, a.mask, p, a.stability, None, context) for p, a in found]
        change = self._desk.do(lambda: target.commit(items, protect=context.protect, device=device))
        if change is None:
            return False
        left = len(change.left_out)
        words = f"{len(items) - left:,} objects from {len(items) + nothing:,} boxes."
        if nothing or left:
            words += f" {nothing:,} found nothing, {left:,} lay on other objects."
        self._say(words)
        return True

    def _say(self, words: str) -> None:
        self._desk.said.emit(words)
