"""What a model found, as napari layers that lie exactly on their image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from napari.layers import Layer

from napari_coseg.imaging.palette import object_colours
from napari_coseg.layers.planes import Box, Stack
from napari_coseg.layers.tuples import (
    RGBA,
    LayerData,
    instance_layer,
    region_layer,
)
from napari_coseg.types import ClassTable, PanopticResult

#: Key of our part of a layer's metadata.
METADATA = "napari_coseg"
_CLEAR: RGBA = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Place:
    """Where results lie in their image.

    Attributes
    ----------
    index : tuple of int or None
        The plane; None for all of them.
    level : int
        Of a pyramid.
    box : Box
        Pixels of that level.
    """

    index: tuple[int, ...] | None
    level: int
    box: Box


def result_layers(
    results: Sequence[PanopticResult], image: Any, stack: Stack, place: Place
) -> list[Layer]:
    """Make the layers of a run: regions below, instances above.

    Parameters
    ----------
    results : sequence of PanopticResult
        One a plane, in the order of the planes.
    image : Image layer
        What was segmented: its scale, units and axis labels are taken over.
    stack : Stack
        The same, as pixels.
    place : Place
        What of it.

    Returns
    -------
    list of Labels layers
        Named after the image.
    """
    first = results[0]
    leading = stack.axes if place.index is None else (1,) * len(stack.axes)
    size = (place.box[2] - place.box[0], place.box[3] - place.box[1])
    geometry = _geometry(image, stack, place)
    layers = []
    if first.regions is not None:
        regions = np.stack([r.regions for r in results if r.regions is not None])
        layers.append(
            _layer(
                region_layer(
                    regions.reshape(*leading, *size),
                    first.region_classes,
                    f"{stack.name} regions",
                    None,
                ),
                geometry,
                _facts("regions", first, image.name, first.region_classes),
            )
        )
    if first.instances is not None:
        labels, objects = _joined(results)
        layers.append(
            _layer(
                instance_layer(
                    labels.reshape(*leading, *size),
                    objects,
                    first.instance_classes,
                    f"{stack.name} instances",
                    None,
                ),
                geometry,
                _facts("instances", first, image.name, first.instance_classes),
            )
        )
    return layers


def _layer(data: LayerData, geometry: dict[str, Any], facts: dict[str, Any]) -> Layer:
    labels, attributes, kind = data
    for name in ("scale", "units", "axis_labels"):
        attributes.pop(name, None)
    return Layer.create(labels, {**attributes, **geometry, "metadata": facts}, kind)


def _facts(role: str, result: PanopticResult, image: str, classes: ClassTable) -> dict[str, Any]:
    table = [{"id": c.id, "name": c.name, "colour": list(c.colour)} for c in classes]
    own = {"role": role, "image": image, "classes": table, "mpp": result.mpp}
    return {**result.metadata, METADATA: own}


def _geometry(image: Any, stack: Stack, place: Place) -> dict[str, Any]:
    """Scale and place of layers whose first pixel is a box's first pixel in a plane of a level."""
    full, part = stack.shape, stack.shape_of(place.level)
    ratio = [whole / piece for whole, piece in zip(full, part, strict=True)]
    index = place.index if place.index is not None else (0,) * len(stack.axes)
    corner = [
        (first + 0.5) * times - 0.5 for first, times in zip(place.box[:2], ratio, strict=True)
    ]
    world = np.asarray(image.data_to_world((*index, *corner)))
    scale = np.array(image.scale, float)
    scale[-2:] *= ratio
    return {
        "scale": scale,
        "translate": np.asarray(image.affine.inverse(world)),
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": image.affine,
        "units": image.units,
        "axis_labels": image.axis_labels,
    }


def _joined(results: Sequence[PanopticResult]) -> tuple[npt.NDArray[np.int32], pd.DataFrame]:
    """Put planes on each other; ids go on from plane to plane."""
    planes, tables = [], []
    count = 0
    for number, result in enumerate(results):
        assert result.instances is not None
        labels = result.instances
        if count:
            labels = np.where(labels > 0, labels + np.int32(count), 0).astype(np.int32)
        objects = result.objects.assign(label=result.objects["label"] + count)
        if len(results) > 1:
            objects.insert(1, "plane", number)
        planes.append(labels)
        tables.append(objects)
        count += len(objects)
    return np.stack(planes), pd.concat(tables, ignore_index=True)


def own_facts(layer: Any) -> dict[str, Any] | None:
    """Return what we wrote into a layer's metadata; None for a layer that is not ours."""
    facts = getattr(layer, "metadata", {}).get(METADATA)
    return facts if isinstance(facts, dict) and "role" in facts else None


def role_of(layer: Any) -> str:
    """Return "regions" or "instances" for one of our layers, else an empty string."""
    return str((own_facts(layer) or {}).get("role", ""))


def class_table(layer: Any) -> ClassTable:
    """Return the classes of one of our layers."""
    facts = own_facts(layer) or {}
    listed = facts.get("classes", [])
    return ClassTable.from_names(
        [entry["name"] for entry in listed], {e["name"]: e["colour"] for e in listed}
    )


def colour_layer(layer: Any, hidden: Collection[int] = (), *, by_object: bool = False) -> None:
    """Colour one of our layers; classes in `hidden` are not shown.

    Parameters
    ----------
    layer : Labels layer
    hidden : collection of int
        Class ids.
    by_object : bool
        A colour for each instance instead of its class's.
    """
    classes = class_table(layer)
    facts = own_facts(layer) or {}
    colours: dict[int | None, Any] = {None: _CLEAR, 0: _CLEAR}
    if facts.get("role") == "regions":
        for info in classes:
            shown = info.id not in hidden
            colours[info.id] = _rgba(info.colour) if shown else _CLEAR
    else:
        labels = layer.features["index"].to_numpy(np.int64)
        kinds = layer.features["class"].to_numpy(np.int64)
        if by_object:
            palette = object_colours(labels)
        else:
            table = np.array([classes.colour_of(i) for i in range(int(kinds.max(initial=0)) + 1)])
            palette = np.column_stack([table[kinds] / 255, np.ones(len(kinds))])
        palette[np.isin(kinds, list(hidden))] = 0
        colours.update(zip(labels.tolist(), palette, strict=True))
    layer.colormap = colours


def _rgba(colour: tuple[int, int, int]) -> RGBA:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255, 1.0
