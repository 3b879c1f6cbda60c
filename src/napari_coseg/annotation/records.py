"""The record of an object: its facts, and the prompts with which it can be opened again."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_coseg.types import CosegError, Prompt, jaw_of

#: A record before and after an edit; None where there is no object.
Row = tuple["ObjectRecord | None", "ObjectRecord | None"]
#: What older records do not say: axes, FDI number, its confidence, jaw.
_NOT_KNOWN: tuple[Any, ...] = ((), 0, 0.0, "")


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One object of a layer.

    Attributes
    ----------
    label : int
        Its id in the layer.
    class_id : int
        Its class, 0 where it has none.
    score : float
        0 to 1, NaN where it is unknown.
    area : int
        Number of pixels.
    box : tuple of int
        First index along each axis, then the one behind the last along each.
    prompts : tuple of Prompt
        What the person drew, without masks.
    planes : tuple of int
        The plane of each prompt in a volume; empty in a picture.
    axes : tuple of int
        The axis along which each of these planes is counted; empty where it is the first for all.
    fdi : int
        FDI number of a tooth, 0 for none.
    fdi_confidence : float
        How sure that number is, 0 to 1: 1 where a person gave it.
    jaw : str
        "upper" or "lower" for a tooth whose jaw is known, else ""; that of its number where it has
        one.
    origin : str
        Where it comes from: "prompt", "brush", "model", "file", "split", "merge".
    model : str
        The model that made it, "" for none.
    """

    label: int
    class_id: int = 0
    score: float = math.nan
    area: int = 0
    box: tuple[int, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    planes: tuple[int, ...] = ()
    origin: str = "prompt"
    model: str = ""
    axes: tuple[int, ...] = ()
    fdi: int = 0
    fdi_confidence: float = 0.0
    jaw: str = ""

    def __post_init__(self) -> None:
        if self.fdi:
            object.__setattr__(self, "jaw", jaw_of(self.fdi))
        if not any(self.axes):
            object.__setattr__(self, "axes", ())
        # One NaN for all: two records without a score are equal then.
        score = float(self.score)
        object.__setattr__(self, "score", math.nan if math.isnan(score) else score)

    @property
    def placed(self) -> tuple[tuple[Prompt, int, int], ...]:
        """Prompts in a volume, each with its plane and the axis of that."""
        axes = self.axes or (0,) * len(self.planes)
        return tuple(zip(self.prompts, self.planes, axes, strict=True)) if self.planes else ()

    @property
    def window(self) -> tuple[slice, ...]:
        """Where its box lies in the layer."""
        axes = len(self.box) // 2
        sides = zip(self.box[:axes], self.box[axes:], strict=True)
        return tuple(slice(first, last) for first, last in sides)


def without_masks(prompts: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """Return prompts without their masks: the object's own pixels are its mask."""
    return tuple(p if p.mask is None else dataclasses.replace(p, mask=None) for p in prompts)


def record_to_plain(record: ObjectRecord) -> list[Any]:
    """Return a record as values that JSON knows, without its label."""
    return [
        record.class_id,
        None if math.isnan(record.score) else record.score,
        record.area,
        record.box,
        [_prompt_to_plain(prompt) for prompt in record.prompts],
        record.planes,
        record.origin,
        record.model,
        record.axes,
        record.fdi,
        record.fdi_confidence,
        record.jaw,
    ]


def record_from_plain(label: int, plain: list[Any]) -> ObjectRecord:
    """Return the record of a label that `record_to_plain` took apart.

    Records of journals of format 1 end after the model, or after the axes; those of format 2
    before the jaw.

    Raises
    ------
    CosegError
        If the values are something else.
    """
    try:
        class_id, score, area, box, prompts, planes, origin, model, *further = plain
        axes, fdi, confidence, jaw = (*further, *_NOT_KNOWN[len(further) :])
        return ObjectRecord(
            label,
            int(class_id),
            math.nan if score is None else float(score),
            int(area),
            tuple(box),
            tuple(_prompt_from_plain(prompt) for prompt in prompts),
            tuple(planes),
            str(origin),
            str(model),
            tuple(int(axis) for axis in axes),
            int(fdi),
            float(confidence),
            str(jaw),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CosegError(f"The journal's record of object {label} is damaged.") from error


def rows_to_json(rows: dict[int, Row]) -> str:
    """Return the rows that an edit changed as JSON."""
    return json.dumps(
        [
            [label, *(None if record is None else record_to_plain(record) for record in row)]
            for label, row in rows.items()
        ],
        separators=(",", ":"),
    )


def rows_from_json(text: str) -> dict[int, Row]:
    """Return the rows that `rows_to_json` wrote.

    Raises
    ------
    CosegError
        If the text is something else.
    """
    try:
        rows: dict[int, Row] = {}
        for label, before, after in json.loads(text):
            rows[label] = (
                None if before is None else record_from_plain(label, before),
                None if after is None else record_from_plain(label, after),
            )
        return rows
    except (ValueError, TypeError) as error:
        raise CosegError("The journal's record of an edit is damaged.") from error


def _prompt_to_plain(prompt: Prompt) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    if prompt.box is not None:
        plain["box"] = [float(edge) for edge in prompt.box]
    if prompt.points:
        plain["points"] = [
            [float(row), float(column), bool(positive)] for row, column, positive in prompt.points
        ]
    return plain


def _prompt_from_plain(plain: dict[str, Any]) -> Prompt:
    box = plain.get("box")
    corners = None
    if box is not None:
        row0, column0, row1, column1 = box
        corners = (float(row0), float(column0), float(row1), float(column1))
    points = tuple((float(r), float(c), bool(p)) for r, c, p in plain.get("points", ()))
    return Prompt(corners, points)
