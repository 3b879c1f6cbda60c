from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk

from napari_coseg.inference.interpolation import between, overlap
from napari_coseg.types import Mask


def disc(row: float, column: float, radius: float) -> Mask:
    bits = np.zeros((80, 80), bool)
    bits[disk((row, column), radius)] = True
    return Mask.of(bits)


def test_halfway_between_two_discs_lies_a_disc_of_mean_radius() -> None:
    middle = between(disc(40, 40, 20), disc(40, 40, 10), 0.5)
    assert middle.area == pytest.approx(np.pi * 15**2, rel=0.03)
    assert np.add(middle.origin, np.divide(middle.bits.shape, 2)) == pytest.approx([40.5, 40.5])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_ends_are_the_shapes_themselves(share: float) -> None:
    ends = disc(30, 30, 12), disc(36, 33, 9)
    got, expected = between(*ends, share), ends[int(share)]
    assert got.origin == expected.origin
    assert (got.bits == expected.bits).all()


def test_shapes_that_lie_apart_move() -> None:
    middle = between(disc(20, 20, 6), disc(50, 60, 6), 0.5)
    assert middle.area == pytest.approx(disc(20, 20, 6).area, rel=0.05)
    assert np.add(middle.origin, np.divide(middle.bits.shape, 2)) == pytest.approx([35.5, 40.5])


def test_one_of_two_roots_ends_and_the_other_stays_where_it_is() -> None:
    bits = np.zeros((40, 40), bool)
    bits[disk((20, 8), 5)] = True
    lonely = Mask.of(bits.copy())
    bits[disk((20, 28), 5)] = True
    middle = between(Mask.of(bits), lonely, 0.7)
    assert middle.origin == lonely.origin
    assert middle.bits.shape == lonely.bits.shape


def test_pixels_are_as_wide_as_they_are() -> None:
    # Inside, the nearest edge is a column's, 4 pixels away; outside of the small one, a row's.
    tall, small = Mask((0, 0), np.ones((40, 8), bool)), Mask((12, 2), np.ones((16, 4), bool))
    square, flat = (between(tall, small, 0.5, (height, 1.0)) for height in (1.0, 0.25))
    assert flat.bits.shape[0] >= square.bits.shape[0] + 3


def test_nothing_is_no_shape() -> None:
    with pytest.raises(ValueError, match="no pixels"):
        between(disc(20, 20, 5), Mask((0, 0), np.zeros((0, 0), bool)), 0.5)
    with pytest.raises(ValueError, match="between two planes"):
        between(disc(20, 20, 5), disc(20, 20, 5), 1.5)


def test_overlap_counts_shared_pixels() -> None:
    one, other = Mask((3, 4), np.ones((5, 6), bool)), Mask((6, 8), np.ones((9, 9), bool))
    assert overlap(one, other) == overlap(other, one) == 2 * 2
    assert overlap(one, Mask((8, 4), np.ones((2, 2), bool))) == 0
    assert overlap(one, Mask((0, 0), np.zeros((0, 0), bool))) == 0
