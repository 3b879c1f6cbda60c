"""What sets of millions of masks share: an index instead of a list, and masks that overlap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import ijson
import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.indexed_items import IndexedItems, MakesItems
from napari_coseg.datasets.item_index import IndexSource, index_path, ready_index
from napari_coseg.datasets.labelled import Item, LabelledDataset, LabelledImage, OpenOptions
from napari_coseg.datasets.many_items import ManyItems
from napari_coseg.datasets.mask_layers import packed
from napari_coseg.datasets.pixels import read_picture, refuse_planes
from napari_coseg.types import CosegError

#: Key of a mapping that names the index's folder.
INDEX = "index"


class IndexedDataset(LabelledDataset):
    """A set of pictures with masks, found by an index; masks have no classes here."""

    items: ManyItems
    license = "those of the sets that it was made from"

    def _open(self, source: IndexSource, make: MakesItems, folder: Path | None) -> None:
        """Take over the items of the index, which is built where it must be."""
        path = index_path(self.root, self.format.key, folder)
        facts = ready_index(path, source)
        self.items = IndexedItems.of(path, make, facts)
        self.faults = facts.faults
        if not len(self.items) and not self.faults:
            raise CosegError(f"{self.root} lists no image.")

    def _describe(self, options: OpenOptions | None) -> None:
        self.name = self.format.title
        self.mpp = math.nan if options is None or options.mpp is None else options.mpp

    @property
    def kinds(self) -> frozenset[str]:
        """Objects alone, without a look at all items."""
        return frozenset({"instances"})

    def read(self, item: Item, planes: Sequence[float] | None = None) -> LabelledImage:
        """Read an item's image and masks; see `LabelledDataset.read`."""
        refuse_planes(item, planes)
        image = read_picture(item.image)
        shape = (image.shape[0], image.shape[1])
        first, *others = packed(self._masks(item, shape), shape, str(item.image))
        return LabelledImage(image, self.mpp, instances=first, overlapping=tuple(others))

    def _masks(self, item: Item, shape: tuple[int, int]) -> Iterable[npt.NDArray[np.bool_]]:
        """Return an item's masks."""
        raise NotImplementedError


def index_folder(mapping: dict[str, Any], path: Path | None) -> Path | None:
    """Return the folder that a mapping names for the index; a relative one is beside it.

    Raises
    ------
    CosegError
        If it is no text.
    """
    named = mapping.get(INDEX)
    if named is None or path is None:
        return None
    if not isinstance(named, str):
        raise CosegError(f"{INDEX} in {path} must be a folder.")
    return path.parent / named


def is_inside(name: str) -> bool:
    """Whether a file's name in a list stays in the set's folder."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def unreadable(path: Path, error: Exception) -> CosegError:
    """Return what is said of a list that cannot be read."""
    kind = "JSON" if isinstance(error, ijson.JSONError | ValueError) else "a file"
    return CosegError(f"{path} cannot be read as {kind}: {error}.")
