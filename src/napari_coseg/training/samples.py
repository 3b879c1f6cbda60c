"""Draws training samples from labelled images, the same ones for the same seed and number."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from napari_coseg.training.augment import augment
from napari_coseg.training.config import AugmentSection, ModelSection
from napari_coseg.training.drawing import Kept, Wheel
from napari_coseg.training.immunostain import Known, immunostain
from napari_coseg.training.items import PreparedItem, TrainingSet, prepare_item
from napari_coseg.training.targets import hv_maps
from napari_coseg.training.warp import Warp
from napari_coseg.types import IGNORE

#: Value of instance labels outside of the image: neither an object nor background.
OUTSIDE = -1


class SampleDataset(Dataset[dict[str, Tensor]]):
    """Sample number i of a run, drawn by (seed, i) alone.

    So a resumed run goes on with the very samples that it would have seen, and neither the number
    of loader processes nor their order matters.

    Parameters
    ----------
    sets : sequence of TrainingSet
    model : ModelSection
    settings : AugmentSection
    count : int
        Samples of the whole run.
    seed : int
    weights : ndarray of float64, (classes + 1,)
        Of the instance classes, see `napari_coseg.training.survey.class_weights`.
    """

    def __init__(
        self,
        sets: Sequence[TrainingSet],
        model: ModelSection,
        settings: AugmentSection,
        count: int,
        seed: int,
        weights: npt.NDArray[np.float64],
    ) -> None:
        self._wheel = Wheel(sets, seed)
        self.sets = self._wheel.sets
        self.model = model
        self.settings = settings
        self.count = count
        self.seed = seed
        self.class_weights = weights
        self._prepared: Kept[tuple[int, int, str], PreparedItem] = Kept()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.seed, index])
        chosen = self._wheel.of_sample(index)
        one = self.sets[chosen]
        number = int(rng.integers(len(one.items)))
        labels = one.items[number].labels
        tasks = [t for t in ("regions", "instances") if t in labels] or ["regions"]
        task = tasks[int(rng.integers(len(tasks)))]
        sample = self._draw(self._prepare(chosen, number, task), task, rng)
        sample["teach"] = torch.tensor([t in one.teacher for t in ("regions", "instances")])
        return sample

    def _prepare(self, set_index: int, number: int, task: str) -> PreparedItem:
        one = self.sets[set_index]
        return self._prepared.get(
            (set_index, number, task),
            lambda: prepare_item(
                one, one.items[number], self._mpp(task), self._range(task)[0], self.class_weights
            ),
        )

    def _mpp(self, task: str) -> float:
        return self.model.region_mpp if task == "regions" else self.model.instance_mpp

    def _range(self, task: str) -> tuple[float, float]:
        regions = task == "regions"
        return self.settings.region_scale if regions else self.settings.instance_scale

    def _draw(self, item: PreparedItem, task: str, rng: np.random.Generator) -> dict[str, Tensor]:
        tile = self.model.network.tile
        low, high = self._range(task)
        mpp = self._mpp(task) * math.exp(rng.uniform(math.log(low), math.log(high)))
        factor = mpp / item.mpp
        centre = _pick_centre(item, tile * factor, rng)
        angle = rng.uniform(-math.pi / 4, math.pi / 4) if self.settings.rotate else 0.0
        # Drawn in any case: a switch shall not change which samples a seed gives.
        quarter, mirror = int(rng.integers(4)), bool(rng.integers(2))
        quarter = quarter if self.settings.quarter_turns else 0
        mirror = mirror and self.settings.flip
        warp = Warp(centre, factor, angle + quarter * math.pi / 2, mirror)

        # Beside a picture the slide goes on white; beside a volume's plane is air.
        beside = 255 if self.model.planes is None else 0
        picture = warp.apply(item.image, tile, 1, Image.Resampling.BILINEAR, (beside,) * 3)
        image = np.asarray(picture)
        if self.settings.immunostain and rng.random() < self.settings.immunostain:
            image = immunostain(image, _known(warp, item, tile), rng)
        image = augment(image, self.settings, rng)
        stride = self.model.network.instance_stride
        sample = {"image": torch.from_numpy(image.copy())}
        sample["regions"] = torch.from_numpy(
            _labels(warp, item.regions, tile, 4, IGNORE).astype(np.uint8)
        )
        instances = _labels(warp, item.instances, tile, stride, OUTSIDE).astype(np.int32)
        sample["instances"] = torch.from_numpy(instances)
        sample["hv"] = torch.from_numpy(hv_maps(instances))
        classes = _labels(warp, item.classes, tile, stride, IGNORE).astype(np.uint8)
        # Where nuclei are annotated without classes, background is known all the same.
        classes = np.where(instances == 0, 0, classes)
        classes = np.where(instances < 0, IGNORE, classes).astype(np.uint8)
        sample["classes"] = torch.from_numpy(classes)
        return sample


def _labels(
    warp: Warp, labels: Image.Image | None, tile: int, stride: int, outside: int
) -> npt.NDArray[np.integer]:
    side = tile // stride
    if labels is None:
        return np.full((side, side), outside)
    return np.asarray(warp.apply(labels, tile, stride, Image.Resampling.NEAREST, outside))


def _known(warp: Warp, item: PreparedItem, tile: int) -> Known:
    """Return what is known of a sample, pixel by pixel."""
    regions, instances, classes = (
        None if part is None else _labels(warp, part, tile, 1, outside)
        for part, outside in (
            (item.regions, IGNORE),
            (item.instances, OUTSIDE),
            (item.classes, IGNORE),
        )
    )
    return Known(
        None if regions is None else regions.astype(np.uint8),
        None if classes is None else classes.astype(np.uint8),
        None if instances is None else instances.astype(np.int32),
    )


def _pick_centre(
    item: PreparedItem, extent: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Choose a random object, moved by up to a third of the sample, or anywhere in the image."""
    columns, rows = item.image.size
    if item.centres.size and rng.random() < 0.7:
        chosen = rng.choice(len(item.centres), p=item.centre_weights)
        row, column = item.centres[chosen] + rng.uniform(-extent / 3, extent / 3, 2)
    else:
        row, column = rng.uniform(0, rows), rng.uniform(0, columns)
    margin_row, margin_column = min(extent / 2, rows / 2), min(extent / 2, columns / 2)
    return (
        float(np.clip(row, margin_row, rows - margin_row)),
        float(np.clip(column, margin_column, columns - margin_column)),
    )
