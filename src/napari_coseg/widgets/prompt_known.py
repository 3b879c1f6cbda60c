"""What a layer tells of itself, as its journal takes it: its objects, and the run that made it."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_coseg.annotation.change import Run
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.layers.drawing import known_objects
from napari_coseg.layers.runs import run_of


def made_by(layer: Any) -> Run | None:
    """Return the run that made a layer; None where it was no run."""
    facts = run_of(layer)
    return None if facts is None else Run(facts.name, facts.model, facts.settings)


def known_records(layer: Any) -> dict[int, ObjectRecord]:
    """Return what a layer's own table says of its objects, by label."""
    return {
        one.label: ObjectRecord(
            one.label,
            one.class_id,
            one.score,
            origin="model" if one.model else "file",
            model=one.model,
            fdi=one.fdi,
            fdi_confidence=one.fdi_confidence,
            jaw=one.jaw,
        )
        for one in known_objects(layer)
    }


def fits(before: Any, now: Any) -> bool:
    """Whether pixels can take the place of others under the same journal."""
    return (
        isinstance(now, np.ndarray)
        and now.shape == before.shape
        and now.flags.writeable
        and np.can_cast(before.dtype, now.dtype, "safe")
    )
