"""Planes of a volume on the layer that objects are drawn on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_coseg.layers.composite import Composite
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.sheet import Sheet
from napari_coseg.layers.volume_sheet import StackPictures, VolumeSheet, plane_axis
from napari_coseg.types import CosegError, Mask

SHAPE = (6, 8, 10)


def image(shape: tuple[int, ...] = SHAPE, **more: Any) -> Image:
    voxels = np.arange(np.prod(shape)).reshape(shape).astype(np.uint16)
    return Image(voxels, name="jaw", **more)


def turned(layer: Image, axis: int) -> Stack:
    shown = tuple(a for a in range(3) if a != axis)
    return Stack.of(layer).turned(layer, (shown[0], shown[1]))


def test_only_one_axis_can_be_gone_through() -> None:
    assert plane_axis(None) is None
    assert plane_axis(Stack.of(image((8, 10)))) is None
    assert plane_axis(Stack.of(image((1, 6, 8, 10)))) == 1
    assert plane_axis(Stack.of(image((2, 6, 8, 10)))) is None
    with pytest.raises(CosegError, match="single picture"):
        StackPictures(image((8, 10)), Stack.of(image((8, 10))), ())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_are_those_of_the_axis(axis: int) -> None:
    layer = image(scale=(0.5, 0.4, 0.4), units=("mm",) * 3)
    if axis:
        layer.scale = (0.4, 0.4, 0.4)
    for stack in (
        turned(layer, axis),
        Composite.of_grey(layer).turned(layer, turned(layer, axis).spatial),
    ):
        pictures = StackPictures(layer, stack, (2,))
        assert (pictures.axis, pictures.count, pictures.plane) == (axis, SHAPE[axis], 2)
        assert pictures.shape == tuple(n for a, n in enumerate(SHAPE) if a != axis)
        seen = pictures.picture(3).read(0, 0, *pictures.shape)[..., 0].astype(int)
        order = np.argsort(np.take(layer.data, 3, axis).ravel(), kind="stable")
        assert (np.diff(seen.ravel()[order]) >= 0).all()
        assert pictures.spacing == pytest.approx((0.5, 0.4, 0.4) if axis == 0 else (0.4,) * 3)
    layer.scale = (0.5, 0.4, 0.4)
    with pytest.raises(CosegError, match="not square"):
        turned(layer, 1)


@pytest.mark.parametrize(
    ("units", "scale", "spacing"),
    [
        (("pixel",) * 3, (2, 1, 1), (0.8, 0.4, 0.4)),
        (("um",) * 3, (0.3, 0.1, 0.1), (1.2, 0.4, 0.4)),
        (("um",) * 3, (300, 200, 200), (0.3, 0.2, 0.2)),
    ],
)
def test_what_is_no_size_of_teeth_counts_as_such(units: Any, scale: Any, spacing: Any) -> None:
    layer = image(scale=scale, units=units)
    pictures = StackPictures(layer, Stack.of(layer), (0,))
    assert pictures.spacing == pytest.approx(spacing)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_masks_go_to_the_sheet_and_come_back(axis: int) -> None:
    layer = image()
    # A sheet that is larger than the volume, on all sides.
    data = np.zeros([n + 4 for n in SHAPE], np.int32)
    labels = Labels(data, translate=(-2, -2, -2))
    sheet, stack = Sheet(labels), turned(layer, axis)
    pictures = StackPictures(layer, stack, (0,))
    volume = VolumeSheet.of(layer, stack, sheet, pictures)
    assert (volume.axis, volume.first) == (axis, 2)
    assert volume.labels.shape == (pictures.count, *pictures.shape)
    masks = {1: Mask((2, 3), np.eye(3, dtype=bool)), 4: Mask((1, 4), np.ones((2, 1), bool))}
    solid = volume.solid(masks)
    data[solid.window][solid.bits] = 7
    assert volume.planes_of(7, solid.window) == [1, 4]
    for plane, mask in masks.items():
        back = volume.mask(7, plane)
        assert back.origin == mask.origin
        assert (back.bits == mask.bits).all()
    assert (data == 7).sum() == 5
    volume.labels[1, 0, 0] = 8
    assert volume.taken(1, [7]).sum() == 1
    assert volume.taken(1, [7])[0, 0]
    assert volume.taken(1, []).sum() == 4


def test_a_sheet_without_all_voxels_is_refused() -> None:
    layer = image()
    stack = Stack.of(layer)
    pictures = StackPictures(layer, stack, (0,))
    for shape in ((4, 8, 10), (6, 8, 9), (8, 10)):
        with pytest.raises(CosegError, match=r"plane|voxels"):
            VolumeSheet.of(layer, stack, Sheet(Labels(np.zeros(shape, np.int32))), pictures)
