"""Draws training samples from labelled images, the same ones for the same seed and number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from napari_coseg.datasets.folder import FolderDataset, FolderItem
from napari_coseg.training.augment import augment
from napari_coseg.training.config import AugmentSection, DataSection, ModelSection
from napari_coseg.training.targets import hv_maps
from napari_coseg.types import IGNORE, ClassTable, CosegError

#: Value of instance labels outside of the image: neither an object nor background.
OUTSIDE = -1
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class TrainingSet:
    """A data set's items for training, with its class ids turned into the model's.

    Attributes
    ----------
    region_ids, instance_ids : ndarray of uint8, (256,)
        Model's id for each id of the data set; 255 where it takes no part.
    weight : float
        Share of the samples.
    """

    dataset: FolderDataset
    items: tuple[FolderItem, ...]
    weight: float
    region_ids: npt.NDArray[np.uint8]
    instance_ids: npt.NDArray[np.uint8]


def training_set(
    dataset: FolderDataset,
    items: Sequence[FolderItem],
    section: DataSection,
    model: ModelSection,
) -> TrainingSet:
    """Match a data set's classes with the model's by name.

    Raises
    ------
    CosegError
        If a class has no counterpart and is not declared as "ignore".
    """
    return TrainingSet(
        dataset=dataset,
        items=tuple(items),
        weight=section.weight,
        region_ids=_id_table(
            dataset.region_classes, section.region_names, model.region_classes, dataset.name
        ),
        instance_ids=_id_table(
            dataset.instance_classes, section.instance_names, model.instance_classes, dataset.name
        ),
    )


def _id_table(
    classes: ClassTable, renamed: dict[str, str], names: Sequence[str], where: str
) -> npt.NDArray[np.uint8]:
    table = np.full(256, IGNORE, np.uint8)
    table[0] = 0
    for info in classes:
        name = renamed.get(info.name, info.name)
        if name == "ignore":
            continue
        if name not in names:
            raise CosegError(
                f"{where} has the class {info.name!r}, which the model has not: name the model's "
                f'class for it ({", ".join(names)}) or "ignore" in the config\'s data section.'
            )
        table[info.id] = names.index(name) + 1
    return table


@dataclass
class _Prepared:
    """An item at the resolution that samples of a task are cut from."""

    image: Image.Image
    regions: Image.Image | None
    instances: Image.Image | None
    classes: Image.Image | None
    mpp: float
    centres: npt.NDArray[np.float64]
    centre_weights: npt.NDArray[np.float64]


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
    """

    def __init__(
        self,
        sets: Sequence[TrainingSet],
        model: ModelSection,
        settings: AugmentSection,
        count: int,
        seed: int,
    ) -> None:
        self.sets = [one for one in sets if one.items]
        if not self.sets:
            raise CosegError("No image is left to train on: every item is held out.")
        self.model = model
        self.settings = settings
        self.count = count
        self.seed = seed
        weights = np.array([one.weight for one in self.sets], float)
        self.shares = np.cumsum(weights / weights.sum())
        self.class_weights = class_weights(self.sets, len(model.instance_classes))
        self._prepared: dict[tuple[int, int, str], _Prepared] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.seed, index])
        # Golden-ratio steps spread the sets evenly over every batch; the seed turns the wheel.
        turn = (index * _GOLDEN + np.random.default_rng(self.seed).random()) % 1.0
        chosen = int(np.searchsorted(self.shares, turn, side="right"))
        one = self.sets[min(chosen, len(self.sets) - 1)]
        number = int(rng.integers(len(one.items)))
        labels = one.items[number].labels
        tasks = [t for t in ("regions", "instances") if t in labels] or ["regions"]
        task = tasks[int(rng.integers(len(tasks)))]
        return self._draw(self._prepare(self.sets.index(one), number, task), task, rng)

    def _prepare(self, set_index: int, number: int, task: str) -> _Prepared:
        key = (set_index, number, task)
        if key not in self._prepared:
            one = self.sets[set_index]
            self._prepared[key] = _prepare_item(
                one, one.items[number], self._mpp(task), self._range(task)[0], self.class_weights
            )
        return self._prepared[key]

    def _mpp(self, task: str) -> float:
        return self.model.region_mpp if task == "regions" else self.model.instance_mpp

    def _range(self, task: str) -> tuple[float, float]:
        regions = task == "regions"
        return self.settings.region_scale if regions else self.settings.instance_scale

    def _draw(self, item: _Prepared, task: str, rng: np.random.Generator) -> dict[str, Tensor]:
        tile = self.model.network.tile
        low, high = self._range(task)
        mpp = self._mpp(task) * math.exp(rng.uniform(math.log(low), math.log(high)))
        factor = mpp / item.mpp
        centre = _pick_centre(item, tile * factor, rng)
        angle = rng.uniform(-math.pi / 4, math.pi / 4) if self.settings.rotate else 0.0
        quarter, mirror = int(rng.integers(4)), bool(rng.integers(2))
        warp = _Warp(centre, factor, angle + quarter * math.pi / 2, mirror)

        picture = warp.apply(item.image, tile, 1, Image.Resampling.BILINEAR, (255, 255, 255))
        image = augment(np.asarray(picture), self.settings, rng)
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


@dataclass(frozen=True)
class _Warp:
    """Turn, scale, mirror and move: from a sample's pixels to those of its item."""

    centre: tuple[float, float]
    factor: float
    angle: float
    mirror: bool

    def apply(
        self,
        picture: Image.Image,
        tile: int,
        stride: int,
        resampling: Image.Resampling,
        outside: int | tuple[int, ...],
    ) -> Image.Image:
        """Sample at the centres of a grid of `tile` / `stride` cells a side."""
        step = self.factor * stride
        cosine, sine = math.cos(self.angle) * step, math.sin(self.angle) * step
        flip = -1.0 if self.mirror else 1.0
        half = tile / stride / 2
        row, column = self.centre
        # PIL asks for x and y in continuous coordinates, in which a pixel's centre is at 0.5.
        a, b, d, e = flip * cosine, -sine, flip * sine, cosine
        c = column - a * half - b * half
        f = row - d * half - e * half
        size = (tile // stride, tile // stride)
        return picture.transform(
            size, Image.Transform.AFFINE, (a, b, c, d, e, f), resampling, fillcolor=outside
        )


def _labels(
    warp: _Warp, labels: Image.Image | None, tile: int, stride: int, outside: int
) -> npt.NDArray[np.integer]:
    side = tile // stride
    if labels is None:
        return np.full((side, side), outside)
    return np.asarray(warp.apply(labels, tile, stride, Image.Resampling.NEAREST, outside))


def _pick_centre(item: _Prepared, extent: float, rng: np.random.Generator) -> tuple[float, float]:
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


def _prepare_item(
    one: TrainingSet,
    item: FolderItem,
    mpp: float,
    lowest: float,
    weights: npt.NDArray[np.float64],
) -> _Prepared:
    read = one.dataset.read(item)
    own = one.dataset.mpp
    # Much finer pixels than any sample needs would alias: shrink once, with antialiasing.
    target = max(own, mpp * lowest)
    factor = own / target
    size = tuple(max(1, round(side * factor)) for side in read.image.shape[1::-1])
    shrink = size != read.image.shape[1::-1]

    def scaled(labels: npt.NDArray[np.integer] | None, kind: type) -> Image.Image | None:
        if labels is None:
            return None
        picture = Image.fromarray(labels.astype(kind))
        return picture.resize(size, Image.Resampling.NEAREST) if shrink else picture

    image = Image.fromarray(read.image)
    regions = None if read.regions is None else one.region_ids[read.regions]
    classes = None if read.classes is None else one.instance_ids[read.classes]
    centres, chance = _object_centres(read.instances, classes, weights)
    return _Prepared(
        image=image.resize(size, Image.Resampling.BOX) if shrink else image,
        regions=scaled(regions, np.uint8),
        instances=scaled(read.instances, np.int32),
        classes=scaled(classes, np.uint8),
        mpp=target,
        centres=centres * factor,
        centre_weights=chance,
    )


def _object_centres(
    instances: npt.NDArray[np.int32] | None,
    classes: npt.NDArray[np.uint8] | None,
    weights: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Centre of each object and the chance to be drawn, 1 / sqrt(frequency of its class)."""
    if instances is None or not (instances > 0).any():
        return np.zeros((0, 2)), np.zeros(0)
    row, column = np.nonzero(instances > 0)
    _, first, group = np.unique(instances[row, column], return_index=True, return_inverse=True)
    count = np.bincount(group)
    centres = np.stack([np.bincount(group, row), np.bincount(group, column)], 1) / count[:, None]
    chance = np.ones(len(count))
    if classes is not None:
        found = classes[row[first], column[first]]
        known = (found > 0) & (found < len(weights))
        chance[known] = weights[found[known]]
    return centres, chance / chance.sum()


def class_weights(
    sets: Sequence[TrainingSet], classes: int, cap: float = 4.0
) -> npt.NDArray[np.float64]:
    """1 / sqrt(frequency) of each instance class among objects, at most `cap` times the least.

    Returns
    -------
    ndarray of float64, (classes + 1,)
        Background's weight is 1, and so is a class's without any object.
    """
    counts = np.zeros(classes + 1)
    for one in sets:
        for item in one.items:
            if "classes" not in item.labels or "instances" not in item.labels:
                continue
            read = one.dataset.read(item)
            if read.instances is None or read.classes is None:
                continue
            _, first = np.unique(read.instances, return_index=True)
            found = one.instance_ids[read.classes.ravel()[first]]
            found = found[(found > 0) & (found <= classes)]
            counts += np.bincount(found, minlength=classes + 1)
    weights = np.ones(classes + 1)
    seen = counts > 0
    if seen.any():
        raw = 1 / np.sqrt(counts[seen])
        weights[seen] = np.minimum(raw / raw.min(), cap)
    return weights
