"""Augmentation: it varies the look and nothing else, and a seed repeats it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_coseg.training.augment import STAINS, augment, jitter_stain
from napari_coseg.training.config import AugmentSection
from napari_coseg.training.sections import LookSection


@pytest.fixture
def picture() -> np.ndarray:
    """Smooth colours, so that JPEG and blur change little."""
    row, column = np.mgrid[:64, :48]
    return np.stack([120 + row, 100 + column, 150 + row // 2], axis=2).astype(np.uint8)


def test_a_seed_repeats_it_and_another_does_not(picture: np.ndarray) -> None:
    settings = AugmentSection()
    first, again, other = (
        augment(picture, settings, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert first.shape == picture.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_nothing_asked_nothing_changed(picture: np.ndarray) -> None:
    off = AugmentSection(stain=0, brightness=0, blur=0, noise=0, jpeg=0)
    assert np.array_equal(augment(picture, off, np.random.default_rng(0)), picture)


def test_the_picture_that_goes_in_is_not_touched(picture: np.ndarray) -> None:
    before = picture.copy()
    augment(picture, AugmentSection(blur=1, noise=1, jpeg=1), np.random.default_rng(1))
    assert np.array_equal(picture, before)


def test_stain_jitter_moves_along_the_stains() -> None:
    """A pixel of pure haematoxylin stays on haematoxylin's line, but for the shift."""
    pure = 255 * np.exp(-0.8 * STAINS[0])
    image = np.broadcast_to(pure.round(), (4, 4, 3)).astype(np.uint8)
    seen = [jitter_stain(image, 0.2, np.random.default_rng(seed))[0, 0] for seed in range(20)]
    densities = -np.log(np.array(seen) / 255.0)
    amounts = densities @ np.linalg.inv(STAINS)
    assert amounts[:, 0].std() > 0.05
    assert np.abs(amounts[:, 1:]).max() < 0.2


def test_a_remapped_picture_keeps_the_order_of_its_greys() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    nothing = dict.fromkeys(LookSection.model_fields, 0.0)
    curves = set()
    for seed in range(8):
        out = augment(ramp, LookSection(**nothing | {"remap": 1.0}), np.random.default_rng(seed))
        assert (np.diff(out[0, :, 0].astype(int)) >= 0).all()
        np.testing.assert_array_equal(out[..., 0], out[..., 2])
        curves.add(out.tobytes())
    assert len(curves) == 8


def test_coarser_voxels_blur_planes_and_mix_them() -> None:
    picture = np.zeros((48, 48, 3), np.uint8)
    picture[:, ::2, 1] = 200
    picture[..., 0] = 40
    nothing = dict.fromkeys(LookSection.model_fields, 0.0)
    out = augment(picture, LookSection(**nothing | {"coarse": 1.0}), np.random.default_rng(1))
    assert out.shape == picture.shape
    # Single columns are no longer told apart, and red has come nearer to green.
    assert out[..., 1].std() < 0.7 * picture[..., 1].std()
    assert 40 < out[..., 0].mean() < 100
    assert picture[..., 0].max() == 40
