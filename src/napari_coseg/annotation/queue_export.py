"""The finished cases of a queue as a data set: a folder data set of ours, or one of nnU-Net."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_coseg.annotation.queue_cases import case_stem
from napari_coseg.annotation.queue_images import CaseImage, read_case
from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.queue_store import DONE
from napari_coseg.annotation.stored_labels import StoredLabels, read_stored
from napari_coseg.datasets.nnunet import CHANNEL, nnunet_description
from napari_coseg.imaging.files import atomic_path
from napari_coseg.imaging.labels import write_label_tiff
from napari_coseg.imaging.volume_writing import write_labels, write_volume
from napari_coseg.types import IGNORE, CosegError

Layout = Literal["folder", "nnunet"]
Progress = Callable[[int, int], None]
Array = npt.NDArray[Any]

_FOLDERS = {
    "folder": {
        "images": "images",
        "regions": "regions",
        "instances": "instances",
        "classes": "classes",
    },
    "nnunet": {
        "images": "imagesTr",
        "regions": "regionsTr",
        "instances": "instancesTr",
        "classes": "classesTr",
        "labels": "labelsTr",
    },
}
#: Sizes of voxels that differ by less than this part are the same.
_SAME = 0.01


class NoPixelSizeError(CosegError):
    """A picture does not say how large its pixels are, and neither did the caller."""


@dataclass(frozen=True)
class ExportCase:
    """A case to be written: its name in the data set, and its files."""

    name: str
    image: Path
    objects: Path
    regions: Path


def finished_cases(project: QueueProject) -> list[ExportCase]:
    """Return the finished cases, under names that files can have and that are there once.

    Where names are hidden, they are those that the queue shows.
    """
    cases = [case for case in project.cases if case.status == DONE]
    names = project.names()
    stems = [case_stem(case.key).casefold() for case in cases]
    found = []
    for case, stem in zip(cases, stems, strict=True):
        name = names[case.id]
        if not project.anonymous and stems.count(stem) > 1:
            # Numbers of cases are there once.
            name = f"{name}-{case.id}"
        found.append(
            ExportCase(
                re.sub(r"[^\w.+-]+", "_", name),
                project.path(case.id),
                project.journal(case.id, "objects"),
                project.journal(case.id, "regions"),
            )
        )
    return found


class _Names:
    """Classes of several cases under one numbering, by their names."""

    def __init__(self) -> None:
        self.colours: dict[str, tuple[int, int, int]] = {}

    def table(self, stored: StoredLabels | None, plain: str) -> Array:
        """Return the common id of each id of a case, (256,); those of no name are ignored."""
        ids = np.full(256, IGNORE, np.uint8)
        ids[0] = 0
        for info in () if stored is None else stored.classes:
            self.colours.setdefault(info.name, info.colour)
            ids[info.id] = [*self.colours].index(info.name) + 1
        if stored is not None and not len(stored.classes) and plain:
            self.colours.setdefault(plain, (230, 159, 0))
        return ids


def export_cases(
    cases: Iterable[ExportCase],
    folder: Path,
    layout: Layout,
    *,
    name: str,
    mpp: float | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Write cases as a data set.

    Our layout is that of docs/formats.md. In nnU-Net's, ``labelsTr`` has one id a pixel: regions
    1 to n, then the classes of objects, which lie over the regions; objects of no class, where
    there are several classes, are left out of training (``ignore``). Beside it lie regions,
    objects and classes as in our layout, so that nothing of them is lost to `FolderDataset`.

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
    list of str
        What a person should know, a sentence each.

    Raises
    ------
    NoPixelSizeError
        If a picture has no pixel size and `mpp` is not given.
    CosegError
        If there is nothing to write, cases have pixels of different sizes, or a file cannot be
        read or written. The folder has no description then, by which it would be a data set.
    """
    cases = list(cases)
    if not cases:
        raise CosegError("No case is done: mark finished cases with Done first.")
    _check_empty(folder)
    regions, kinds = _Names(), _Names()
    # All names first: an id means the same in every file.
    for case in cases:
        _tables(case, regions, kinds)
    sizes: dict[str, Any] = {}
    notes: list[str] = []
    written, ignored = 0, False
    for number, case in enumerate(cases):
        if progress is not None:
            progress(number, len(cases))
        objects, areas = read_stored(case.objects), read_stored(case.regions)
        if objects is None and areas is None:
            notes.append(f"{case.name} has no labels and is left out.")
            continue
        image = read_case(case.image)
        _same_size(sizes, case.name, image, mpp)
        parts = _parts(objects, areas, regions, kinds, image)
        if layout == "nnunet":
            parts["labels"], marked = _semantic(parts, len(regions.colours), len(kinds.colours))
            ignored |= marked
        _write(folder, _FOLDERS[layout], layout, case.name, image, parts)
        written += 1
    if not written:
        raise CosegError("The finished cases have no labels: there is nothing to write.")
    own = {
        ("spacing" if sizes["volume"] else "mpp"): sizes["size"],
        "region_classes": [*regions.colours],
        "instance_classes": [*kinds.colours],
        "colours": {**regions.colours, **kinds.colours},
    }
    if layout == "nnunet":
        text = nnunet_description(
            name,
            own["region_classes"],
            own["instance_classes"],
            count=written,
            ending=".nii.gz" if sizes["volume"] else ".png",
            ignored=ignored,
            own=own,
        )
        _write_text(folder / "dataset.json", text)
    else:
        _write_text(folder / "dataset.toml", _toml(name, own))
    return notes


def _tables(case: ExportCase, regions: _Names, kinds: _Names) -> None:
    areas, objects = read_stored(case.regions), read_stored(case.objects)
    regions.table(areas, "")
    kinds.table(objects if objects is not None and objects.objects else None, "object")


def _parts(
    objects: StoredLabels | None,
    areas: StoredLabels | None,
    regions: _Names,
    kinds: _Names,
    image: CaseImage,
) -> dict[str, Array]:
    """Return the label arrays of a case by their kinds."""
    shape = image.pixels.shape[: 2 if image.grid is None else 3]
    parts: dict[str, Array] = {}
    for stored in (objects, areas):
        if stored is not None and stored.labels.shape != shape:
            raise CosegError("The labels of a case do not have the size of its image any more.")
    if areas is not None:
        parts["regions"] = regions.table(areas, "")[np.clip(areas.labels, 0, IGNORE)]
    if objects is not None:
        largest = max(objects.objects, default=0)
        parts["instances"] = objects.labels.astype(np.uint16 if largest < 1 << 16 else np.int32)
        ids = kinds.table(objects, "")
        only = len(kinds.colours) == 1
        classes = np.zeros(largest + 1, np.uint8)
        for label, record in objects.objects.items():
            # With one class, an object that has none is of that one.
            own = ids[record.class_id] if 0 < record.class_id < IGNORE else IGNORE
            classes[label] = 1 if only and own == IGNORE else own
        parts["classes"] = classes[objects.labels]
    return parts


def _semantic(parts: dict[str, Array], regions: int, kinds: int) -> tuple[Array, bool]:
    """Return nnU-Net's labels, and whether some pixels are to be ignored."""
    ignored = regions + kinds + 1
    first = parts["regions"] if "regions" in parts else np.zeros_like(parts["classes"])
    labels = first.astype(np.uint16)
    labels[first == IGNORE] = ignored
    if "classes" in parts:
        classes = parts["classes"]
        inside = parts["instances"] > 0
        labels[inside] = classes[inside].astype(np.uint16) + regions
        labels[inside & (classes == IGNORE)] = ignored
    marked = bool((labels == ignored).any())
    return (labels.astype(np.uint8) if ignored < 256 else labels), marked


def _same_size(sizes: dict[str, Any], name: str, image: CaseImage, mpp: float | None) -> None:
    volume = image.grid is not None
    # NIfTI keeps sizes in 32 bits: 0.4 mm is read as 0.4000000059.
    spacing = [] if image.grid is None else [round(side, 6) for side in image.grid.spacing]
    size = spacing or image.mpp or mpp
    if size is None:
        raise NoPixelSizeError(f"{name} does not say how large its pixels are: give their size.")
    if not sizes:
        sizes.update(volume=volume, size=size, name=name)
    elif sizes["volume"] != volume:
        raise CosegError(
            f"{sizes['name']} and {name} are a volume and a picture, which are no one data set: "
            "make a queue of each."
        )
    elif not np.allclose(sizes["size"], size, rtol=_SAME):
        raise CosegError(
            f"{sizes['name']} and {name} have pixels of different sizes ({sizes['size']} and "
            f"{size}), and a data set has one size: make a queue of each, or resample them."
        )


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


def _write_png(path: Path, pixels: Array) -> None:
    with atomic_path(path) as part:
        Image.fromarray(pixels).save(part)


def _check_empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CosegError(f"{folder} is not empty: choose a new folder for the data set.")
    except OSError as error:
        raise CosegError(f"{folder} cannot be written ({error.strerror or error}).") from error


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
