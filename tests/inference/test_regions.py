from __future__ import annotations

import numpy as np

from napari_coseg.inference.regions import without_specks

CLOSED = (False, False, False, False)


def test_small_parts_and_holes_take_the_class_around_them() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[2:12, 2:12] = 1
    expected = labels.copy()
    labels[5:7, 5:7] = 0  # a hole
    labels[9, 9] = 2  # a speck inside a part
    labels[15:17, 15:17] = 2  # a speck in the background
    np.testing.assert_array_equal(without_specks(labels, 5, CLOSED), expected)
    np.testing.assert_array_equal(without_specks(labels, 1, CLOSED), labels)


def test_a_part_that_goes_on_outside_is_kept() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[0:2, 4:6] = 1
    np.testing.assert_array_equal(without_specks(labels, 9, (True, False, False, False)), labels)
    assert not without_specks(labels, 9, CLOSED).any()


def test_nothing_but_small_parts_stays_as_it_is() -> None:
    labels = np.array([[0, 1], [1, 0]], np.uint8)
    np.testing.assert_array_equal(without_specks(labels, 9, CLOSED), labels)
