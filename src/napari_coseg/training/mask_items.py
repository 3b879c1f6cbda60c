"""Labelled images as sources of masks: pixels at several scales, and where the objects are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage
from skimage.measure import label as connected

from napari_coseg.datasets.labelled import Item, LabelledDataset
from napari_coseg.training.prompt_config import MaskKind
from napari_coseg.types import IGNORE

#: Objects of fewer pixels are no masks to learn from.
SMALLEST = 20
#: Sizes that an image is kept at: halved until its longer side is below this.
_COARSEST = 384


@dataclass(frozen=True)
class MaskSet:
    """Items of one data set that masks and textures are drawn from.

    Attributes
    ----------
    masks : tuple of str
        Kinds of labels whose objects are masks.
    weight : float
        Share of the samples.
    skip : bool
        Whether another item is drawn where one cannot be read.
    """

    dataset: LabelledDataset
    items: Sequence[Item]
    masks: tuple[MaskKind, ...]
    weight: float
    skip: bool = False


@dataclass(frozen=True)
class MaskItem:
    """One image.

    Attributes
    ----------
    levels : tuple of PIL image
        The picture at 1, 1/2, 1/4, ... of its size.
    labels : tuple of PIL image
        Ids, one picture a kind of label; several where objects of a kind overlap.
    kinds, ids : ndarray of int, (N,)
        Which picture of `labels` each object is in, and its id there.
    boxes : ndarray of int, (N, 4)
        First row and column, last row and column, exclusive.
    """

    levels: tuple[Image.Image, ...]
    labels: tuple[Image.Image, ...]
    kinds: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        columns, rows = self.levels[0].size
        return rows, columns

    @property
    def nbytes(self) -> int:
        """Memory, nearly."""
        rows, columns = self.shape
        return rows * columns * (4 + 4 * len(self.labels))


def mask_item(one: MaskSet, item: Item) -> MaskItem:
    """Read an item and find its objects.

    Raises
    ------
    CosegError
        If a file cannot be read.
    """
    read = one.dataset.read(item)
    pictures = {
        "instances": (read.instances, *read.overlapping),
        "region_instances": (read.region_instances,),
        "regions": (_parts(read.regions),),
    }
    chosen = [labels for kind in one.masks for labels in pictures[kind] if labels is not None]
    levels = [Image.fromarray(read.image)]
    while max(levels[-1].size) >= 2 * _COARSEST:
        levels.append(levels[-1].reduce(2))
    kinds, ids, boxes = _objects(chosen)
    return MaskItem(
        tuple(levels),
        tuple(Image.fromarray(labels.astype(np.int32)) for labels in chosen),
        kinds,
        ids,
        boxes,
    )


def _parts(regions: npt.NDArray[np.uint8] | None) -> npt.NDArray[np.int32] | None:
    """Give each connected part of a class a number; what is not to be looked at has none."""
    if regions is None:
        return None
    known = np.where(regions == IGNORE, 0, regions)
    parts: npt.NDArray[np.int32] = connected(known, connectivity=2).astype(np.int32)
    return parts


def _objects(
    pictures: Sequence[npt.NDArray[np.int32]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    found: list[tuple[int, int, int, int, int, int]] = []
    for kind, labels in enumerate(pictures):
        ids, dense, counts = np.unique(labels, return_inverse=True, return_counts=True)
        places = ndimage.find_objects(dense.reshape(labels.shape) + 1)
        for number, count, place in zip(ids, counts, places, strict=True):
            if number > 0 and count >= SMALLEST and place is not None:
                rows, columns = place
                found.append(
                    (kind, int(number), rows.start, columns.start, rows.stop, columns.stop)
                )
    table = np.array(found, np.int64).reshape(-1, 6)
    return table[:, 0], table[:, 1], table[:, 2:]
