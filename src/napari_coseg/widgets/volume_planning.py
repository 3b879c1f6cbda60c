"""From what a person chose to the request for a whole volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_coseg.imaging.volume_grid import Vector
from napari_coseg.layers.volume_kinds import volume_of
from napari_coseg.types import CosegError
from napari_coseg.widgets.pixel_size import Origin
from napari_coseg.worker.requests import check_body
from napari_coseg.worker.volume_request import StoredVoxels, VolumeRequest


@dataclass(frozen=True)
class VolumeChoices:
    """What the fields of the Segment dock say of a volume.

    `as_shown` is whether the model sees grey values with the layer's contrast limits.
    """

    image: Any
    model: str
    spacing: Vector
    spacing_origin: Origin
    as_shown: bool
    device: str
    min_region_mm3: float
    tta: bool
    min_score: float | None


@dataclass(frozen=True)
class VolumePlan:
    """What is to be done, and on which layer the results lie."""

    voxels: StoredVoxels
    request: VolumeRequest
    image: Any
    name: str


def make_volume_plan(choices: VolumeChoices) -> VolumePlan:
    """Turn choices into a request; the layer is asked here and now only.

    Raises
    ------
    CosegError
        If the image is no volume, or has too many voxels.
    """
    layer = choices.image
    volume = None if layer is None else volume_of(layer)
    if volume is None:
        raise CosegError("Open a volume first: an image with three axes.")
    voxels = StoredVoxels(volume.voxels)
    low, high = (float(limit) for limit in layer.contrast_limits)
    place: dict[str, Any] = {"direction": ((0, 0, 1), (0, 1, 0), (1, 0, 0)), "oriented": False}
    if volume.grid is not None:
        facts = volume.grid.as_dict()
        place = {"direction": facts["direction"], "origin": facts["origin"], "oriented": True}
    body = {
        "model": choices.model,
        "device": choices.device,
        "shape": voxels.shape,
        "dtype": voxels.dtype.str,
        "spacing": choices.spacing,
        "spacing_origin": choices.spacing_origin,
        "name": volume.name,
        "window": (low, high) if choices.as_shown else None,
        "tta": choices.tta,
        "min_region_mm3": choices.min_region_mm3,
        "min_score": choices.min_score,
        **place,
    }
    return VolumePlan(voxels, check_body(VolumeRequest, body), layer, volume.name)
