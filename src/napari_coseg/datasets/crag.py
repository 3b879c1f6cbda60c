"""CRAG: glands of colorectal adenocarcinoma, H&E, 20x.

Graham et al. 2019, "MILD-Net: Minimal information loss dilated network for gland instance
segmentation in colon histology images", Medical Image Analysis 52. As published (version 2)::

    train/Images/train_1.png  train/Annotation/train_1.png  train/Overlay/...
    valid/Images/test_1.png   valid/Annotation/test_1.png   valid/Overlay/...

One id a gland. Nuclei of some of the images are published with Lizard.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_coseg.datasets.labelled import (
    Format,
    Item,
    ItemFault,
    LabelledDataset,
    LabelledImage,
    OpenOptions,
)
from napari_coseg.datasets.mapping_files import MappingFile
from napari_coseg.datasets.nucleus_labels import (
    LIZARD_IDS,
    MERGED_CLASSES,
    find_nuclei,
    read_nuclei,
)
from napari_coseg.datasets.paired_folders import find_pairs, named_folder
from napari_coseg.datasets.pixels import read_picture, refuse_planes
from napari_coseg.datasets.tree import find_folder
from napari_coseg.imaging.labels import read_labels
from napari_coseg.types import ClassTable, CosegError

#: Nominal µm per pixel at 20x.
MPP = 0.5

# The README calls the second part the test set; its folder's name is `valid`.
_PARTS = {"train": "train", "valid": "test", "test": "test"}
_LABELS = ("Annotation", "Annotations")


class CragDataset(LabelledDataset):
    """Glands of colorectal adenocarcinoma, and nuclei where their labels are there.

    Nuclei lie in ``ROOT/nuclei``, or where the mapping file says: Lizard's ``.mat`` files with its
    ``info.csv``, or files named as the images. They have the three classes of Co-Seg++.

    Parameters
    ----------
    root : Path or str
        The folder with ``train`` and ``valid``, or one above it.
    options : OpenOptions, optional
        A mapping file may have ``nuclei`` (folder), ``classes`` (a table of class name = Lizard's
        ids) and ``ignored`` (ids).

    Raises
    ------
    CosegError
        If there is no image, or the mapping file or a table is wrong.
    """

    format = Format(
        "crag",
        "CRAG",
        "README of the set (version 2); info.csv of Lizard for nuclei",
        (
            "The µm of a pixel are not in the README: 0.5 is taken, 20x nominally.",
            "Slides and patients are not published: each image is a group of its own.",
            "Whether Lizard's labels of an image have its size: one that has not is refused.",
            "Co-Seg++ has 216 patches of 996 x 996 made of the images that have nuclei; which "
            "ones, and how they are named, is not published.",
        ),
    )

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        self.root = Path(root)
        self.name = self.format.title
        self.license = "research use, citation required"
        self.mpp = MPP if options is None or options.mpp is None else options.mpp
        self.region_classes = ClassTable.from_names(["gland"])
        mapping = MappingFile.read(options, ("nuclei", "classes", "ignored"))
        self._merging = mapping.merging(MERGED_CLASSES, LIZARD_IDS)
        folder = find_folder(self.root, _has_parts)
        if folder is None:
            raise CosegError(f"{self.root} has no train/Images with train/Annotation beside it.")
        self.items, self.faults = _find_items(folder, mapping)
        if "instances" in self.kinds:
            self.instance_classes = self._merging.table

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder, or one in it, has a part of CRAG."""
        return find_folder(root, _has_parts) is not None

    def read(self, item: Item, planes: Sequence[float] | None = None) -> LabelledImage:
        """Read an item's image and labels; see `LabelledDataset.read`."""
        refuse_planes(item, planes)
        image = read_picture(item.image)
        glands = read_labels(item.labels["regions"], expected_shape=image.shape[:2])
        nuclei = item.labels.get("instances")
        instances, classes = (
            (None, None) if nuclei is None else read_nuclei(nuclei, image, self._merging)
        )
        return LabelledImage(
            image=image,
            mpp=self.mpp,
            regions=(glands > 0).astype(np.uint8),
            region_instances=glands,
            instances=instances,
            classes=classes,
        )


def _has_parts(folder: Path) -> bool:
    return any(
        (folder / part / "Images").is_dir() and named_folder(folder / part, _LABELS) is not None
        for part in _PARTS
    )


def _find_items(
    folder: Path, mapping: MappingFile
) -> tuple[tuple[Item, ...], tuple[ItemFault, ...]]:
    pairs, faults = find_pairs(folder, _PARTS, _LABELS, ".png")
    nuclei, wrong = find_nuclei(folder, mapping, "crag", [pair.name for pair in pairs])
    items = []
    for pair in pairs:
        own = dict.fromkeys(("regions", "region_instances"), pair.label)
        if pair.name in nuclei:
            own |= dict.fromkeys(("instances", "classes"), nuclei[pair.name])
        items.append(Item(pair.name, pair.image, own, pair.name, part=pair.part))
    return tuple(items), tuple(faults + wrong)
