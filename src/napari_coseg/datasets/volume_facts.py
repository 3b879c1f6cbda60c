"""What one volume of a data set holds, gathered plane by plane."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from napari_coseg.datasets.item_facts import TINY
from napari_coseg.datasets.labelled import Item, LabelledDataset, LabelledImage
from napari_coseg.datasets.pieces import Pieces
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volumes import read_grid
from napari_coseg.types import IGNORE, ClassTable

_OTHERS = {0: "no class", IGNORE: "ignored"}


@dataclass(frozen=True)
class ClassVolume:
    """What a volume has of one class.

    Attributes
    ----------
    voxels : int
    mm3 : float or None
        Their volume; None where nobody knows the size of a voxel.
    pieces : int
        Connected pieces: those that touch by a face, an edge or a corner are one.
    objects : int or None
        Of classes of objects: how many there are.
    """

    voxels: int
    mm3: float | None
    pieces: int
    objects: int | None = None


@dataclass(frozen=True)
class VolumeFacts:
    """A volume of which every plane could be read.

    Attributes
    ----------
    name : str
    part : str or None
    shape : tuple of int
        Planes, rows, columns.
    grid : VolumeGrid or None
        None where the file does not say where it lies.
    labelled : bool
        Whether there are labels.
    regions, objects : mapping of str to ClassVolume
        By the names of the classes of areas and of objects, each that is there or could be.
    parted : tuple of int
        Ids of objects that are several pieces.
    tiny : tuple of int
        Ids of objects of fewer than `TINY` voxels.
    uniform : bool
        Whether all planes are of one grey value each.
    """

    name: str
    part: str | None
    shape: tuple[int, int, int]
    grid: VolumeGrid | None
    labelled: bool
    regions: Mapping[str, ClassVolume]
    objects: Mapping[str, ClassVolume]
    parted: tuple[int, ...] = ()
    tiny: tuple[int, ...] = ()
    uniform: bool = False

    @property
    def empty(self) -> bool:
        """Whether there are labels, and nothing is drawn in any of them."""
        drawn = any(one.voxels for one in (*self.regions.values(), *self.objects.values()))
        return self.labelled and not drawn

    def as_json(self) -> dict[str, Any]:
        """Everything, for a program."""
        return {
            "name": self.name,
            "part": self.part,
            "shape": list(self.shape),
            "spacing": None if self.grid is None else list(self.grid.spacing),
            "orientation": None if self.grid is None else self.grid.orientation,
            "labelled": self.labelled,
            "regions": {name: asdict(one) for name, one in self.regions.items()},
            "objects": {name: asdict(one) for name, one in self.objects.items()},
            "objects_of_several_pieces": list(self.parted),
            "tiny_objects": list(self.tiny),
        }


class VolumeCount:
    """Gathers `VolumeFacts` of one volume.

    Parameters
    ----------
    dataset : LabelledDataset
    item : Item
        Any plane of it.

    Raises
    ------
    CosegError
        If its grid cannot be read.
    """

    def __init__(self, dataset: LabelledDataset, item: Item) -> None:
        self._dataset, self._item = dataset, item
        self._grid = read_grid(item.image)
        self._planes = 0
        self._shape = (0, 0)
        self._uniform = True
        self._kinds: set[str] = set()
        self._region_voxels, self._object_voxels = Counter[int](), Counter[int]()
        self._class: dict[int, int] = {}
        self._region_pieces, self._object_pieces = Pieces(), Pieces()

    def add(self, read: LabelledImage) -> None:
        """Take the next plane in."""
        self._planes += 1
        self._uniform = self._uniform and bool((read.image == read.image[0, 0]).all())
        rows, columns = read.image.shape[:2]
        self._shape = rows, columns
        if read.regions is not None:
            self._kinds.add("regions")
            counts = np.bincount(read.regions.ravel())
            self._region_voxels.update({int(n): int(counts[n]) for n in np.flatnonzero(counts)})
            self._region_pieces.add(read.regions)
        if read.instances is not None:
            self._kinds.add("instances")
            ids, first, counts = np.unique(read.instances, return_index=True, return_counts=True)
            self._object_voxels.update(dict(zip(ids.tolist(), counts.tolist(), strict=True)))
            of_first = [0] * len(ids) if read.classes is None else read.classes.ravel()[first]
            for label, kind in zip(ids.tolist(), of_first, strict=True):
                self._class.setdefault(label, int(kind))
            self._object_pieces.add(read.instances)

    def facts(self) -> VolumeFacts:
        """Return what was gathered."""
        return VolumeFacts(
            name=self._item.name.rpartition("-z")[0],
            part=self._item.part,
            shape=(self._planes, *self._shape),
            grid=self._grid,
            labelled=bool(self._kinds),
            regions=self._regions(),
            objects=self._objects(),
            parted=tuple(sorted(n for n, c in self._object_pieces.counts().items() if c > 1)),
            tiny=tuple(sorted(n for n, c in self._object_voxels.items() if n and c < TINY)),
            uniform=self._uniform,
        )

    def _regions(self) -> dict[str, ClassVolume]:
        if "regions" not in self._kinds:
            return {}
        pieces = self._region_pieces.counts()
        found = {number: count for number, count in self._region_voxels.items() if number}
        return {
            name: ClassVolume(
                found.get(number, 0), self._mm3(found.get(number, 0)), pieces.get(number, 0)
            )
            for number, name in _names(self._dataset.region_classes, found).items()
        }

    def _objects(self) -> dict[str, ClassVolume]:
        if "instances" not in self._kinds:
            return {}
        voxels, objects, pieces = Counter[int](), Counter[int](), Counter[int]()
        for label, count in self._object_pieces.counts().items():
            kind = self._class[label]
            pieces[kind] += count
            objects[kind] += 1
            voxels[kind] += self._object_voxels[label]
        return {
            name: ClassVolume(
                voxels[number], self._mm3(voxels[number]), pieces[number], objects[number]
            )
            for number, name in _names(self._dataset.instance_classes, dict(objects)).items()
        }

    def _mm3(self, voxels: int) -> float | None:
        return None if self._grid is None else voxels * math.prod(self._grid.spacing)


def _names(table: ClassTable, found: Mapping[int, int]) -> dict[int, str]:
    """Names of all classes that there are, and of what else was found."""
    names = {info.id: info.name for info in table}
    return names | {n: _OTHERS.get(n, f"unnamed {n}") for n in sorted(found) if n not in names}
