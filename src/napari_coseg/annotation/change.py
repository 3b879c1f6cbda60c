"""What goes into a case and comes out of it: objects to commit, and what an edit changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_coseg.annotation.chunks import Window
from napari_coseg.annotation.steps import Edit
from napari_coseg.types import Mask, Prompt


@dataclass(frozen=True)
class Change:
    """What an edit, or taking it back, changed.

    Attributes
    ----------
    name : str
        What the person reads; "" where nothing changed.
    windows : tuple of tuple of slice
        Where pixels of the layer changed.
    labels : frozenset of int
        Objects whose records changed, came or went.
    removed : frozenset of int
        Those of them that are gone.
    left_out : tuple of int
        Numbers of the items that `commit_many` could not commit.
    """

    name: str
    windows: tuple[Window, ...] = ()
    labels: frozenset[int] = frozenset()
    removed: frozenset[int] = frozenset()
    left_out: tuple[int, ...] = ()


@dataclass(frozen=True)
class Commit:
    """One object to commit.

    Attributes
    ----------
    mask : Mask
        Its pixels.
    label : int, optional
        The object that is replaced; by default a new one is made.
    class_id : int, optional
        Its class; by default what it had, 0 for a new one.
    score : float
        0 to 1, NaN where it is unknown.
    prompts : sequence of Prompt
        What the person drew.
    planes : sequence of int, optional
        The plane of each prompt in a volume; by default that of a mask of one plane.
    axis : int
        The axis along which these planes are counted.
    span : pair of int, optional
        The first plane and the one behind the last in which the mask takes the place of what the
        object had; by default those of the mask.
    model : str
        The model that made the mask.
    """

    mask: Mask
    label: int | None = None
    class_id: int | None = None
    score: float = math.nan
    prompts: Sequence[Prompt] = ()
    planes: Sequence[int] | None = None
    model: str = ""
    axis: int = 0
    span: tuple[int, int] | None = None

    def placed(self) -> tuple[int, ...]:
        """Return the plane of each prompt; none in a picture."""
        if len(self.mask.origin) < 3:
            return ()
        if self.planes is not None and len(self.planes) == len(self.prompts):
            return tuple(int(plane) for plane in self.planes)
        if self.planes is None and (not self.prompts or self.mask.bits.shape[self.axis] == 1):
            return (int(self.mask.origin[self.axis]),) * len(self.prompts)
        raise ValueError("each prompt in a volume needs its plane")

    @property
    def stands_for(self) -> range:
        """The planes in which the mask takes the place of what the object had, in a volume."""
        if self.span is not None:
            return range(*self.span)
        first = int(self.mask.origin[self.axis])
        return range(first, first + self.mask.bits.shape[self.axis])


@dataclass(frozen=True)
class Run:
    """A run of a model over an image, as an edit.

    Attributes
    ----------
    name : str
        What the person reads.
    model : str
        "" where it is unknown.
    settings : mapping
        Of the model. No names of files: they can tell who the patient is.
    """

    name: str
    model: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Past:
    """One of the last edits.

    Attributes
    ----------
    name : str
        What the person reads.
    time : float
        When, in seconds since 1970.
    labels : tuple of int
        The objects that it was about.
    """

    name: str
    time: float
    labels: tuple[int, ...]


def change_of(edit: Edit, forward: bool = True, left_out: Sequence[int] = ()) -> Change:
    """Return what an edit changes when it is done, or taken back."""
    gone = (label for label, row in edit.rows.items() if row[int(forward)] is None)
    return Change(
        edit.name,
        tuple(patch.window for patch in edit.patches),
        frozenset(edit.rows),
        frozenset(gone),
        tuple(left_out),
    )


def tool_name(prompts: Sequence[Prompt]) -> str:
    """Return what an object was drawn with."""
    boxes = any(prompt.box is not None for prompt in prompts)
    points = any(prompt.points for prompt in prompts)
    if boxes and points:
        return "box and points"
    return "box" if boxes else "points" if points else "mask"


def count_name(labels: Sequence[int]) -> str:
    """Return "object 12", or "3 objects"."""
    return f"object {labels[0]}" if len(labels) == 1 else f"{len(labels)} objects"
