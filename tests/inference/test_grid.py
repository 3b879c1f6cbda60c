from __future__ import annotations

import numpy as np
import pytest

from napari_coseg.inference.grid import (
    ALIGNMENT,
    Scale,
    TileGrid,
    scale_factor,
    tile_origins,
)
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.types import CosegError


@pytest.mark.parametrize("length", [65, 66, 112, 113, 500, 1000, 1024, 20_000])
def test_tiles_cover_a_side_with_enough_overlap(length: int) -> None:
    origins = tile_origins(length, 64, 16)
    assert origins[0] == 0
    assert length <= origins[-1] + 64 < length + ALIGNMENT
    assert all(origin % ALIGNMENT == 0 for origin in origins)
    steps = np.diff(origins)
    assert (64 - steps >= 16 - ALIGNMENT).all()
    # Spread evenly, and as few as can be.
    assert steps.max() - steps.min() <= 2 * ALIGNMENT
    assert (len(origins) - 1) * (64 - 16) < length - 64 + ALIGNMENT + 48


@pytest.mark.parametrize(("length", "origin"), [(64, 0), (1, -28), (60, 0), (56, -4), (33, -12)])
def test_a_short_side_has_one_tile_around_its_middle(length: int, origin: int) -> None:
    assert tile_origins(length, 64, 16) == (origin,)


def test_touching_lists_exactly_the_tiles_that_share_a_pixel() -> None:
    grid = TileGrid((200, 150), 64, 16)
    for box in [(0, 0, 1, 1), (60, 40, 90, 100), (199, 149, 200, 150), (0, 0, 200, 150)]:
        expected = []
        for index in range(len(grid)):
            row, column = grid.origin(index)
            if row < box[2] and row + 64 > box[0] and column < box[3] and column + 64 > box[1]:
                expected.append(index)
        assert grid.touching(box) == expected


def test_an_overlap_beyond_half_a_tile_is_refused() -> None:
    with pytest.raises(CosegError, match="more than half"):
        PredictSettings(overlap=36).overlap_of(64)
    assert PredictSettings(overlap=32).overlap_of(64) == 32


def test_scales_that_hardly_differ_leave_pixels_as_they_are() -> None:
    assert scale_factor(0.25, 0.2527) == 1.0
    assert scale_factor(0.25, 0.5) == 0.5
    assert scale_factor(None, 0.5) == scale_factor(1.0, None) == 1.0
    with pytest.raises(CosegError, match=r"slide\.tif, 250 µm, is too far .* --mpp"):
        scale_factor(0.25, 250.0, "slide.tif")


@pytest.mark.parametrize("factor", [1.0, 0.37, 2.0, 4.1])
def test_each_image_pixel_belongs_to_the_target_pixel_of_its_centre(factor: float) -> None:
    scale = Scale((101, 57), factor)
    for axis, nearest in enumerate(scale.nearest):
        centre = scale.centres(axis, 0, scale.image_shape[axis])
        assert np.abs(centre - nearest).max() <= 0.5 + 1e-9
        assert nearest.min() >= 0
        assert nearest.max() < scale.shape[axis]
    target = scale.target_box((10, 20, 31, 40), halo=2)
    row0, column0, row1, column1 = scale.image_box(target)
    assert row0 <= 10
    assert column0 <= 20
    assert row1 >= 31
    assert column1 >= 40
