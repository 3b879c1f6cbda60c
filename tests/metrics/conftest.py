"""Label images for the tests of the scores."""

from __future__ import annotations

import numpy as np
import pytest


def random_labels(random, shape, count, gaps=True):
    """Boxes of random ids, places and sizes; later ones cover earlier ones."""
    labels = np.zeros(shape, np.int32)
    ids = random.choice(np.arange(1, 1000 if gaps else count + 1), count, replace=False)
    for i in ids:
        corner = [random.integers(0, n) for n in shape]
        size = [random.integers(1, max(2, n // 2)) for n in shape]
        labels[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))] = i
    return labels


def perturbed(random, labels):
    """What a model might make of them: shifted, some objects lost, some split, some invented."""
    moved = np.roll(labels, random.integers(-1, 2), axis=random.integers(0, labels.ndim))
    ids = np.unique(moved)[1:]
    new = np.zeros_like(moved)
    for i in ids:
        mask = moved == i
        fate = random.random()
        if fate < 0.15:
            continue
        new[mask] = i + 5000
        if fate < 0.3:
            half = mask.copy()
            half[..., : labels.shape[-1] // 2] = False
            new[half] = i + 9000
    invented = tuple(slice(0, 2) for _ in labels.shape)
    new[invented] = 70000
    return new


@pytest.fixture(params=range(25))
def label_pair(request):
    """Truth and prediction, 2D and 3D, ids with gaps, at most six objects."""
    random = np.random.default_rng(request.param)
    shape = (12, 17) if request.param % 3 else (5, 7, 9)
    truth = random_labels(random, shape, int(random.integers(0, 7)))
    return truth, perturbed(random, truth)
