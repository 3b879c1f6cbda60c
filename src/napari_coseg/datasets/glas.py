"""GlaS: glands of colon tissue, H&E, 20x; also called Warwick-QU.

Sirinukunwattana et al. 2017, "Gland segmentation in colon histology images: The GlaS challenge
contest", Medical Image Analysis 35. As published, in one folder::

    train_1.bmp  train_1_anno.bmp  ...   testA_1.bmp  ...   testB_1.bmp  ...
    Grade.csv    name, patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)

One id a gland in each ``_anno.bmp``. Nuclei of some of the images are published with Lizard.
"""

from __future__ import annotations

import re
from pathlib import Path

from napari_coseg.datasets.gland_sets import GlandDataset, gland_item
from napari_coseg.datasets.labelled import Format, Item, ItemFault
from napari_coseg.datasets.published_tables import read_rows
from napari_coseg.datasets.tree import files_in, find_folder, in_order
from napari_coseg.types import CosegError

_NAME = re.compile(r"(train|testA|testB)_(\d+)")
_PARTS = {"train": "train", "testA": "test", "testB": "test"}
_ANNO = "_anno"


class GlasDataset(GlandDataset):
    """Glands of colon tissue, by patient; see `GlandDataset`."""

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
    license = "research use only, no commercial use"
    own_mpp = 0.62005
    prefix = "glas"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder, or one in it, has files named as those of GlaS."""
        return find_folder(root, _has_glands) is not None

    def _find(self) -> tuple[Path, list[Item], list[ItemFault]]:
        folder = find_folder(self.root, _has_glands)
        if folder is None:
            raise CosegError(f"{self.root} has no train_1.bmp or the like: unpack GlaS there.")
        return folder, *_find_items(folder)


def _has_glands(folder: Path) -> bool:
    files, _ = files_in(folder, (".bmp",))
    return any(_NAME.fullmatch(path.stem.removesuffix(_ANNO)) for path in files)


def _find_items(folder: Path) -> tuple[list[Item], list[ItemFault]]:
    files, faults = files_in(folder, (".bmp",))
    images = {path.stem: path for path in files if not path.stem.endswith(_ANNO)}
    labels = {path.stem.removesuffix(_ANNO): path for path in files if path.stem.endswith(_ANNO)}
    patients, wrong = _read_patients(folder)
    faults += wrong
    items = []
    for name in sorted(images.keys() | labels.keys(), key=in_order):
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
            part = _PARTS[name.partition("_")[0]]
            whose = patients.get(name, name)
            items.append(gland_item(name, images[name], labels[name], whose, part))
            continue
        faults.append(ItemFault(name, sentence))
    return items, faults


def _read_patients(folder: Path) -> tuple[dict[str, str], list[ItemFault]]:
    """Patient of each image, by Grade.csv."""
    path = folder / "Grade.csv"
    if not path.exists():
        sentence = (
            f"{path} is missing: without it nobody knows whose images are, and a split by group "
            "would part patients."
        )
        return {}, [ItemFault(path.name, sentence)]
    try:
        rows = read_rows(path, ("name", "patient ID"))
    except CosegError as error:
        return {}, [ItemFault(path.name, str(error))]
    return {row["name"]: f"patient {row['patient ID']}" for row in rows}, []
