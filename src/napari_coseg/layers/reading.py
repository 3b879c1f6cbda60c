"""Files dropped on napari: outlines, label images with their tables, tables alone, volumes.

Of pictures only the names that this program itself writes are claimed, ``*_regions.tif``,
``*_instances.tif`` and ``*_objects.csv``; beside them GeoJSON and volumes, and never a folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pandas as pd
from napari.utils.notifications import show_warning

from napari_coseg.imaging.geojson_reading import read_geojson
from napari_coseg.imaging.labels import read_label_classes, read_labels
from napari_coseg.imaging.pixel_size import read_mpp
from napari_coseg.imaging.result_files import ENDINGS
from napari_coseg.imaging.tables import classes_named_in, read_objects
from napari_coseg.imaging.volume_headers import is_volume
from napari_coseg.layers.crowds import with_picture
from napari_coseg.layers.tuples import (
    LayerData,
    instance_layer,
    own_metadata,
    point_layer,
    region_layer,
)
from napari_coseg.layers.volume_files import read_volume_file
from napari_coseg.types import ClassTable, CosegError, empty_objects

Reader = Callable[[Any], list[LayerData]]
_REGIONS, _INSTANCES, _OBJECTS, _OUTLINES = ENDINGS


def get_reader(path: Any) -> Reader | None:
    """Return what reads a path, None for what is not ours.

    Parameters
    ----------
    path : str or list of str
        As npe2 hands it over; several files at once are not one stack here.
    """
    if not isinstance(path, str):
        return None
    for ending, reader in (
        (_OUTLINES, read_outlines),
        (_REGIONS, read_region_file),
        (_INSTANCES, read_instance_file),
        (_OBJECTS, read_table),
    ):
        if path.lower().endswith(ending):
            return reader
    return read_volume_file if is_volume(Path(path)) else None


def read_outlines(path: str) -> list[LayerData]:
    """Read GeoJSON as Labels layers that lie on the open image that they belong to.

    Coordinates of a GeoJSON file are pixels, and it does not say of which image: taken is the
    open one of the file's name, else the active one, else the topmost, that is large enough.
    """
    file = Path(path)
    below: list[Any] = []

    def place(reach: tuple[int, int]) -> tuple[int, int]:
        found = _image_of(_base(file, _OUTLINES), lambda shape: _fits(reach, shape))
        if found is None:
            return reach
        below.append(found)
        return _shape(found)

    outlines = read_geojson(file, place)
    image = below[0] if below else None
    layers = []
    for role, labels, classes in (
        ("regions", outlines.regions, outlines.region_classes),
        ("instances", outlines.instances, outlines.instance_classes),
    ):
        if labels is not None:
            layers += _layers(role, labels, outlines.objects, classes, file, _OUTLINES, image)
    if outlines.skipped:
        show_warning(f"{file.name}: {outlines.skipped:,} points or lines were left out.")
    return layers


def read_region_file(path: str) -> list[LayerData]:
    """Read a label TIFF of regions."""
    return _label_file(Path(path), "regions", _REGIONS)


def read_instance_file(path: str) -> list[LayerData]:
    """Read a label TIFF of objects, with the table beside it."""
    return _label_file(Path(path), "instances", _INSTANCES)


def read_table(path: str) -> list[LayerData]:
    """Read an object table as points at the objects' centres."""
    file = Path(path)
    objects = read_objects(file)
    image = _image_of(_base(file, _OBJECTS), lambda shape: _holds(shape, objects))
    data, attributes, kind = point_layer(
        objects, classes_named_in(objects), f"{_base(file, _OBJECTS)} objects", None
    )
    return [(data, {**attributes, **_geometry(image)}, kind)]


def _label_file(file: Path, role: str, ending: str) -> list[LayerData]:
    labels = read_labels(file)
    base = _base(file, ending)
    objects = empty_objects()
    table = file.with_name(base + _OBJECTS)
    classes = read_label_classes(file)
    if role == "instances" and table.is_file():
        objects = read_objects(table)
        classes = classes or classes_named_in(objects)
    elif role == "instances":
        ids = np.unique(labels)
        objects = pd.DataFrame({"label": ids[ids > 0], "class": 0, "class_name": ""})
    elif classes is None:
        classes = ClassTable.from_names(f"class {i + 1}" for i in range(min(254, labels.max())))
    if role == "regions":
        if labels.max(initial=0) > 255:
            raise CosegError(f"{file.name} has region ids up to {labels.max()}: at most 255 fit.")
        labels = labels.astype(np.uint8)
    image = _image_of(base, lambda shape: shape == labels.shape)
    return _layers(role, labels, objects, classes or ClassTable(), file, ending, image)


def _layers(
    role: str,
    labels: Any,
    objects: pd.DataFrame,
    classes: ClassTable,
    file: Path,
    ending: str,
    image: Any,
) -> list[LayerData]:
    # A GeoJSON file has no pixel size of its own.
    mpp = None if ending == _OUTLINES else read_mpp(file)
    name = f"{_base(file, ending)} {role}"
    metadata = own_metadata(role, image.name if image is not None else "", classes, mpp)
    if role == "regions":
        data, attributes, kind = region_layer(labels, classes, name, mpp, **metadata)
    else:
        data, attributes, kind = instance_layer(labels, objects, classes, name, mpp, **metadata)
    layer = (data, {**attributes, **_geometry(image)}, kind)
    return with_picture(layer) if role == "instances" else [layer]


def _base(file: Path, ending: str) -> str:
    return file.name[: -len(ending)] or file.stem


def _image_of(name: str, fits: Callable[[tuple[int, int]], bool]) -> Any:
    """Return the open image that a file most likely belongs to, None without one."""
    viewer = napari.current_viewer()
    if viewer is None:
        return None
    images = [la for la in viewer.layers if isinstance(la, napari.layers.Image)]
    images = [la for la in images if la.ndim >= 2 and fits(_shape(la))]
    images.sort(
        key=lambda la: (
            Path(la.name).stem == name or la.name == name,
            la in viewer.layers.selection,
        )
    )
    return images[-1] if images else None


def _shape(image: Any) -> tuple[int, int]:
    """Rows and columns of an Image layer."""
    data = image.data[0] if image.multiscale else image.data
    rows, columns = data.shape[image.ndim - 2 : image.ndim]
    return int(rows), int(columns)


def _fits(reach: tuple[int, int], shape: tuple[int, int]) -> bool:
    return reach[0] <= shape[0] and reach[1] <= shape[1]


def _holds(shape: tuple[int, int], objects: pd.DataFrame) -> bool:
    reach = max(objects["row1"], default=0), max(objects["column1"], default=0)
    return _fits((int(reach[0]), int(reach[1])), shape)


def _geometry(image: Any) -> dict[str, Any]:
    """Place of a 2D layer that lies on the rows and columns of an image."""
    if image is None:
        return {}
    place: dict[str, Any] = {
        "scale": image.scale[-2:],
        "translate": image.translate[-2:],
        "units": image.units[-2:],
        "axis_labels": image.axis_labels[-2:],
    }
    if image.ndim == 2:
        place |= {"rotate": image.rotate, "shear": image.shear, "affine": image.affine}
    return place
