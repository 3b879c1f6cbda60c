"""Labels layers as files: outlines for QuPath, label TIFF with its table, the table alone.

What is written is what the layer shows now: areas, boxes and centres are counted from its pixels,
classes and scores come from its table, and an object that has been painted since has no class.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.geojson import write_geojson
from napari_coseg.imaging.labels import write_label_tiff
from napari_coseg.imaging.objects import object_table
from napari_coseg.imaging.result_files import ENDINGS, result_paths, write_results
from napari_coseg.imaging.tables import classes_named_in, write_objects
from napari_coseg.layers.crowds import PICTURE
from napari_coseg.layers.physical import mpp_of
from napari_coseg.layers.tuples import METADATA, listed_classes
from napari_coseg.types import OBJECT_COLUMNS, ClassTable, CosegError, empty_objects

if TYPE_CHECKING:
    import pandas as pd

Role = Literal["regions", "instances"]
FullLayerData = tuple[Any, dict[str, Any], str]
_REGIONS, _INSTANCES, _OBJECTS, _ = ENDINGS


@dataclass(frozen=True)
class Labelled:
    """A Labels layer, as much of it as a file needs.

    Attributes
    ----------
    labels : ndarray of int, (rows, columns)
    facts : DataFrame
        The layer's table, ``label`` and whatever is known.
    classes : ClassTable
    mpp : float or None
    origin, step : tuple of float
        See `napari_coseg.imaging.geojson.write_geojson`.
    """

    name: str
    role: Role
    labels: npt.NDArray[np.integer[Any]]
    facts: pd.DataFrame
    classes: ClassTable
    mpp: float | None
    origin: tuple[float, float] = (0.0, 0.0)
    step: tuple[float, float] = (1.0, 1.0)


def write_outlines(path: str, layers: list[FullLayerData]) -> list[str]:
    """Write regions, objects or both as GeoJSON for QuPath (npe2 writer).

    Raises
    ------
    CosegError
        If there are two layers of one kind, layers of different images, or more than a plane.
    """
    # A picture stands for objects whose layer holds the outlines.
    own = [one for one in layers if not _is_picture(one[1])] or layers
    regions, instances = _pair([labelled(data, attributes) for data, attributes, _ in own])
    one = instances or regions
    assert one is not None
    target = Path(path)
    objects = empty_objects() if instances is None else table_of(instances, regions)
    write_geojson(
        target,
        None if instances is None else instances.labels,
        objects,
        ClassTable() if instances is None else _known(instances, objects),
        None if regions is None else regions.labels,
        None if regions is None else regions.classes,
        mpp=one.mpp,
        origin=one.origin,
        step=one.step,
    )
    return [path]


def write_label_file(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a label TIFF, and beside it the table of its objects (npe2 writer)."""
    one = labelled(data, attributes)
    target = Path(path)
    labels = one.labels.astype(np.uint8 if one.role == "regions" else np.int32, copy=False)
    if one.role == "regions":
        write_label_tiff(target, labels, one.mpp, classes=one.classes)
        return [path]
    objects = table_of(one)
    write_label_tiff(target, labels, one.mpp, classes=_known(one, objects))
    name = target.name
    base = name[: -len(_INSTANCES)] if name.endswith(_INSTANCES) else target.stem
    table = target.with_name(base + _OBJECTS)
    write_objects(table, objects)
    return [path, str(table)]


def write_table(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write the table of a layer's objects as CSV (npe2 writer)."""
    one = labelled(data, attributes)
    if one.role == "regions":
        raise CosegError(f"{one.name} holds regions, which have no table: choose instances.")
    write_objects(Path(path), table_of(one))
    return [path]


def export(base: Path, layers: list[Labelled]) -> tuple[Path, ...]:
    """Write all files that ``napari-coseg predict`` would; long work, for a thread.

    Parameters
    ----------
    base : Path
        Folder and name of the files.
    layers : list of Labelled
        Regions, instances or both, of one image.

    Returns
    -------
    tuple of Path
        What was written.

    Raises
    ------
    CosegError
        As `write_outlines`, or if a file cannot be written.
    """
    regions, instances = _pair(layers)
    one = instances or regions
    assert one is not None
    objects = empty_objects() if instances is None else table_of(instances, regions)
    return write_results(
        base,
        None if regions is None else regions.labels.astype(np.uint8, copy=False),
        None if instances is None else instances.labels.astype(np.int32, copy=False),
        objects,
        ClassTable() if regions is None else regions.classes,
        ClassTable() if instances is None else _known(instances, objects),
        one.mpp,
        one.origin,
        one.step,
    )


def free_base(folder: Path, name: str) -> Path:
    """Return a base for `export` in a folder, under which nothing is written yet.

    Parameters
    ----------
    folder : Path
    name : str
        Of the image; what no file name may hold is left out.
    """
    plain = "".join(c if c.isalnum() or c in " -_.()" else "_" for c in Path(name).stem).strip(" .")
    plain = plain or "image"
    base = folder / plain
    number = 1
    while any(path.exists() for path in result_paths(base)):
        number += 1
        base = folder / f"{plain} ({number})"
    return base


def labelled(data: Any, attributes: dict[str, Any]) -> Labelled:
    """Take from a Labels layer's data and attributes what a file needs; pixels are copied.

    Raises
    ------
    CosegError
        If the layer holds more than one plane, or is the picture of another one.
    """
    import pandas as pd

    name = str(attributes.get("name", "labels"))
    if _is_picture(attributes):
        raise CosegError(
            f"{name} holds colours and no objects: save the hidden layer that it stands for."
        )
    whole = data[0] if attributes.get("multiscale") else data
    planes = [length for length in whole.shape[:-2] if length != 1]
    if planes:
        raise CosegError(
            f"{name} has {' x '.join(map(str, whole.shape))} pixels: these files hold one plane, "
            "so save a layer of one plane."
        )
    labels = np.array(whole).reshape(whole.shape[-2:])
    if labels.min(initial=0) < 0:
        raise CosegError(f"{name} has negative labels, which no file holds.")
    facts = pd.DataFrame(attributes.get("features")).rename(columns={"index": "label"})
    own = attributes.get("metadata", {}).get(METADATA) or {}
    classes = listed_classes(own)
    role: Role = "regions" if own.get("role") == "regions" else "instances"
    if not own and "label" in facts and "class" not in facts and "class_name" in facts:
        # Regions of a data set: their table says what each label means.
        role, classes = "regions", _region_classes(facts)
    if role == "regions" and labels.max(initial=0) > len(classes):
        raise CosegError(
            f"{name} has the label {labels.max()}, and {len(classes)} classes: paint with the "
            "classes' own labels."
        )
    scale, units = attributes.get("scale", (1, 1)), attributes.get("units") or ("pixel", "pixel")
    return Labelled(
        name,
        role,
        labels,
        facts,
        classes,
        mpp_of(scale[-2:], tuple(units)[-2:]),
        _two(own.get("origin"), 0.0),
        _two(own.get("step"), 1.0),
    )


def _is_picture(attributes: dict[str, Any]) -> bool:
    own = attributes.get("metadata", {}).get(METADATA) or {}
    return own.get("role") == PICTURE


def _two(values: Any, default: float) -> tuple[float, float]:
    rows, columns = values if values is not None else (default, default)
    return float(rows), float(columns)


def table_of(one: Labelled, regions: Labelled | None = None) -> pd.DataFrame:
    """Make the table of a layer's objects as they are now.

    Returns
    -------
    DataFrame
        Columns `OBJECT_COLUMNS`. ``score`` is NaN where the layer's table does not say it.
    """
    import pandas as pd

    counted = object_table(one.labels).drop(columns=["class", "score", "class_score"])
    facts = one.facts if "label" in one.facts else pd.DataFrame({"label": []})
    kept = [c for c in ("class", "class_name", "score", "region", "region_name") if c in facts]
    facts = facts.drop_duplicates("label")[["label", *kept]].astype({"label": np.int64})
    table = counted.merge(facts, on="label", how="left")
    table = table.reindex(columns=list(OBJECT_COLUMNS))
    table["class"] = table["class"].fillna(0).astype(np.int64)
    known = one.classes.name_of
    named = [known(kind) if kind else "" for kind in table["class"].tolist()]
    table["class_name"] = table["class_name"].where(table["class_name"].notna(), named)
    if one.mpp is not None:
        table["area_um2"] = table["area_px"] * one.mpp**2
    if regions is not None and regions.labels.shape == one.labels.shape:
        where = (
            table["row"].round().astype(int).clip(0, one.labels.shape[0] - 1),
            table["column"].round().astype(int).clip(0, one.labels.shape[1] - 1),
        )
        inside = regions.labels[where]
        # A region that the run has found stays; an object painted since lies where its centre is.
        table["region"] = table["region"].where(table["region"].notna(), inside)
    table["region"] = table["region"].fillna(0).astype(np.int64)
    names = regions.classes if regions is not None else ClassTable()
    said = [names.name_of(i) if i and i <= len(names) else "" for i in table["region"].tolist()]
    table["region_name"] = table["region_name"].where(table["region_name"].notna(), said)
    return table


def _known(one: Labelled, objects: pd.DataFrame) -> ClassTable:
    """Classes of a layer; a layer that is not ours names them in its table."""
    highest = int(objects["class"].max()) if len(objects) else 0
    if highest <= len(one.classes):
        return one.classes
    return classes_named_in(objects)


def _region_classes(facts: pd.DataFrame) -> ClassTable:
    named = dict(zip(facts["label"].astype(int), facts["class_name"].astype(str), strict=True))
    highest = max([0, *named])
    return ClassTable.from_names(named.get(i) or f"class {i}" for i in range(1, highest + 1))


def _pair(layers: list[Labelled]) -> tuple[Labelled | None, Labelled | None]:
    """Sort layers into regions and instances, one of each at most."""
    found: dict[str, Labelled] = {}
    for one in layers:
        if one.role in found:
            raise CosegError(
                f"{found[one.role].name} and {one.name} both hold {one.role}: select one of each "
                "kind at most."
            )
        found[one.role] = one
    if len({one.labels.shape for one in layers}) > 1:
        raise CosegError("The layers have different sizes: select those of one image.")
    return found.get("regions"), found.get("instances")
