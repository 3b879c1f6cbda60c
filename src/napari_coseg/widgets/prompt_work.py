"""The object at work: what was drawn for it, step by step, and what the model makes of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.inference.prompt_shapes import outline_prompt, scribble_points
from napari_coseg.types import Mask, Prompt
from napari_coseg.worker.prompting import MOST_POINTS, Crop, PromptAnswer

Line = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Context:
    """What an object is committed to: as it was when the person said so.

    Attributes
    ----------
    turn : int
        The desk's: another one for each layer that objects go into.
    image : Image layer
    stack : Stack
        The same as pixels.
    index : tuple of int
        The plane of the image.
    class_id : int
    model : str
    protect : bool
        Whether objects that are there keep their pixels.
    """

    turn: int
    image: Any
    stack: Any
    index: tuple[int, ...]
    class_id: int
    model: str
    protect: bool


@dataclass(frozen=True)
class _Step:
    """What one stroke of the mouse left."""

    prompt: Prompt
    lines: tuple[Line, ...] = ()


@dataclass(eq=False)
class Work:
    """An object that is not committed yet.

    Attributes
    ----------
    label : int or None
        The object that was opened again; None for a new one.
    answer : PromptAnswer or None
        The model's last.
    asked : bool
        Whether an answer is on the way.
    wanted : Context or None
        Where it is to be committed as soon as the answer is there.
    """

    label: int | None = None
    answer: PromptAnswer | None = None
    asked: bool = False
    wanted: Context | None = None
    _steps: list[_Step] = field(default_factory=lambda: [_Step(Prompt())])

    @classmethod
    def of(cls, label: int, prompts: Sequence[Prompt], mask: Mask) -> Work:
        """Open an object again, with what it was drawn with and the pixels that it has."""
        boxes = [prompt.box for prompt in prompts if prompt.box is not None]
        points = tuple(point for prompt in prompts for point in prompt.points)
        first = Prompt(boxes[-1] if boxes else None, points, mask)
        return cls(label, _steps=[_Step(first)])

    @property
    def prompt(self) -> Prompt:
        """What was drawn; with the mask that it refines, once there is one."""
        drawn = self._steps[-1].prompt
        # The last ones say what the mask still lacks.
        drawn = replace(drawn, points=drawn.points[-MOST_POINTS:])
        if self.answer is not None and self.answer.mask.area and self._refines:
            return replace(drawn, mask=self.answer.mask)
        return drawn

    @property
    def drawn(self) -> Prompt:
        """Box and points alone."""
        return replace(self._steps[-1].prompt, mask=None)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Scribbles and outlines as they were drawn."""
        return self._steps[-1].lines

    @property
    def crop(self) -> Crop | None:
        """The square that was looked at last."""
        return None if self.answer is None else self.answer.crop

    @property
    def empty(self) -> bool:
        """Whether nothing says where the object is."""
        last = self._steps[-1].prompt
        sure = any(positive for *_, positive in last.points)
        return last.box is None and last.mask is None and not sure

    @property
    def steps(self) -> int:
        """How many strokes can be taken back."""
        return len(self._steps) - 1

    @property
    def mask(self) -> Mask | None:
        """The object's pixels as they would be committed; None before the first answer."""
        if self.answer is not None:
            return self.answer.mask
        return self._steps[-1].prompt.mask if self.label is not None else None

    @property
    def _refines(self) -> bool:
        # A new box starts afresh: the mask before may be what was wrong.
        return len(self._steps) < 2 or self._steps[-1].prompt.box == self._steps[-2].prompt.box

    def box(self, box: tuple[float, float, float, float]) -> None:
        """Take a box, in place of the one before."""
        last = self._steps[-1]
        self._steps.append(replace(last, prompt=replace(last.prompt, box=box, mask=None)))

    def click(self, row: float, column: float, positive: bool) -> None:
        """Take a click."""
        self._add(((row, column, positive),))

    def scribble(self, line: Line, positive: bool) -> None:
        """Take a scribble: points along it stand for it."""
        self._add(scribble_points(line, positive), line)

    def lasso(self, line: Line, shape: tuple[int, int]) -> None:
        """Take an outline: box, filled area and middle stand for it.

        Raises
        ------
        CosegError
            If it has no pixel of the image inside.
        """
        prompt = outline_prompt(line, shape)
        last = self._steps[-1]
        points = last.prompt.points + prompt.points
        self._steps.append(_Step(replace(prompt, points=points), (*last.lines, line)))

    def back(self) -> None:
        """Take the last stroke back."""
        if self.steps:
            self._steps.pop()
            self.answer = None

    def _add(self, points: tuple[tuple[float, float, bool], ...], *lines: Line) -> None:
        last = self._steps[-1]
        prompt = replace(last.prompt, points=last.prompt.points + points)
        self._steps.append(_Step(prompt, (*last.lines, *lines)))
