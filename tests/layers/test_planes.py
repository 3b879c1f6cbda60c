"""Any image that a person may have open becomes 2D pictures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Shapes

from napari_coseg.imaging.crops import read_crop
from napari_coseg.imaging.source import ArraySource
from napari_coseg.layers.areas import box_around, box_in_view, box_of_rectangle, plane_index
from napari_coseg.layers.planes import Stack, pixel_size_of
from napari_coseg.types import CosegError


class Lazy:
    """An array that notes what was read of it, as Dask or Zarr would."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.read: list[Any] = []

    def __getitem__(self, index: Any) -> np.ndarray:
        # A step skips no chunk of a disk: what counts is the window.
        whole = tuple(slice(i.start, i.stop) if isinstance(i, slice) else i for i in index)
        self.read.append(self._array[whole].size)
        return self._array[index]


def layer(data: Any, **more: Any) -> Any:
    facts = {"name": "it", "rgb": False, "multiscale": False, "scale": (1, 1), "units": ()}
    return SimpleNamespace(data=data, **(facts | more))


@pytest.mark.parametrize(
    ("shape", "rgb", "axes"),
    [
        ((20, 30), False, ()),
        ((20, 30, 3), True, ()),
        ((20, 30, 4), True, ()),
        ((5, 20, 30), False, (5,)),
        ((1, 20, 30, 3), True, (1,)),
        ((2, 1, 20, 30), False, (2, 1)),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
def test_every_shape_and_type_is_a_picture(
    shape: tuple[int, ...], rgb: bool, axes: tuple[int, ...], dtype: type
) -> None:
    data = (np.random.default_rng(0).random(shape) * 250).astype(dtype)
    if dtype is np.float32:
        data /= 250
    stack = Stack.of(layer(data, rgb=rgb))
    assert stack.shape == (20, 30)
    assert stack.axes == axes
    last = tuple(n - 1 for n in axes)
    source = stack.source(last, 0, None, None)
    assert source.read(0, 0, 20, 30).shape == (20, 30, 3)
    if dtype is np.uint8 and not (rgb and shape[-1] == 4):
        plane = data[last]
        expected = plane if rgb else np.repeat(plane[..., None], 3, 2)
        assert np.array_equal(source.read(3, 4, 9, 8), expected[3:9, 4:8])


def test_a_box_is_a_picture_of_its_own() -> None:
    data = np.arange(600, dtype=np.uint16).reshape(20, 30)
    plane = Stack.of(layer(data)).plane((), 0, (5, 10, 15, 30))
    assert plane.shape == (10, 20)
    assert np.array_equal(plane[2:4, 0:3], data[7:9, 10:13])
    assert np.array_equal(plane[:, ::5], data[5:15, 10:30:5])


def test_only_what_is_needed_is_read() -> None:
    lazy = Lazy(np.zeros((3, 1000, 1000), np.uint8))
    source = Stack.of(layer(lazy)).source((1,), 0, None, None)
    source.read(10, 10, 20, 30)
    assert lazy.read == [200]


def test_sixteen_bits_are_looked_at_in_parts() -> None:
    lazy = Lazy(np.full((4000, 4000), 4000, np.uint16))
    Stack.of(layer(lazy)).source((), 0, None, None)
    assert sum(lazy.read) <= 4000 * 4000 / 8


@pytest.mark.parametrize(
    ("data", "rgb", "said"),
    [
        (np.zeros(5), False, "a line"),
        (np.zeros((5, 3)), True, "a line"),
        (np.zeros((5, 5), complex), False, "complex128"),
    ],
)
def test_what_is_no_picture(data: np.ndarray, rgb: bool, said: str) -> None:
    with pytest.raises(CosegError, match=said):
        Stack.of(layer(data, rgb=rgb))


def test_the_level_that_has_what_the_model_sees() -> None:
    levels = [np.zeros((1000 >> k, 800 >> k, 3), np.uint8) for k in range(4)]
    stack = Stack.of(layer(levels, rgb=True, multiscale=True))
    assert stack.level_for(0.125, 0.25) == 1
    assert stack.level_for(0.12, 0.25) == 1
    assert stack.level_for(0.25, 0.25) == 0
    assert stack.level_for(0.5, 0.25) == 0
    assert stack.level_for(0.03, 0.25) == 3
    assert stack.level_for(None, 0.25) == 0
    assert stack.shape_of(2) == (250, 200)


def test_a_large_crop_of_a_pyramid_leaves_its_finest_level_alone() -> None:
    rows = np.arange(1800)
    image = np.repeat((rows[:, None] // 16 + rows[None] // 16).astype(np.uint8)[None], 2, 0)
    levels = [Lazy(np.ascontiguousarray(image[:, ::k, ::k])) for k in (1, 2, 4)]
    stack = Stack.of(layer(levels, multiscale=True))
    source = stack.pyramid((1,))
    assert [level.shape for level in source.levels] == [(1800, 1800), (900, 900), (450, 450)]
    crop = read_crop(source, (100, 200, 1124, 1224), 256, (0, 0, 0))
    assert levels[0].read == levels[1].read == []
    assert 0 < sum(levels[2].read) < 300 * 300
    full = read_crop(ArraySource(image[1]), (100, 200, 1124, 1224), 256, (0, 0, 0))
    assert np.abs(crop.astype(int) - full).max() <= 2


def test_levels_of_sixteen_bits_have_one_white() -> None:
    # Averages are darker than the finest level's brightest pixels.
    image = np.zeros((512, 512), np.uint16)
    image[::2, ::2] = 60000
    levels = [image, np.full((256, 256), 15000, np.uint16)]
    source = Stack.of(layer(levels, multiscale=True)).pyramid(())
    assert source.levels[1].read(0, 0, 9, 9).max() == round(15000 / 65535 * 255)


def test_levels_of_fewer_planes_are_not_these_planes() -> None:
    levels = [np.zeros((8 >> k, 400 >> k, 400 >> k), np.uint8) for k in range(3)]
    stack = Stack.of(layer(levels, multiscale=True))
    assert [level.shape for level in stack.pyramid((7,)).levels] == [(400, 400)]
    assert stack.level_for(0.1, 1.0) == 0


@pytest.mark.parametrize(
    ("units", "scale", "mpp"),
    [
        (("micrometer", "micrometer"), (0.25, 0.25), 0.25),
        (("mm", "mm"), (0.001, 0.001), 1.0),
        (("nm", "nm"), (250, 250), 0.25),
        (("pixel", "pixel"), (0.25, 0.25), None),
        (("second", "um", "um"), (2, 0.5, 0.5), 0.5),
    ],
)
def test_pixel_size_from_scale_and_units(
    units: tuple[str, ...], scale: tuple[float, ...], mpp: float | None
) -> None:
    image = Image(np.zeros((4,) * len(units)), scale=scale, units=units)
    assert pixel_size_of(image) == pytest.approx(mpp)


def test_pixels_that_are_not_square() -> None:
    image = Image(np.zeros((4, 4)), scale=(0.25, 0.5), units=("um", "um"))
    with pytest.raises(CosegError, match="not square"):
        pixel_size_of(image)


def test_boxes_hold_the_pixels_that_are_touched() -> None:
    assert box_around(np.array([[-0.5, -0.5], [9.4, 9.4]]), (20, 20)) == (0, 0, 10, 10)
    assert box_around(np.array([[-50, 3], [50, 4.2]]), (20, 20)) == (0, 3, 20, 5)
    assert box_around(np.array([[30, 30], [40, 40]]), (20, 20)) is None
    assert box_around(np.array([[np.nan, 0], [1, 1]]), (20, 20)) is None


def test_a_rectangle_in_its_own_coordinates() -> None:
    image = Image(np.zeros((100, 100)), scale=(0.5, 0.5), translate=(10, 10))
    shapes = Shapes([np.array([[15, 15], [15, 25], [25, 25], [25, 15]])], shape_type="rectangle")
    assert box_of_rectangle(shapes, image, (100, 100)) == (10, 10, 31, 31)
    far = Shapes([np.array([[500, 500], [500, 510], [510, 510], [510, 500]])])
    with pytest.raises(CosegError, match="outside"):
        box_of_rectangle(far, image, (100, 100))
    with pytest.raises(CosegError, match="no rectangle yet"):
        box_of_rectangle(Shapes(), image, (100, 100))


def test_the_view_must_show_rows_and_columns() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 50, 2)), name="last")
    with pytest.raises(CosegError, match="change the order of the axes"):
        box_in_view(viewer, image, (40, 50), (0, 1))


def test_the_plane_under_the_sliders() -> None:
    image = Image(np.zeros((5, 7, 10, 10)), scale=(2, 1, 1, 1))
    assert plane_index(image, (4.0, 3.0, 0.0, 0.0), (5, 7)) == (2, 3)
    assert plane_index(image, (100.0, -5.0, 0.0, 0.0), (5, 7)) == (4, 0)
    # The viewer has one axis more than the layer.
    assert plane_index(image, (9.0, 4.0, 3.0, 0.0, 0.0), (5, 7)) == (2, 3)
    assert plane_index(Image(np.zeros((4, 4))), (0.0, 0.0), ()) == ()
