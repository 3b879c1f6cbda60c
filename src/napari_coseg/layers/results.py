"""What a model found, as napari layers that lie exactly on their image."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Layer

from napari_coseg.imaging.palette import object_colours
from napari_coseg.layers.cases import kept_case
from napari_coseg.layers.crowds import with_picture
from napari_coseg.layers.pictures import Box
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.tuples import (
    METADATA,
    LayerData,
    class_colours,
    instance_layer,
    label_colours,
    listed_classes,
    own_metadata,
    region_layer,
)
from napari_coseg.layers.volume_layers import kept_grid
from napari_coseg.types import ClassTable, PanopticResult

if TYPE_CHECKING:
    import pandas as pd


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
    """Make the layers of a run; see `each_result_layer`."""
    return list(each_result_layer(results, image, stack, place))


def each_result_layer(
    results: Sequence[PanopticResult], image: Any, stack: Stack, place: Place
) -> Iterator[Layer]:
    """Make the layers of a run one after the other: regions below, instances above.

    Parameters
    ----------
    results : sequence of PanopticResult
        One a plane, in the order of the planes.
    image : Image layer
        What was segmented (of several layers, the lowest): its scale, units and axis labels are
        taken over.
    stack : Stack
        The same, as pixels. An axis of channels that were mixed stays as an axis of length one,
        as thick as all of them, so that the results are seen whichever channel is shown.
    place : Place
        What of it.

    Yields
    ------
    Labels layer
        Named after the image; where there are very many objects, a picture of them is the last.
    """
    first = results[0]
    order = np.argsort([*stack.leading, *stack.spatial])
    leading = stack.axes if place.index is None else (1,) * len(stack.axes)
    size = (place.box[2] - place.box[0], place.box[3] - place.box[1])
    geometry = placed(image, stack, place)
    shape = tuple(np.array([*leading, *size])[order].tolist())
    carried = {**kept_grid(image, shape), **kept_case(getattr(image, "metadata", None))}
    if first.regions is not None:
        regions = np.stack([r.regions for r in results if r.regions is not None])
        yield Layer.create(
            *_with_facts(
                region_layer(
                    regions.reshape(*leading, *size).transpose(order),
                    first.region_classes,
                    f"{stack.name} regions",
                    None,
                ),
                geometry,
                {**_facts("regions", first, stack, place), **carried},
            )
        )
    if first.instances is not None:
        labels, objects = _joined(results)
        for data in with_picture(
            _with_facts(
                instance_layer(
                    labels.reshape(*leading, *size).transpose(order),
                    objects,
                    first.instance_classes,
                    f"{stack.name} instances",
                    None,
                ),
                geometry,
                {**_facts("instances", first, stack, place), **carried},
            )
        ):
            yield Layer.create(*data)


def _with_facts(data: LayerData, geometry: dict[str, Any], facts: dict[str, Any]) -> LayerData:
    labels, attributes, kind = data
    for name in ("scale", "units", "axis_labels"):
        attributes.pop(name, None)
    return labels, {**attributes, **geometry, "metadata": facts}, kind


def _facts(role: str, result: PanopticResult, stack: Stack, place: Place) -> dict[str, Any]:
    classes = result.region_classes if role == "regions" else result.instance_classes
    rows, columns = (stack.ratios(place.level)[axis] for axis in stack.spatial)
    own = own_metadata(
        role,
        stack.name,
        classes,
        result.mpp,
        (place.box[0] * rows, place.box[1] * columns),
        (rows, columns),
    )
    return {**result.metadata, **own}


def placed(image: Any, stack: Stack, place: Place) -> dict[str, Any]:
    """Scale and place of layers whose first pixel is a box's first pixel in a plane of a level."""
    ratios = np.array(stack.ratios(place.level))
    index = place.index if place.index is not None else (0,) * len(stack.axes)
    first = np.array(stack.in_order([*index], *place.box[:2]))
    world = np.asarray(image.data_to_world((first + 0.5) * ratios - 0.5))
    return {
        "scale": np.array(image.scale, float) * ratios,
        "translate": np.asarray(image.affine.inverse(world)),
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": image.affine,
        "units": image.units,
        "axis_labels": image.axis_labels,
    }


def _joined(results: Sequence[PanopticResult]) -> tuple[npt.NDArray[np.int32], pd.DataFrame]:
    """Put planes on each other; ids go on from plane to plane."""
    import pandas as pd

    if len(results) == 1 and results[0].instances is not None:
        # Without a copy: it may be large.
        return results[0].instances[np.newaxis], results[0].objects.reset_index(drop=True)
    planes, tables = [], []
    count = 0
    for number, result in enumerate(results):
        assert result.instances is not None
        labels = result.instances
        if count:
            labels = np.where(labels > 0, labels + np.int32(count), 0).astype(np.int32)
        objects = result.objects.assign(label=result.objects["label"] + count)
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
    """Return "regions", "instances" or "picture" for one of our layers, else an empty string."""
    return str((own_facts(layer) or {}).get("role", ""))


def class_table(layer: Any) -> ClassTable:
    """Return the classes of one of our layers."""
    return listed_classes(own_facts(layer) or {})


def colour_layer(layer: Any, hidden: Collection[int] = (), *, by_object: bool = False) -> None:
    """Colour one of our layers; classes in `hidden` are not shown.

    Parameters
    ----------
    layer : Labels layer
        Of regions, or of instances that are no crowd.
    hidden : collection of int
        Class ids.
    by_object : bool
        A colour for each instance instead of its class's.
    """
    classes = class_table(layer)
    facts = own_facts(layer) or {}
    if facts.get("role") == "regions":
        labels = kinds = np.array([info.id for info in classes], int)
        palette = class_colours(kinds, classes)
    else:
        labels = layer.features["index"].to_numpy(np.int64)
        kinds = layer.features["class"].to_numpy(np.int64)
        palette = object_colours(labels) if by_object else class_colours(kinds, classes)
    palette[np.isin(kinds, list(hidden))] = 0
    layer.colormap = label_colours(labels, palette, layer.data.dtype)
