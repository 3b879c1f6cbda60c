"""Data sets written: one class a layout, which takes item after item."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_coseg.datasets.labelled import PARTS, Item, LabelledDataset, LabelledImage
from napari_coseg.datasets.volume_files import copy_volume, written_ending
from napari_coseg.datasets.whole_volumes import LabelVolume
from napari_coseg.imaging.files import atomic_path
from napari_coseg.imaging.labels import write_label_tiff
from napari_coseg.imaging.volume_writing import write_labels
from napari_coseg.types import CosegError

# Largest id that a PNG of 16 bit holds.
_PNG_MOST = 65535
# Sizes that differ by less than this part are the same.
_SAME = 0.01

Labels = npt.NDArray[np.integer[Any]]


class DatasetWriter(ABC):
    """Writes a set in one layout.

    Parameters
    ----------
    folder : Path
        It is there.
    dataset : LabelledDataset
        Whose items come.

    Raises
    ------
    CosegError
        If the layout cannot hold such a set.
    """

    key: ClassVar[str]
    #: Whether volumes can be written.
    volumes: ClassVar[bool] = False

    def __init__(self, folder: Path, dataset: LabelledDataset) -> None:
        self.folder = folder
        self.dataset = dataset

    @abstractmethod
    def write(self, item: Item, read: LabelledImage) -> Mapping[str, Any]:
        """Write an item's files; return what `finish` must know of it, as JSON holds it.

        Raises
        ------
        CosegError
            If the layout cannot hold it, or a file cannot be written.
        """

    def write_volume(self, volume: Item, read: LabelVolume) -> Mapping[str, Any]:
        """Write a volume's files, where the layout has volumes; as `write`.

        Parameters
        ----------
        volume : Item
            Without a plane.
        read : LabelVolume
        """
        raise CosegError(
            f"{volume.name} is a volume, which {self.key} cannot hold: convert to folder or nnunet."
        )

    def _refuse_crowds(self, item: Item, read: LabelledImage) -> None:
        """See that there are no crowds, in a layout that has no place for them."""
        if read.crowds is not None:
            raise CosegError(
                f"{item.name} has a crowd (objects that nobody told apart), which {self.key} "
                "cannot say: convert to coco."
            )

    @abstractmethod
    def finish(self, items: Sequence[Item], known: Mapping[str, Mapping[str, Any]]) -> None:
        """Write what stands for the whole set.

        Parameters
        ----------
        items : sequence of Item
            Those that were written, now or before.
        known : mapping
            What `write` returned of each, by name.
        """

    def _picture(self, name: str, read: LabelledImage) -> Path:
        path = self.folder / "images" / f"{name}.png"
        save_picture(path, read.image)
        return path


class FolderWriter(DatasetWriter):
    """The project's own layout: PNG, ``dataset.toml``."""

    key = "folder"
    volumes = True

    def __init__(self, folder: Path, dataset: LabelledDataset) -> None:
        super().__init__(folder, dataset)
        check_size(dataset, "dataset.toml")

    def write(self, item: Item, read: LabelledImage) -> Mapping[str, Any]:
        """Write image and labels; see `DatasetWriter.write`."""
        check_size(self.dataset, "dataset.toml", item.name, read.mpp)
        self._refuse_crowds(item, read)
        self._picture(item.name, read)
        for kind in ("regions", "region_instances", "instances", "classes"):
            labels = getattr(read, kind)
            if labels is not None:
                write_label_picture(self.folder / kind / f"{item.name}.png", labels)
        return {}

    def write_volume(self, volume: Item, read: LabelVolume) -> Mapping[str, Any]:
        """Write a volume and its labels; see `DatasetWriter.write_volume`."""
        wanted = self.dataset.spacing or read.grid.spacing
        pairs = zip(read.grid.spacing, wanted, strict=True)
        if any(abs(own - mm) > _SAME * mm for own, mm in pairs):
            own, set_own = (" x ".join(f"{mm:g}" for mm in s) for s in (read.grid.spacing, wanted))
            raise CosegError(
                f"{volume.name} has voxels of {own} mm and the set {set_own} mm: a folder data set "
                "has one size of voxels; convert to nnunet, where each volume has its own."
            )
        ending = written_ending(volume.image)
        for kind, labels in read.labels.items():
            path = self.folder / kind / f"{volume.name}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_labels(path, labels, read.grid)
        copy_volume(volume.image, self.folder / "images" / f"{volume.name}{ending}")
        return {}

    def finish(self, items: Sequence[Item], known: Mapping[str, Mapping[str, Any]]) -> None:
        """Write ``dataset.toml``."""
        save_text(self.folder / "dataset.toml", description(self.dataset, items))


def check_size(
    dataset: LabelledDataset, where: str, name: str | None = None, mpp: float | None = None
) -> None:
    """See that a set has a pixel size, and that an item of it has the same.

    Raises
    ------
    CosegError
        If not.
    """
    if not dataset.mpp > 0:
        raise CosegError(
            f"Nobody knows how large a pixel of {dataset.name} is, and {where} must say it: add "
            "--mpp."
        )
    if mpp is not None and abs(mpp - dataset.mpp) > _SAME * dataset.mpp:
        raise CosegError(
            f"{name} has {mpp:g} µm per pixel and the set {dataset.mpp:g}: {where} has one pixel "
            "size."
        )


def write_label_picture(path: Path, labels: Labels) -> None:
    """Write labels as PNG of 8 or 16 bit, or as TIFF beside where ids need more.

    Parameters
    ----------
    path : Path
        Ends with ``.png``.
    labels : ndarray of int, (rows, columns)
    """
    most = int(labels.max(initial=0))
    if most > _PNG_MOST:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_label_tiff(path.with_suffix(".tif"), labels.astype(np.int32))
        return
    save_picture(path, labels.astype(np.uint8 if labels.dtype == np.uint8 else np.uint16))


def described(
    dataset: LabelledDataset, items: Sequence[Item]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return what a description of ours says of a set: plain values, and tables."""
    tables = (dataset.region_classes, dataset.instance_classes)
    plain: dict[str, Any] = {
        "name": dataset.name,
        "license": dataset.license,
        "region_classes": [info.name for info in tables[0]],
        "instance_classes": [info.name for info in tables[1]],
    }
    if dataset.spacing is not None:
        plain["spacing"] = list(dataset.spacing)
    else:
        plain["mpp"] = dataset.mpp
    if dataset.window is not None:
        plain["window"] = list(dataset.window)
    parts = {part: [item.name for item in items if item.part == part] for part in PARTS}
    found: dict[str, dict[str, Any]] = {
        "colours": {info.name: list(info.colour) for table in tables for info in table},
        "group": {item.name: item.group for item in items if item.group != item.name},
        "parts": {part: names for part, names in parts.items() if names},
    }
    return plain, {heading: table for heading, table in found.items() if table}


def description(dataset: LabelledDataset, items: Sequence[Item]) -> str:
    """Return the text of ``dataset.toml``. JSON's strings, numbers and lists are TOML's too."""
    plain, tables = described(dataset, items)
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in plain.items()]
    for heading, table in tables.items():
        lines += ["", f"[{heading}]"]
        lines += [
            f"{quoted(key)} = {json.dumps(value, ensure_ascii=False)}"
            for key, value in table.items()
        ]
    return "\n".join([*lines, ""])


def quoted(key: str) -> str:
    """Return a key as TOML has it."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def save_picture(path: Path, pixels: npt.NDArray[Any]) -> None:
    """Write a PNG, and its folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        Image.fromarray(pixels).save(part)


def save_text(path: Path, text: str) -> None:
    """Write a text file, and its folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
