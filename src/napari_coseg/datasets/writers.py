"""Data sets written: one class a layout, which takes item after item."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_coseg.datasets.labelled import PARTS, Item, LabelledDataset, LabelledImage
from napari_coseg.datasets.volume_files import copy_volume, written_ending
from napari_coseg.datasets.whole_volumes import LabelVolume
from napari_coseg.imaging.files import atomic_path
from napari_coseg.imaging.geojson import write_geojson
from napari_coseg.imaging.labels import write_label_tiff
from napari_coseg.imaging.objects import object_table
from napari_coseg.imaging.volume_writing import write_labels
from napari_coseg.metrics.panoptic import majority_classes
from napari_coseg.types import IGNORE, CosegError

#: Tells our readers which classes are objects and which are areas.
MAPPING = "mapping.toml"
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


class CocoWriter(DatasetWriter):
    """COCO: PNG, one JSON file a part, objects and regions as run lengths.

    Regions are annotations too: each connected part, or each region instance. A ``mapping.toml``
    beside tells our reader which categories are which. What is ignored is a crowd.
    """

    key = "coco"

    def __init__(self, folder: Path, dataset: LabelledDataset) -> None:
        super().__init__(folder, dataset)
        instances = [info.name for info in dataset.instance_classes] or ["object"]
        regions = [info.name for info in dataset.region_classes]
        # A category has one name: of two equal ones the region's says what it is.
        self._regions = [f"{n} (region)" if n in instances else n for n in regions]
        self._instances = instances

    def write(self, item: Item, read: LabelledImage) -> Mapping[str, Any]:
        """Write the image; return its annotations."""
        self._picture(item.name, read)
        found = []
        rows, columns = shape = read.image.shape[:2]
        if read.crowds is not None:
            # Of which class it was is not kept, and of no matter.
            (where,) = (where for _, where, _ in _objects(read.crowds.astype(np.uint8), None))
            found.append(_annotation(where, shape, 1, True, 0))
        if read.instances is not None:
            for label, where, number in _objects(read.instances, read.classes):
                kind = number if 0 < number < IGNORE else 1
                found.append(_annotation(where, shape, kind, number == IGNORE, label))
        if read.regions is not None:
            parts = read.regions if read.region_instances is None else read.region_instances
            for label, where, number in _objects(parts, read.regions):
                if 0 < number < IGNORE:
                    kind = len(self._instances) + number
                    found.append(_annotation(where, shape, kind, False, label))
        return {"height": rows, "width": columns, "annotations": found}

    def finish(self, items: Sequence[Item], known: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the JSON files and ``mapping.toml``."""
        names = [*self._instances, *self._regions]
        categories = [{"id": n, "name": name} for n, name in enumerate(names, 1)]
        parts: dict[str | None, list[Item]] = {}
        for item in items:
            parts.setdefault(item.part, []).append(item)
        for part, members in parts.items():
            images: list[dict[str, Any]] = []
            annotations: list[dict[str, Any]] = []
            for number, item in enumerate(members, 1):
                facts = known[item.name]
                size = {"height": facts["height"], "width": facts["width"]}
                images.append({"id": number, "file_name": f"images/{item.name}.png", **size})
                for one in facts["annotations"]:
                    annotations.append({"id": len(annotations) + 1, "image_id": number, **one})
            about = {
                "info": {"description": self.dataset.name},
                "licenses": [{"id": 1, "name": self.dataset.license}],
                "images": images,
                "annotations": annotations,
                "categories": categories,
            }
            name = {None: "all", "validation": "val"}.get(part, part)
            path = self.folder / "annotations" / f"instances_{name}.json"
            save_text(path, json.dumps(about, ensure_ascii=False) + "\n")
        save_text(self.folder / MAPPING, _mapping_text(self._instances, self._regions))


class GeoJsonWriter(DatasetWriter):
    """QuPath: PNG and ``NAME.geojson`` beside it. Parts and ignored pixels have no place there."""

    key = "geojson"

    def write(self, item: Item, read: LabelledImage) -> Mapping[str, Any]:
        """Write image and outlines."""
        self._refuse_crowds(item, read)
        marked = [labels for labels in (read.regions, read.classes) if labels is not None]
        if any((labels == IGNORE).any() for labels in marked):
            raise CosegError(
                f"{item.name} has pixels to ignore, which outlines of QuPath cannot say: convert "
                "to a folder data set or COCO."
            )
        save_picture(self.folder / f"{item.name}.png", read.image)
        instances = read.instances
        if instances is None:
            instances = np.zeros(read.image.shape[:2], np.int32)
        classes = {} if read.classes is None else majority_classes(instances, read.classes)
        table = object_table(instances)
        table["class"] = table["label"].map(classes).fillna(0).astype(int)
        write_geojson(
            self.folder / f"{item.name}.geojson",
            instances,
            table,
            self.dataset.instance_classes,
            read.regions,
            None if read.regions is None else self.dataset.region_classes,
            mpp=read.mpp if read.mpp > 0 else None,
        )
        return {}

    def finish(self, items: Sequence[Item], known: Mapping[str, Mapping[str, Any]]) -> None:
        """Write ``mapping.toml``: outlines do not say which classes are areas."""
        tables = (self.dataset.instance_classes, self.dataset.region_classes)
        names = [[info.name for info in table] for table in tables]
        save_text(self.folder / MAPPING, _mapping_text(*names))


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
            f"{_quoted(key)} = {json.dumps(value, ensure_ascii=False)}"
            for key, value in table.items()
        ]
    return "\n".join([*lines, ""])


def _mapping_text(instances: Sequence[str], regions: Sequence[str]) -> str:
    """Return the text of a mapping file that takes each class for what it is."""
    lines = []
    for task, names in (("instances", instances), ("regions", regions)):
        if names:
            named = (f"{_quoted(n)} = {json.dumps(n, ensure_ascii=False)}" for n in names)
            lines += [f"[{task}]", *named, ""]
    return "\n".join(lines)


def _quoted(key: str) -> str:
    """Return a key as TOML has it."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def _objects(
    labels: Labels, classes: Labels | None
) -> Iterator[tuple[int, npt.NDArray[np.int64], int]]:
    """Yield the id of each object, its pixels numbered down the columns, and its class."""
    down = labels.T.ravel()
    pixels = np.flatnonzero(down)
    order = np.argsort(down[pixels], kind="stable")
    pixels = pixels[order]
    ids, first = np.unique(down[pixels], return_index=True)
    of_pixel = None if classes is None else classes.T.ravel()
    for label, where in zip(ids.tolist(), np.split(pixels, first[1:]), strict=False):
        yield label, where, 0 if of_pixel is None else int(of_pixel[where[0]])


def _annotation(
    where: npt.NDArray[np.int64], shape: tuple[int, int], category: int, crowd: bool, label: int
) -> dict[str, Any]:
    """Return an annotation with run lengths; COCO counts down the columns, from background."""
    gaps = np.flatnonzero(np.diff(where) > 1)
    starts = where[np.concatenate([[0], gaps + 1])]
    ends = where[np.concatenate([gaps, [len(where) - 1]])] + 1
    edges = np.stack([starts, ends], 1).ravel()
    counts = np.diff(np.concatenate([[0], edges, [shape[0] * shape[1]]])).tolist()
    columns, rows = np.divmod(where, shape[0])
    corner = int(columns.min()), int(rows.min())
    size = int(columns.max()) + 1 - corner[0], int(rows.max()) + 1 - corner[1]
    return {
        "category_id": category,
        "iscrowd": int(crowd),
        "area": len(where),
        "bbox": [*corner, *size],
        "segmentation": {"size": list(shape), "counts": counts},
        "label": label,
    }


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
