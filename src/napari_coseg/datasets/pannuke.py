"""PanNuke: nuclei of five classes in 19 tissues, H&E, 40x, patches of 256 x 256.

Gamper et al. 2019, "PanNuke: an open pan-cancer histology dataset for nuclei instance segmentation
and classification"; 2020, arXiv:2003.10778. As published, for each of three folds::

    Fold 1/images/fold1/images.npy    (patches, 256, 256, 3)
    Fold 1/images/fold1/types.npy     (patches,), names of tissues
    Fold 1/masks/fold1/masks.npy      (patches, 256, 256, 6): ids in a channel a class, background

The arrays are some ten gigabytes a fold: they are mapped, and a patch is read when it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.labelled import (
    Format,
    Item,
    ItemFault,
    LabelledDataset,
    LabelledImage,
    OpenOptions,
)
from napari_coseg.datasets.mapping import read_mapping
from napari_coseg.datasets.npy_files import open_npy
from napari_coseg.datasets.pixels import refuse_planes, whole_ids, without_background
from napari_coseg.datasets.published_classes import (
    TABLE,
    PublishedClasses,
    parts_of_folds,
    same,
)
from napari_coseg.datasets.tree import files_below, find_folder
from napari_coseg.types import CosegError

#: µm per pixel at 40x, by the paper.
MPP = 0.25
#: Channels of the masks, from 1; the sixth is background.
PANNUKE_CLASSES = {
    1: "neoplastic",
    2: "inflammatory",
    3: "connective",
    4: "dead",
    5: "epithelial",
}
#: Part of each fold in the first of the three published splits.
FOLDS = {1: "train", 2: "validation", 3: "test"}

_FOLD = re.compile(r"fold[ _-]?([0-9]+)", re.IGNORECASE)
_FILES = ("images.npy", "masks.npy", "types.npy")
_CHANNELS = 6


class PannukeDataset(LabelledDataset):
    """Nuclei of many tissues.

    Patches of one fold are of one group, since their slides are not published.

    Parameters
    ----------
    root : Path or str
        The folder with the folds, or a single fold.
    options : OpenOptions, optional
        A mapping file may have tables ``[instances]`` (each published class = class,
        ``"background"`` or ``"ignore"``) and ``[parts]`` (part = list of folds).

    Attributes
    ----------
    tissues : mapping of str to str
        Tissue of each item.

    Raises
    ------
    CosegError
        If there is no fold, or the mapping file is wrong.
    """

    format = Format(
        "pannuke",
        "PanNuke",
        "README.md in the archives of the folds; TissueImageAnalytics/PanNuke-metrics, utils.py",
        (
            "Slides and patients of the patches are not published: a fold is one group.",
            "A pixel in two channels belongs to the later one, as in PanNuke-metrics.",
        ),
    )
    tissues: Mapping[str, str]

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        self.root = Path(root)
        self.name = self.format.title
        self.license = "CC BY-NC-SA 4.0"
        self.mpp = MPP if options is None or options.mpp is None else options.mpp
        where = None if options is None else options.mapping
        mapping = read_mapping(where, (TABLE, "parts"))
        self._published = PublishedClasses.of(
            PANNUKE_CLASSES, same(PANNUKE_CLASSES), mapping, where
        )
        self.instance_classes = self._published.table
        parts = parts_of_folds(mapping, FOLDS, where)
        folds, faults = _find_folds(self.root)
        items: list[Item] = []
        of_patches: dict[str, str] = {}
        for number, files in sorted(folds.items()):
            try:
                tissues = _check_fold(number, files, parts)
            except CosegError as error:
                faults.append(ItemFault(f"fold{number}", str(error)))
                continue
            labels = dict.fromkeys(("instances", "classes"), files["masks.npy"])
            for index, tissue in enumerate(tissues):
                name = f"fold{number}_{index:05d}"
                of_patches[name] = tissue
                items.append(
                    Item(name, files["images.npy"], labels, f"fold{number}", part=parts[number])
                )
        if not folds:
            raise CosegError(f"{self.root} has no images.npy of a fold of PanNuke.")
        self.items, self.faults, self.tissues = tuple(items), tuple(faults), of_patches

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder has a fold in it."""
        return find_folder(root, lambda folder: (folder / _FILES[0]).is_file(), 3) is not None

    def read(self, item: Item, planes: Sequence[float] | None = None) -> LabelledImage:
        """Read an item's image and labels; see `LabelledDataset.read`."""
        refuse_planes(item, planes)
        index = int(item.name.rpartition("_")[2])
        image = np.array(open_npy(item.image)[index])
        path = item.labels["instances"]
        masks = np.array(open_npy(path)[index, :, :, : _CHANNELS - 1])
        if image.min() < 0 or image.max() > 255 or not np.isfinite(image).all():
            raise CosegError(f"{item.image} has colours beyond 0 to 255 in {item.name}.")
        try:
            ids = whole_ids(path, masks, "masks")
        except CosegError as error:
            raise CosegError(f"{item.name}: {error}") from error
        instances, channels, overlap = _join(ids)
        classes = self._published.apply(channels, path)
        return LabelledImage(
            image=np.round(image).astype(np.uint8),
            mpp=self.mpp,
            instances=without_background(instances, classes),
            classes=classes,
            overlap=overlap,
        )


def _join(
    masks: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], int]:
    """Draw the channels over each other, with ids that differ between them.

    Returns
    -------
    tuple of ndarray of int32, ndarray of int32, int
        Nuclei from 1; number of the channel from 1; pixels that were in several channels.
    """
    instances = np.zeros(masks.shape[:2], np.int32)
    channels = np.zeros(masks.shape[:2], np.int32)
    last = 0
    for channel in range(masks.shape[2]):
        drawn = masks[:, :, channel] > 0
        found, numbers = np.unique(masks[:, :, channel][drawn], return_inverse=True)
        instances[drawn] = last + 1 + numbers
        channels[drawn] = channel + 1
        last += found.size
    return instances, channels, int((np.count_nonzero(masks, axis=2) > 1).sum())


def _find_folds(root: Path) -> tuple[dict[int, dict[str, Path]], list[ItemFault]]:
    files, faults = files_below(root, (".npy",))
    folds: dict[int, dict[str, Path]] = {}
    for path in files:
        # The nearest folder with a number; a single fold's may be the root's own.
        numbers = _FOLD.findall(str(path.parent.relative_to(root))) or _FOLD.findall(root.name)
        if path.name not in _FILES:
            sentence = f"{path} is none of {', '.join(_FILES)}."
        elif not numbers:
            sentence = f"{path} lies in no folder that names a fold, such as fold1."
        elif path.name in folds.setdefault(int(numbers[-1]), {}):
            sentence = f"{path} and {folds[int(numbers[-1])][path.name]} are of one fold."
        else:
            folds[int(numbers[-1])][path.name] = path
            continue
        faults.append(ItemFault(path.name, sentence))
    return folds, faults


def _check_fold(number: int, files: Mapping[str, Path], parts: Mapping[int, str]) -> list[str]:
    """Look at the arrays' shapes.

    Returns
    -------
    list of str
        Tissue of each patch.

    Raises
    ------
    CosegError
        If a file is missing or cannot be read, or they do not fit each other.
    """
    missing = [name for name in _FILES if name not in files]
    if missing:
        raise CosegError(f"{missing[0]} of fold {number} is missing: unpack the fold again.")
    if number not in parts:
        raise CosegError(f"Fold {number} belongs to no part of the mapping file.")
    images, masks, types = (open_npy(files[name]) for name in _FILES)
    _check_shape(files["images.npy"], images, 3)
    _check_shape(files["masks.npy"], masks, _CHANNELS)
    if images.shape[:3] != masks.shape[:3] or types.shape != images.shape[:1]:
        counts = ", ".join(" x ".join(map(str, a.shape)) for a in (images, masks, types))
        raise CosegError(
            f"Images, masks and types of fold {number} do not belong together: they have the "
            f"shapes {counts}."
        )
    return [str(tissue) for tissue in types]


def _check_shape(path: Path, array: npt.NDArray[Any], channels: int) -> None:
    if array.ndim != 4 or array.shape[3] != channels or array.dtype.kind not in "uif":
        raise CosegError(
            f"{path} has the shape {' x '.join(map(str, array.shape))} ({array.dtype}), and four "
            f"axes of numbers were expected, the last one with {channels}."
        )
