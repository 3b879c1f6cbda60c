"""Lizard: nuclei of six classes in colon tissue, H&E, 20x.

Graham et al. 2021, "Lizard: A Large-Scale Dataset for Colonic Nuclear Instance Segmentation and
Classification", arXiv:2108.11195. As published::

    lizard_images1/Lizard_Images1/NAME.png    lizard_images2/Lizard_Images2/NAME.png
    lizard_labels/Lizard_Labels/Labels/NAME.mat
    lizard_labels/Lizard_Labels/info.csv      Filename, Source, Split (fold 1, 2 or 3)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_coseg.datasets.labelled import (
    Format,
    Item,
    ItemFault,
    LabelledDataset,
    LabelledImage,
    OpenOptions,
)
from napari_coseg.datasets.mapping import read_mapping
from napari_coseg.datasets.nucleus_labels import (
    LIZARD_CLASSES,
    InfoRow,
    read_info,
    read_nuclei,
)
from napari_coseg.datasets.pixels import read_picture, refuse_planes
from napari_coseg.datasets.published_classes import (
    TABLE,
    PublishedClasses,
    parts_of_folds,
    same,
)
from napari_coseg.datasets.tree import files_below, folders_below, in_order
from napari_coseg.types import CosegError

#: Nominal µm per pixel at 20x.
MPP = 0.5
#: Part of each published fold, unless a mapping file says otherwise.
FOLDS = {1: "train", 2: "validation", 3: "test"}

# What DigestPath adds to a slide's name: level, then place and size of the cut.
_CUT = re.compile(r"-lv\d+-\d+-\d+-\d+-\d+(_\d+)?$")


class LizardDataset(LabelledDataset):
    """Nuclei of colon tissue.

    Cuts of one slide are of one group, as far as ``info.csv`` names slides (DigestPath's).

    Parameters
    ----------
    root : Path or str
        Folder that the archives were unpacked in; images and labels are found below it.
    options : OpenOptions, optional
        A mapping file may have tables ``[instances]`` (each published class = class,
        ``"background"`` or ``"ignore"``) and ``[parts]`` (part = list of folds).

    Raises
    ------
    CosegError
        If no image or label is found, or the mapping file or ``info.csv`` is wrong.
    """

    format = Format(
        "lizard",
        "Lizard",
        "README.txt, read_label.py and info.csv of the set; arXiv:2108.11195",
        (
            "The µm of a pixel are not published: 0.5 is taken, 20x nominally; images of GlaS "
            "(0.62) and others may differ.",
            "The folds are published for cross-validation: 1 is taken for training, 2 for "
            "validation and 3 as test, unless a mapping file says otherwise.",
        ),
    )

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        self.root = Path(root)
        self.name = self.format.title
        self.license = "CC BY-NC-SA 4.0"
        self.mpp = MPP if options is None or options.mpp is None else options.mpp
        where = None if options is None else options.mapping
        mapping = read_mapping(where, (TABLE, "parts"))
        self._published = PublishedClasses.of(LIZARD_CLASSES, same(LIZARD_CLASSES), mapping, where)
        self.instance_classes = self._published.table
        parts = parts_of_folds(mapping, FOLDS, where)
        self.items, self.faults = _find_items(self.root, parts)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder has one of Lizard's folders of images."""
        return any(
            folder.name.lower().startswith("lizard_images") for folder in folders_below(root, 1)
        )

    def read(self, item: Item, planes: Sequence[float] | None = None) -> LabelledImage:
        """Read an item's image and labels; see `LabelledDataset.read`."""
        refuse_planes(item, planes)
        image = read_picture(item.image)
        instances, classes = read_nuclei(item.labels["instances"], image, self._published)
        return LabelledImage(image, self.mpp, instances=instances, classes=classes)


def _find_items(
    root: Path, parts: Mapping[int, str]
) -> tuple[tuple[Item, ...], tuple[ItemFault, ...]]:
    files, faults = files_below(root, (".png", ".mat", ".csv"))
    images: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    info: dict[str, InfoRow] = {}
    for path in files:
        if path.suffix.lower() == ".csv":
            info |= read_info(path) if path.name.lower() == "info.csv" else {}
            continue
        kind = images if path.suffix.lower() == ".png" else labels
        if path.stem in kind:
            faults.append(ItemFault(path.name, f"{kind[path.stem]} and {path} have one name."))
        else:
            kind[path.stem] = path
    if not images or not labels:
        raise CosegError(
            f"{root} has {len(images)} images (.png) and {len(labels)} labels (.mat) of Lizard: "
            "unpack its three archives there."
        )
    items = []
    for name in sorted(images.keys() | labels.keys() | info.keys(), key=in_order):
        fault = _fault_of(name, images, labels, info, parts)
        if fault is not None:
            faults.append(ItemFault(name, fault))
            continue
        row = info.get(name)
        items.append(
            Item(
                name=name,
                image=images[name],
                labels=dict.fromkeys(("instances", "classes"), labels[name]),
                group=_group(name, row),
                part=None if row is None else parts[row.fold],
            )
        )
    return tuple(items), tuple(faults)


def _fault_of(
    name: str,
    images: Mapping[str, Path],
    labels: Mapping[str, Path],
    info: Mapping[str, InfoRow],
    parts: Mapping[int, str],
) -> str | None:
    if name not in images and name not in labels:
        return "info.csv has it, but there is neither an image nor a label of it."
    if name not in images:
        return f"{labels[name]} has no image: unpack both archives of images."
    if name not in labels:
        return f"{images[name]} has no label: unpack the archive of labels."
    if info and name not in info:
        return f"{images[name]} is not in info.csv, so that nobody knows its fold."
    if info and info[name].fold not in parts:
        return f"info.csv has it in fold {info[name].fold}, which belongs to no part."
    return None


def _group(name: str, row: InfoRow | None) -> str:
    """Slide of an image, or its own name."""
    if row is not None and name.startswith("dpath_") and _CUT.search(row.source):
        return _CUT.sub("", row.source)
    return name
