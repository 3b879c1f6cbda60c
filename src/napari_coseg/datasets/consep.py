"""CoNSeP: nuclei of seven types in colorectal adenocarcinoma, H&E, 40x.

Graham et al. 2019, "HoVer-Net: Simultaneous segmentation and classification of nuclei in
multi-tissue histology images", Medical Image Analysis 58. As published::

    Train/Images/train_1.png  Train/Labels/train_1.mat  Train/Overlay/...
    Test/Images/test_1.png    Test/Labels/test_1.mat    Test/Overlay/...

Each ``.mat`` has ``inst_map`` and ``type_map`` (rows, columns); ``inst_type`` and
``inst_centroid`` repeat them by nucleus and are not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.labelled import (
    Format,
    Item,
    LabelledDataset,
    LabelledImage,
    OpenOptions,
)
from napari_coseg.datasets.mapping import read_mapping
from napari_coseg.datasets.matlab import read_mat
from napari_coseg.datasets.paired_folders import find_pairs, named_folder
from napari_coseg.datasets.pixels import (
    check_size,
    compact,
    read_picture,
    refuse_planes,
    whole_ids,
    without_background,
)
from napari_coseg.datasets.published_classes import TABLE, PublishedClasses
from napari_coseg.datasets.tree import find_folder
from napari_coseg.types import CosegError

#: Nominal µm per pixel at 40x.
MPP = 0.25
#: The seven published types.
CONSEP_TYPES = {
    1: "other",
    2: "inflammatory",
    3: "healthy epithelial",
    4: "dysplastic/malignant epithelial",
    5: "fibroblast",
    6: "muscle",
    7: "endothelial",
}
#: What HoVer-Net, and whoever compares with it, takes them for.
CONSEP_CLASSES = {
    "other": "miscellaneous",
    "inflammatory": "inflammatory",
    "healthy epithelial": "epithelial",
    "dysplastic/malignant epithelial": "epithelial",
    "fibroblast": "spindle",
    "muscle": "spindle",
    "endothelial": "spindle",
}

_PARTS = {"Train": "train", "Test": "test"}
_LABELS = ("Labels",)


class ConsepDataset(LabelledDataset):
    """Nuclei of colorectal adenocarcinoma.

    A nucleus has the type that most of its pixels have.

    Parameters
    ----------
    root : Path or str
        The folder with ``Train`` and ``Test``, or one above it.
    options : OpenOptions, optional
        A mapping file may have a table ``[instances]`` (each published type = class,
        ``"background"`` or ``"ignore"``); without it the seven are HoVer-Net's four classes.

    Raises
    ------
    CosegError
        If there is no image, or the mapping file is wrong.
    """

    format = Format(
        "consep",
        "CoNSeP",
        "README.txt of the set; vqdang/hover_net issue 69 for the four classes",
        (
            "The µm of a pixel are not in the README: 0.25 is taken, 40x nominally.",
            "Which of the 16 patients an image is of is not published: each is a group of its own.",
        ),
    )

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        self.root = Path(root)
        self.name = self.format.title
        self.license = "CC BY-NC-SA 4.0"
        self.mpp = MPP if options is None or options.mpp is None else options.mpp
        where = None if options is None else options.mapping
        mapping = read_mapping(where, (TABLE,))
        self._published = PublishedClasses.of(CONSEP_TYPES, CONSEP_CLASSES, mapping, where)
        self.instance_classes = self._published.table
        folder = find_folder(self.root, _has_parts)
        if folder is None:
            raise CosegError(f"{self.root} has no Train/Images with Train/Labels beside it.")
        pairs, faults = find_pairs(folder, _PARTS, _LABELS, ".mat")
        self.items = tuple(
            Item(
                pair.name,
                pair.image,
                dict.fromkeys(("instances", "classes"), pair.label),
                pair.name,
                part=pair.part,
            )
            for pair in pairs
        )
        self.faults = tuple(faults)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder, or one in it, has a part of CoNSeP."""
        return find_folder(root, _has_parts) is not None

    def read(self, item: Item, planes: Sequence[float] | None = None) -> LabelledImage:
        """Read an item's image and labels; see `LabelledDataset.read`."""
        refuse_planes(item, planes)
        path = item.labels["instances"]
        image = read_picture(item.image)
        found = read_mat(path, ("inst_map", "type_map"))
        for name in found:
            check_size(path, found[name], image)
        instances = whole_ids(path, found["inst_map"], "inst_map")
        types = whole_ids(path, found["type_map"], "type_map")
        classes = _of_nuclei(instances, types > 0, self._published.apply(types, path), path)
        return LabelledImage(
            image,
            self.mpp,
            instances=without_background(instances, classes),
            classes=classes,
        )


def _has_parts(folder: Path) -> bool:
    return any(
        (labels := named_folder(folder / part, _LABELS)) is not None and any(labels.glob("*.mat"))
        for part in _PARTS
    )


def _of_nuclei(
    instances: npt.NDArray[np.int32],
    typed: npt.NDArray[np.bool_],
    classes: npt.NDArray[np.uint8],
    path: Path,
) -> npt.NDArray[np.uint8]:
    """Give each nucleus one class, that of most of its pixels that have a type."""
    drawn, nuclei = compact(instances)
    counts = np.bincount(nuclei[typed] * 256 + classes[typed], minlength=drawn.size * 256).reshape(
        drawn.size, 256
    )
    without = drawn[(drawn > 0) & ~counts.any(axis=1)]
    if without.size:
        raise CosegError(f"{path} has no type for the nucleus {without[0]}.")
    own: npt.NDArray[np.uint8] = counts.argmax(axis=1).astype(np.uint8)
    own[drawn == 0] = 0
    return own[nuclei]
