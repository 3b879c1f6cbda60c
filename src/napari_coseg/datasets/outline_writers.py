"""Data sets written as outlines: COCO, and QuPath's GeoJSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.labelled import Item, LabelledDataset, LabelledImage
from napari_coseg.datasets.writers import (
    DatasetWriter,
    Labels,
    quoted,
    save_picture,
    save_text,
)
from napari_coseg.imaging.geojson import write_geojson
from napari_coseg.imaging.objects import object_table
from napari_coseg.metrics.panoptic import majority_classes
from napari_coseg.types import IGNORE, CosegError

#: Tells our readers which classes are objects and which are areas.
MAPPING = "mapping.toml"


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


def _mapping_text(instances: Sequence[str], regions: Sequence[str]) -> str:
    """Return the text of a mapping file that takes each class for what it is."""
    lines = []
    for task, names in (("instances", instances), ("regions", regions)):
        if names:
            named = (f"{quoted(n)} = {json.dumps(n, ensure_ascii=False)}" for n in names)
            lines += [f"[{task}]", *named, ""]
    return "\n".join(lines)


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
