"""From what a person chose to what the worker is asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Shapes

from napari_coseg.layers.areas import box_in_view, box_of_rectangle, plane_index
from napari_coseg.layers.channels import ChannelGroup
from napari_coseg.layers.composite import Composite
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.results import Place
from napari_coseg.types import CosegError
from napari_coseg.weights.card import ModelCard
from napari_coseg.widgets.run import Plan
from napari_coseg.worker.requests import SegmentRequest

if TYPE_CHECKING:
    from napari.viewer import Viewer

Area = Literal["whole", "view", "rectangle"]
#: What the dock calls each area.
AREAS: dict[str, Area] = {
    "Whole image": "whole",
    "What is in view": "view",
    "Rectangle (Shapes layer)": "rectangle",
}


@dataclass(frozen=True)
class Choices:
    """What the fields of the Segment dock say.

    `image` is an Image layer or a `ChannelGroup`; `mix` is whether an axis of channels is mixed.
    """

    image: Any
    mix: bool
    model: str
    card: ModelCard
    area: Area
    all_planes: bool
    mpp: float
    mpp_origin: Literal["given", "image", "assumed"]
    device: str
    min_region_um2: float
    tta: bool
    min_score: float | None


@dataclass(frozen=True)
class Planned:
    """A plan, and where its results belong: `image` is a layer, of a group the lowest."""

    plan: Plan
    image: Any
    stack: Stack
    place: Place


def stack_of(image: Any, mix: bool) -> Stack:
    """Return the planes of an Image layer or of a group of them, mixed or as they are.

    Raises
    ------
    CosegError
        If it is no picture.
    """
    if isinstance(image, ChannelGroup):
        return Composite.of_group(image)
    return Composite.of(image) if mix else Stack.of(image)


def make_plan(viewer: Viewer, choices: Choices) -> Planned:
    """Turn choices into requests.

    Raises
    ------
    CosegError
        If the image is no picture, or the area is empty.
    """
    if choices.image is None:
        raise CosegError("Open an image first.")
    group = choices.image if isinstance(choices.image, ChannelGroup) else None
    layer = group.layers[0] if group else choices.image
    # What the worker's threads ask later is all in it; layers are asked here and now only.
    stack = stack_of(choices.image, choices.mix)
    finest = min(v for v in (choices.card.instance_mpp, choices.card.region_mpp) if v is not None)
    level = stack.level_for(choices.mpp, finest)
    rows, columns = stack.shape
    box = (0, 0, rows, columns)
    if choices.area == "view":
        box = box_in_view(viewer, layer, stack.shape, stack.spatial)
    elif choices.area == "rectangle":
        box = box_of_rectangle(_shapes_of(viewer), layer, stack.shape, stack.spatial)
    ratio = rows / stack.shape_of(level)[0]
    box = _at_level(box, ratio, stack.shape_of(level))
    here = plane_index(layer, viewer.dims.point, stack.axes, stack.leading)
    places = list(np.ndindex(*stack.axes)) if choices.all_planes else [here]
    mpp = choices.mpp * ratio
    request = SegmentRequest(
        model=choices.model,
        device=choices.device,
        shape=(box[2] - box[0], box[3] - box[1]),
        name=stack.name,
        mpp=mpp,
        mpp_origin=choices.mpp_origin,
        tta=choices.tta,
        min_score=choices.min_score,
        min_region_um2=choices.min_region_um2,
    )
    planes = [lambda i=index: stack.source(i, level, box, mpp) for index in places]
    place = Place(None if choices.all_planes else here, level, box)
    return Planned(Plan(planes, request), layer, stack, place)


def _at_level(
    box: tuple[int, int, int, int], ratio: float, shape: tuple[int, int]
) -> tuple[int, int, int, int]:
    row0, column0, row1, column1 = box
    top, left = min(int(row0 // ratio), shape[0] - 1), min(int(column0 // ratio), shape[1] - 1)
    # Of a slip of the mouse, smaller than a pixel of the level, one pixel is left.
    bottom = max(top + 1, min(shape[0], math.ceil(row1 / ratio)))
    right = max(left + 1, min(shape[1], math.ceil(column1 / ratio)))
    return top, left, bottom, right


def _shapes_of(viewer: Viewer) -> Any:
    active = viewer.layers.selection.active
    if isinstance(active, Shapes):
        return active
    drawn = [layer for layer in viewer.layers if isinstance(layer, Shapes)]
    if not drawn:
        raise CosegError("There is no Shapes layer: add one and draw a rectangle around the area.")
    return drawn[-1]
