from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

import napari_coseg.imaging.resample as resample
from napari_coseg.imaging.resample import read_scaled, scaled_shape
from napari_coseg.imaging.source import ArraySource

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (307, 411, 3)).astype(np.uint8)
SOURCE = ArraySource(NOISE)
FACTORS = [
    0.25,
    0.4,
    0.5,
    0.62 / 0.25,
    0.97,
    1.0,
    1.01,
    2.0,
    2.48,
    3.0,
    math.pi,
    4.0,
    8.0,
    15.9,
    16,
]


def _full(factor: float) -> np.ndarray:
    return read_scaled(SOURCE, factor, 0, 0, *scaled_shape(SOURCE.shape, factor))


@pytest.mark.parametrize("factor", FACTORS)
def test_any_window_is_the_crop_of_the_whole(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, columns = scaled_shape(SOURCE.shape, factor)
    pad = 9
    whole = np.full((rows + 2 * pad, columns + 2 * pad, 3), 7, np.uint8)
    whole[pad:-pad, pad:-pad] = _full(factor)
    # Small bands, so that their seams lie within the windows too.
    monkeypatch.setattr(resample, "_BAND_PIXELS", 5000)
    rng = np.random.default_rng(1)
    for _ in range(30):
        r0, r1 = sorted(rng.choice(np.arange(-pad, rows + pad + 1), 2, replace=False))
        c0, c1 = sorted(rng.choice(np.arange(-pad, columns + pad + 1), 2, replace=False))
        window = read_scaled(SOURCE, factor, r0, c0, r1, c1, fill=7)
        np.testing.assert_array_equal(window, whole[r0 + pad : r1 + pad, c0 + pad : c1 + pad])


@pytest.mark.parametrize("factor", [0.25, 0.5, 2, 3, 4, 16])
def test_it_is_pillows_antialiased_bilinear(factor: float) -> None:
    size = 192
    picture = NOISE[:size, :size]
    n = int(size / factor)
    ours = read_scaled(ArraySource(picture), factor, 0, 0, n, n)
    theirs = np.asarray(Image.fromarray(picture).resize((n, n), Image.Resampling.BILINEAR))
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_where_pixels_lie() -> None:
    """A ramp keeps its value at each target pixel's centre: nothing is shifted."""
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None], (200, 200, 3))
    # Even factors put centres at halves, where rounding has a side.
    for factor in (0.5, 2.48, 3.0, 5.0):
        n = scaled_shape((200, 200), factor)[0]
        out = read_scaled(ArraySource(ramp), factor, 0, 0, n, 5)[..., 0].astype(float)
        centre = (np.arange(n) + 0.5) * factor - 0.5
        inner = slice(4, -4)
        error = out[inner, 0] - centre[inner]
        # Half for rounding, the rest for a triangle sampled at whole pixels.
        assert np.abs(error).max() <= 0.6
        assert abs(error.mean()) < 0.05


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_flat_areas_stay_flat_up_to_the_edge(factor: float, value: int) -> None:
    flat = ArraySource(np.full((97, 61, 3), value, np.uint8))
    out = read_scaled(flat, factor, 0, 0, *scaled_shape(flat.shape, factor))
    assert (out == value).all()


def test_factor_one_copies() -> None:
    np.testing.assert_array_equal(read_scaled(SOURCE, 1.0, 5, 6, 105, 306), NOISE[5:105, 6:306])


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.7])
def test_outside_is_filled(factor: float) -> None:
    assert (read_scaled(SOURCE, factor, -20, -20, -2, 4) == 255).all()
    far = scaled_shape(SOURCE.shape, factor)[0]
    assert (read_scaled(SOURCE, factor, far, 0, far + 3, 9, fill=3) == 3).all()
    window = read_scaled(SOURCE, factor, -2, 0, 1, 1, fill=9)
    assert (window[:2] == 9).all()


@pytest.mark.parametrize(
    ("shape", "factor", "expected"),
    [
        ((100, 101), 2.0, (50, 51)),
        ((100, 100), 0.5, (200, 200)),
        ((1, 1), 16.0, (1, 1)),
        ((3, 50_000), 2.48, (2, 20162)),
        ((7, 21), 0.7, (10, 30)),
    ],
)
def test_shape(shape: tuple[int, int], factor: float, expected: tuple[int, int]) -> None:
    assert scaled_shape(shape, factor) == expected
    source = ArraySource(np.full((*shape, 3), 90, np.uint8))
    assert (read_scaled(source, factor, 0, 0, *expected) == 90).all()


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_bad_factors(factor: float) -> None:
    with pytest.raises(ValueError, match="factor"):
        read_scaled(SOURCE, factor, 0, 0, 2, 2)


def test_an_empty_window() -> None:
    with pytest.raises(ValueError, match="empty"):
        read_scaled(SOURCE, 2.0, 5, 5, 5, 8)
