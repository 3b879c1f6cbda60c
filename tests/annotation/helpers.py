"""Small layers, masks, and a slow model of a case that copies everything."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from napari_coseg.annotation.case import Case
from napari_coseg.annotation.identity import ImageIdentity, identify
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.types import Mask, Prompt

WAIT = 20.0


def identity_of(shape: tuple[int, ...], seed: int = 0) -> ImageIdentity:
    return identify(np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8))


def open_case(path: Path, labels: np.ndarray, **more: Any) -> Case:
    return Case.open(path, identity_of(labels.shape), labels, **more)


def rectangle(*box: int) -> Mask:
    """A mask of a full box: first edges, then last ones."""
    axes = len(box) // 2
    shape = tuple(b - a for a, b in zip(box[:axes], box[axes:], strict=True))
    return Mask(tuple(box[:axes]), np.ones(shape, bool))


def blob(rng: np.random.Generator, shape: tuple[int, ...], side: int) -> Mask:
    """A ragged mask at a random place, which may stick out of the layer."""
    sides = [int(rng.integers(2, side)) for _ in shape]
    origin = tuple(
        int(rng.integers(-1, length - s // 2)) for length, s in zip(shape, sides, strict=True)
    )
    bits = rng.random(sides) < 0.8
    bits.flat[bits.size // 2] = True
    return Mask(origin, bits)


def box_prompt(*box: float) -> Prompt:
    return Prompt(box)  # type: ignore[arg-type]


def plain(record: ObjectRecord) -> tuple[Any, ...]:
    """A record as values that can be compared after a restart."""
    return (
        record.label,
        record.class_id,
        None if math.isnan(record.score) else record.score,
        record.area,
        record.box,
        tuple((p.box, p.points) for p in record.prompts),
        record.planes,
        record.origin,
        record.model,
        record.axes,
        record.fdi,
        record.fdi_confidence,
    )


def table(case: Case) -> dict[int, tuple[Any, ...]]:
    return {label: plain(record) for label, record in case.objects.items()}


def facts(labels: np.ndarray) -> dict[int, tuple[int, tuple[int, ...]]]:
    """Area and box of all objects, counted the slow way."""
    found = {}
    for label in np.unique(labels[labels != 0]).tolist():
        places = np.argwhere(labels == label)
        box = (*places.min(0).tolist(), *(places.max(0) + 1).tolist())
        found[label] = (len(places), box)
    return found


def check(case: Case, labels: np.ndarray) -> None:
    """The table says of the layer what is in it."""
    known = {label: (record.area, record.box) for label, record in case.objects.items()}
    assert known == facts(labels)


class Model:
    """A case as full copies: what each state was."""

    def __init__(self, labels: np.ndarray, objects: dict[int, tuple[Any, ...]]) -> None:
        self.states = [(labels.copy(), objects)]
        self.at = 0

    def add(self, labels: np.ndarray, objects: dict[int, tuple[Any, ...]]) -> None:
        del self.states[self.at + 1 :]
        self.states.append((labels.copy(), objects))
        self.at += 1

    def check(self, case: Case, labels: np.ndarray) -> None:
        pixels, objects = self.states[self.at]
        assert np.array_equal(labels, pixels)
        assert table(case) == objects
        assert (case.undo_name is None) == (self.at == 0)
        assert (case.redo_name is None) == (self.at == len(self.states) - 1)
