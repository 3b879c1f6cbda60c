"""What sets of glands share: outlines by id, and nuclei that another set publishes for them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from napari_coseg.datasets.labelled import (
    Item,
    ItemFault,
    LabelledDataset,
    LabelledImage,
    OpenOptions,
)
from napari_coseg.datasets.mapping import read_mapping
from napari_coseg.datasets.nucleus_labels import (
    LIZARD_CLASSES,
    MERGED_CLASSES,
    find_nuclei,
    nuclei_folder,
    read_nuclei,
)
from napari_coseg.datasets.pixels import read_picture, refuse_planes
from napari_coseg.datasets.published_classes import TABLE, PublishedClasses
from napari_coseg.imaging.labels import read_labels
from napari_coseg.types import ClassTable


class GlandDataset(LabelledDataset):
    """Glands of colon tissue, and nuclei where their labels are there.

    Nuclei lie in the folder ``nuclei`` beside the images, or where the mapping file says: Lizard's
    ``.mat`` files with its ``info.csv``, or files named as the images. They have the three classes
    of Co-Seg++.

    Parameters
    ----------
    root : Path or str
        The set's folder, or one above it.
    options : OpenOptions, optional
        A mapping file may have ``nuclei`` (folder) and a table ``[instances]`` (each of Lizard's
        classes = class, ``"background"`` or ``"ignore"``).

    Raises
    ------
    CosegError
        If there is no image, or the mapping file or a table is wrong.
    """

    #: µm per pixel, unless somebody says otherwise.
    own_mpp: ClassVar[float]
    #: What Lizard calls the set in its names.
    prefix: ClassVar[str]

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        self.root = Path(root)
        self.name = self.format.title
        self.mpp = self.own_mpp if options is None or options.mpp is None else options.mpp
        self.region_classes = ClassTable.from_names(["gland"])
        where = None if options is None else options.mapping
        mapping = read_mapping(where, ("nuclei", TABLE))
        self._published = PublishedClasses.of(LIZARD_CLASSES, MERGED_CLASSES, mapping, where)
        folder, items, faults = self._find()
        named = nuclei_folder(mapping, where)
        nuclei, wrong = find_nuclei(folder, named, self.prefix, [item.name for item in items])
        self.items = tuple(_with_nuclei(item, nuclei) for item in items)
        self.faults = (*faults, *wrong)
        if nuclei:
            self.instance_classes = self._published.table

    @abstractmethod
    def _find(self) -> tuple[Path, list[Item], list[ItemFault]]:
        """Return the folder with the images, items with their glands, and faults."""

    def read(self, item: Item, planes: Sequence[float] | None = None) -> LabelledImage:
        """Read an item's image and labels; see `LabelledDataset.read`."""
        refuse_planes(item, planes)
        image = read_picture(item.image)
        glands = read_labels(item.labels["regions"], expected_shape=image.shape[:2])
        nuclei = item.labels.get("instances")
        instances, classes = (
            (None, None) if nuclei is None else read_nuclei(nuclei, image, self._published)
        )
        return LabelledImage(
            image=image,
            mpp=self.mpp,
            regions=(glands > 0).astype(np.uint8),
            region_instances=glands,
            instances=instances,
            classes=classes,
        )


def gland_item(name: str, image: Path, label: Path, group: str, part: str) -> Item:
    """Make an item of an image and its outlines, which are regions and instances of them."""
    labels = dict.fromkeys(("regions", "region_instances"), label)
    return Item(name, image, labels, group, part=part)


def _with_nuclei(item: Item, nuclei: Mapping[str, Path]) -> Item:
    if item.name not in nuclei:
        return item
    more = dict.fromkeys(("instances", "classes"), nuclei[item.name])
    return Item(item.name, item.image, {**item.labels, **more}, item.group, part=item.part)
