"""How the Prompt dock speaks of objects."""

from __future__ import annotations

import math

from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.layers.legend import format_area
from napari_coseg.types import ClassTable


def words_for(record: ObjectRecord, classes: ClassTable, mpp: float | None) -> str:
    """Describe an object in a line."""
    parts = [f"Object {record.label}"]
    if record.class_id and len(classes) > 1:
        parts.append(classes.name_of(record.class_id))
    parts.append(size_words(record.area, mpp))
    if not math.isnan(record.score):
        parts.append(f"{record.score:.2f}")
    return " · ".join(parts)


def size_words(area: int, mpp: float | None) -> str:
    """Write an area in pixels and, where the pixel size is known, in µm² or mm²."""
    words = f"{area:,} px"
    return words if mpp is None else f"{words} · {format_area(area, area * mpp * mpp)}"
