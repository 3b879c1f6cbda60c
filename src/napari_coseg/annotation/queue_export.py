"""The finished cases of a queue as a data set: a folder data set of ours, or one of nnU-Net."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from napari_coseg.annotation.queue_export_plan import (
    ExportCase,
    ExportPlan,
    Progress,
    check_shape,
    drawn,
    plan_export,
)
from napari_coseg.annotation.queue_images import CaseImage, read_case
from napari_coseg.annotation.queue_objects import objects_of
from napari_coseg.annotation.stored_labels import StoredLabels
from napari_coseg.datasets.nnunet import CHANNEL, nnunet_description
from napari_coseg.datasets.nnunet_layout import FOLDERS, is_hounsfield, semantic_labels
from napari_coseg.imaging.files import atomic_path
from napari_coseg.imaging.labels import write_label_tiff
from napari_coseg.imaging.tables import write_objects
from napari_coseg.imaging.volume_writing import write_labels, write_volume
from napari_coseg.types import IGNORE, CosegError

Layout = Literal["folder", "nnunet"]
Array = npt.NDArray[Any]

_FOLDERS = {
    "folder": {
        "images": "images",
        "regions": "regions",
        "instances": "instances",
        "classes": "classes",
        "objects": "objects",
    },
    "nnunet": {**FOLDERS, "objects": "objectsTr"},
}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    count : int
        Of cases.
    notes : tuple of str
        What a person should know, a sentence each.
    """

    count: int
    notes: tuple[str, ...]


def export_cases(
    cases: Iterable[ExportCase],
    folder: Path,
    layout: Layout,
    *,
    name: str,
    mpp: float | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write cases as a data set.

    Our layout is that of docs/formats.md. In nnU-Net's, ``labelsTr`` has one id a pixel: regions
    1 to n, then the classes of objects, which lie over the regions; objects of no class, where
    there are several classes, are left out of training (``ignore``). Beside it lie regions,
    objects and classes as in our layout, so that nothing of them is lost to `FolderDataset`.

    In both layouts a case with objects has a table of them: classes, sizes, places, FDI numbers.

    All cases are looked at before the first file is written: which are written, what each id
    means, whether they fit together.

    Parameters
    ----------
    cases : iterable of ExportCase
        Nobody may have their journals open.
    folder : Path
        New or empty.
    layout : {"folder", "nnunet"}
    name : str
        Of the data set.
    mpp : float, optional
        µm per pixel of pictures that do not say it.
    progress : callable, optional
        Told how many of how many cases are written. It may raise to stop.

    Returns
    -------
    Exported

    Raises
    ------
    NoPixelSizeError
        If a picture has no pixel size and `mpp` is not given; nothing is written then.
    CosegError
        If there is nothing to write, or cases do not fit together; nothing is written then. If a
        file cannot be read or written; the folder has no description then, by which it would be a
        data set.
    """
    _check_empty(folder)
    cases = list(cases)
    # Both passes are told as one.
    half = 2 * len(cases)
    plan = plan_export(cases, mpp, progress and (lambda at, _: progress(at, half)))
    ignored, in_hu = False, True
    names = [*plan.regions.colours], [*plan.kinds.colours]
    for number, case in enumerate(plan.cases):
        if progress is not None:
            progress(len(cases) + number, half)
        image = read_case(case.image)
        parts, objects, kinds = _parts(case, plan, image)
        if layout == "nnunet":
            counts = len(plan.regions.colours), len(plan.kinds.colours)
            parts["labels"], marked = semantic_labels(parts, *counts)
            ignored |= marked
            in_hu &= is_hounsfield(image.pixels, image.unit)
        _write(folder, _FOLDERS[layout], layout, case.name, image, parts)
        if objects is not None and kinds is not None:
            size = mpp if image.mpp is None else image.mpp
            table = objects_of(objects, kinds, parts.get("regions"), image, size, names)
            _write_table(folder / _FOLDERS[layout]["objects"] / f"{case.name}.csv", *table)
    own = {
        ("spacing" if plan.volumes else "mpp"): plan.size,
        "region_classes": names[0],
        "instance_classes": names[1],
        "colours": {**plan.regions.colours, **plan.kinds.colours},
    }
    if layout == "nnunet":
        text = nnunet_description(
            name,
            own["region_classes"],
            own["instance_classes"],
            count=len(plan.cases),
            ending=".nii.gz" if plan.volumes else ".png",
            channels=("CT" if in_hu else "CBCT",) if plan.volumes else ("R", "G", "B"),
            ignored=ignored,
            own=own,
        )
        _write_text(folder / "dataset.json", text)
    else:
        _write_text(folder / "dataset.toml", _toml(name, own))
    return Exported(len(plan.cases), tuple(plan.notes))


def _parts(
    case: ExportCase, plan: ExportPlan, image: CaseImage
) -> tuple[dict[str, Array], StoredLabels | None, Array | None]:
    """Return the label arrays of a case by their kinds, its objects, and the class of each.

    What nobody drew is not among them.
    """
    shape = image.pixels.shape[: 2 if image.grid is None else 3]
    objects, areas = drawn(case.objects), drawn(case.regions)
    parts: dict[str, Array] = {}
    classes: Array | None = None
    for stored in (objects, areas):
        check_shape(case.name, stored, shape)
    if areas is not None:
        parts["regions"] = plan.regions.table(areas)[np.clip(areas.labels, 0, IGNORE)]
    if objects is not None:
        largest = max(objects.objects, default=0)
        parts["instances"] = objects.labels.astype(np.uint16 if largest < 1 << 16 else np.int32)
        ids = plan.kinds.table(objects)
        only = len(plan.kinds.colours) == 1
        classes = np.zeros(largest + 1, np.uint8)
        for label, record in objects.objects.items():
            # With one class, an object that has none is of that one.
            own = ids[record.class_id] if 0 < record.class_id < IGNORE else IGNORE
            classes[label] = 1 if only and own == IGNORE else own
        parts["classes"] = classes[objects.labels]
    return parts, objects, classes


def _write(
    folder: Path,
    folders: dict[str, str],
    layout: Layout,
    name: str,
    image: CaseImage,
    parts: dict[str, Array],
) -> None:
    try:
        for kind in ("images", *parts):
            (folder / folders[kind]).mkdir(parents=True, exist_ok=True)
        stem = name + CHANNEL if layout == "nnunet" else name
        if image.grid is not None:
            write_volume(folder / folders["images"] / f"{stem}.nii.gz", image.pixels, image.grid)
            for kind, labels in parts.items():
                write_labels(folder / folders[kind] / f"{name}.nii.gz", labels, image.grid)
            return
        _write_png(folder / folders["images"] / f"{stem}.png", image.pixels)
        for kind, labels in parts.items():
            if kind == "labels":
                # nnU-Net wants images and labels with one ending.
                _write_png(folder / folders[kind] / f"{name}.png", labels)
            else:
                write_label_tiff(folder / folders[kind] / f"{name}.tif", labels)
    except OSError as error:
        raise CosegError(f"{folder} cannot be written ({error.strerror or error}).") from error


def _write_table(path: Path, table: pd.DataFrame, columns: tuple[str, ...]) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        write_objects(path, table, columns)
    except OSError as error:
        raise CosegError(f"{path} cannot be written ({error.strerror or error}).") from error


def _write_png(path: Path, pixels: Array) -> None:
    with atomic_path(path) as part:
        Image.fromarray(pixels).save(part)


def _check_empty(folder: Path) -> None:
    try:
        if folder.exists() and any(folder.iterdir()):
            raise CosegError(f"{folder} is not empty: choose a new folder for the data set.")
    except OSError as error:
        raise CosegError(f"{folder} cannot be read ({error.strerror or error}).") from error


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def _toml(name: str, own: dict[str, Any]) -> str:
    """Return ``dataset.toml``. JSON's strings and lists are TOML's too."""
    plain = {"name": name, **{key: value for key, value in own.items() if key != "colours"}}
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in plain.items()]
    lines += ["", "[colours]"]
    lines += [
        f"{json.dumps(key, ensure_ascii=False)} = {json.dumps(list(colour))}"
        for key, colour in own["colours"].items()
    ]
    return "\n".join([*lines, ""])
