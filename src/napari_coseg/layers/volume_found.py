"""What a model found in a volume, as napari layers that lie exactly on their image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from napari.layers import Layer

from napari_coseg.imaging.volume_result import VolumeResult
from napari_coseg.layers.cases import kept_case
from napari_coseg.layers.crowds import with_picture
from napari_coseg.layers.tuples import LayerData, instance_layer, own_metadata, region_layer
from napari_coseg.layers.volume_layers import kept_grid
from napari_coseg.layers.volume_legend import REGION_VOXELS, SPACING
from napari_coseg.types import ClassTable

_PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


def each_volume_layer(result: VolumeResult, image: Any) -> Iterator[Layer]:
    """Make the layers of a run one after the other: regions below, instances above.

    Parameters
    ----------
    result : VolumeResult
    image : Image layer
        What was segmented: its name, scale, units, place and grid are taken over.

    Yields
    ------
    Labels layer
        Where there are very many objects, a picture of them is the last.
    """
    if result.regions is not None:
        layer = region_layer(result.regions, result.region_classes, f"{image.name} regions", None)
        facts = _facts("regions", result, result.region_classes, image)
        yield Layer.create(*_on(layer, image, facts))
    if result.instances is not None:
        layer = instance_layer(
            result.instances,
            result.objects,
            result.instance_classes,
            f"{image.name} instances",
            None,
        )
        facts = _facts("instances", result, result.instance_classes, image)
        facts.pop(REGION_VOXELS, None)
        for data in with_picture(_on(layer, image, facts)):
            yield Layer.create(*data)


def _facts(role: str, result: VolumeResult, classes: ClassTable, image: Any) -> dict[str, Any]:
    own = own_metadata(role, image.name, classes, None)
    known = result.metadata.get("spacing_origin") != "assumed"
    for facts in own.values():
        facts[SPACING] = list(result.grid.spacing) if known else None
    place = {**kept_grid(image, result.grid.shape), **kept_case(image.metadata)}
    return {**result.metadata, **own, **place}


def _on(data: LayerData, image: Any, facts: dict[str, Any]) -> LayerData:
    labels, attributes, kind = data
    place = {name: getattr(image, name) for name in _PLACE}
    return labels, {**attributes, **place, "metadata": facts}, kind
