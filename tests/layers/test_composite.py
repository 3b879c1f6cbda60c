"""Channels are found, and mixed as they are seen."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import LayerList, ViewerModel
from napari.layers import Image

from napari_coseg.imaging.crops import read_crop
from napari_coseg.layers.areas import plane_index
from napari_coseg.layers.channels import ChannelAxis, ChannelGroup, channel_axis, channel_groups
from napari_coseg.layers.composite import Channel, Composite, can_mix, mix
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.results import Place, result_layers
from napari_coseg.types import CosegError
from tests.layers.test_planes import Lazy
from tests.layers.test_results import result

RANDOM = np.random.default_rng(0)


def image(*shape: int, dtype: type = np.uint8, **more: Any) -> Image:
    return Image(RANDOM.integers(0, 255, shape).astype(dtype), rgb=False, name="it", **more)


@pytest.mark.parametrize(
    ("shape", "more", "found"),
    [
        ((3, 40, 50), {}, ChannelAxis(0, False)),
        ((40, 50, 2), {}, ChannelAxis(2, True)),
        ((7, 40, 50), {}, None),
        ((9, 3, 40, 50), {}, ChannelAxis(1, False)),
        ((1, 3, 40, 50), {}, ChannelAxis(1, False)),
        ((3, 40, 50), {"axis_labels": ("z", "y", "x")}, None),
        ((3, 40, 50), {"axis_labels": ("Channel", "y", "x")}, ChannelAxis(0, True)),
        ((4, 3, 40, 50), {"axis_labels": ("t", "c", "y", "x")}, ChannelAxis(1, True)),
        ((20, 20, 9), {"axis_labels": ("y", "x", "ch")}, ChannelAxis(2, True)),
        # Two short axes: which of them is not to be told.
        ((4, 3, 40, 50), {}, None),
        # A step in depth has a size.
        ((3, 40, 50), {"scale": (2, 1, 1)}, None),
        ((3, 40, 50), {"units": ("s", "um", "um")}, None),
        ((40, 50), {}, None),
    ],
)
def test_the_axis_of_channels(
    shape: tuple[int, ...], more: dict[str, Any], found: ChannelAxis | None
) -> None:
    assert channel_axis(image(*shape, **more)) == found


def test_colour_is_no_axis_of_channels() -> None:
    assert channel_axis(Image(np.zeros((3, 40, 50, 3)), rgb=True)) is None
    assert not can_mix(Stack.of(image(9, 40, 50, axis_labels=("c", "y", "x"))))


def channels(*colours: str, **more: Any) -> list[Image]:
    """Layers as napari makes them when it splits channels."""
    return [
        Image(
            RANDOM.integers(0, 255, (40, 50)).astype(np.uint8),
            name=colour,
            colormap=colour,
            blending="additive" if number else "translucent_no_depth",
            **more,
        )
        for number, colour in enumerate(colours)
    ]


def groups(layers: list[Image]) -> list[str]:
    return [group.name for group in channel_groups(LayerList(layers))]


def test_layers_that_are_seen_mixed() -> None:
    layers = channels("blue", "green", "red")
    assert groups(layers) == ["blue, green, red"]
    layers[1].visible = False
    assert groups(layers) == ["blue, red"]
    layers[2].visible = False
    assert groups(layers) == []


def test_layers_that_are_not() -> None:
    # One covers the other; another place; another size; colour; the darker of two.
    assert groups([image(40, 50), image(40, 50)]) == []
    for other in (
        image(40, 50, translate=(0, 1)),
        image(40, 50, scale=(2, 2)),
        image(40, 50, rotate=5),
        image(50, 40),
        Image(np.zeros((40, 50, 3)), rgb=True),
        image(40, 50, units="um"),
    ):
        other.blending = "additive"
        assert groups([image(40, 50), other]) == []
    darker = channels("blue", "green")
    darker[1].blending = "minimum"
    assert groups(darker) == []
    # What is covered is not seen.
    covered = [image(40, 50), *channels("blue", "green")]
    assert groups(covered) == ["blue, green"]


def test_groups_of_two_slides() -> None:
    here, there = channels("blue", "green"), channels("red", "cyan", translate=(0, 100))
    assert groups([here[0], there[0], here[1], there[1]]) == ["blue, green", "red, cyan"]


def channel(low: float, high: float, colour: str = "gray", **more: Any) -> Channel:
    return Channel.of(Image(np.zeros((2, 2)), contrast_limits=(low, high), colormap=colour, **more))


def test_eight_bits_stay_what_they_are() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    mixed = mix([values, values[::-1]], [channel(0, 255, "red"), channel(0, 255, "blue")])
    assert np.array_equal(mixed[..., 0], values)
    assert np.array_equal(mixed[..., 2], values[::-1])
    assert not mixed[..., 1].any()


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_as_napari_shows_it(dtype: type) -> None:
    values = (RANDOM.random((30, 20)) * 900).astype(dtype)
    limits, gammas, names = [(100, 500), (0, 800)], (0.5, 1.4), ("viridis", "green")
    layers = [
        Image(values, contrast_limits=lim, gamma=g, colormap=c, opacity=o)
        for lim, g, c, o in zip(limits, gammas, names, (1, 0.6), strict=True)
    ]
    expected = np.zeros((30, 20, 3))
    for layer in layers:
        low, high = layer.contrast_limits
        part = np.clip((values.astype(float) - low) / (high - low), 0, 1) ** layer.gamma
        expected += layer.colormap.map(part.ravel()).reshape(30, 20, 4)[..., :3] * layer.opacity
    mixed = mix([values, values], [Channel.of(layer) for layer in layers])
    assert np.abs(mixed - np.clip(expected, 0, 1) * 255).max() <= 1


def test_sums_are_cut_and_what_is_missing_is_dark() -> None:
    bright = np.full((2, 3), 200, np.uint8)
    assert (mix([bright, bright], [channel(0, 255)] * 2) == 255).all()
    odd = np.array([[np.nan, np.inf, -np.inf, 1.0]], np.float32)
    inverted = channel(0, 1, "gray_r")
    assert mix([odd], [channel(0, 1)])[0, :, 0].tolist() == [0, 255, 0, 255]
    assert mix([odd], [inverted])[0, :, 0].tolist() == [0, 0, 255, 0]
    assert (mix([np.ones((2, 2), bool)], [channel(0, 1)]) == 255).all()


def test_large_windows_are_mixed_in_parts() -> None:
    values = RANDOM.integers(0, 255, (700, 900)).astype(np.uint8)
    assert np.array_equal(mix([values], [channel(0, 255)])[..., 1], values)


@pytest.mark.parametrize("first", [True, False])
def test_three_channels_are_the_picture(first: bool) -> None:
    rgb = RANDOM.integers(0, 255, (40, 50, 3)).astype(np.uint8)
    data = np.moveaxis(rgb, -1, 0) if first else rgb
    stack = Composite.of(Image(data, rgb=False, name="planar", contrast_limits=(0, 255)))
    assert stack.shape == (40, 50)
    assert stack.axes == (1,)
    source = stack.source((0,), 0, (10, 5, 40, 45), None)
    assert source.shape == (30, 40)
    assert np.array_equal(source.read(3, 2, 9, 30), rgb[13:19, 7:35])


def test_channels_of_a_place_in_time() -> None:
    data = RANDOM.integers(0, 255, (4, 2, 40, 50)).astype(np.uint8)
    labels = ("t", "c", "y", "x")
    layer = Image(data, axis_labels=labels, name="movie", contrast_limits=(0, 255))
    stack = Composite.of(layer)
    assert stack.axes == (4, 1)
    assert plane_index(layer, (2, 1, 0, 0), stack.axes, stack.leading) == (2, 0)
    pixels = stack.source((2, 0), 0, None, None).read(0, 0, 40, 50)
    assert np.array_equal(pixels[..., 1], data[2, 1])
    assert np.array_equal(pixels[..., 0], data[2, 0])


@pytest.mark.parametrize("kind", ["dask", "zarr"])
@pytest.mark.parametrize("last", [True, False])
def test_lazy_arrays(kind: str, last: bool) -> None:
    data = RANDOM.integers(0, 255, (60, 80, 3)).astype(np.uint8)
    data = data if last else np.ascontiguousarray(np.moveaxis(data, -1, 0))
    # Zarr comes along where a person opens such files; napari does not need it.
    make = da.from_array if kind == "dask" else pytest.importorskip("zarr").array
    lazy = make(data, chunks=20)
    layer = Image(lazy, rgb=False, contrast_limits=(0, 255), name="lazy")
    pixels = Composite.of(layer).source((0,), 0, (10, 10, 50, 60), None).read(5, 5, 15, 25)
    expected = data[15:25, 15:35] if last else np.moveaxis(data[:, 15:25, 15:35], 0, -1)
    assert np.array_equal(pixels, expected)


def test_only_the_window_is_read_and_only_once() -> None:
    lazy = Lazy(np.zeros((5, 3, 1000, 1000), np.uint16))
    facts = {"name": "it", "rgb": False, "multiscale": False, "scale": (1,) * 4, "units": ()}
    shown = {"contrast_limits": (0, 1000), "gamma": 1.0, "axis_labels": ("t", "c", "y", "x")}
    stack = Composite.of(SimpleNamespace(data=lazy, **facts, **shown))
    stack.source((1, 0), 0, None, None).read(10, 10, 20, 30)
    assert lazy.read == [3 * 200]


def test_levels_of_a_pyramid() -> None:
    levels = [RANDOM.integers(0, 255, (2, 64 >> k, 80 >> k)).astype(np.uint8) for k in range(2)]
    layer = Image(levels, multiscale=True, name="slide", axis_labels=("c", "y", "x"))
    stack = Composite.of(layer)
    assert stack.shape_of(1) == (32, 40)
    assert stack.source((0,), 1, None, 0.5).read(0, 0, 32, 40).shape == (32, 40, 3)
    layers = result_layers([result()], layer, stack, Place((0,), 1, (10, 20, 18, 30)))
    corner = layers[0].data_to_world((0, 0, 0))
    assert np.allclose(corner, (0.5, 20.5, 40.5))


class Guarded:
    """A layer that notes who asks it from a thread."""

    def __init__(self, layer: Image, asked: list[str]) -> None:
        self._layer, self._asked = layer, asked

    def __getattr__(self, name: str) -> Any:
        if threading.current_thread() is not threading.main_thread():
            self._asked.append(name)
        return getattr(self._layer, name)


def test_a_thread_asks_no_layer() -> None:
    asked: list[str] = []
    layers = channels("blue", "green")
    group = ChannelGroup(tuple(Guarded(layer, asked) for layer in layers))
    sources = [Composite.of_group(group).source((), 0, None, None)]
    sources.append(Composite.of(Guarded(image(3, 40, 50), asked)).source((0,), 0, None, None))
    read: list[Any] = []
    thread = threading.Thread(target=lambda: read.extend(s.read(0, 0, 40, 50) for s in sources))
    thread.start()
    thread.join()
    assert len(read) == 2
    assert asked == []
    assert np.array_equal(read[0][..., 2], Composite.of_group(group).parts[0].levels[0])


def test_results_lie_on_every_channel() -> None:
    layer = image(2, 3, 8, 10, axis_labels=("t", "c", "y", "x"), scale=(5, 1, 0.5, 0.5))
    stack = Composite.of(layer)
    one = result_layers([result()], layer, stack, Place((1, 0), 0, (0, 0, 8, 10)))[1]
    every = result_layers([result()] * 2, layer, stack, Place(None, 0, (0, 0, 8, 10)))[1]
    assert one.data.shape == (1, 1, 8, 10)
    assert every.data.shape == (2, 1, 8, 10)
    assert one.axis_labels == layer.axis_labels
    for labels in (one, every):
        for corner in ((0, -0.5, 0, 0), (0, 2.5, 0, 0)):
            assert labels.world_to_data(corner)[1] == pytest.approx(corner[1] / 3 - 1 / 3)
    viewer = ViewerModel()
    for added in (layer, one, every):
        viewer.add_layer(added)
    assert [steps for steps in viewer.dims.nsteps] == [2, 3, 8, 10]
    for channel_shown in range(3):
        viewer.dims.set_point([0, 1], [5, channel_shown])
        point = (5, channel_shown, 0.5, 0.5)
        assert [la.get_value(point, world=True) for la in (one, every)] == [1, 3]


def test_results_where_channels_come_last() -> None:
    layer = image(40, 50, 2, scale=(0.5, 0.5, 1), units=("um", "um", "pixel"))
    stack = Composite.of(layer)
    assert stack.mpp == 0.5
    labels = result_layers([result()], layer, stack, Place((0,), 0, (10, 20, 18, 30)))[1]
    assert labels.data.shape == (8, 10, 1)
    assert np.allclose(labels.data_to_world((1, 2, 0)), (5.5, 11, 0.5))
    viewer = ViewerModel()
    for added in (layer, labels):
        viewer.add_layer(added)
    viewer.dims.order = (2, 0, 1)
    for channel_shown in range(2):
        viewer.dims.set_point(2, channel_shown)
        point = (5.5, 10.5, channel_shown)
        assert labels.get_value(point, dims_displayed=[0, 1], world=True) == 1
    # One at a time: a channel is a plane.
    single = Stack.of(layer)
    assert single.axes == (2,)
    pixels = single.source((1,), 0, None, None).read(0, 0, 40, 50)
    assert np.array_equal(pixels[..., 0], layer.data[..., 1])
    both = result_layers([result()] * 2, layer, single, Place(None, 0, (0, 0, 8, 10)))[1]
    assert both.data.shape == (8, 10, 2)


def test_what_cannot_be_mixed() -> None:
    with pytest.raises(CosegError, match="it has no axis of 2 to 6 channels"):
        Composite.of(image(40, 50))


def test_mixed_channels_have_levels_too() -> None:
    data = np.zeros((2, 512, 512), np.uint8)
    data[0, :, :256], data[1, 256:] = 200, 100
    levels = [Lazy(np.ascontiguousarray(data[:, ::k, ::k])) for k in (1, 2, 4)]
    layer = Image([np.asarray(one._array) for one in levels], multiscale=True)
    layer.contrast_limits = (0, 255)
    stack = replace(Composite.of(layer), levels=tuple(levels))
    stack = replace(stack, parts=(replace(stack.parts[0], levels=tuple(levels)),))
    source = stack.pyramid((0,))
    crop = read_crop(source, (0, 0, 512, 512), 128, (0, 0, 0))
    assert levels[0].read == levels[1].read == []
    full = read_crop(source.levels[0], (0, 0, 512, 512), 128, (0, 0, 0))
    assert np.abs(crop.astype(int) - full).max() <= 60
    assert np.abs(crop.astype(int) - full).mean() < 1


def test_grey_values_are_read_with_the_contrast_limits() -> None:
    voxels = np.array([[[-1000, 0], [500, 3000]]], np.int16).repeat(2, 0)
    layer = Image(voxels, contrast_limits=(-500, 1500), name="CT")
    source = Composite.of_grey(layer).source((1,), 0, None, None)
    expected = np.repeat(np.array([[0, 64], [128, 255]])[..., None], 3, 2)
    np.testing.assert_allclose(source.read(0, 0, 2, 2), expected, atol=1)
