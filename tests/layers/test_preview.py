"""The preview's window: the mask's pixels lie where the image's do, whatever came before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image

from napari_coseg.layers import preview
from napari_coseg.layers.preview import Preview
from napari_coseg.types import Mask

PLACED: dict[str, dict[str, Any]] = {
    "plain": {},
    "scaled": {"scale": (0.5, 0.25), "translate": (7, -3)},
    "turned": {"scale": (0.5, 0.5), "rotate": 30, "affine": [[1, 0.2, 4], [0, 2, 5], [0, 0, 1]]},
}


def made(image: Any, axes: tuple[int, int] = (-2, -1)) -> Preview:
    names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    return Preview(image, axes, "Preview", "#b4ff00", {n: getattr(image, n) for n in names})


def seen(shown: Preview) -> set[tuple[float, ...]]:
    """Where in the world there is something."""
    layer = shown.layer
    return {
        tuple(np.round(layer.data_to_world(place), 4).tolist()) for place in np.argwhere(layer.data)
    }


def expected(image: Any, mask: Mask, axes: tuple[int, int], plane: np.ndarray) -> set[Any]:
    out = set()
    for place in np.argwhere(mask.bits):
        full = plane.copy()
        full[list(axes)] = np.add(place, mask.origin)
        out.add(tuple(np.round(image.data_to_world(full), 4).tolist()))
    return out


def masks(rng: np.random.Generator, shape: tuple[int, int], largest: int) -> list[Mask]:
    found = []
    for _ in range(12):
        sides = rng.integers(1, np.minimum(largest, shape) + 1)
        origin = [
            int(rng.integers(0, length - side + 1))
            for length, side in zip(shape, sides, strict=True)
        ]
        bits = rng.random(sides) < 0.5
        bits.flat[0] = True
        found.append(Mask.of(bits, (origin[0], origin[1])))
    return found


@pytest.mark.parametrize("name", PLACED)
@pytest.mark.parametrize("window", [16, 1024])
def test_the_mask_lies_on_the_image(
    name: str, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "WINDOW", window)
    image = Image(np.zeros((60, 80)), **PLACED[name])
    shown, plane = made(image), np.zeros(2)
    for mask in masks(np.random.default_rng(3), (60, 80), 40):
        shown.show(mask, plane)
        assert seen(shown) == expected(image, mask, (0, 1), plane)
    shown.show(None, plane)
    assert seen(shown) == set()


def test_many_pixels_at_once_are_drawn_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "_PARTIAL", 10)
    image = Image(np.zeros((60, 80)))
    shown, plane = made(image), np.zeros(2)
    for mask in masks(np.random.default_rng(4), (60, 80), 40):
        shown.show(mask, plane)
        assert seen(shown) == expected(image, mask, (0, 1), plane)


def test_planes_of_a_volume_whose_axes_are_rolled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "WINDOW", 16)
    image = Image(np.zeros((30, 9, 40)), scale=(0.5, 2, 0.5))
    axes = (2, 0)
    shown = made(image, axes)
    rng = np.random.default_rng(5)
    for number, mask in enumerate(masks(rng, (40, 30), 20)):
        plane = np.array([0.0, float(number // 3), 0.0])
        shown.show(mask, plane)
        assert seen(shown) == expected(image, mask, axes, plane)


def test_the_window_stays_where_it_is_and_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "WINDOW", 32)
    shown = made(Image(np.zeros((200, 200))))
    told: list[str] = []
    for name in ("translate", "data", "visible"):
        getattr(shown.layer.events, name).connect(lambda event, name=name: told.append(name))
    plane = np.zeros(2)
    shown.show(Mask((100, 100), np.ones((8, 8), bool)), plane)
    before = shown.layer.translate.copy()
    shown.show(Mask((104, 96), np.ones((8, 8), bool)), plane)
    shown.show(Mask((104, 96), np.zeros((8, 8), bool)), plane)
    np.testing.assert_array_equal(shown.layer.translate, before)
    shown.show(Mask((10, 10), np.ones((8, 8), bool)), plane)
    assert tuple(shown.layer.translate) == (0, 0)
    assert told == []
    assert shown.layer.data.shape == (32, 32)


def test_a_hidden_preview_is_right_when_it_is_shown() -> None:
    image = Image(np.zeros((3, 40, 40)))
    shown = made(image)
    shown.layer.visible = False
    for plane, column in ((0.0, 4), (2.0, 20), (2.0, 25)):
        place = np.array([plane, 0.0, 0.0])
        mask = Mask((5, column), np.ones((6, 6), bool))
        shown.show(mask, place)
        assert seen(shown) == expected(image, mask, (1, 2), place)
