"""H&E as if a marker had been stained: eosin goes, brown comes where the marker binds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage

from napari_coseg.datasets.synthetic_histology import generate_tile
from napari_coseg.training.augment import DENSITY, UNMIX
from napari_coseg.training.config import check_config
from napari_coseg.training.immunostain import Known, immunostain
from napari_coseg.types import IGNORE

from .test_samples import PLAIN, samples

GLAND = 1


@pytest.fixture(scope="module")
def tile() -> tuple[npt.NDArray[np.uint8], Known]:
    made = generate_tile(0, (256, 256), 0.5)
    classes = np.zeros(made.instances.shape, np.uint8)
    classes[made.instances > 0] = 1
    return made.image, Known(made.regions, classes, made.instances)


def amounts(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Haematoxylin, eosin and DAB of each pixel."""
    return np.asarray(DENSITY.take(image) @ UNMIX, float)


def test_a_seed_repeats_it_and_the_picture_that_goes_in_is_not_touched(
    tile: tuple[npt.NDArray[np.uint8], Known],
) -> None:
    image, known = tile
    before = image.copy()
    first, again, other = (
        immunostain(image, known, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(image, before)


def test_eosin_goes_and_glass_stays_white(tile: tuple[npt.NDArray[np.uint8], Known]) -> None:
    image, known = tile
    image = image.copy()
    image[:40, :40] = 252
    for seed in range(10):
        out = immunostain(image, known, np.random.default_rng(seed))
        assert out[5:30, 5:30].min() > 225, seed
        # Where nothing brown is, which holds eosin's colours too.
        plain = amounts(out)[..., 2] < 0.1
        plain[:40, :40] = False
        if plain.mean() > 0.2:
            assert amounts(out)[plain, 1].mean() < 0.6 * amounts(image)[plain, 1].mean(), seed


def test_the_marker_is_at_what_is_labelled(tile: tuple[npt.NDArray[np.uint8], Known]) -> None:
    """Of regions alone, glands are browner than stroma in nearly all samples."""
    image, known = tile
    assert known.regions is not None
    gland = known.regions == GLAND
    assert 0.05 < gland.mean() < 0.95
    more = []
    for seed in range(40):
        out = immunostain(image, Known(regions=known.regions), np.random.default_rng(seed))
        brown = amounts(out)[..., 2]
        more.append(brown[gland].mean() - brown[~gland].mean())
    assert np.mean(np.array(more) > 0.02) > 0.7
    assert np.median(more) > 0.1


def test_nuclei_in_brown_cells_are_spared_and_a_nuclear_marker_stains_them(
    tile: tuple[npt.NDArray[np.uint8], Known],
) -> None:
    image, known = tile
    assert known.instances is not None
    nuclei = known.instances > 0
    core = ndimage.binary_erosion(nuclei, iterations=2)
    round_it = ndimage.binary_dilation(nuclei, iterations=6) & ~ndimage.binary_dilation(nuclei)
    found = []
    for seed in range(40):
        brown = amounts(immunostain(image, known, np.random.default_rng(seed)))[..., 2]
        found.append((brown[core].mean(), brown[round_it].mean()))
    inside, outside = np.array(found).T
    # One in five markers is of nuclei: these alone are brown then.
    nuclear = outside < 0.1
    assert 3 <= nuclear.sum() <= 16
    assert (inside[nuclear] > outside[nuclear]).mean() > 0.8
    assert (inside[~nuclear] < 0.7 * outside[~nuclear]).mean() > 0.9


@pytest.mark.parametrize("known", ["nothing", "unknown"])
def test_a_picture_of_which_nothing_is_known_gets_patches(
    known: str, tile: tuple[npt.NDArray[np.uint8], Known]
) -> None:
    image, _ = tile
    nothing = Known()
    if known == "unknown":
        ignored = np.full(image.shape[:2], IGNORE, np.uint8)
        nothing = Known(ignored, ignored, np.full(image.shape[:2], -1, np.int32))
    brown = [
        amounts(immunostain(image, nothing, np.random.default_rng(seed)))[..., 2]
        for seed in range(10)
    ]
    assert max(part.std() for part in brown) > 0.1


def test_only_the_look_of_samples_changes(raw_config: dict[str, Any]) -> None:
    config = check_config(raw_config)
    with_marker = PLAIN.model_copy(update={"immunostain": 1.0})
    one, two = (samples(config, settings)[3] for settings in (PLAIN, with_marker))
    assert not torch.equal(one["image"], two["image"])
    for name in ("regions", "instances", "hv", "classes"):
        assert torch.equal(one[name], two[name]), name
