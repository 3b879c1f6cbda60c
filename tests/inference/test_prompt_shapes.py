from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from skimage.draw import polygon2mask

from napari_coseg.inference.prompt_shapes import deepest, filled, outline_prompt, scribble_points
from napari_coseg.types import CosegError, Mask


def test_a_scribble_becomes_points_spread_along_it() -> None:
    # A slow hand at the beginning: most corners lie there.
    slow = np.stack([np.linspace(0, 1, 500), np.zeros(500)], 1)
    line = np.concatenate([slow, [[100.0, 0.0]]])
    points = scribble_points(line, True)
    assert len(points) == 5
    assert all(positive for _, _, positive in points)
    rows = [row for row, _, _ in points]
    assert rows[0] == 0
    assert rows[-1] == 100
    assert np.diff(rows) == pytest.approx([25] * 4, abs=2)
    assert {column for _, column, _ in points} == {0.0}


def test_a_closed_scribble_is_not_a_point() -> None:
    angle = np.linspace(0, 2 * np.pi, 60)
    points = np.array(scribble_points(50 + 20 * np.stack([np.sin(angle), np.cos(angle)], 1), False))
    places = points[:, :2]
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)[np.triu_indices(5, 1)]
    assert apart.min() > 10
    assert not points[:, 2].any()


@pytest.mark.parametrize("line", [[[5, 6]], [[5, 6], [5.2, 6.2]], [[5, 6]] * 9])
def test_a_dot_is_one_point(line: list[list[float]]) -> None:
    assert scribble_points(line, True) == ((5.0, 6.0, True),)


@pytest.mark.parametrize("line", [[], [[1, 2, 3]], [[np.nan, 1]]])
def test_no_scribble(line: list[list[float]]) -> None:
    with pytest.raises(CosegError, match="draw it again"):
        scribble_points(line, True)


def test_a_lasso_becomes_box_mask_and_the_point_deepest_inside() -> None:
    prompt = outline_prompt([[10, 20], [10, 60], [50, 60], [50, 20]], (100, 100))
    assert prompt.box == (10, 20, 50, 60)
    assert prompt.mask is not None
    assert prompt.mask.area == 40 * 40
    ((row, column, positive),) = prompt.points
    assert 29 <= row <= 30
    assert 39 <= column <= 40
    assert positive


def test_a_crescents_point_lies_on_it_and_not_in_its_middle() -> None:
    outer = np.linspace(0, np.pi, 50)
    inner = outer[::-1]
    ring = np.concatenate(
        [
            100 - 50 * np.stack([np.sin(outer), np.cos(outer)], 1),
            100 - 40 * np.stack([np.sin(inner), np.cos(inner)], 1),
        ]
    )
    prompt = outline_prompt(ring, (200, 200))
    assert prompt.mask is not None
    row, column, _ = prompt.points[0]
    assert prompt.mask.bits[
        round(row) - prompt.mask.origin[0], round(column) - prompt.mask.origin[1]
    ]
    assert 42 < np.hypot(row - 100, column - 100) < 48


def test_an_outline_is_cut_to_the_image() -> None:
    prompt = outline_prompt([[-30, -30], [-30, 25], [20, 25], [20, -30]], (50, 60))
    assert prompt.box == (0, 0, 20, 25)
    with pytest.raises(CosegError, match="no pixel of the image inside"):
        outline_prompt([[-30, -30], [-30, -5], [-10, -5]], (50, 60))
    with pytest.raises(CosegError, match="at least 3 points"):
        outline_prompt([[1, 1], [5, 5]], (50, 60))


def test_filling_follows_the_outline() -> None:
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = np.array([40.0, 45.0]) + 20 * np.stack([np.sin(angle), np.cos(angle)], 1)
    mask = filled(circle, (100, 100))
    r, c = np.mgrid[:100, :100]
    truth = np.hypot(r - 40, c - 45) <= 20
    got = np.zeros((100, 100), bool)
    got[mask.window] = mask.bits
    assert (got & truth).sum() / (got | truth).sum() > 0.99


def test_filling_agrees_with_another_program() -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        corners = draw.uniform(-20, 80, (7, 2))
        mask = filled(corners, (60, 70))
        got = np.zeros((60, 70), bool)
        got[mask.window] = mask.bits
        assert (got == polygon2mask((60, 70), corners)).all()


def test_the_deepest_point_of_a_very_large_mask_lies_on_it() -> None:
    bits = np.zeros((3000, 2500), bool)
    bits[100:2900, 300:1100] = True
    row, column = deepest(Mask((7, 9), bits))
    assert 400 <= row - 7 <= 2600
    assert column - 9 == pytest.approx(700, abs=20)
    # Thinner than the steps in which it is looked at.
    thin = np.zeros((3000, 2500), bool)
    thin[:, 1] = True
    row, column = deepest(Mask((0, 0), thin))
    assert column == 1


def test_the_gui_may_use_it() -> None:
    code = (
        "import sys; import napari_coseg.inference.prompt_shapes, napari_coseg.inference.zoom, "
        "napari_coseg.inference.prompt_masks, napari_coseg.inference.prompt_looks, "
        "napari_coseg.imaging.crops; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
