"""A folder data set: images and whatever labels there are, matched by name.

The layout is the project's own (docs/formats.md). All label folders are optional:
a missing label is "not annotated", never background.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.labels import read_labels
from napari_coseg.imaging.source import open_image
from napari_coseg.types import IGNORE, ClassTable, CosegError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
LABEL_SUFFIXES = (".png", ".tif", ".tiff")
LABEL_KINDS = ("regions", "region_instances", "instances", "classes")
_KEYS = {
    "name",
    "description",
    "mpp",
    "license",
    "region_classes",
    "instance_classes",
    "colours",
    "group",
}


@dataclass(frozen=True)
class LabelledImage:
    """One item as arrays; None where a label does not exist.

    Attributes
    ----------
    image : ndarray of uint8, (rows, columns, 3)
    regions : ndarray of uint8, (rows, columns), or None
        Region class ids, 255 for "do not look".
    region_instances : ndarray of int32, (rows, columns), or None
    instances : ndarray of int32, (rows, columns), or None
    classes : ndarray of uint8, (rows, columns), or None
        Class of the instance at each pixel, 255 for "do not look".
    """

    image: npt.NDArray[np.uint8]
    regions: npt.NDArray[np.uint8] | None
    region_instances: npt.NDArray[np.int32] | None
    instances: npt.NDArray[np.int32] | None
    classes: npt.NDArray[np.uint8] | None


@dataclass(frozen=True)
class FolderItem:
    """Where one item's files lie, and the patient or slide it belongs to."""

    name: str
    image: Path
    labels: Mapping[str, Path]
    group: str


class FolderDataset:
    """Labelled images of one folder.

    Attributes
    ----------
    name : str
    mpp : float
        µm per pixel of every image.
    region_classes, instance_classes : ClassTable
        What the ids in the label images mean.
    items : tuple of FolderItem
        In the order of their names.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        about = _read_description(self.root)
        self.name = str(about.get("name", self.root.name))
        self.license = str(about.get("license", "unknown"))
        mpp = about.get("mpp")
        if not isinstance(mpp, int | float) or isinstance(mpp, bool) or not mpp > 0:
            raise CosegError(f"{self.root / 'dataset.toml'} needs mpp, the µm of a pixel, above 0.")
        self.mpp = float(mpp)
        colours = about.get("colours")
        self.region_classes = ClassTable.from_names(about.get("region_classes", ()), colours)
        self.instance_classes = ClassTable.from_names(about.get("instance_classes", ()), colours)
        self.items = _find_items(self.root, about.get("group"))

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of labels that at least one item has."""
        return frozenset(kind for item in self.items for kind in item.labels)

    def read(self, item: FolderItem) -> LabelledImage:
        """Read an item's image and labels.

        Raises
        ------
        CosegError
            If a file cannot be read, a label's size is not its image's, or a class id is not in
            the data set's table.
        """
        with open_image(item.image) as source:
            rows, columns = source.shape
            image = source.read(0, 0, rows, columns)
        found = {
            kind: read_labels(path, expected_shape=(rows, columns))
            for kind, path in item.labels.items()
        }
        for kind, table in (("regions", self.region_classes), ("classes", self.instance_classes)):
            if kind in found:
                _check_classes(found[kind], table, item.labels[kind])
        as_bytes = {k: found[k].astype(np.uint8) for k in ("regions", "classes") if k in found}
        return LabelledImage(
            image=image,
            regions=as_bytes.get("regions"),
            region_instances=found.get("region_instances"),
            instances=found.get("instances"),
            classes=as_bytes.get("classes"),
        )


def _read_description(root: Path) -> dict[str, Any]:
    path = root / "dataset.toml"
    try:
        about = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CosegError(f"{root} is no data set: it has no dataset.toml.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CosegError(f"{path} cannot be read as TOML: {error}.") from error
    unknown = sorted(set(about) - _KEYS)
    if unknown:
        raise CosegError(f"{path} has unknown keys: {', '.join(unknown)}.")
    return about


def _find_items(root: Path, group: object) -> tuple[FolderItem, ...]:
    images = sorted(p for p in (root / "images").glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise CosegError(f"{root / 'images'} holds no image ({', '.join(IMAGE_SUFFIXES)}).")
    labels: dict[str, dict[str, Path]] = {kind: {} for kind in LABEL_KINDS}
    for kind in LABEL_KINDS:
        for path in sorted((root / kind).glob("*")):
            if path.suffix.lower() in LABEL_SUFFIXES:
                labels[kind][path.stem] = path
    names = [image.stem for image in images]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CosegError(f"{root / 'images'} has two images of the name {twice[0]}.")
    return tuple(
        FolderItem(
            name=path.stem,
            image=path,
            labels={kind: found[path.stem] for kind, found in labels.items() if path.stem in found},
            group=_group_of(path.stem, group, root),
        )
        for path in images
    )


def _group_of(name: str, group: object, root: Path) -> str:
    """Patient or slide of an item: a table by name, or a pattern whose first group names it."""
    if group is None:
        return name
    if isinstance(group, dict):
        return str(group.get(name, name))
    if isinstance(group, str):
        try:
            match = re.search(group, name)
        except re.error as error:
            raise CosegError(
                f"group in {root / 'dataset.toml'} is no regular expression: {error}."
            ) from error
        if match is None:
            raise CosegError(
                f"group in {root / 'dataset.toml'} fits no part of the image name {name}: change "
                "the pattern, or name the groups in a table."
            )
        return match.group(1) if match.groups() else match.group(0)
    raise CosegError(f"group in {root / 'dataset.toml'} must be a table or a regular expression.")


def _check_classes(labels: npt.NDArray[Any], table: ClassTable, path: Path) -> None:
    ids = np.unique(labels)
    unknown = ids[(ids > len(table)) & (ids != IGNORE)]
    if unknown.size:
        raise CosegError(
            f"{path} holds class {unknown[0]}, but dataset.toml names {len(table)} classes."
        )
