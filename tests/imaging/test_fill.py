"""Polygons become the pixels they were traced from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import polygon2mask

from napari_coseg.imaging import fill as fill_module
from napari_coseg.imaging.fill import fill, paint
from napari_coseg.imaging.polygons import trace


def painted(points, starts, owner, shape, values):
    labels = np.zeros(shape, np.int32)
    paint(labels, fill(points, starts, owner, shape), np.asarray(values))
    return labels


@pytest.mark.parametrize("sigma", [0.0, 1.0, 4.0])
def test_a_traced_mask_comes_back(sigma: float) -> None:
    noise = np.random.default_rng(3).standard_normal((90, 120))
    mask = (ndimage.gaussian_filter(noise, sigma) if sigma else noise) > 0
    found = trace(mask)
    owner = np.repeat(np.arange(len(found)), np.diff(found.first_ring))
    assert (found.areas > 0).all()
    filled = painted(found.points, found.starts, owner, mask.shape, np.ones(len(found)))
    np.testing.assert_array_equal(filled, mask)


def test_owners_keep_apart_and_the_later_one_wins() -> None:
    square = np.array([[1, 1], [5, 1], [5, 5], [1, 5]], float)
    points = np.concatenate([square, square + 2])
    labels = painted(points, np.array([0, 4, 8]), np.array([0, 1]), (9, 9), [7, 9])
    expected = np.zeros((9, 9), int)
    expected[1:5, 1:5] = 7
    expected[3:7, 3:7] = 9
    np.testing.assert_array_equal(labels, expected)


def test_slanted_edges_as_scikit_image_fills_them() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        angle = np.sort(rng.uniform(0, 2 * np.pi, 11))
        radius = rng.uniform(5, 28, 11)
        xy = 30 + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        mine = painted(xy, np.array([0, 11]), np.array([0]), (60, 60), [1])
        theirs = polygon2mask((60, 60), xy[:, ::-1] - 0.5)
        np.testing.assert_array_equal(mine, theirs)


def test_what_lies_outside_is_cut_off() -> None:
    xy = np.array([[-1e9, 2], [1e9, 2], [1e9, 4], [-1e9, 4]])
    labels = painted(xy, np.array([0, 4]), np.array([0]), (6, 5), [1])
    expected = np.zeros((6, 5), int)
    expected[2:4] = 1
    np.testing.assert_array_equal(labels, expected)
    nothing = fill(np.zeros((0, 2)), np.zeros(1, int), np.zeros(0, int), (6, 5))
    assert len(nothing.row) == 0


def test_many_pixels_are_painted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill_module, "_CHUNK", 10)
    mask = np.random.default_rng(1).random((40, 37)) > 0.4
    found = trace(mask)
    owner = np.repeat(np.arange(len(found)), np.diff(found.first_ring))
    filled = painted(found.points, found.starts, owner, mask.shape, np.ones(len(found)))
    np.testing.assert_array_equal(filled, mask)
