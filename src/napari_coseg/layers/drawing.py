"""A Labels layer that objects are drawn into: made, and what is known of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_coseg.layers.cases import kept_case
from napari_coseg.layers.object_rows import object_rows
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.results import Place, own_facts, placed
from napari_coseg.layers.sheet import MOST_AXES
from napari_coseg.layers.tuples import (
    METADATA,
    listed_classes,
    own_metadata,
)
from napari_coseg.layers.volume_layers import kept_grid
from napari_coseg.types import FDI_NUMBERS, JAWS, ClassTable, CosegError

#: Classes of a layer that nobody has named any for.
PLAIN = ClassTable.from_names(["object"])


@dataclass(frozen=True)
class KnownObject:
    """What a layer's own table says of an object.

    Attributes
    ----------
    label, class_id : int
    score : float
        0 to 1, NaN where it is unknown.
    model : str
        That made it, "" where it is unknown.
    fdi : int
        FDI number of a tooth, 0 for none.
    fdi_confidence : float
        0 to 1.
    jaw : str
        Of a tooth, "upper" or "lower"; "" where it is unknown.
    """

    label: int
    class_id: int
    score: float
    model: str
    fdi: int = 0
    fdi_confidence: float = 0.0
    jaw: str = ""


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
        features=object_rows({}, classes, stack.mpp, None),
        metadata={**kept_grid(image, shape), **kept_case(getattr(image, "metadata", None)), **own},
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
    numbers = np.nan_to_num(np.asarray(features.get("fdi", nothing), float)).astype(np.int64)
    sure = np.nan_to_num(np.asarray(features.get("fdi_confidence", nothing), float))
    jaws = [jaw if jaw in JAWS else "" for jaw in features.get("jaw", [""] * len(features))]
    # A table of somebody else may have other numbers under that name.
    numbers[~np.isin(numbers, FDI_NUMBERS)] = 0
    sure[numbers == 0] = 0.0
    return [
        KnownObject(int(label), int(kind), float(score), model, int(number), float(confidence), jaw)
        for label, kind, score, number, confidence, jaw in zip(
            labels, kinds, scores, numbers, sure, jaws, strict=True
        )
        if label > 0
    ]
