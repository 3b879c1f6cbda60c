"""Outlines as pixels, against a slow definition."""

from __future__ import annotations

import numpy as np
import pytest

from napari_coseg.datasets.rasterise import Outline, crosses_itself, rasterise
from napari_coseg.types import CosegError

Ring = list[tuple[float, float]]


def outline(*parts: list[Ring]) -> Outline:
    rings = tuple(tuple(np.array(r, float).reshape(-1, 2) for r in part) for part in parts)
    return Outline("feature 1", rings)


def square(x: float, y: float, side: float) -> Ring:
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


def inside(x: float, y: float, rings: tuple[np.ndarray, ...]) -> bool:
    """Even-odd: edges that a ray to the left meets."""
    met = 0
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) < x:
                met += 1
    return met % 2 == 1


def slow(outlines: list[Outline], shape: tuple[int, int]) -> tuple[np.ndarray, list[int]]:
    """Pixel by pixel: of the objects there, the smallest, of equal ones the last."""
    masks = np.zeros((len(outlines), *shape), bool)
    for number, one in enumerate(outlines):
        for row, column in np.ndindex(shape):
            masks[number, row, column] = any(
                inside(column + 0.5, row + 0.5, part) for part in one.parts
            )
    areas = masks.sum(axis=(1, 2))
    labels = np.zeros(shape, np.int32)
    for row, column in np.ndindex(shape):
        there = np.flatnonzero(masks[:, row, column])
        if there.size:
            labels[row, column] = min(there, key=lambda n: (areas[n], -n)) + 1
    return labels, areas.tolist()


@pytest.mark.parametrize("seed", range(6))
def test_random_outlines(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (17, 23)
    outlines = []
    for _ in range(7):
        parts = []
        for _ in range(rng.integers(1, 4)):
            # Corners anywhere: rings cross themselves, have holes and leave the image.
            parts.append(
                [[tuple(p) for p in rng.uniform(-4, 26, (n, 2))] for n in rng.integers(3, 7, 2)]
            )
        outlines.append(outline(*parts))
    raster = rasterise(outlines, shape)
    labels, areas = slow(outlines, shape)
    np.testing.assert_array_equal(raster.index, labels)
    assert raster.drawn.tolist() == areas
    assert raster.kept.tolist() == [int((labels == n).sum()) for n in range(1, 8)]
    assert raster.lost == sum(areas) - int((labels > 0).sum())


def test_one_pixel_is_the_square_of_its_corners() -> None:
    raster = rasterise([outline([square(3, 1, 1)])], (4, 6))
    assert np.argwhere(raster.index).tolist() == [[1, 3]]
    assert raster.notes == ()


def test_holes_and_parts() -> None:
    ring = outline([square(0, 0, 5), square(1, 1, 3)])
    assert rasterise([ring], (5, 5)).drawn.tolist() == [16]
    # Parts are united: where they overlap is no hole.
    both = outline([square(0, 0, 3)], [square(1, 1, 3)])
    assert rasterise([both], (5, 5)).drawn.tolist() == [14]


def test_the_smaller_object_is_on_top() -> None:
    big, small = outline([square(0, 0, 4)]), outline([square(1, 1, 2)])
    for order in ([big, small], [small, big]):
        raster = rasterise(order, (4, 4))
        assert sorted(raster.kept.tolist()) == [4, 12]
        assert raster.lost == 4
    twins = rasterise([small, small], (4, 4))
    assert twins.kept.tolist() == [0, 4]
    assert twins.notes == ((1, "feature 1 lies wholly under other objects and is lost"),)


@pytest.mark.parametrize(
    ("ring", "words"),
    [
        ([], "no area"),
        ([(1, 1), (3, 3)], "no area"),
        ([(1.1, 1.1), (1.2, 1.1), (1.2, 1.2)], "is empty"),
        ([(1, 1), (2, 2), (3, 3)], "is empty"),
        (square(20, 1, 3), "lies outside"),
        (square(-9, 1, 3), "lies outside"),
        (square(2, 2, 9), "reaches beyond"),
        ([(0, 0), (4, 4), (4, 0), (0, 4)], "crosses itself"),
    ],
)
def test_faulty_outlines_are_told(ring: Ring, words: str) -> None:
    raster = rasterise([outline([ring]), outline([square(0, 0, 1)])], (6, 6))
    assert [number for number, _ in raster.notes] == [1]
    assert words in raster.notes[0][1]


def test_a_corner_at_the_edge_is_none_beyond_it() -> None:
    assert rasterise([outline([square(-0.5, -0.5, 7)])], (6, 6)).notes == ()


def test_rings_that_touch_do_not_cross() -> None:
    assert not crosses_itself(np.array(square(0, 0, 3)))
    # Two squares that meet in a corner, drawn in one line; and one with a corner twice.
    assert not crosses_itself(
        np.array([(0, 0), (2, 0), (2, 2), (4, 2), (4, 4), (2, 4), (2, 2), (0, 2)])
    )
    assert not crosses_itself(np.array([(0, 0), (0, 0), (3, 0), (3, 3)]))
    assert crosses_itself(np.array([(0, 0), (3, 3), (3, 0), (0, 3), (-1, 1)]))


def test_many_edges_are_compared_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_coseg.datasets.rasterise._PAIRS", 7)
    turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = 50 + 40 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    assert not crosses_itself(circle)
    circle[[70, 120]] = circle[[120, 70]]
    assert crosses_itself(circle)


def test_ids() -> None:
    outlines = [outline([square(2 * n, 0, 1)]) for n in range(3)]
    raster = rasterise(outlines, (1, 6))
    assert raster.labels().tolist() == [[1, 0, 2, 0, 3, 0]]
    named = raster.labels(np.array([70_000, 5, 2**31 - 1]))
    assert named.dtype == np.int32
    assert named.tolist() == [[70_000, 0, 5, 0, 2**31 - 1, 0]]
    for bad, words in (
        ([1, 1, 2], "same id"),
        ([0, 1, 2], "must be 1"),
        ([1, 2, 2**31], "must be"),
    ):
        with pytest.raises(CosegError, match=words):
            raster.labels(np.array(bad))


def test_more_objects_than_16_bits() -> None:
    places = [(n % 300, n // 300) for n in range(66_000)]
    outlines = [outline([[(x, y), (x + 1.5, y), (x, y + 1.5)]]) for x, y in places]
    raster = rasterise(outlines, (220, 300))
    np.testing.assert_array_equal(raster.index.reshape(-1), np.arange(1, 66_001))


def test_runs_beside_outlines() -> None:
    runs = np.array([[0, 0, 3], [1, 0, 1]])
    raster = rasterise([Outline("a", runs=runs), outline([square(2, 0, 1)])], (2, 4))
    assert raster.index.tolist() == [[1, 1, 2, 0], [1, 0, 0, 0]]
    assert rasterise([Outline("a", runs=np.zeros((0, 3), int))], (2, 4)).notes[0][1] == (
        "a is empty and left out"
    )
    assert rasterise([], (2, 3)).index.tolist() == [[0, 0, 0]] * 2
