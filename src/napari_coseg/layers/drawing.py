"""A Labels layer that objects are drawn into: made, coloured, its table kept."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from napari.layers import Labels

from napari_coseg.imaging.palette import object_colours
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.results import Place, own_facts, placed
from napari_coseg.layers.sheet import MOST_AXES, Sheet
from napari_coseg.layers.tuples import (
    METADATA,
    class_colours,
    label_colours,
    listed_classes,
    own_metadata,
)
from napari_coseg.types import ClassTable, CosegError

#: Classes of a layer that nobody has named any for.
PLAIN = ClassTable.from_names(["object"])


class Record(Protocol):
    """What the table needs to know of an object: `napari_coseg.annotation` has such records."""

    @property
    def label(self) -> int:
        """Its id."""

    @property
    def class_id(self) -> int:
        """Its class, 0 for none."""

    @property
    def score(self) -> float:
        """0 to 1, NaN where it is unknown."""

    @property
    def area(self) -> int:
        """Number of pixels."""

    @property
    def box(self) -> tuple[int, ...]:
        """First index along each axis, then the one behind the last along each."""

    @property
    def origin(self) -> str:
        """Where it comes from."""


@dataclass(frozen=True)
class KnownObject:
    """What a layer's own table says of an object; `model` made it, "" where that is unknown."""

    label: int
    class_id: int
    score: float
    model: str


def objects_layer(image: Any, stack: Stack, classes: ClassTable = PLAIN) -> Labels:
    """Make an empty layer for objects that lies exactly on an image.

    Parameters
    ----------
    image : Image layer
    stack : Stack
        The same as pixels.
    classes : ClassTable
        That objects may have.

    Raises
    ------
    CosegError
        If the image has more long axes than a layer of objects, or the memory does not suffice.
    """
    trouble = too_many_axes(stack)
    if trouble:
        raise CosegError(trouble)
    rows, columns = stack.shape
    place = Place(None, 0, (0, 0, rows, columns))
    shape = stack.in_order([*stack.axes], rows, columns)
    try:
        # 16 bits: napari draws them as they are; wider ones it looks up one by one.
        labels = np.zeros(shape, np.uint16)
    except MemoryError as error:
        raise CosegError(
            f"There is too little memory for a layer of objects as large as {stack.name}: take a "
            "part of the image."
        ) from error
    own = own_metadata("instances", stack.name, classes, stack.mpp)
    return Labels(
        labels,
        name=f"{stack.name} objects",
        features=_table({}, classes, stack.mpp, None),
        metadata=own,
        **placed(image, stack, place),
    )


def too_many_axes(stack: Stack) -> str:
    """Say why no layer of objects can lie on an image; "" where one can."""
    long = sum(length > 1 for length in (*stack.axes, *stack.shape))
    if long <= MOST_AXES:
        return ""
    return (
        f"{stack.name} has {long} axes that are longer than one, and objects go into a layer of "
        f"{MOST_AXES} at the most: open a part of it (one time, one channel), or choose a Labels "
        "layer with fewer axes under Into."
    )


def classes_of(layer: Any) -> ClassTable:
    """Return the classes that objects of a layer may have."""
    found = listed_classes(own_facts(layer) or {})
    return found if len(found) else PLAIN


def add_class(layer: Any, name: str) -> ClassTable:
    """Add a class to a layer's own; return them all.

    Raises
    ------
    CosegError
        If the name is empty or there already.
    """
    before = classes_of(layer)
    colours = {info.name: info.colour for info in before}
    table = ClassTable.from_names([*before.names, name], colours)
    set_classes(layer, table)
    return table


def set_classes(layer: Any, table: ClassTable) -> None:
    """Say which classes objects of a layer may have."""
    facts = dict(layer.metadata)
    own = dict(facts.get(METADATA) or own_metadata("instances", layer.name, table, None)[METADATA])
    own["classes"] = [{"id": c.id, "name": c.name, "colour": list(c.colour)} for c in table]
    layer.metadata = {**facts, METADATA: own}


def known_objects(layer: Any) -> list[KnownObject]:
    """Return what a layer's table says of its objects."""
    features = layer.features
    if "index" not in features:
        return []
    model = str(layer.metadata.get("model", "")) if own_facts(layer) is not None else ""
    labels = features["index"].to_numpy(np.int64)
    nothing = np.zeros(len(features))
    kinds = np.nan_to_num(np.asarray(features.get("class", nothing), float)).astype(np.int64)
    scores = np.asarray(features.get("score", nothing + math.nan), float)
    return [
        KnownObject(int(label), int(kind), float(score), model)
        for label, kind, score in zip(labels, kinds, scores, strict=True)
        if label > 0
    ]


class ObjectTable:
    """The features of a layer that objects are drawn into.

    Parameters
    ----------
    sheet : Sheet
        The layer.
    objects : mapping of int to Record
        What is known of its objects; read again when an edit changes some.
    """

    def __init__(self, sheet: Sheet, objects: Mapping[int, Record]) -> None:
        self._layer = sheet.layer
        self._axes = sheet.axes
        self._objects = objects
        self._mpp = (own_facts(self._layer) or {}).get("mpp")
        before = self._layer.features
        known = before.set_index("index", drop=False) if "index" in before else None
        self._frame = _table(objects, classes_of(self._layer), self._mpp, known)

    def change(self, labels: Collection[int]) -> None:
        """Take over what has changed of some objects."""
        gone = [label for label in labels if label not in self._objects]
        frame = self._frame.drop(index=[label for label in gone if label in self._frame.index])
        changed = {label: self._objects[label] for label in labels if label in self._objects}
        new = _table(changed, classes_of(self._layer), self._mpp, frame)
        old = frame.drop(index=[label for label in changed if label in frame.index])
        parts = [part for part in (old, new) if len(part)]
        self._frame = pd.concat(parts) if parts else old

    def show(self, *, by_object: bool = False) -> None:
        """Hand the table and the colours to napari: costs with the number of objects."""
        self._layer.features = self._frame.reset_index(drop=True)
        labels = self._frame["index"].to_numpy(np.int64)
        kinds = self._frame["class"].to_numpy(np.int64)
        classes = classes_of(self._layer)
        if by_object or len(classes) < 2:
            palette = object_colours(labels)
        else:
            palette = class_colours(kinds, classes)
        self._layer.colormap = label_colours(labels, palette, self._layer.data.dtype)


def _table(
    objects: Mapping[int, Record],
    classes: ClassTable,
    mpp: float | None,
    before: pd.DataFrame | None,
) -> pd.DataFrame:
    """Facts of objects by label; columns that are not ours stay as they were."""
    records = list(objects.values())
    axes = len(records[0].box) // 2 if records and records[0].box else 2
    names = ["row", "column"] if axes == 2 else ["plane", "row", "column"]
    frame = pd.DataFrame(
        {
            "index": np.array([r.label for r in records], np.int64),
            "class": np.array([r.class_id for r in records], np.int64),
            "class_name": [classes.name_of(r.class_id) if r.class_id else "" for r in records],
            "score": np.array([r.score for r in records], float),
            "area_px": np.array([r.area for r in records], np.int64),
            "area_um2": np.array([r.area * mpp**2 if mpp else math.nan for r in records], float),
        }
    )
    for edge, offset in (("0", 0), ("1", axes)):
        for axis, name in enumerate(names):
            frame[f"{name}{edge}"] = np.array(
                [r.box[offset + axis] if r.box else 0 for r in records], np.int64
            )
    frame["origin"] = [r.origin for r in records]
    frame = frame.set_index("index", drop=False)
    if before is not None:
        for column in before.columns:
            if column not in frame:
                frame[column] = before[column].reindex(frame.index)
    return frame
