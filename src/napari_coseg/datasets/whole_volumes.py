"""Volumes of a data set as wholes, where its items are their planes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.labelled import LABEL_KINDS, Item, LabelledDataset
from napari_coseg.datasets.volume_planes import forget_volumes
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volumes import read_grid
from napari_coseg.types import CosegError


@dataclass(frozen=True)
class LabelVolume:
    """The labels of one volume.

    Attributes
    ----------
    labels : mapping of str to ndarray of int, (planes, rows, columns)
        By their kinds, as `LabelledImage` has them; ids in the smallest type that holds them.
    grid : VolumeGrid
        Of the image, and of the labels.
    """

    labels: Mapping[str, npt.NDArray[Any]]
    grid: VolumeGrid


def volumes_of(items: Iterable[Item]) -> list[tuple[Item, list[Item]]]:
    """Return each volume, as an item without a plane, with the items of its planes in order."""
    found: dict[Any, list[Item]] = {}
    for item in items:
        if item.plane is not None:
            found.setdefault(item.image, []).append(item)
    return [
        (replace(planes[0], name=planes[0].name.rpartition("-z")[0], plane=None), planes)
        for planes in found.values()
    ]


def read_labels_of(dataset: LabelledDataset, planes: Sequence[Item]) -> LabelVolume:
    """Read the labels of one volume, plane by plane.

    Parameters
    ----------
    dataset : LabelledDataset
    planes : sequence of Item
        All planes of the volume.

    Raises
    ------
    CosegError
        If the volume or its labels cannot be read, are not on one grid, hold a class that nobody
        names, or it does not say how large its voxels are.
    """
    grid = read_grid(planes[0].image)
    if grid is None:
        raise CosegError(
            f"{planes[0].image} does not say how large its voxels are: write its spacing into it."
        )
    found: dict[str, npt.NDArray[Any]] = {}
    try:
        for item in planes:
            read = dataset.read(item)
            for kind in LABEL_KINDS:
                plane = getattr(read, kind)
                if plane is not None:
                    whole = found.setdefault(kind, np.zeros(grid.shape, plane.dtype))
                    whole[item.plane] = plane
    finally:
        forget_volumes()
    for kind, labels in found.items():
        if labels.dtype != np.uint8 and labels.max(initial=0) <= np.iinfo(np.uint16).max:
            found[kind] = labels.astype(np.uint16)
    return LabelVolume(found, grid)
