from __future__ import annotations

import math

import numpy as np
import pytest

from napari_coseg.inference.zoom import (
    LARGEST_FILL,
    LEAST_FILL,
    Box,
    aim_at,
    contains,
    cover,
    crop_for,
    edges_inside,
    grown_crop,
    holds,
)

SHAPE = (1000, 1400)


def boxes(count: int, low: float, high: float, shape: tuple[int, int], seed: int = 0) -> list[Box]:
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        rows, columns = draw.uniform(low, high, 2)
        row = draw.uniform(0, max(1, shape[0] - rows))
        column = draw.uniform(0, max(1, shape[1] - columns))
        found.append((row, column, min(row + rows, shape[0]), min(column + columns, shape[1])))
    return found


def side(crop: Box) -> float:
    assert crop[2] - crop[0] == crop[3] - crop[1]
    return crop[2] - crop[0]


@pytest.mark.parametrize("size", [(3, 5), (15, 30), (100, 200), (600, 990), (1, 900)])
def test_an_object_fills_a_good_part_of_its_crop_and_has_its_surroundings(
    size: tuple[float, float],
) -> None:
    for box in boxes(300, *size, SHAPE):
        aim = aim_at(box, SHAPE)
        crop = crop_for(aim, SHAPE)
        assert contains(crop, aim.box)
        fill = aim.length / side(crop)
        assert fill <= 0.7
        assert fill >= 0.35 or side(crop) == 32
        assert holds(crop, aim) or side(crop) == 32


def test_crops_lie_inside_of_the_image_where_it_is_large_enough() -> None:
    for shape in (SHAPE, (90, 3000), (5000, 47)):
        for box in boxes(200, 4, 60, shape, seed=2):
            crop = crop_for(aim_at(box, shape), shape)
            for axis in (0, 1):
                if side(crop) <= shape[axis]:
                    assert crop[axis] >= 0
                    assert crop[axis + 2] <= shape[axis]
                else:
                    assert crop[axis] + crop[axis + 2] == shape[axis]


@pytest.mark.parametrize("shape", [(1024, 1024), (37, 51), (20, 900), (1, 1)])
def test_a_box_as_large_as_the_image(shape: tuple[int, int]) -> None:
    aim = aim_at((0, 0, *map(float, shape)), shape)
    crop = crop_for(aim, shape)
    assert contains(crop, aim.box)
    assert aim.length / side(crop) <= LARGEST_FILL
    # Not a picture of padding with an image somewhere in it.
    assert side(crop) <= max(32, 2.1 * max(shape))


def test_neighbours_ask_for_the_same_crop_by_themselves() -> None:
    chosen = {
        crop_for(aim_at((500 + d, 600 + d, 530 + d, 633 + d), SHAPE), SHAPE) for d in range(8)
    }
    assert len(chosen) <= 2


def test_a_crop_grows_to_twice_its_side() -> None:
    aim = aim_at((300, 400, 320, 420), SHAPE)
    crop = crop_for(aim, SHAPE)
    larger = grown_crop(crop, aim, SHAPE)
    assert side(larger) == pytest.approx(2 * side(crop), rel=0.02)
    assert contains(larger, aim.box)


def test_edges_of_the_image_are_no_edges_of_the_crop() -> None:
    assert edges_inside((0, 0, 64, 64), SHAPE) == (False, False, True, True)
    assert edges_inside((936, 1336, 1000, 1400), SHAPE) == (True, True, False, False)


def test_64_neighbours_share_a_few_crops() -> None:
    draw = np.random.default_rng(3)
    grid = [(400 + 30 * r, 500 + 30 * c) for r in range(8) for c in range(8)]
    found = []
    for row, column in grid:
        rows, columns = draw.uniform(16, 30, 2)
        found.append((float(row), float(column), row + rows, column + columns))
    aims = [aim_at(box, (1024, 1024)) for box in found]
    crops = cover(aims, (1024, 1024))
    assert len(set(crops)) <= 12
    for aim, crop in zip(aims, crops, strict=True):
        assert contains(crop, aim.box)
        assert aim.length / side(crop) >= LEAST_FILL


def test_sharing_can_be_kept_fine() -> None:
    aims = [aim_at(box, SHAPE) for box in boxes(150, 10, 80, SHAPE, seed=4)]
    counts = []
    for least in (1.0, 0.3, 0.25, 0.2, LEAST_FILL):
        crops = cover(aims, SHAPE, least)
        own = [crop_for(aim, SHAPE) for aim in aims]
        for aim, crop, alone in zip(aims, crops, own, strict=True):
            assert crop == alone or aim.length / side(crop) >= least
        counts.append(len(set(crops)))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == len(set(own))
    assert counts[-1] < 0.6 * counts[1]


def test_few_objects_do_not_share_more_coarsely_than_they_must() -> None:
    # All 40 lie within a fine crop's length: there is no reason to look from farther.
    aims = [aim_at((500 + i, 500 + i, 560 + i, 560 + i), SHAPE) for i in range(40)]
    crops = cover(aims, SHAPE)
    assert min(60 / side(crop) for crop in crops) >= 0.3


def test_scattered_objects_keep_their_own() -> None:
    aims = [
        aim_at((row, column, row + 20, column + 20), (9000, 9000))
        for row in range(0, 8900, 800)
        for column in range(0, 8900, 800)
    ]
    assert cover(aims, (9000, 9000)) == [crop_for(aim, (9000, 9000)) for aim in aims]


def test_objects_of_unlike_size_do_not_share() -> None:
    aims = [aim_at((500, 500, 510, 510), SHAPE), aim_at((450, 450, 750, 750), SHAPE)]
    first, second = cover(aims, SHAPE)
    assert side(first) * 8 < side(second) * 3


def test_sharing_does_not_depend_on_the_order() -> None:
    aims = [aim_at(box, SHAPE) for box in boxes(150, 10, 80, SHAPE, seed=4)]
    crops = cover(aims, SHAPE)
    order = np.random.default_rng(5).permutation(len(aims))
    again = cover([aims[i] for i in order], SHAPE)
    assert again == [crops[i] for i in order]
    for aim, crop in zip(aims, crops, strict=True):
        assert contains(crop, aim.box)
        assert LEAST_FILL <= aim.length / side(crop) <= LARGEST_FILL
    assert len(set(crops)) < len({crop_for(aim, SHAPE) for aim in aims})


def test_nothing_to_cover() -> None:
    assert cover([], SHAPE) == []


def test_holding() -> None:
    aim = aim_at((300, 400, 340, 440), SHAPE)
    crop = crop_for(aim, SHAPE)
    assert holds(crop, aim)
    assert not holds(crop, aim_at((300, 400, 304, 404), SHAPE))
    assert not holds(crop, aim_at((300, 400, 340, 900), SHAPE))
    assert not holds((0.0, 0.0, side(crop), side(crop)), aim)
    assert math.isclose(aim.length, 40)
