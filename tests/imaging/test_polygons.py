from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import napari_coseg.imaging.polygons as module
from napari_coseg.imaging.polygons import Polygons, trace


def filled(polygons: Polygons, shape: tuple[int, int]) -> np.ndarray:
    """Fill polygons by counting, in each row of pixels, the upright edges at its left."""
    crossings = np.zeros((shape[0] + 1, shape[1] + 1), np.int64)
    for polygon in range(len(polygons)):
        for ring in polygons.rings(polygon):
            for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, 0), strict=True):
                if x0 == x1:
                    crossings[min(y0, y1) : max(y0, y1), x0] += 1 if y1 < y0 else -1
    count = np.cumsum(crossings, axis=1)[:-1, :-1]
    assert set(np.unique(count)) <= {0, 1}, "rings overlap or turn the wrong way"
    return count.astype(bool)


def check(mask: np.ndarray, polygons: Polygons) -> None:
    np.testing.assert_array_equal(filled(polygons, mask.shape), mask)
    components, n = ndimage.label(mask)
    assert len(polygons) == n
    sizes = np.bincount(components.ravel())[1:]
    assert sorted(polygons.areas) == sorted(sizes)
    for polygon in range(n):
        rings = list(polygons.rings(polygon))
        own = set()
        for ring in rings:
            assert len({tuple(point) for point in ring}) == len(ring) >= 4
            steps = np.roll(ring, -1, 0) - ring
            assert ((steps == 0).sum(1) == 1).all(), "not along pixel edges"
            upright = steps[:, 0] == 0
            assert (upright != np.roll(upright, 1)).all(), "a corner that is none"
            area = (
                np.sum(ring[:, 0] * np.roll(ring[:, 1], -1) - np.roll(ring[:, 0], -1) * ring[:, 1])
                // 2
            )
            assert (area > 0) == (ring is rings[0])
            # The pixel right of the first upright edge of the mask's side, for the component.
            k = int(np.flatnonzero(upright)[0])
            x, y = ring[k]
            down = steps[k, 1] > 0
            own.add(int(components[y if down else y - 1, x - 1 if down else x]))
        assert len(own) == 1, "a hole was given to another component"
        assert sizes[own.pop() - 1] == polygons.areas[polygon]


def _mask(text: str) -> np.ndarray:
    lines = text.split()
    return np.array([[letter == "#" for letter in line] for line in lines])


SHAPES = {
    "pixel": "#",
    "corner to corner": "#. .#",
    "other corners": ".# #.",
    "ring": "### #.# ###",
    "ring open at a corner": "##. #.# ###",
    "two holes touching": "##### #.### ##.## #####",
    "hole touching the outline twice": ".###. #.#.# #...# ##.## .###.",
    "island in a hole": "##### #...# #.#.# #...# #####",
    "island touching the ring": "##### #...# #.#.# ##..# #####",
    "chess": "#.#. .#.# #.#. .#.#",
    "full": "### ###",
    "spiral": "####### ......# #####.# #...#.# #.###.# #.....# #######",
    "empty": "... ...",
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str) -> None:
    mask = _mask(SHAPES[name])
    check(mask, trace(mask))


def test_a_pixel_is_a_unit_square() -> None:
    mask = np.zeros((5, 9), bool)
    mask[2, 7] = True
    polygons = trace(mask)
    (ring,) = polygons.rings(0)
    assert ring.tolist() == [[7, 2], [8, 2], [8, 3], [7, 3]]
    assert polygons.areas.tolist() == [1]


def test_two_holes_are_given_to_one_ring() -> None:
    polygons = trace(_mask("##### #.#.# #####"))
    assert len(list(polygons.rings(0))) == 3
    assert polygons.areas.tolist() == [13]


@pytest.mark.parametrize("density", [0.1, 0.4, 0.5, 0.6, 0.9])
@pytest.mark.parametrize("seed", range(6))
def test_noise(density: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((31, 43)) < density
    check(mask, trace(mask))


@pytest.mark.parametrize("sigma", [1, 2, 4])
def test_blobs_in_bands(sigma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    field = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(150, 170)), sigma)
    labels = np.where(field > 0, 7, 3)
    whole = trace(labels, 7)
    check(labels == 7, whole)
    monkeypatch.setattr(module, "_BAND_PIXELS", 600)
    monkeypatch.setattr(module, "_LOOK", 5)
    banded = trace(labels, 7)
    for name in ("points", "starts", "first_ring", "areas"):
        np.testing.assert_array_equal(getattr(banded, name), getattr(whole, name))


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (3, 5000)])
def test_thin_arrays(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(3).random(shape) < 0.6
    check(mask, trace(mask))


def test_every_small_mask() -> None:
    """All masks of 3 x 4 pixels."""
    for number in range(1 << 12):
        mask = np.array([number >> bit & 1 for bit in range(12)], bool).reshape(3, 4)
        check(mask, trace(mask))
