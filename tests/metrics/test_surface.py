from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from napari_coseg.metrics.surface import SurfaceScores, surface_scores
from napari_coseg.types import CosegError


def box(shape, *sides):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


def plain(truth, prediction, spacing):
    """All distances between the pixels that have a neighbour outside."""
    points = []
    for mask in (truth, prediction):
        padded = np.pad(mask, 1)
        inner = padded.copy()
        for axis in range(mask.ndim):
            inner &= np.roll(padded, 1, axis) & np.roll(padded, -1, axis)
        points.append((np.argwhere(padded & ~inner) - 1) * np.asarray(spacing))
    table = cdist(*points)
    there, back = table.min(axis=1), table.min(axis=0)
    return (
        max(there.max(), back.max()),
        max(np.percentile(there, 95), np.percentile(back, 95)),
    )


def test_shifted_box_by_hand():
    truth, prediction = box((20, 20), (5, 10), (5, 10)), box((20, 20), (5, 10), (8, 13))
    assert surface_scores(truth, prediction).hd == 3
    assert surface_scores(truth, prediction, (2.0, 0.5)).hd == 1.5


def test_one_far_pixel_moves_hd_and_not_hd95():
    truth = box((60, 60), (10, 40), (10, 40))
    prediction = truth.copy()
    prediction[55, 25] = True
    assert surface_scores(truth, prediction) == SurfaceScores(16.0, 0.0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("shape", "spacing"), [((14, 18), (1.0, 1.0)), ((14, 18), (0.5, 2.0)), ((6, 9, 8), (3, 1, 1))]
)
def test_equals_the_plain_definition(seed, shape, spacing):
    random = np.random.default_rng(seed)
    truth, prediction = random.random((2, *shape)) < 0.3
    found = surface_scores(truth, prediction, spacing)
    assert (found.hd, found.hd95) == pytest.approx(plain(truth, prediction, spacing))


def test_border_of_the_image_is_a_surface():
    full = np.ones((9, 9), bool)
    assert surface_scores(full, box((9, 9), (1, 8), (1, 8))).hd == pytest.approx(math.sqrt(2))


def test_empty_sides():
    empty, some = np.zeros((30, 40), bool), box((30, 40), (3, 5), (3, 5))
    assert surface_scores(empty, empty) == SurfaceScores(0.0, 0.0)
    assert surface_scores(empty, some) == SurfaceScores(50.0, 50.0)
    assert surface_scores(some, empty, (0.5, 0.5)) == SurfaceScores(25.0, 25.0)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, -2.0), (1.0, math.nan)])
def test_bad_spacing(spacing):
    mask = np.ones((3, 3), bool)
    with pytest.raises(CosegError, match="Spacing"):
        surface_scores(mask, mask, spacing)


def test_other_size():
    with pytest.raises(CosegError, match="one size"):
        surface_scores(np.ones((3, 3), bool), np.ones((3, 4), bool))
