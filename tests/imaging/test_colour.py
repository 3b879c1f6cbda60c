from __future__ import annotations

import numpy as np
import pytest

from napari_coseg.imaging.colour import over_white, to_rgb8, white_level
from napari_coseg.types import CosegError

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (40, 50, 3)).astype(np.uint8)
PICTURE[:4] = 255


def test_rgb8_is_copied_as_it_is() -> None:
    out = to_rgb8(PICTURE)
    np.testing.assert_array_equal(out, PICTURE)
    assert not np.shares_memory(out, PICTURE)


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 1)])
def test_grey_is_repeated(shape: tuple[int, ...]) -> None:
    grey = PICTURE[..., 0]
    out = to_rgb8(grey.reshape(shape))
    np.testing.assert_array_equal(out, np.repeat(grey[..., None], 3, 2))


@pytest.mark.parametrize(
    "copy",
    [
        PICTURE.astype(np.uint16),
        PICTURE.astype(np.uint16) * 257,
        PICTURE.astype(np.int16),
        PICTURE.astype(np.uint32) * 257,
        PICTURE.astype(np.float32),
        PICTURE / 255.0,
        (PICTURE / 255.0).astype(np.float16),
        PICTURE.astype(np.int64),
        PICTURE.astype(">u2") * 257,
    ],
    ids=lambda a: f"{a.dtype}-{float(a.max()):g}",
)
def test_copies_in_other_types_look_the_same(copy: np.ndarray) -> None:
    np.testing.assert_array_equal(to_rgb8(copy), PICTURE)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_white_of_a_camera_of_so_many_bits(bits: int) -> None:
    values = (RNG.random((64, 64)) * ((1 << bits) - 1)).astype(np.uint16)
    assert white_level(values) == (1 << bits) - 1


def test_a_hot_pixel_does_not_darken_a_picture() -> None:
    values = RNG.integers(0, 4096, (200, 200)).astype(np.uint16)
    values[3, 4] = 65535
    assert white_level(values) == 4095
    assert to_rgb8(values)[3, 4].tolist() == [255, 255, 255]


def test_an_opaque_alpha_does_not_set_white() -> None:
    picture = np.full((8, 8, 4), 1000, np.uint16)
    picture[..., 3] = 65535
    assert white_level(picture) == 1023


def test_nan_is_black_and_infinity_white() -> None:
    values = np.array([[np.nan, 0.5], [np.inf, -np.inf], [1.0, -2.0]])
    out = to_rgb8(values)[..., 0]
    np.testing.assert_array_equal(out, [[0, 128], [255, 0], [255, 0]])


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.uint8, bool])
def test_one_colour_and_nothing_but_nan(dtype: type) -> None:
    assert not to_rgb8(np.zeros((5, 6), dtype)).any()
    assert not to_rgb8(np.full((5, 6), np.nan)).any()


def test_bool_is_black_and_white() -> None:
    mask = RNG.random((9, 7)) > 0.5
    np.testing.assert_array_equal(to_rgb8(mask)[..., 1], np.where(mask, 255, 0))


def test_alpha_is_laid_over_white() -> None:
    alpha = np.full((40, 50, 1), 255, np.uint8)
    alpha[:20] = 0
    alpha[20] = 128
    out = to_rgb8(np.concatenate([PICTURE, alpha], 2))
    assert (out[:20] == 255).all()
    np.testing.assert_array_equal(out[21:], PICTURE[21:])
    expected = np.rint(PICTURE[20] * (128 / 255) + 127)
    assert np.abs(out[20] - expected).max() <= 1
    multiplied = over_white(
        np.full((1, 1, 3), 100, np.uint8), np.full((1, 1, 1), 200, np.uint8), multiplied=True
    )
    assert multiplied.tolist() == [[[155, 155, 155]]]


@pytest.mark.parametrize("shape", [(5,), (5, 6, 2), (5, 6, 5), (2, 5, 6, 3), (0, 6), (5, 0, 3), ()])
def test_shapes_that_are_no_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(CosegError):
        to_rgb8(np.zeros(shape, np.uint8))


def test_types_that_are_no_picture() -> None:
    with pytest.raises(CosegError, match="complex128"):
        to_rgb8(np.zeros((5, 6), complex))


def test_blocks_of_a_tall_and_a_wide_picture_agree() -> None:
    for shape in ((50_000, 3), (3, 50_000)):
        values = RNG.random(shape)
        np.testing.assert_array_equal(to_rgb8(values, 1.0)[..., 2], np.rint(values * 255))
