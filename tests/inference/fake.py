"""Pictures whose colours spell out perfect maps, and a network that reads them.

Red and green of an object's pixel are the horizontal and vertical map (1 to 255), both 0 outside
of objects; blue is 128 for region 1, plus 40 times the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from napari_coseg.models.coseg.config import CosegConfig
from napari_coseg.models.coseg.network import CosegOutput
from napari_coseg.types import ClassTable
from napari_coseg.weights.card import ModelCard, classes_of

#: A network as small as they come.
TINY = CosegConfig(
    encoder="resnet10t",
    region_classes=1,
    instance_classes=2,
    tile=64,
    width=32,
    mlp_width=64,
    heads=2,
    depth=1,
    pixel_channels=(16, 8, 8),
    instance_stride=2,
    state_width=16,
    state_size=4,
    spatial_width=8,
)


class ReadingNetwork(nn.Module):
    """Reads the maps off the colours; counts how many tiles it saw."""

    def __init__(self, tile: int = 64) -> None:
        super().__init__()
        self.config = CosegConfig(
            encoder="none",
            region_classes=1,
            instance_classes=2,
            tile=tile,
            instance_stride=2,
            pixel_channels=(64, 32, 16),
        )
        self.tiles = 0
        # Several threads may ask at once.
        self._lock = Lock()

    def forward(self, images: Tensor, tasks: Sequence[str]) -> CosegOutput:
        with self._lock:
            self.tiles += len(images)
        red, green, blue = (images * 255).round().unbind(1)
        if tuple(tasks) == ("regions",):
            inside = 0.25 * (avg_pool2d(blue[:, None], 4) - 104)
            return CosegOutput(regions=torch.cat([-inside, inside], 1))
        hit = ((red > 0) & (green > 0)).float()
        hv = torch.stack([(red - 128) / 127, (green - 128) / 127], 1) * hit[:, None]
        kind = ((blue % 128) / 40).round()
        chances = torch.stack([(kind == i).float() for i in range(3)], 1)
        return CosegOutput(
            foreground=16 * avg_pool2d(hit[:, None], 2) - 8,
            hv=avg_pool2d(hv, 2),
            classes=12 * avg_pool2d(chances, 2),
        )


@dataclass(frozen=True)
class FakeModel:
    network: nn.Module = field(default_factory=ReadingNetwork)
    card: ModelCard = field(default_factory=lambda: card())
    sha256: str = "ab" * 32


def card(region_mpp: float | None = 1.0, instance_mpp: float | None = 0.25) -> ModelCard:
    return ModelCard(
        name="reader",
        region_classes=classes_of(ClassTable.from_names(["gland"])),
        instance_classes=classes_of(ClassTable.from_names(["round", "long"])),
        region_mpp=region_mpp,
        instance_mpp=instance_mpp,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


@dataclass
class Truth:
    image: np.ndarray
    labels: np.ndarray
    classes: dict[int, int]
    regions: np.ndarray


def picture(rows: int, columns: int, count: int, seed: int = 0, radius: int = 9) -> Truth:
    """Ellipses that may touch but do not overlap, and one large region."""
    draw = np.random.default_rng(seed)
    labels = np.zeros((rows, columns), np.int32)
    image = np.zeros((rows, columns, 3), np.uint8)
    down, across = np.mgrid[:rows, :columns]
    high, wide = (down - rows / 2) / (rows / 2.5), (across - columns / 3) / (columns / 4)
    regions = (high**2 + wide**2 < 1).astype(np.uint8)
    image[..., 2] = 128 * regions
    classes: dict[int, int] = {}
    for _ in range(count):
        row, column = draw.uniform(0, rows), draw.uniform(0, columns)
        a, b = draw.uniform(0.6, 1, 2) * radius
        top, left = max(0, int(row - radius - 1)), max(0, int(column - radius - 1))
        view = np.s_[top : int(row + radius + 2), left : int(column + radius + 2)]
        shape = ((down[view] - row) / a) ** 2 + ((across[view] - column) / b) ** 2 < 1
        if (labels[view][shape] > 0).any() or shape.sum() < 40:
            continue
        number = len(classes) + 1
        classes[number] = int(draw.integers(1, 3))
        labels[view][shape] = number
        dr, dc = down[view][shape], across[view][shape]
        for channel, offset in ((0, dc - dc.mean()), (1, dr - dr.mean())):
            scaled = np.where(offset < 0, offset / -offset.min(), offset / offset.max())
            image[view][..., channel][shape] = np.round(128 + 127 * scaled).astype(np.uint8)
        image[view][..., 2][shape] += np.uint8(40 * classes[number])
    return Truth(image, labels, classes, regions)


def same_objects(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two label images hold the same sets of pixels under whatever ids."""
    if ((a > 0) != (b > 0)).any():
        return False
    pairs = np.unique(np.stack([a[a > 0], b[a > 0]]), axis=1)
    return len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
