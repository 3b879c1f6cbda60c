"""Data sets whose labels are outlines: what their readers share."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.labelled import (
    Item,
    ItemFault,
    LabelledDataset,
    LabelledImage,
    OpenOptions,
)
from napari_coseg.datasets.mapping import choice_of, read_mapping
from napari_coseg.datasets.rasterise import Outline, rasterise
from napari_coseg.imaging.source import open_image
from napari_coseg.types import CosegError

_log = logging.getLogger(__name__)
#: Keys of a mapping that every set of outlines takes.
OUTLINE_KEYS = frozenset({"outlines"})
_KINDS = ("regions", "instances")


@dataclass(frozen=True)
class Drawn:
    """One object of an item.

    Attributes
    ----------
    outline : Outline
    class_id : int
        Its class; 0 leaves it out, 255 says not to look at it.
    id : int or None
        Its id, if all objects of the item have one that must be kept.
    crowd : bool
        Whether it is several objects that nobody told apart.
    """

    outline: Outline
    class_id: int
    id: int | None = None
    crowd: bool = False


class OutlineDataset(LabelledDataset):
    """Images with outlines of regions or objects.

    Outlines that are faulty (empty, outside of the image, reaching beyond it, crossing themselves)
    are told with the item's name and left out, cut off, or filled by the even-odd rule. With the
    mapping's key ``outlines = "refuse"`` an item with one of them cannot be read. `notes` lists
    them.
    """

    _refuse: bool = False
    _mpp: float | None = None

    def _prepare(self, root: Path, options: OpenOptions | None, keys: Collection[str]) -> Any:
        """Take what every set takes, and return the mapping."""
        options = options or OpenOptions()
        self.root = Path(root)
        self.name = self.format.title
        self.license = "unknown"
        self._mpp = options.mpp
        self.mpp = float("nan") if options.mpp is None else options.mpp
        self._where = options.mapping
        self._told: set[str] = set()
        mapping = read_mapping(options.mapping, OUTLINE_KEYS | set(keys))
        self._refuse = choice_of(mapping, "outlines", ("mend", "refuse"), "mend") == "refuse"
        return mapping

    @abstractmethod
    def _draw(self, item: Item, kind: str, shape: tuple[int, int]) -> Sequence[Drawn]:
        """Read an item's outlines; kind is ``"regions"`` or ``"instances"``."""

    def read(self, item: Item, planes: Sequence[float] | None = None) -> LabelledImage:
        """Read an item's image and labels; see `LabelledDataset.read`."""
        if planes is not None:
            raise CosegError(f"{item.image} is no volume, and the model sees planes of volumes.")
        with open_image(item.image) as source:
            image = source.read(0, 0, *source.shape)
            mpp = self._mpp or source.mpp or self._item_mpp(item) or self.mpp
        # What is wrong with an item is told once, and looked for once.
        new = item.name not in self._told
        labels, notes = self._labels(item, image.shape[:2], new or self._refuse)
        if notes and self._refuse:
            raise CosegError(f"{notes[0].sentence} {_more(notes)}".strip())
        self._told.add(item.name)
        if notes and new:
            _log.warning("%s: %s %s", item.name, notes[0].sentence, _more(notes))
        return LabelledImage(image=image, mpp=mpp, **labels)

    def notes(self, item: Item) -> tuple[ItemFault, ...]:
        """Say what is wrong with an item's outlines, and how many pixels lie under others.

        Raises
        ------
        CosegError
            As `read` does.
        """
        with open_image(item.image) as source:
            shape = source.shape
        return self._labels(item, shape)[1]

    def lost_pixels(self, item: Item) -> Mapping[str, int]:
        """Count the pixels of an item's objects that lie under others, by kind of label.

        Raises
        ------
        CosegError
            As `read` does.
        """
        with open_image(item.image) as source:
            shape = source.shape
        return {
            kind: rasterise(
                [one.outline for one in self._kept(item, kind, shape)], shape, notes=False
            ).lost
            for kind in _KINDS
            if kind in item.labels
        }

    def _item_mpp(self, item: Item) -> float | None:
        """µm per pixel that an item's labels tell, None where they do not."""
        return None

    def _kept(self, item: Item, kind: str, shape: tuple[int, int]) -> list[Drawn]:
        return [one for one in self._draw(item, kind, shape) if one.class_id]

    def _labels(
        self, item: Item, shape: tuple[int, int], look: bool = True
    ) -> tuple[dict[str, Any], tuple[ItemFault, ...]]:
        labels: dict[str, Any] = {}
        notes: list[ItemFault] = []
        for kind in _KINDS:
            if kind not in item.labels:
                continue
            drawn = self._kept(item, kind, shape)
            raster = rasterise([one.outline for one in drawn], shape, look)
            kinds = np.array([0] + [one.class_id for one in drawn], np.uint8)
            if kind == "regions":
                labels["regions"] = kinds[raster.index]
            else:
                crowds = np.array([False] + [one.crowd for one in drawn])[raster.index]
                labels["instances"] = np.where(crowds, 0, raster.labels(_ids(drawn)))
                labels["classes"] = np.where(crowds, 0, kinds[raster.index]).astype(np.uint8)
                labels["crowds"] = crowds if crowds.any() else None
            path = item.labels[kind]
            if drawn and not raster.drawn.any():
                raise CosegError(
                    f"No object of {path} lies in its image, which has {shape[0]} x {shape[1]} "
                    "pixels: do they belong together?"
                )
            notes += [ItemFault(item.name, f"{path}: {said}.") for _, said in raster.notes]
        return labels, tuple(notes)


def _ids(drawn: Sequence[Drawn]) -> npt.NDArray[np.int64] | None:
    """Ids to keep, if all objects have different ones."""
    ids = [one.id for one in drawn]
    if any(one is None for one in ids) or len(set(ids)) != len(ids):
        return None
    return np.array(ids, np.int64)


def _more(notes: Sequence[ItemFault]) -> str:
    return f"{len(notes) - 1} more of its outlines are faulty." if len(notes) > 1 else ""
