"""Regions and objects as GeoJSON that QuPath opens.

The format is the one that QuPath 0.4 and later write and read (File > Import objects from file):
a FeatureCollection whose coordinates are (x, y) in pixels of the full-resolution image, from its
top left corner; ``properties.objectType`` is ``detection`` or ``annotation``,
``properties.classification`` has a name and a colour, ``properties.measurements`` is an object of
numbers. Rings are closed by repeating their first point (RFC 7946, 3.1.6).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.files import atomic_path
from napari_coseg.imaging.polygons import Polygons, trace
from napari_coseg.types import ClassTable, CosegError

if TYPE_CHECKING:
    import pandas as pd

_NEEDED = ("label", "class", "row0", "column0", "row1", "column1")
# Objects are cut out by their boxes and traced together on one sheet of about so many pixels;
# an object with a larger box is traced alone.
_SHEET_PIXELS = 1 << 22
_SHEET_OBJECTS = 4096
_SHEET_COLUMNS = 2048

Coordinates = list[list[list[list[float]]]]


@dataclass(frozen=True)
class _Place:
    """Where label images lie in the full-resolution image: (row, column) of each."""

    origin: tuple[float, float]
    step: tuple[float, float]

    def of(self, ring: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
        """Move corners (x, y); whole numbers stay whole where nothing is scaled."""
        if self.origin == (0, 0) and self.step == (1, 1):
            return ring
        moved: npt.NDArray[np.float64] = ring * np.array(self.step[::-1]) + self.origin[::-1]
        whole: npt.NDArray[np.float64] = np.round(moved)
        if np.array_equal(whole, moved):
            return whole.astype(np.int64)
        rounded: npt.NDArray[np.float64] = np.round(moved, 3)
        return rounded


def write_geojson(
    path: Path | str,
    instances: npt.NDArray[np.integer[Any]] | None,
    objects: pd.DataFrame,
    instance_classes: ClassTable,
    regions: npt.NDArray[np.integer[Any]] | None = None,
    region_classes: ClassTable | None = None,
    *,
    mpp: float | None = None,
    origin: tuple[float, float] = (0, 0),
    step: tuple[float, float] = (1, 1),
) -> None:
    """Write regions (annotations) and objects (detections), whole or not at all.

    Outlines run along pixel edges: filling them gives back the label images. Each 4-connected
    part of a region class is an annotation; an object is one detection, a MultiPolygon where it
    has several parts. An object of class 0 has no classification.

    Features are written as they are made. Label images may be memory-mapped: objects are cut out
    by the boxes of the table, regions are read in bands. Memory is set by the corners of the
    outlines of one region class at a time, about 200 bytes each: some ten million of them, far
    more than a smooth segmentation of a whole slide has, fit in 2 GB.

    Parameters
    ----------
    path : Path or str
        File to write, ``NAME.geojson``.
    instances : ndarray or memmap, (rows, columns), or None
        Object ids; None only with an empty table.
    objects : DataFrame
        One row an object: ``label``, ``class``, box; ``score`` and ``area_um2`` become
        measurements where they are there and known.
    instance_classes : ClassTable
        Names and colours of the objects.
    regions : ndarray or memmap, (rows, columns), optional
        Region ids; ids that `region_classes` does not have are left out.
    region_classes : ClassTable, optional
        Names and colours of the regions.
    mpp : float, optional
        µm per pixel of the label images, for the areas of regions.
    origin : tuple of float
        Row and column of the label images' upper left corner in the full-resolution image, where
        they are a part of it.
    step : tuple of float
        Height and width of one of their pixels in pixels of that image.

    Raises
    ------
    CosegError
        If the file cannot be written, or the table does not belong to the label image.
    ValueError
        If an argument that goes with another is missing.
    """
    if (regions is None) != (region_classes is None):
        raise ValueError("regions and region_classes go together")
    missing = [name for name in _NEEDED if name not in objects.columns]
    if missing:
        raise ValueError(f"the object table lacks the columns {missing}")
    if instances is None and len(objects):
        raise ValueError("objects without an instance image")
    place = _Place(origin, step)
    with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type":"FeatureCollection","features":[')
        writer = _Features(file)
        if regions is not None and region_classes is not None:
            for info in region_classes:
                found = trace(regions, info.id)
                for polygon in range(len(found)):
                    area = int(found.areas[polygon])
                    measured: dict[str, float] = {"Area px": area}
                    if mpp is not None:
                        measured["Area µm^2"] = _round(area * mpp**2)
                    writer.add("annotation", [_closed(found, polygon, place)], info, measured)
        if instances is not None:
            _write_objects(writer, instances, objects, instance_classes, place)
        file.write("\n]}\n")


def _write_objects(
    writer: _Features,
    instances: npt.NDArray[np.integer[Any]],
    objects: pd.DataFrame,
    classes: ClassTable,
    place: _Place,
) -> None:
    facts = {
        name: objects[name].to_numpy(np.float64, na_value=np.nan)
        for name in ("score", "area_um2")
        if name in objects.columns
    }
    labels = objects["label"].to_numpy(np.int64)
    kinds = objects["class"].to_numpy(np.int64)
    boxes = objects[["row0", "column0", "row1", "column1"]].to_numpy(np.int64)
    _check_boxes(labels, boxes, instances.shape)
    known = {info.id: info for info in classes}
    for index, area, coordinates in _object_polygons(instances, labels, boxes, place):
        label, kind = int(labels[index]), int(kinds[index])
        if kind != 0 and kind not in known:
            raise CosegError(
                f"Object {label} has the class {kind}, and the model has {len(known)} classes: "
                "the table belongs to another model."
            )
        measured: dict[str, float] = {"Label": label, "Area px": area}
        for name, column in (("Area µm^2", "area_um2"), ("Score", "score")):
            value = facts[column][index] if column in facts else math.nan
            if math.isfinite(value):
                measured[name] = _round(float(value))
        writer.add("detection", coordinates, known.get(kind), measured)


class _Features:
    """Writes features, one a line."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._between = "\n"

    def add(
        self, kind: str, polygons: Coordinates, info: Any | None, measured: dict[str, float]
    ) -> None:
        properties: dict[str, Any] = {"objectType": kind}
        if info is not None:
            properties["classification"] = {"name": info.name, "color": list(info.colour)}
        properties["measurements"] = measured
        one = len(polygons) == 1
        feature = {
            "type": "Feature",
            "geometry": {
                "type": "Polygon" if one else "MultiPolygon",
                "coordinates": polygons[0] if one else polygons,
            },
            "properties": properties,
        }
        text = json.dumps(feature, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        self._file.write(self._between + text)
        self._between = ",\n"


def _object_polygons(
    instances: npt.NDArray[np.integer[Any]],
    labels: npt.NDArray[np.int64],
    boxes: npt.NDArray[np.int64],
    place: _Place,
) -> Iterator[tuple[int, int, Coordinates]]:
    """Yield index, pixels and polygons of each object, in the order of the table."""
    # A row and a column of nothing between neighbours on a sheet.
    sizes = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    begin = 0
    while begin < len(labels):
        room = np.cumsum(sizes[begin : begin + _SHEET_OBJECTS])
        count = max(1, int(np.searchsorted(room, _SHEET_PIXELS, side="right")))
        chosen = slice(begin, begin + count)
        if count == 1:
            row0, column0, row1, column1 = boxes[begin]
            found = trace(instances[row0:row1, column0:column1], int(labels[begin]))
            owner = np.zeros(len(found), np.int64)
            offset = np.array([[column0, row0]])
        else:
            found, owner, offset = _trace_sheet(instances, labels[chosen], boxes[chosen])
        # The points of each object, at its place in the image.
        rings_of = np.diff(found.first_ring)
        points_of = np.diff(found.starts)
        shift = np.repeat(np.repeat(offset[owner], rings_of, axis=0), points_of, axis=0)
        moved = Polygons(found.points + shift, found.starts, found.first_ring, found.areas)
        order = np.argsort(owner, kind="stable")
        bounds = np.searchsorted(owner[order], np.arange(count + 1))
        for index in range(count):
            mine = order[bounds[index] : bounds[index + 1]]
            if not len(mine):
                raise _no_match(int(labels[begin + index]))
            area = int(found.areas[mine].sum())
            yield begin + index, area, [_closed(moved, int(polygon), place) for polygon in mine]
        begin += count


def _trace_sheet(
    instances: npt.NDArray[np.integer[Any]],
    labels: npt.NDArray[np.int64],
    boxes: npt.NDArray[np.int64],
) -> tuple[Polygons, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Trace many objects at once, side by side on shelves of a sheet.

    Returns
    -------
    polygons : Polygons
    owner : ndarray of int64, (polygons,)
        Index of the object.
    offset : ndarray of int64, (objects, 2)
        What to add to (x, y) on the sheet to get to the image.
    """
    heights, widths = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    columns = max(_SHEET_COLUMNS, int(widths.max()) + 1)
    tops, lefts = np.zeros(len(labels), np.int64), np.zeros(len(labels), np.int64)
    top = left = shelf = 0
    # Tall ones first, so that a shelf holds objects of about one height.
    for index in np.argsort(-heights, kind="stable"):
        if left + widths[index] > columns:
            top, left, shelf = top + shelf, 0, 0
        shelf = max(shelf, int(heights[index]) + 1)
        tops[index], lefts[index] = top, left
        left += int(widths[index]) + 1
    sheet = np.zeros((top + shelf, columns), np.int32)
    for index, (row0, column0, row1, column1) in enumerate(boxes):
        cut = np.asarray(instances[row0:row1, column0:column1]) == labels[index]
        row, column = tops[index], lefts[index]
        sheet[row : row + cut.shape[0], column : column + cut.shape[1]] = cut * np.int32(index + 1)
    found = trace(sheet != 0)
    # The first corner of an outer ring is the upper left one of a pixel of the object.
    first = found.points[found.starts[found.first_ring[:-1]]]
    owner = sheet[first[:, 1], first[:, 0]].astype(np.int64) - 1
    offset = np.stack([boxes[:, 1] - lefts, boxes[:, 0] - tops], axis=1)
    return found, owner, offset


def _closed(polygons: Polygons, polygon: int, place: _Place) -> list[list[list[float]]]:
    rings = [place.of(ring).tolist() for ring in polygons.rings(polygon)]
    for ring in rings:
        ring.append(ring[0])
    return rings


def _check_boxes(
    labels: npt.NDArray[np.int64], boxes: npt.NDArray[np.int64], shape: tuple[int, ...]
) -> None:
    row0, column0, row1, column1 = boxes.T
    inside = (row0 >= 0) & (column0 >= 0) & (row1 <= shape[0]) & (column1 <= shape[1])
    bad = ~(inside & (row0 < row1) & (column0 < column1))
    if bad.any():
        raise _no_match(int(labels[bad][0]))


def _no_match(label: int) -> CosegError:
    return CosegError(
        f"Object {label} of the table is not in its box in the instance image: the table and the "
        "image do not belong together."
    )


def _round(value: float) -> float:
    return round(value, 4)
