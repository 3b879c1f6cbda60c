"""Volumes whose grey values say what a voxel is, and a network that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volumes import Volume
from napari_coseg.inference.settings import PredictSettings
from napari_coseg.models.coseg.config import CosegConfig
from napari_coseg.models.coseg.network import CosegOutput
from napari_coseg.types import ClassTable
from napari_coseg.weights.card import ModelCard, classes_of
from tests.inference.fake import FakeModel

#: Grey values, shown as they are.
FLESH, UPPER, LOWER, TOOTH = 60, 110, 160, 240
SETTINGS = PredictSettings(window=(0.0, 255.0), overlap=16)
#: Axial from head to foot, as training sets lie.
DOWN = ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


class GreyNetwork(nn.Module):
    """Reads regions and teeth off the green channel; keeps what it saw of the first tiles."""

    def __init__(self, tile: int = 64) -> None:
        super().__init__()
        self.config = CosegConfig(
            encoder="none",
            region_classes=2,
            instance_classes=1,
            tile=tile,
            instance_stride=2,
            pixel_channels=(64, 32, 16),
        )
        self.tiles = 0
        self.tasks: set[tuple[str, ...]] = set()
        self.seen: list[np.ndarray] = []
        self._lock = Lock()

    def forward(self, images: Tensor, tasks: Sequence[str]) -> CosegOutput:
        grey = images[:, 1] * 255
        with self._lock:
            self.tiles += len(images)
            self.tasks.add(tuple(tasks))
            if len(self.seen) < 50:
                self.seen += list((images * 255).round().byte().numpy())
        output = CosegOutput()
        if "regions" in tasks:
            upper = (grey > (FLESH + UPPER) / 2) & (grey <= (UPPER + LOWER) / 2)
            lower = (grey > (UPPER + LOWER) / 2) & (grey <= (LOWER + TOOTH) / 2)
            classes = torch.stack([~upper & ~lower, upper, lower], 1).float()
            output.regions = 16 * avg_pool2d(classes, 4)
        if "instances" in tasks:
            hit = grey > (LOWER + TOOTH) / 2
            hv = torch.stack([torch.from_numpy(_offsets(mask.numpy())) for mask in hit])
            near = avg_pool2d(hit[:, None].float(), 2)
            output.foreground = 16 * near - 8
            output.hv = avg_pool2d(hv, 2)
            output.classes = torch.cat([12 - 12 * near, 12 * near], 1)
        return output


def _offsets(mask: np.ndarray) -> np.ndarray:
    """HV maps of the connected parts of a mask, (2, rows, columns)."""
    labels, _ = ndimage.label(mask)
    out = np.zeros((2, *mask.shape), np.float32)
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        at = np.nonzero(labels[box] == number)
        for channel, where in ((0, at[1]), (1, at[0])):
            offset = where - where.mean()
            reach = np.where(offset < 0, -offset.min(initial=-1), offset.max(initial=1))
            view = out[channel][box]
            view[at] = offset / reach
    return out


def volume_card(**more: object) -> ModelCard:
    facts: dict[str, object] = {
        "name": "grey-reader",
        "region_classes": classes_of(ClassTable.from_names(["upper jaw", "lower jaw"])),
        "instance_classes": classes_of(ClassTable.from_names(["tooth"])),
        "region_mpp": 400,
        "instance_mpp": 400,
        "planes": (-1.0, 0.0, 1.0),
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
    }
    return ModelCard(**{**facts, **more})  # type: ignore[arg-type]


def volume_model(tile: int = 64, **more: object) -> FakeModel:
    return FakeModel(GreyNetwork(tile), volume_card(**more))


def jaws(
    shape: tuple[int, int, int] = (50, 90, 110),
    spacing: tuple[float, float, float] = (0.4, 0.4, 0.4),
) -> tuple[Volume, np.ndarray, np.ndarray]:
    """Two jaws with three teeth each in a head, air around; true regions and teeth.

    Axial from head to foot. Teeth are 9 mm apart and 8 mm long.
    """
    place = [(np.arange(length) + 0.5) * side for length, side in zip(shape, spacing, strict=True)]
    down, back, left = np.meshgrid(*place, indexing="ij")
    size = [length * side for length, side in zip(shape, spacing, strict=True)]
    middle = [side / 2 for side in size]
    inside = ((back - middle[1]) / (0.42 * size[1])) ** 2
    inside += ((left - middle[2]) / (0.42 * size[2])) ** 2
    grey = np.where(inside < 1, FLESH, 0).astype(np.int16)
    regions, teeth = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    bone = (np.abs(back - middle[1]) < 6) & (np.abs(left - middle[2]) < 16)
    for number, (jaw, value) in enumerate(((1, UPPER), (2, LOWER))):
        top = middle[0] - 9 if number == 0 else middle[0] + 3
        layer = bone & (down > top) & (down < top + 6)
        grey[layer], regions[layer] = value, jaw
        for tooth, across in enumerate((-9, 0, 9)):
            start = middle[0] - 9.6 if number == 0 else middle[0] + 1.4
            across += 3 * number
            round_ = (back - middle[1]) ** 2 + (left - middle[2] - across) ** 2 < 2.6**2
            body = round_ & (down > start) & (down < start + 8.2)
            grey[body], regions[body] = TOOTH, 0
            teeth[body] = 3 * number + tooth + 1
    return Volume(grey, VolumeGrid(shape, spacing, (5.0, -3.0, 40.0), DOWN)), regions, teeth


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / max(1, float(one.sum() + other.sum()))
