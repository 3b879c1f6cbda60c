from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_coseg.imaging.objects import object_table
from napari_coseg.inference.blocks import BlockGrid, claim


@pytest.mark.parametrize(("shape", "side"), [((10, 10), 4), ((1, 7), 3), ((5, 5), 8)])
def test_blocks_part_the_image(shape: tuple[int, int], side: int) -> None:
    grid = BlockGrid(shape, side)
    seen = np.full(shape, -1)
    for number, (row0, column0, row1, column1) in enumerate(grid):
        assert 0 < row1 - row0 <= side
        assert 0 < column1 - column0 <= side
        assert (seen[row0:row1, column0:column1] == -1).all()
        seen[row0:row1, column0:column1] = number
    assert number + 1 == len(grid)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    at = grid.number_at(rows.ravel().astype(float), columns.ravel().astype(float))
    np.testing.assert_array_equal(at, seen.ravel())


GRID = BlockGrid((8, 20), 10)
CORES = list(GRID)
WINDOWS = [(0, 0, 8, 14), (0, 6, 8, 20)]


def table(labels: np.ndarray, window: tuple[int, int, int, int]) -> pd.DataFrame:
    found = object_table(labels)
    return found.assign(row=found["row"] + window[0], column=found["column"] + window[1])


def cut(labels: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    part = labels[window[0] : window[2], window[1] : window[3]]
    _, inverse = np.unique(part, return_inverse=True)
    return inverse.reshape(part.shape).astype(np.int32)


def run(labels: np.ndarray, number: int, earlier: np.ndarray | None = None) -> tuple:
    window = WINDOWS[number]
    part = cut(labels, window)
    before = np.zeros_like(part) if earlier is None else cut(earlier, window)
    return part, claim(part, table(part, window), before, CORES[number], window, GRID, number)


def test_an_object_on_a_seam_goes_to_the_block_of_its_centre() -> None:
    labels = np.zeros((8, 20), np.int32)
    labels[2:5, 8:13] = 1  # centre in column 10: the second block
    labels[6, 7:12] = 2  # centre in column 9: the first
    _, first = run(labels, 0)
    assert len(first.kept) == 1
    assert first.written.sum() == 5
    _, second = run(labels, 1, np.where(labels == 2, 2, 0))
    assert len(second.kept) == 1
    assert second.written.sum() == 15
    assert not second.trimmed


def test_an_object_in_the_halo_alone_is_none_of_the_blocks_business() -> None:
    labels = np.zeros((8, 20), np.int32)
    labels[2:4, 11:13] = 1
    _, first = run(labels, 0)
    assert len(first.kept) == 0


def test_an_object_goes_to_the_block_of_its_centre_even_if_it_does_not_touch_it() -> None:
    labels = np.zeros((20, 20), np.int32)
    # A corner in the first block, its arms in the second and third: the centre is in the fourth.
    labels[9, 9:16] = labels[9:16, 9] = 1
    grid, window = BlockGrid((20, 20), 10), (0, 0, 20, 20)
    kept = [
        len(claim(labels, table(labels, window), 0 * labels, core, window, grid, number).kept)
        for number, core in enumerate(grid)
    ]
    assert kept == [0, 0, 0, 1]


def test_taken_pixels_stay_taken_and_mostly_taken_objects_are_dropped() -> None:
    labels = np.zeros((8, 20), np.int32)
    labels[0:2, 8:14] = 1
    labels[4:6, 8:14] = 2
    earlier = np.zeros_like(labels)
    earlier[0:2, 8:10] = 7  # a third of object 1
    earlier[4:6, 8:11] = 8  # half of object 2
    _, second = run(labels, 1, earlier)
    np.testing.assert_array_equal(second.kept, [1])
    assert second.trimmed
    assert second.written.sum() == 8
    assert not second.written[:, :4].any()
