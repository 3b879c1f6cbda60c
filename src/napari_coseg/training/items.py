"""Labelled images as training sees them: a data set's classes are the model's, at its scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_coseg.datasets.labelled import Item, LabelledDataset, LabelledImage
from napari_coseg.datasets.many_items import ManyItems
from napari_coseg.imaging.volumes import read_grid
from napari_coseg.inference.volumes import LOWER, UPPER
from napari_coseg.training.config import DataSection, ModelSection
from napari_coseg.types import IGNORE, ClassTable, CosegError


@dataclass(frozen=True)
class TrainingSet:
    """A data set's items for training, with its class ids turned into the model's.

    Attributes
    ----------
    region_ids, instance_ids : ndarray of uint8, (256,)
        Model's id for each id of the data set; 255 where it takes no part. Where the set does not
        know one of the model's region classes, its background may be that class: 255 too.
    weight : float
        Share of the samples.
    teacher : tuple of str
        Tasks that a teacher may fill in.
    planes : tuple of float, or None
        The model's, see `ModelSection`.
    """

    dataset: LabelledDataset
    items: Sequence[Item]
    weight: float
    region_ids: npt.NDArray[np.uint8]
    instance_ids: npt.NDArray[np.uint8]
    teacher: tuple[str, ...] = ("regions", "instances")
    planes: tuple[float, float, float] | None = None

    def read(self, item: Item) -> LabelledImage:
        """Read an item as the model sees it.

        Raises
        ------
        CosegError
            As `LabelledDataset.read` does, or if nobody knows how large a pixel is.
        """
        read = self.dataset.read(item, self.planes)
        if not read.mpp > 0:
            raise CosegError(
                f"Nobody knows how large a pixel of {item.name} of {self.dataset.name} is: set mpp "
                "for this data set."
            )
        return read

    def known(self, task: str) -> frozenset[int]:
        """Ids of the model's classes that this set annotates."""
        ids = self.region_ids if task == "regions" else self.instance_ids
        return frozenset(int(i) for i in ids if i not in (0, IGNORE))


def training_set(
    dataset: LabelledDataset,
    items: Sequence[Item],
    section: DataSection,
    model: ModelSection,
) -> TrainingSet:
    """Match a data set's classes with the model's by name.

    Raises
    ------
    CosegError
        If a class has no counterpart and is not declared as "ignore", or the model is of jaws,
        which it sees axially, and the planes of a volume are not axial.
    """
    of_jaws = {UPPER, LOWER} <= set(model.region_classes)
    # Sets that are too large for a list are of pictures.
    if model.planes is not None and of_jaws and not isinstance(items, ManyItems):
        _check_axial(items)
    regions = _id_table(
        dataset.region_classes, section.region_names, model.region_classes, dataset.name
    )
    if len({int(i) for i in regions if i not in (0, IGNORE)}) < len(model.region_classes):
        regions[0] = IGNORE
    return TrainingSet(
        dataset=dataset,
        items=items if isinstance(items, ManyItems) else tuple(items),
        weight=section.weight,
        teacher=section.teacher,
        planes=model.planes,
        region_ids=regions,
        instance_ids=_id_table(
            dataset.instance_classes, section.instance_names, model.instance_classes, dataset.name
        ),
    )


def _check_axial(items: Sequence[Item]) -> None:
    """Refuse volumes whose planes do not lie on each other from foot to head."""
    for path in dict.fromkeys(item.image for item in items if item.plane is not None):
        grid = read_grid(path)
        # A file that does not say how it lies may be right.
        if grid is not None and grid.superior == 0:
            raise CosegError(
                f"The planes of {path} are not axial (its axes are {grid.orientation}), and a "
                "model of jaws sees axial planes: store the volume and its labels so."
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
class PreparedItem:
    """An item at the resolution that samples of a task are cut from."""

    image: Image.Image
    regions: Image.Image | None
    instances: Image.Image | None
    classes: Image.Image | None
    mpp: float
    centres: npt.NDArray[np.float64]
    centre_weights: npt.NDArray[np.float64]

    @property
    def nbytes(self) -> int:
        """Memory, nearly."""
        columns, rows = self.image.size
        labels = (self.regions, self.instances, self.classes)
        return rows * columns * (3 + 2 * sum(part is not None for part in labels))


def prepare_item(
    one: TrainingSet,
    item: Item,
    mpp: float,
    lowest: float,
    weights: npt.NDArray[np.float64],
) -> PreparedItem:
    """Read an item and bring it near the resolution that samples are drawn at.

    Parameters
    ----------
    one : TrainingSet
    item : Item
    mpp : float
        µm per pixel of the task.
    lowest : float
        Least factor on it that a sample is drawn with.
    weights : ndarray of float64, (classes + 1,)
        Chance of an object's class to be the centre of a sample.

    Raises
    ------
    CosegError
        As `TrainingSet.read` does.
    """
    read = one.read(item)
    own = read.mpp
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
    return PreparedItem(
        image=image.resize(size, Image.Resampling.BOX) if shrink else image,
        regions=scaled(regions, np.uint8),
        instances=scaled(_known_objects(read), np.int32),
        classes=scaled(classes, np.uint8),
        mpp=target,
        centres=centres * factor,
        centre_weights=chance,
    )


def _known_objects(read: LabelledImage) -> npt.NDArray[np.int32] | None:
    """Return objects, with -1 where nobody told them apart, as samples have it beside images."""
    if read.instances is None or read.crowds is None:
        return read.instances
    return np.where(read.crowds, -1, read.instances)


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
