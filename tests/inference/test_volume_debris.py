"""Small parts of a volume's regions."""

from __future__ import annotations

import numpy as np
import pytest

from napari_coseg.inference.volume_debris import drop_small_parts

SPACING = (2.0, 0.5, 0.5)


def regions() -> np.ndarray:
    """A block of 32 voxels, 16 mm³, of class 1; two of 4 voxels of 1 and 2, which touch."""
    array = np.zeros((4, 10, 10), np.uint8)
    array[:2, :4, :4] = 1
    array[3, 6:8, 6:8] = 2
    array[3, 8, 6:10] = 1
    return array


def test_parts_of_less_volume_go_and_others_stay() -> None:
    array = regions()
    assert drop_small_parts(array, SPACING, 2.1) == 2
    assert np.count_nonzero(array) == 32
    assert (array[:2, :4, :4] == 1).all()


@pytest.mark.parametrize("least", [0.0, 0.5, 2.0])
def test_parts_of_that_volume_stay(least: float) -> None:
    array = regions()
    assert drop_small_parts(array, SPACING, least) == 0
    np.testing.assert_array_equal(array, regions())


def test_a_corner_does_not_connect() -> None:
    array = np.zeros((2, 2, 2), np.uint8)
    array[0, 0, 0] = array[1, 1, 1] = 1
    assert drop_small_parts(array, (1.0, 1.0, 1.0), 2) == 2
    assert not array.any()


def test_nothing_there() -> None:
    array = np.zeros((2, 3, 4), np.uint8)
    assert drop_small_parts(array, SPACING, 100) == 0
