"""CRAG: glands of colorectal adenocarcinoma, H&E, 20x.

Graham et al. 2019, "MILD-Net: Minimal information loss dilated network for gland instance
segmentation in colon histology images", Medical Image Analysis 52. As published (version 2)::

    train/Images/train_1.png  train/Annotation/train_1.png  train/Overlay/...
    valid/Images/test_1.png   valid/Annotation/test_1.png   valid/Overlay/...

One id a gland. Nuclei of some of the images are published with Lizard.
"""

from __future__ import annotations

from pathlib import Path

from napari_coseg.datasets.gland_sets import GlandDataset, gland_item
from napari_coseg.datasets.labelled import Format, Item, ItemFault
from napari_coseg.datasets.paired_folders import find_pairs, named_folder
from napari_coseg.datasets.tree import find_folder
from napari_coseg.types import CosegError

# The README calls the second part the test set; its folder's name is `valid`.
_PARTS = {"train": "train", "valid": "test", "test": "test"}
_LABELS = ("Annotation", "Annotations")


class CragDataset(GlandDataset):
    """Glands of colorectal adenocarcinoma; see `GlandDataset`."""

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

    license = "research use, citation required"
    own_mpp = 0.5
    prefix = "crag"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder, or one in it, has a part of CRAG."""
        return find_folder(root, _has_parts) is not None

    def _find(self) -> tuple[Path, list[Item], list[ItemFault]]:
        folder = find_folder(self.root, _has_parts)
        if folder is None:
            raise CosegError(f"{self.root} has no train/Images with train/Annotation beside it.")
        pairs, faults = find_pairs(folder, _PARTS, _LABELS, ".png")
        # Nobody knows which images are of one slide.
        items = [gland_item(p.name, p.image, p.label, p.name, p.part) for p in pairs]
        return folder, items, faults


def _has_parts(folder: Path) -> bool:
    return any(
        (folder / part / "Images").is_dir() and named_folder(folder / part, _LABELS) is not None
        for part in _PARTS
    )
