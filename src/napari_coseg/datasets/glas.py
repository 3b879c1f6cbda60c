"""GlaS: glands of colon tissue, H&E, 20x; also called Warwick-QU.

Sirinukunwattana et al. 2017, "Gland segmentation in colon histology images: The GlaS challenge
contest", Medical Image Analysis 35. As published, in one folder::

    train_1.bmp  train_1_anno.bmp  ...   testA_1.bmp  ...   testB_1.bmp  ...
    Grade.csv    name, patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)

One id a gland in each ``_anno.bmp``. Nuclei of some of the images are published with Lizard.
"""

from __future__ import annotations

import csv
import re
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
from napari_coseg.datasets.pixels import read_picture, refuse_planes
from napari_coseg.datasets.tree import files_in, find_folder
from napari_coseg.imaging.labels import read_labels
from napari_coseg.types import ClassTable, CosegError

#: µm per pixel, by the challenge's page.
MPP = 0.62005

_NAME = re.compile(r"(train|testA|testB)_(\d+)")
_PARTS = {"train": "train", "testA": "test", "testB": "test"}
_ANNO = "_anno"


class GlasDataset(LabelledDataset):
    """Glands of colon tissue, and nuclei where their labels are there.

    Nuclei lie in ``ROOT/nuclei``, or where the mapping file says: Lizard's ``.mat`` files with its
    ``info.csv``, or files named as the images. They have the three classes of Co-Seg++.

    Parameters
    ----------
    root : Path or str
        The folder with the images, or one above it.
    options : OpenOptions, optional
        A mapping file may have ``nuclei`` (folder), ``classes`` (a table of class name = Lizard's
        ids) and ``ignored`` (ids).

    Raises
    ------
    CosegError
        If there is no image, or the mapping file or a table is wrong.
    """

    format = Format(
        "glas",
        "GlaS",
        "glas.grand-challenge.org/Dataset; Grade.csv; info.csv of Lizard for nuclei",
        (
            "Whether Lizard's labels of an image have its size: one that has not is refused.",
            "Nuclei of 61 of the 165 images are published with Lizard; which ones the paper took "
            "is not.",
        ),
    )

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        self.root = Path(root)
        self.name = self.format.title
        self.license = "research use only, no commercial use"
        self.mpp = MPP if options is None or options.mpp is None else options.mpp
        self.region_classes = ClassTable.from_names(["gland"])
        mapping = MappingFile.read(options, ("nuclei", "classes", "ignored"))
        self._merging = mapping.merging(MERGED_CLASSES, LIZARD_IDS)
        folder = find_folder(self.root, _has_glands)
        if folder is None:
            raise CosegError(
                f"{self.root} has no train_1{_ANNO}.bmp or the like: unpack GlaS there."
            )
        self.items, self.faults = _find_items(folder, mapping)
        if "instances" in self.kinds:
            self.instance_classes = self._merging.table

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder, or one in it, has labels named as those of GlaS."""
        return find_folder(root, _has_glands) is not None

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


def _has_glands(folder: Path) -> bool:
    return any(_NAME.fullmatch(path.stem.removesuffix(_ANNO)) for path in folder.glob("*.bmp"))


def _find_items(
    folder: Path, mapping: MappingFile
) -> tuple[tuple[Item, ...], tuple[ItemFault, ...]]:
    files, faults = files_in(folder, (".bmp",))
    images = {path.stem: path for path in files if not path.stem.endswith(_ANNO)}
    labels = {path.stem.removesuffix(_ANNO): path for path in files if path.stem.endswith(_ANNO)}
    patients, wrong = _read_patients(folder)
    faults += wrong
    names = []
    for name in sorted(images.keys() | labels.keys(), key=_in_order):
        path = images.get(name) or labels[name]
        if _NAME.fullmatch(name) is None:
            sentence = f"{path} is not named train_, testA_ or testB_ and a number."
        elif name not in images:
            sentence = f"{path} is the label of no image: {name}.bmp is missing."
        elif name not in labels:
            sentence = f"{path} has no label: {name}{_ANNO}.bmp is missing."
        elif patients and name not in patients:
            sentence = f"{path} has no line in Grade.csv, so that nobody knows its patient."
        else:
            names.append(name)
            continue
        faults.append(ItemFault(name, sentence))
    nuclei, wrong = find_nuclei(folder, mapping, "glas", names)
    faults += wrong
    items = []
    for name in names:
        own = dict.fromkeys(("regions", "region_instances"), labels[name])
        if name in nuclei:
            own |= dict.fromkeys(("instances", "classes"), nuclei[name])
        part = _PARTS[name.partition("_")[0]]
        items.append(Item(name, images[name], own, patients.get(name, name), part=part))
    return tuple(items), tuple(faults)


def _read_patients(folder: Path) -> tuple[dict[str, str], list[ItemFault]]:
    """Patient of each image, by Grade.csv; spaces round its columns are its own."""
    path = folder / "Grade.csv"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [
                {str(key).strip(): str(value).strip() for key, value in row.items()}
                for row in csv.DictReader(file)
            ]
        return {row["name"]: f"patient {row['patient ID']}" for row in rows}, []
    except FileNotFoundError:
        sentence = (
            f"{path} is missing: without it nobody knows whose images are, and a split by group "
            "would part patients."
        )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        sentence = f"{path} cannot be read: {error}."
    except KeyError as error:
        sentence = f"{path} has no column {error}: it must have name and patient ID."
    return {}, [ItemFault(path.name, sentence)]


def _in_order(name: str) -> tuple[str, int, str]:
    """Key that puts train_2 before train_10."""
    found = _NAME.fullmatch(name)
    return (name, 0, name) if found is None else (found[1], int(found[2]), name)
