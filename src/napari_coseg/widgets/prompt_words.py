"""How the Prompt dock speaks of objects."""

from __future__ import annotations

import math

from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.layers.legend import format_area
from napari_coseg.types import ClassTable
from napari_coseg.worker.prompting import PromptAnswer

#: An object smaller than this many pixels is told of.
_TINY = 6
#: Planes that are listed.
_LISTED = 12


def words_for(record: ObjectRecord, classes: ClassTable, mpp: float | None) -> str:
    """Describe an object in a line."""
    parts = [f"Object {record.label}"]
    if record.class_id and len(classes) > 1:
        parts.append(classes.name_of(record.class_id))
    solid = len(record.box) == 6 and all(
        last - first > 1 for first, last in zip(record.box[:3], record.box[3:], strict=True)
    )
    parts.append(f"{record.area:,} voxels" if solid else size_words(record.area, mpp))
    if record.fdi:
        proposed = confidence_words(record.fdi_confidence)
        parts.insert(1, f"FDI {record.fdi} ({proposed})" if proposed else f"FDI {record.fdi}")
    if not math.isnan(record.score):
        parts.append(f"{record.score:.2f}")
    return " · ".join(parts)


def confidence_words(confidence: float) -> str:
    """Write how sure a proposed FDI number is; "" for one that a person gave."""
    # 0.996 is a proposal still.
    return "" if confidence >= 1 else f"{min(confidence, 0.99):.2f}"


def key_words(record: ObjectRecord, axis: int) -> str:
    """Say on which planes along an axis an object was drawn, and so is certain; "" for none."""
    planes = sorted({plane for _, plane, along in record.placed if along == axis})
    if not planes:
        return ""
    listed = ", ".join(map(str, planes[:_LISTED]))
    more = " …" if len(planes) > _LISTED else ""
    return f"{'Plane' if len(planes) == 1 else 'Planes'} {listed}{more} drawn"


def size_words(area: int, mpp: float | None) -> str:
    """Write an area in pixels and, where the pixel size is known, in µm² or mm²."""
    words = f"{area:,} px"
    return words if mpp is None else f"{words} · {format_area(area, area * mpp * mpp)}"


def answer_words(answer: PromptAnswer, seconds: float, mpp: float | None) -> str:
    """Describe what the model found, and what may be wrong with it."""
    area = answer.mask.area
    if not area:
        return "Nothing was found there: draw a closer box, or click in the middle."
    size = size_words(area, mpp)
    words = f"{answer.stability:.2f} · {size} · {1000 * seconds:.0f} ms"
    if area < _TINY:
        return f"{words} · very small: is it right?"
    if answer.touches_border:
        return f"{words} · it may go on beyond what the model saw."
    return words
