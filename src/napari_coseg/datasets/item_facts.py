"""What one item of a data set holds: sizes, classes, objects, and what looks wrong in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from skimage.measure import label as connected

from napari_coseg.datasets.fingerprints import Fingerprint
from napari_coseg.datasets.labelled import Item, LabelledImage
from napari_coseg.types import IGNORE

#: Objects of fewer pixels are likely slips of a pen.
TINY = 10


@dataclass(frozen=True)
class ItemFacts:
    """An item that could be read.

    Attributes
    ----------
    item : Item
    shape : tuple of int
        Rows and columns.
    mpp : float
        µm per pixel, NaN where nobody knows it.
    fingerprint : Fingerprint
        Of its pixels.
    kinds : tuple of str
        Labels that it has.
    region_pixels : mapping of int to int
        Pixels of each region class; 0 is background, 255 what is not looked at.
    objects : mapping of int to int
        Class of each object, by its id; 0 where no class is said.
    ignored : int
        Objects whose class is not to be looked at.
    tiny : int
        Objects of fewer than `TINY` pixels.
    parted : int
        Objects that are several pieces.
    gaps : int
        Ids from 1 to the largest that no object has.
    overlap : int
        Pixels that several objects claim.
    crowd : int
        Pixels of objects that nobody told apart.
    uniform : bool
        Whether all pixels are of one colour.
    """

    item: Item
    shape: tuple[int, int]
    mpp: float
    fingerprint: Fingerprint
    kinds: tuple[str, ...]
    region_pixels: Mapping[int, int] = field(default_factory=dict)
    objects: Mapping[int, int] = field(default_factory=dict)
    ignored: int = 0
    tiny: int = 0
    parted: int = 0
    gaps: int = 0
    overlap: int = 0
    crowd: int = 0
    uniform: bool = False

    @classmethod
    def of(cls, item: Item, read: LabelledImage) -> ItemFacts:
        """Look at an item that was read."""
        present = {
            "regions": read.regions,
            "region_instances": read.region_instances,
            "instances": read.instances,
            "classes": read.classes,
        }
        classes: dict[int, int] = {}
        tiny = parted = gaps = 0
        if read.instances is not None:
            classes, areas, pieces = _objects(read.instances, read.classes)
            tiny = int((areas < TINY).sum())
            parted = int((pieces > 1).sum())
            gaps = max(classes, default=0) - len(classes)
        rows, columns = read.image.shape[:2]
        return cls(
            item=item,
            shape=(rows, columns),
            mpp=read.mpp,
            fingerprint=Fingerprint.of(read.image),
            kinds=tuple(kind for kind, labels in present.items() if labels is not None),
            region_pixels=Counter() if read.regions is None else _counted(read.regions),
            objects=classes,
            ignored=sum(number == IGNORE for number in classes.values()),
            tiny=tiny,
            parted=parted,
            gaps=gaps,
            overlap=read.overlap,
            crowd=0 if read.crowds is None else int(read.crowds.sum()),
            uniform=bool((read.image == read.image[0, 0]).all()),
        )

    @property
    def empty(self) -> bool:
        """Whether it has labels, and nothing is drawn in any of them."""
        drawn = any(self.region_pixels.get(n, 0) for n in self.region_pixels if n)
        return bool(self.kinds) and not drawn and not self.objects and not self.crowd


def _counted(labels: npt.NDArray[np.uint8]) -> Mapping[int, int]:
    counts = np.bincount(labels.ravel(), minlength=256)
    return {int(number): int(counts[number]) for number in np.flatnonzero(counts)}


def _objects(
    instances: npt.NDArray[np.int32], classes: npt.NDArray[np.uint8] | None
) -> tuple[dict[int, int], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Class by id, area and number of pieces of each object, in the order of the ids."""
    ids, first, areas = np.unique(instances, return_index=True, return_counts=True)
    kept = ids > 0
    ids, first, areas = ids[kept], first[kept], areas[kept]
    of_pixel = np.zeros(len(ids), int) if classes is None else classes.ravel()[first].astype(int)
    parts = connected(instances, background=0, connectivity=2)
    heads = np.unique(parts, return_index=True)[1]
    owners = instances.ravel()[heads]
    pieces = np.bincount(np.searchsorted(ids, owners[owners > 0]), minlength=len(ids))
    return dict(zip(ids.tolist(), of_pixel.tolist(), strict=True)), areas, pieces
