"""Tiles of planes: how large they are, that they cover what is wanted, and how they blend."""

from __future__ import annotations

import numpy as np
import pytest

from napari_coseg.inference.plane_maps import PlaneMaps, Raster
from napari_coseg.inference.volume_input import BLOCK

TILE, MOST, OVERLAP = 64, 128, 16


def _raster(rows: slice, columns: slice, shape: tuple[int, int] = (100, 100)) -> Raster:
    wanted = np.zeros(shape, bool)
    wanted[rows, columns] = True
    found = Raster.around(wanted, OVERLAP, least=TILE, most=MOST)
    assert found is not None
    return found


def test_what_is_small_has_a_tile_of_the_networks_size() -> None:
    found = _raster(slice(20, 22), slice(30, 35))
    assert found.sides == (TILE, TILE)
    ((row, column),) = found.origins
    assert row <= 20 * BLOCK
    assert row + TILE >= 22 * BLOCK
    assert column <= 30 * BLOCK
    assert column + TILE >= 35 * BLOCK


def test_what_is_wide_has_one_wide_tile_as_far_as_that_goes() -> None:
    found = _raster(slice(20, 26), slice(30, 42))  # 48 x 96 pixels
    assert found.sides == (TILE, 96)
    assert len(found.origins) == 1


@pytest.mark.parametrize("squares", [17, 20, 29, 30, 31, 44, 60, 99])
def test_tiles_cover_all_and_are_no_larger_than_the_largest(squares: int) -> None:
    found = _raster(slice(0, squares), slice(0, 3))
    assert found.sides[0] <= MOST
    assert found.sides[0] % 32 == 0
    covered = np.zeros(squares * BLOCK, int)
    for row, _ in found.origins:
        covered[max(0, row) : row + found.sides[0]] += 1
    assert covered.min() >= 1
    fewest = -(-(squares * BLOCK - OVERLAP) // (MOST - OVERLAP))
    assert len(found.origins) == fewest


def test_tiles_in_which_nothing_is_wanted_are_left_out() -> None:
    wanted = np.zeros((100, 100), bool)
    wanted[:3, :3] = wanted[-3:, -3:] = True
    found = Raster.around(wanted, OVERLAP, least=TILE, most=MOST)
    assert found is not None
    assert len(found.origins) == 2
    assert Raster.around(np.zeros((4, 4), bool), OVERLAP, least=TILE, most=MOST) is None


@pytest.mark.parametrize("squares", [(9, 15), (15, 40), (40, 40)])
def test_a_picture_in_tiles_of_any_shape_comes_back_whole(squares: tuple[int, int]) -> None:
    found = _raster(slice(2, 2 + squares[0]), slice(5, 5 + squares[1]), (60, 60))
    random = np.random.default_rng(0)
    picture = np.repeat(random.integers(0, 255, (480, 480, 1), np.uint8), 3, 2)
    tiles = found.cut(picture, None)
    assert {tile.shape[:2] for tile in tiles} == {found.sides}
    # A network that says how bright the pixels of a cell of 2 x 2 are.
    outputs = []
    for tile in tiles:
        cells = tile[..., 0].reshape(found.sides[0] // 2, 2, -1, 2).mean((1, 3)) / 255
        outputs.append(np.stack([cells] * 4).astype(np.float16))
    maps = PlaneMaps.blended(found, {"instances": outputs}, {"instances": 2}, {"instances": 4})
    top, left, bottom, right = maps.box
    expected = picture[top:bottom, left:right, 0].astype(float)
    expected = expected.reshape(len(expected) // 2, 2, -1, 2).mean((1, 3)) / 255
    assert np.abs(maps.cells["instances"][0] - expected).max() < 2e-3
