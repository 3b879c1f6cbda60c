from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from napari_coseg.imaging.crops import Readable, read_crop
from napari_coseg.imaging.pyramid import Pyramid
from napari_coseg.imaging.source import ArraySource

FILL = (10, 20, 30)


def noise(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, columns, 3), np.uint8)


def ramp(rows: int, columns: int, slope: float = 1.0) -> np.ndarray:
    """Each pixel's value is its column (red) and its row (green), times a slope."""
    image = np.zeros((rows, columns, 3))
    image[..., 0] = slope * np.arange(columns)
    image[..., 1] = slope * np.arange(rows)[:, None]
    return np.round(image).astype(np.uint8)


def test_an_aligned_crop_at_scale_one_is_the_pixels() -> None:
    image = noise(100, 120)
    crop = read_crop(ArraySource(image), (20, 30, 84, 94), 64, FILL)
    assert crop.dtype == np.uint8
    assert (crop == image[20:84, 30:94]).all()


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 3.75])
@pytest.mark.parametrize("length", [16.0, 45.0, 64.0, 90.5, 128.0])
def test_a_ramp_says_where_pixel_centres_are(shift: float, length: float) -> None:
    slope = int(255 // (length + 20))
    source = ArraySource(ramp(int(length) + 20, int(length) + 20, slope))
    row, column = 8 + shift, 5 + shift
    crop = read_crop(source, (row, column, row + length, column + length), 64, FILL)
    # The value at a place is its coordinate in pixel centres, times the slope.
    centres = (np.arange(64) + 0.5) * length / 64 - 0.5
    assert np.abs(crop[..., 0].mean(0) - slope * (column + centres)).max() <= 0.51
    assert np.abs(crop[..., 1].mean(1) - slope * (row + centres)).max() <= 0.51


@pytest.mark.parametrize("length", [1000.0, 1500.0, 2345.0])
def test_blocks_do_not_move_a_large_crop(length: float) -> None:
    rows = 3000
    image = np.zeros((rows, rows, 3), np.uint8)
    image[..., 0] = np.arange(rows) // 13
    image[..., 1] = (np.arange(rows) // 13)[:, None]
    row, column = 301.5, 407.25
    crop = read_crop(ArraySource(image), (row, column, row + length, column + length), 64, FILL)
    centres = (np.arange(64) + 0.5) * length / 64 - 0.5
    # A staircase of 13 pixels lies half a step, less half a pixel, below its line.
    off_across = crop[..., 0].mean(0) - (column + centres - 6) / 13
    off_down = crop[..., 1].mean(1) - (row + centres - 6) / 13
    for off in (off_across, off_down):
        assert np.abs(off).max() <= 1.0  # rounded twice
        assert abs(off.mean()) < 0.06  # of 13 pixels


@pytest.mark.parametrize("length", [192, 256, 1024, 1600])
def test_shrinking_does_not_alias(length: int) -> None:
    rows = np.arange(length + 100)
    board = ((rows[:, None] + rows) % 2 * 255).astype(np.uint8)
    crop = read_crop(
        ArraySource(np.stack([board] * 3, -1)), (50, 50, 50 + length, 50 + length), 64, FILL
    )
    assert np.abs(crop.astype(int) - 127.5).max() < 24


def test_outside_of_the_image_is_plain() -> None:
    image = noise(40, 50)
    crop = read_crop(ArraySource(image), (-12, -7, 52, 57), 64, FILL)
    assert (crop[12:52, 7:57] == image).all()
    outside = np.ones((64, 64), bool)
    outside[12:52, 7:57] = False
    assert (crop[outside] == FILL).all()
    far = read_crop(ArraySource(image), (500, 500, 600, 600), 32, FILL)
    assert (far == FILL).all()


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (0, 0, 10, 12), (5, 5, 2, 2), (0, np.nan, 8, 8)])
def test_no_square(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="no square"):
        read_crop(ArraySource(noise(20, 20)), box, 64, FILL)


class Endless:
    """An image that is never in memory."""

    shape = (40_000, 40_000)

    @property
    def levels(self) -> list[Readable]:
        return [self]

    def read(self, row0: int, column0: int, row1: int, column1: int) -> np.ndarray:
        return np.full((row1 - row0, column1 - column0, 3), 77, np.uint8)


def test_memory_of_a_very_large_crop_is_bounded() -> None:
    tracemalloc.start()
    crop = read_crop(Endless(), (3000.0, 3000.0, 23_000.0, 23_000.0), 256, FILL)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (crop == 77).all()
    # Pillow holds one more copy of a strip that is not counted here.
    assert peak < 60 << 20


class Counted(ArraySource):
    """An image that counts the pixels that were read of it."""

    pixels = 0

    def _read(self, row0: int, column0: int, row1: int, column1: int) -> np.ndarray:
        self.pixels += (row1 - row0) * (column1 - column0)
        return super()._read(row0, column0, row1, column1)


def smooth(rows: int, columns: int) -> np.ndarray:
    noise = np.random.default_rng(0).random((rows, columns, 3))
    blurred = gaussian_filter(noise, (20, 20, 0))
    return np.round(255 * (blurred - blurred.min()) / np.ptp(blurred)).astype(np.uint8)


def pyramid(image: np.ndarray, *ratios: float) -> tuple[Pyramid, list[Counted]]:
    """Make levels by averaging; their sizes are rounded down."""
    rows, columns = image.shape[:2]
    levels = [image]
    for ratio in ratios:
        size = (int(columns / ratio), int(rows / ratio))
        levels.append(np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)))
    sources = [Counted(level) for level in levels]
    return Pyramid(sources), sources


@pytest.mark.parametrize(
    ("length", "level"),
    [(64, 0), (90, 0), (128, 1), (181, 1), (210, 2), (256, 2), (724, 3), (1100, 3)],
)
@pytest.mark.parametrize("outside", [(0.0, 0.0), (0.25, 0.0), (0.0, 0.4)])
def test_a_large_crop_is_read_from_the_coarsest_level_that_is_fine_enough(
    length: int, level: int, outside: tuple[float, float]
) -> None:
    # Neither halves nor divisors of the sides.
    image = smooth(1003, 1111)
    source, counted = pyramid(image, 2, 3.3, 11)
    row, column = (
        -part * length if part else start for part, start in zip(outside, (2.5, 7.25), strict=True)
    )
    box = (row, column, row + length, column + length)
    crop = read_crop(source, box, 64, FILL)
    full = read_crop(ArraySource(image), box, 64, FILL)
    assert [k for k, one in enumerate(counted) if one.pixels] == [level]
    assert counted[level].pixels <= 16 * (64 + 10) ** 2
    # At the image's edge the plain colour mixes in over a pixel of the crop, and is no part of it.
    scale = length / 64
    inside = np.zeros((64, 64), bool)
    last = (math.floor((1003 - row) / scale) - 2, math.floor((1111 - column) / scale) - 2)
    first = [max(0, math.ceil(-low / scale) + 2) for low in (row, column)]
    inside[first[0] : last[0], first[1] : last[1]] = True
    off = np.abs(crop.astype(int) - full)[inside]
    assert off.mean() < 1.5
    assert off.max() < 8
    assert inside.mean() > 0.4
    assert (crop[: first[0] - 4] == FILL).all() or first[0] < 5


def test_levels_do_not_move_a_crop() -> None:
    columns = 2048
    image = np.zeros((columns, columns, 3), np.uint8)
    image[..., 0] = np.arange(columns) // 9
    image[..., 1] = (np.arange(columns) // 9)[:, None]
    source, counted = pyramid(image, 2.5, 7)
    row, column, length = 101.5, 207.25, 1000.0
    crop = read_crop(source, (row, column, row + length, column + length), 64, FILL)
    assert counted[0].pixels == 0
    centres = (np.arange(64) + 0.5) * length / 64 - 0.5
    assert abs((crop[..., 0].mean(0) - (column + centres - 4) / 9).mean()) < 0.1
    assert abs((crop[..., 1].mean(1) - (row + centres - 4) / 9).mean()) < 0.1


def test_a_pyramid_is_its_finest_level() -> None:
    source, _ = pyramid(noise(90, 70), 2)
    assert source.shape == (90, 70)
    assert [level.shape for level in source.levels] == [(90, 70), (45, 35)]
    assert (source.read(5, 6, 20, 30) == noise(90, 70)[5:20, 6:30]).all()
    with pytest.raises(ValueError, match="one level"):
        Pyramid([])
