"""DSB 2018: nuclei in fluorescence, bright field and stained tissue (2018 Data Science Bowl).

Caicedo et al. 2019, "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl",
Nature Methods 16; BBBC038 of the Broad Bioimage Benchmark Collection. As published on Kaggle::

    stage1_train/ID/images/ID.png    stage1_train/ID/masks/*.png, one nucleus a file
    stage1_test/ID/images/ID.png     without masks

The masks' makers say that no pixel belongs to two of them; where one does, it is counted.
"""

from __future__ import annotations

import math
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
from napari_coseg.datasets.mapping import read_mapping
from napari_coseg.datasets.pixels import read_picture, refuse_planes
from napari_coseg.datasets.tree import files_in, find_folder, folders_below, folders_in
from napari_coseg.imaging.labels import read_labels
from napari_coseg.types import CosegError

_STAGES = {"stage1_train": "train", "stage1_test": "test", "stage2_test_final": "test"}
#: Stages whose masks were not published as files.
_WITHOUT = ("stage1_test", "stage2_test_final")


class Dsb2018Dataset(LabelledDataset):
    """Nuclei of the 2018 Data Science Bowl, without classes.

    Parameters
    ----------
    root : Path or str
        The folder with ``stage1_train``, or a stage's own. A stage without masks gives items
        without labels.
    options : OpenOptions, optional
        `mpp` must be said for training: the set does not say it.

    Raises
    ------
    CosegError
        If there is no image.
    """

    format = Format(
        "dsb2018",
        "DSB 2018",
        "kaggle.com/c/data-science-bowl-2018/data; bbbc.broadinstitute.org/BBBC038",
        (
            "The µm of a pixel are not published, and differ between the images.",
            "Patients and experiments are not published with stage 1: each image is a group of "
            "its own.",
        ),
    )

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        self.root = Path(root)
        self.name = self.format.title
        self.license = "CC0"
        self.mpp = math.nan if options is None or options.mpp is None else options.mpp
        read_mapping(None if options is None else options.mapping, ())
        items: dict[str, Item] = {}
        faults: list[ItemFault] = []
        for stage in _stages(self.root):
            folders, wrong = folders_in(stage)
            faults += wrong
            for folder in folders:
                found = _item(folder, stage.name)
                if isinstance(found, Item) and found.name in items:
                    sentence = f"{folder} and {items[found.name].image} have one name."
                    found = ItemFault(folder.name, sentence)
                if isinstance(found, Item):
                    items[found.name] = found
                else:
                    faults.append(found)
        if not items and not faults:
            raise CosegError(f"{self.root} has no ID/images/ID.png.")
        self.items, self.faults = tuple(items.values()), tuple(faults)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder has the first stage's training images, or is a stage with masks."""
        if any((folder / "stage1_train").is_dir() for folder in folders_below(root, 1)):
            return True
        inside = (folder for folder in folders_below(root, 1) if folder != root)
        return any(
            (folder / "masks").is_dir() and (folder / "images" / f"{folder.name}.png").is_file()
            for folder in inside
        )

    def read(self, item: Item, planes: Sequence[float] | None = None) -> LabelledImage:
        """Read an item's image and labels; see `LabelledDataset.read`."""
        refuse_planes(item, planes)
        image = read_picture(item.image)
        folder = item.labels.get("instances")
        if folder is None:
            return LabelledImage(image, self.mpp)
        instances = np.zeros(image.shape[:2], np.int32)
        overlap = np.zeros(image.shape[:2], bool)
        masks, faults = files_in(folder, (".png",))
        if faults:
            raise CosegError(faults[0].sentence)
        for number, path in enumerate(masks, 1):
            drawn = read_labels(path, expected_shape=image.shape[:2]) > 0
            if not drawn.any():
                raise CosegError(f"{path} is an empty mask: remove it, or draw its nucleus.")
            overlap |= drawn & (instances > 0)
            # The first keeps what several claim.
            instances[drawn & (instances == 0)] = number
        return LabelledImage(
            image, self.mpp, instances=instances, overlap=int(np.count_nonzero(overlap))
        )


def _stages(root: Path) -> list[Path]:
    """Folders of the stages in a folder or in one of its own; else it is one, renamed perhaps."""
    above = find_folder(root, lambda folder: any((folder / s).is_dir() for s in _STAGES), 1)
    if above is None:
        return [root]
    return [above / stage for stage in _STAGES if (above / stage).is_dir()]


def _item(folder: Path, stage: str) -> Item | ItemFault:
    """Return the item of a folder, or what is wrong with it."""
    name = folder.name
    images, wrong = files_in(folder / "images", (".png",))
    if wrong:
        return ItemFault(name, wrong[0].sentence)
    if [path.stem for path in images] != [name]:
        count = f"{len(images)} images" if len(images) != 1 else images[0].name
        return ItemFault(name, f"{folder / 'images'} has {count}, and {name}.png was expected.")
    part = _STAGES.get(stage)
    masks = folder / "masks"
    if not masks.is_dir() and stage in _WITHOUT:
        return Item(name, images[0], {}, name, part=part)
    files, wrong = files_in(masks, (".png",))
    if wrong:
        return ItemFault(name, wrong[0].sentence)
    if not files:
        return ItemFault(name, f"{masks} has no mask: unpack the set again.")
    return Item(name, images[0], {"instances": masks}, name, part=part)
