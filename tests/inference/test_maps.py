from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from napari_coseg.imaging.source import ArraySource
from napari_coseg.inference.grid import Scale
from napari_coseg.inference.maps import TileMaps
from napari_coseg.inference.runner import TaskRunner
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.models.coseg.network import CosegNetwork, CosegOutput
from tests.inference.fake import TINY, card


class TileBound(nn.Module):
    """Answers with the picture's brightness and with what differs from tile to tile."""

    def __init__(self) -> None:
        super().__init__()
        self.config = TINY
        self.tiles = 0

    def forward(self, images: Tensor, tasks: Sequence[str]) -> CosegOutput:
        self.tiles += len(images)
        bright = avg_pool2d(images.mean(1, keepdim=True), 2)
        across = torch.linspace(-1, 1, 32).expand_as(bright)
        mean = bright.mean((2, 3), keepdim=True).expand_as(bright)
        return CosegOutput(
            foreground=bright,
            hv=torch.cat([across, mean], 1),
            classes=torch.cat([bright, across, mean], 1),
        )


def make(
    image: np.ndarray,
    network: nn.Module | None = None,
    batch: int = 1,
    factor: float = 1.0,
    **settings: object,
) -> TileMaps:
    runner = TaskRunner(network or TileBound(), card(), "instances", batch=batch)
    chosen = PredictSettings(**{"overlap": 16, **settings})  # type: ignore[arg-type]
    return TileMaps(ArraySource(image), runner, Scale(image.shape[:2], factor), chosen)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (210, 171, 3), dtype=np.uint8)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("factor", [1.0, 1.7])
def test_a_value_does_not_depend_on_the_window_or_the_order(
    image: np.ndarray, batch: int, factor: float
) -> None:
    maps = make(image, batch=batch, factor=factor)
    rows, columns = maps.shape
    whole = maps.window((0, 0, rows, columns))
    assert whole.shape == (6, rows, columns)
    draw = np.random.default_rng(0)
    # A small cache, so that tiles are computed again and again.
    other = make(image, batch=batch, factor=factor, cache_bytes=30_000)
    for _ in range(12):
        row0, column0 = int(draw.integers(rows - 1)), int(draw.integers(columns - 1))
        row1 = int(draw.integers(row0 + 1, min(rows, row0 + 90) + 1))
        column1 = int(draw.integers(column0 + 1, min(columns, column0 + 90) + 1))
        part = other.window((row0, column0, row1, column1))
        np.testing.assert_array_equal(part, whole[:, row0:row1, column0:column1])


def test_the_real_network_gives_the_same_bits_in_any_order(image: np.ndarray) -> None:
    torch.manual_seed(0)
    network = CosegNetwork(TINY).eval()
    whole = make(image[:120, :100], network, batch=3).window((0, 0, 120, 100))
    other = make(image[:120, :100], network, batch=3, cache_bytes=0)
    for box in [(60, 40, 120, 100), (0, 0, 30, 30), (50, 0, 51, 100)]:
        row0, column0, row1, column1 = box
        np.testing.assert_array_equal(other.window(box), whole[:, row0:row1, column0:column1])
    assert np.ptp(whole[0]) > 0


def test_one_tile_is_the_networks_own_output_bilinear(image: np.ndarray) -> None:
    small = image[:64, :64]
    maps = make(small)
    network = TileBound()
    pixels = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
    foreground = torch.sigmoid(network(pixels, ("instances",)).foreground).half().float()
    expected = interpolate(foreground, scale_factor=2, mode="bilinear")[0, 0].numpy()
    np.testing.assert_allclose(maps.window((0, 0, 64, 64))[0], expected, atol=1e-6)


def test_planes_at_pixel_centres_are_the_window(image: np.ndarray) -> None:
    maps = make(image)
    rows, columns = np.arange(30.0, 120.0), np.arange(0.0, 171.0)
    planes = np.stack(list(maps.planes_at(rows, columns)))
    np.testing.assert_allclose(planes, maps.window((30, 0, 120, 171)), atol=1e-6)


def test_seams_are_blended(image: np.ndarray) -> None:
    flat = np.full_like(image, 100)
    horizontal = make(flat).window((0, 0, 210, 171))[1]
    # Each tile goes from -1 to 1 over 64 pixels; put side by side they would jump by 2 minus the
    # overlap's part, blended they fall over the width of the overlap.
    assert np.abs(np.diff(horizontal, axis=1)).max() < 0.3
    # What all tiles agree on is not changed.
    bright = make(flat).window((0, 0, 210, 171))[0]
    np.testing.assert_allclose(bright, bright[0, 0], atol=1e-6)


def test_announced_tiles_are_computed_once_and_let_go(image: np.ndarray) -> None:
    network = TileBound()
    maps = make(image, network)
    boxes = [(r, c, min(r + 60, 210), min(c + 60, 171)) for r in (0, 50, 150) for c in (0, 50, 111)]
    maps.expect(boxes)
    for box in boxes:
        maps.window(box)
    assert network.tiles == len(maps.grid)
    assert len(maps.tiles) == 0
    assert maps.tiles.cached_bytes == 0


def test_the_cache_keeps_to_its_bytes(image: np.ndarray) -> None:
    maps = make(image, cache_bytes=3 * 6 * 32 * 32 * 2)
    for row in range(0, 200, 20):
        maps.window((row, 0, row + 10, 10))
        assert maps.tiles.cached_bytes == len(maps.tiles) * 6 * 32 * 32 * 2
        assert maps.tiles.cached_bytes <= 3 * 6 * 32 * 32 * 2


@pytest.mark.parametrize(("padding", "brightness"), [("white", 255), ("reflect", 100)])
def test_what_surrounds_a_small_image(padding: str, brightness: int) -> None:
    seen: list[np.ndarray] = []

    class Spy(TileBound):
        def forward(self, images: Tensor, tasks: Sequence[str]) -> CosegOutput:
            seen.append((images[0, 0] * 255).round().numpy())
            return super().forward(images, tasks)

    make(np.full((5, 9, 3), 100, np.uint8), Spy(), padding=padding).window((0, 0, 5, 9))
    tile = seen[0]
    inside = np.zeros((64, 64), bool)
    inside[28:33, 24:33] = True
    assert (tile[inside] == 100).all()
    assert (tile[~inside] == brightness).all()


def test_alignment_adds_no_white_line_to_a_large_image() -> None:
    seen: list[np.ndarray] = []

    class Spy(TileBound):
        def forward(self, images: Tensor, tasks: Sequence[str]) -> CosegOutput:
            seen.extend((images[:, 0] * 255).round().numpy())
            return super().forward(images, tasks)

    maps = make(np.full((65, 67, 3), 100, np.uint8), Spy(), padding="white")
    maps.window((0, 0, 65, 67))
    assert maps.grid.rows[-1] + 64 > 65
    assert all((tile == 100).all() for tile in seen)
