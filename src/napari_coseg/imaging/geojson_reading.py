"""GeoJSON of QuPath, or of ours, turned back into label images and a table.

What a file may hold is in `napari_coseg.imaging.geojson_features`, what is written in
`napari_coseg.imaging.geojson`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_coseg.imaging.fill import Spans, fill, paint
from napari_coseg.imaging.geojson_features import Feature, read_features
from napari_coseg.imaging.opening import check_file
from napari_coseg.types import IGNORE, RGB, ClassTable, CosegError

#: Name of annotations without a classification.
UNCLASSIFIED = "unclassified"
#: Most pixels of a label image that is made: int32 labels of 4 GB.
MOST_PIXELS = 1 << 30
# Objects that are filled together.
_BATCH = 4096
_LARGEST = np.iinfo(np.int32).max
_OWN = {"Label": "label", "Score": "score", "Area µm^2": "area_um2"}
# Counted again from the outlines.
_COUNTED = frozenset({"Area px"})


@dataclass
class Outlines:
    """What a GeoJSON file holds, as labels.

    Attributes
    ----------
    regions : ndarray of uint8, (rows, columns), or None
        Class of the annotations at each pixel, the smaller annotation on top; None where there
        is none.
    instances : ndarray of int32, (rows, columns), or None
        Every other object; None where there is none.
    objects : DataFrame
        One row an object: ``label``, ``class``, ``class_name``, ``area_px``, centroid and box as
        in `napari_coseg.types.OBJECT_COLUMNS`, then the measurements of the file.
    region_classes, instance_classes : ClassTable
        In the order in which the file names them.
    skipped : int
        Features that are no areas (points, lines).
    """

    regions: npt.NDArray[np.uint8] | None
    instances: npt.NDArray[np.int32] | None
    objects: pd.DataFrame
    region_classes: ClassTable
    instance_classes: ClassTable
    skipped: int = 0


def read_geojson(
    path: Path | str, place: Callable[[tuple[int, int]], tuple[int, int]] | None = None
) -> Outlines:
    """Read a GeoJSON file and fill its polygons.

    Features are read one after the other, so the text is never in memory whole. Pixels are inside
    where their centres are. An object keeps the id that its measurement ``Label`` says, where all
    of them say one; else objects count from 1.

    Parameters
    ----------
    path : Path or str
        The file.
    place : callable, optional
        Given the rows and columns that the outlines reach, returns those of the label images;
        the same by default. What lies outside is cut off.

    Returns
    -------
    Outlines

    Raises
    ------
    CosegError
        If the file is no GeoJSON, holds no area, or is too large for label images.
    """
    path = check_file(path)
    gathered = {"annotation": _Gathered(), "object": _Gathered()}
    skipped = 0
    for feature in read_features(path):
        if not _gather(path, feature, gathered):
            skipped += 1
    annotations, objects = gathered["annotation"], gathered["object"]
    if not annotations.rings_of and not objects.rings_of:
        raise CosegError(f"{path.name} holds no area: only polygons can become labels.")
    reach = np.maximum(annotations.reach, objects.reach)
    if reach[0] < 1 or reach[1] < 1:
        raise CosegError(f"{path.name} lies wholly outside of its image (negative coordinates).")
    shape = (int(reach[1]), int(reach[0]))
    shape = place(shape) if place is not None else shape
    if shape[0] * shape[1] > MOST_PIXELS:
        raise CosegError(
            f"{path.name} covers {shape[0]:,} x {shape[1]:,} pixels, too many for a label layer: "
            "export a part of it."
        )
    regions = None
    if annotations.rings_of:
        regions = _regions(annotations, shape)
    instances, table = _objects(objects, shape) if objects.rings_of else (None, _empty_table())
    return Outlines(
        regions, instances, table, annotations.table(), objects.table(), skipped=skipped
    )


@dataclass
class _Gathered:
    """Features of one kind: their rings and what is said of them."""

    points: list[npt.NDArray[np.float64]] = field(default_factory=list)
    rings_of: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    measured: list[dict[str, float]] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    colours: dict[str, RGB] = field(default_factory=dict)
    reach: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))

    def table(self) -> ClassTable:
        return ClassTable.from_names(self.ids, self.colours)

    def spans(self, begin: int, end: int, first_ring: int, shape: tuple[int, int]) -> Spans:
        """Fill features `begin` to `end`, whose first ring is `first_ring`."""
        count = self.rings_of[begin:end]
        rings = self.points[first_ring : first_ring + sum(count)]
        starts = np.append(0, np.cumsum([len(ring) for ring in rings]))
        return fill(np.concatenate(rings), starts, np.repeat(np.arange(end - begin), count), shape)


def _gather(path: Path, feature: Feature, gathered: dict[str, _Gathered]) -> bool:
    """Take a feature; return whether it is an area."""
    if feature.parts is None:
        return False
    rings = [ring for part in feature.parts for ring in part]
    if not rings or not all(len(ring) for ring in rings):
        raise CosegError(
            f"{path.name} has an outline with faulty coordinates: no points ({feature.where})."
        )
    one = gathered["annotation" if feature.annotation else "object"]
    name, colour = feature.name, feature.colour
    if not name and feature.annotation:
        name = UNCLASSIFIED
    if name and name not in one.ids:
        if len(one.ids) >= IGNORE - 1:
            raise CosegError(f"{path.name} has more than {IGNORE - 1} classes.")
        one.ids[name] = len(one.ids) + 1
    if name and colour is not None:
        one.colours.setdefault(name, colour)
    one.points += rings
    one.rings_of.append(len(rings))
    one.kinds.append(one.ids[name] if name else 0)
    one.measured.append(feature.measured)
    for ring in rings:
        one.reach = np.maximum(one.reach, np.ceil(ring.max(axis=0)))
    return True


def _regions(one: _Gathered, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    labels = np.zeros(shape, np.uint8)
    bounds = np.append(0, np.cumsum(one.rings_of))
    spans = [
        one.spans(index, index + 1, int(bounds[index]), shape) for index in range(len(one.rings_of))
    ]
    areas = [int((part.last - part.first).sum()) for part in spans]
    # A necrosis annotated inside of a tumour is seen on top of it, whatever the order in the file.
    for index in sorted(range(len(spans)), key=lambda i: -areas[i]):
        paint(labels, spans[index], np.array([one.kinds[index]], np.uint8))
    return labels


def _objects(one: _Gathered, shape: tuple[int, int]) -> tuple[npt.NDArray[np.int32], pd.DataFrame]:
    count = len(one.rings_of)
    ids = _ids(one.measured)
    labels = np.zeros(shape, np.int32)
    bounds = np.append(0, np.cumsum(one.rings_of))
    tables = []
    for begin in range(0, count, _BATCH):
        end = min(count, begin + _BATCH)
        spans = one.spans(begin, end, int(bounds[begin]), shape)
        paint(labels, spans, ids[begin:end].astype(np.int32))
        tables.append(_facts(spans, end - begin))
    facts = pd.concat(tables, ignore_index=True)
    kinds = np.array(one.kinds, np.int64)
    names = one.table()
    facts.insert(0, "label", ids)
    facts.insert(1, "class", kinds)
    facts.insert(2, "class_name", [names.name_of(k) if k else "" for k in kinds.tolist()])
    measured = pd.DataFrame(one.measured, index=facts.index).drop(
        columns=list(_COUNTED), errors="ignore"
    )
    measured = measured.rename(columns=_OWN).drop(columns="label", errors="ignore")
    own = [name for name in measured if name not in facts]
    facts = pd.concat([facts, measured[own]], axis=1)
    # An object of no pixel (thinner than one, or outside) is none.
    facts = facts[facts["area_px"] > 0].sort_values("label", ignore_index=True)
    return labels, facts


def _ids(measured: list[dict[str, float]]) -> npt.NDArray[np.int64]:
    said = np.array([one.get("Label", np.nan) for one in measured], float)
    usable = np.isfinite(said).all() and (said == np.round(said)).all()
    if usable and said.min() >= 1 and said.max() <= _LARGEST and len(np.unique(said)) == len(said):
        return said.astype(np.int64)
    return np.arange(1, len(measured) + 1)


def _facts(spans: Spans, count: int) -> pd.DataFrame:
    """Area, centroid and box of each owner, in pixels."""
    length = spans.last - spans.first
    area = np.bincount(spans.owner, length, count)
    size = np.maximum(area, 1)
    columns = (spans.first + spans.last - 1) / 2 * length
    low = np.full((count, 2), np.iinfo(np.int64).max)
    high = np.zeros((count, 2), np.int64)
    np.minimum.at(low, spans.owner, np.stack([spans.row, spans.first], axis=1))
    np.maximum.at(high, spans.owner, np.stack([spans.row + 1, spans.last], axis=1))
    return pd.DataFrame(
        {
            "area_px": area.astype(np.int64),
            "row": np.bincount(spans.owner, spans.row * length, count) / size,
            "column": np.bincount(spans.owner, columns, count) / size,
            "row0": low[:, 0],
            "column0": low[:, 1],
            "row1": high[:, 0],
            "column1": high[:, 1],
        }
    )


def _empty_table() -> pd.DataFrame:
    frame = _facts(Spans(*(np.zeros(0, np.int64) for _ in range(4))), 0)
    frame.insert(0, "label", np.zeros(0, np.int64))
    frame.insert(1, "class", np.zeros(0, np.int64))
    frame.insert(2, "class_name", pd.Series(dtype=object))
    return frame
