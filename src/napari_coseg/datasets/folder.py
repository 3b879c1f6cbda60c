"""A folder data set: images and whatever labels there are, matched by name.

The layout is the project's own (docs/formats.md). All label folders are optional:
a missing label is "not annotated", never background. A folder of nnU-Net v2 is read as well.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets import nnunet
from napari_coseg.datasets.volume_planes import count_planes, read_label_plane, read_plane
from napari_coseg.imaging.labels import read_labels
from napari_coseg.imaging.source import open_image
from napari_coseg.imaging.volume_headers import VOLUME_SUFFIXES, is_volume, volume_stem
from napari_coseg.imaging.volumes import read_grid
from napari_coseg.types import IGNORE, ClassTable, CosegError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
LABEL_SUFFIXES = (".png", ".tif", ".tiff")
LABEL_KINDS = ("regions", "region_instances", "instances", "classes")
_KEYS = {
    "name",
    "description",
    "mpp",
    "spacing",
    "window",
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
    mpp : float
        µm per pixel, of columns.
    regions : ndarray of uint8, (rows, columns), or None
        Region class ids, 255 for "do not look".
    region_instances : ndarray of int32, (rows, columns), or None
    instances : ndarray of int32, (rows, columns), or None
    classes : ndarray of uint8, (rows, columns), or None
        Class of the instance at each pixel, 255 for "do not look".
    """

    image: npt.NDArray[np.uint8]
    mpp: float
    regions: npt.NDArray[np.uint8] | None
    region_instances: npt.NDArray[np.int32] | None
    instances: npt.NDArray[np.int32] | None
    classes: npt.NDArray[np.uint8] | None


@dataclass(frozen=True)
class FolderItem:
    """Where one item's files lie, and the patient or slide it belongs to.

    `plane` is the index of a volume's plane; None for an image.
    """

    name: str
    image: Path
    labels: Mapping[str, Path]
    group: str
    plane: int | None = None


class FolderDataset:
    """Labelled images of one folder.

    Attributes
    ----------
    name : str
    mpp : float
        µm per pixel of every image; of volumes, of their planes. Where the data set's description
        does not say it, that of the first volume: see `LabelledImage.mpp`.
    spacing : tuple of float, or None
        Of volumes: mm between planes, rows and columns, in the same way.
    window : (float, float) or None
        Of volumes: grey values that are shown black and white.
    region_classes, instance_classes : ClassTable
        What the ids in the label images mean.
    items : tuple of FolderItem
        In the order of their names.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        about = _read_description(self.root)
        self.name = _name(about, self.root)
        self.license = str(about.get("license", "unknown"))
        where = self.root / "dataset.toml"
        self.spacing = _numbers(about, "spacing", 3, where)
        if self.spacing is not None and min(self.spacing) <= 0:
            raise CosegError(f"spacing in {where} must be mm above 0.")
        window = _numbers(about, "window", 2, where)
        self.window = None if window is None else (window[0], window[1])
        if self.window is not None and self.window[0] >= self.window[1]:
            raise CosegError(f"window in {where} must be the lower and the upper grey value.")
        mpp = about.get("mpp", None if self.spacing is None else 1000 * self.spacing[2])
        if not isinstance(mpp, int | float) or isinstance(mpp, bool) or not mpp > 0:
            raise CosegError(
                f"{where} needs mpp, the µm of a pixel, or a volume's spacing in mm, above 0."
            )
        self.mpp = float(mpp)
        colours = about.get("colours")
        self.region_classes = ClassTable.from_names(about.get("region_classes", ()), colours)
        self.instance_classes = ClassTable.from_names(about.get("instance_classes", ()), colours)
        self._nnunet = nnunet.is_nnunet(self.root)
        self._of_files = self._nnunet and nnunet.spacing_of_files(self.root)
        self._spacings: dict[Path, tuple[float, ...]] = {}
        self._ignored = nnunet.ignored_id(self.root) if self._nnunet else None
        self.items = _find_items(self.root, about.get("group"), self._nnunet)

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of labels that at least one item has."""
        return frozenset(kind for item in self.items for kind in item.labels)

    def read(self, item: FolderItem, planes: Sequence[float] | None = None) -> LabelledImage:
        """Read an item's image and labels.

        Parameters
        ----------
        item : FolderItem
        planes : sequence of three floats, optional
            For a network that sees planes of a volume beside one another: where red, green and
            blue are taken, in mm from the item's plane. The window is the volume's automatic one
            then, as in prediction.

        Raises
        ------
        CosegError
            If a file cannot be read, a label's size is not its image's, a class id is not in
            the data set's table, or planes are asked of a picture.
        """
        if planes is not None and (item.plane is None or self.spacing is None):
            raise CosegError(
                f"{item.image} is no volume, or has no spacing in {self.root / 'dataset.toml'}, "
                "and the model sees planes of volumes."
            )
        if item.plane is None:
            with open_image(item.image) as source:
                image = source.read(0, 0, *source.shape)
        else:
            offsets = None
            spacing = self._spacing(item)
            if planes is not None and spacing is not None:
                offsets = [mm / spacing[0] for mm in planes]
            window = self.window if offsets is None else None
            image = read_plane(item.image, item.plane, window, offsets)
        found = {
            kind: read_labels(path, expected_shape=image.shape[:2])
            if item.plane is None
            else read_label_plane(path, item.plane, item.image)
            for kind, path in item.labels.items()
        }
        if self._ignored is not None and "regions" in found:
            marked = found["regions"] == self._ignored
            found["regions"] = np.where(marked, IGNORE, found["regions"])
        for kind, table in (("regions", self.region_classes), ("classes", self.instance_classes)):
            if kind in found:
                _check_classes(found[kind], table, item.labels[kind])
        as_bytes = {k: found[k].astype(np.uint8) for k in ("regions", "classes") if k in found}
        return LabelledImage(
            image=image,
            mpp=self._mpp(item),
            regions=as_bytes.get("regions"),
            region_instances=_as_ids(found.get("region_instances")),
            instances=_as_ids(found.get("instances")),
            classes=as_bytes.get("classes"),
        )

    def _mpp(self, item: FolderItem) -> float:
        """Pixel size of an item in µm."""
        spacing = self._spacing(item) if item.plane is not None and self._of_files else None
        return self.mpp if spacing is None else 1000 * spacing[2]

    def _spacing(self, item: FolderItem) -> tuple[float, ...] | None:
        """Spacing in mm of an item's volume: planes, rows, columns."""
        if not self._of_files:
            return self.spacing
        # nnU-Net's sets have volumes of several scanners.
        found = self._spacings.get(item.image)
        if found is None:
            grid = read_grid(item.image)
            if grid is None:
                raise CosegError(
                    f"{item.image} does not say how large its voxels are: write its spacing into "
                    f"it, or that of all volumes into {self.root / 'dataset.json'}."
                )
            found = self._spacings[item.image] = grid.spacing
        return found


def dataset_name(root: Path | str) -> str:
    """Return a data set's name without a look at its images.

    Raises
    ------
    CosegError
        If it has no description that can be read.
    """
    return _name(_read_description(Path(root)), Path(root))


def _name(about: Mapping[str, Any], root: Path) -> str:
    return str(about.get("name", root.name))


def _read_description(root: Path) -> dict[str, Any]:
    path = root / "dataset.toml"
    if nnunet.is_nnunet(root):
        return _known(nnunet.describe(root), root / "dataset.json")
    try:
        about = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CosegError(f"{root} is no data set: it has no dataset.toml.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CosegError(f"{path} cannot be read as TOML: {error}.") from error
    return _known(about, path)


def _known(about: dict[str, Any], path: Path) -> dict[str, Any]:
    unknown = sorted(set(about) - _KEYS)
    if unknown:
        raise CosegError(f"{path} has unknown keys: {', '.join(unknown)}.")
    return about


def _as_ids(labels: npt.NDArray[Any] | None) -> npt.NDArray[np.int32] | None:
    return None if labels is None else labels.astype(np.int32, copy=False)


def _numbers(
    about: Mapping[str, Any], key: str, count: int, where: Path
) -> tuple[float, ...] | None:
    """Numbers of a key that may be missing."""
    values = about.get(key)
    if values is None:
        return None
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(isinstance(v, int | float) and math.isfinite(v) for v in values)
        or any(isinstance(v, bool) for v in values)
    ):
        raise CosegError(f"{key} in {where} must be {count} numbers.")
    return tuple(float(v) for v in values)


def _named(path: Path, suffixes: tuple[str, ...]) -> str | None:
    """Name of an image or volume, None for another file."""
    if is_volume(path):
        return volume_stem(path)
    return path.stem if path.suffix.lower() in suffixes else None


def _find_items(root: Path, group: object, of_nnunet: bool) -> tuple[FolderItem, ...]:
    folder = root / ("imagesTr" if of_nnunet else "images")
    images = sorted(path for path in folder.glob("*") if _named(path, IMAGE_SUFFIXES) is not None)
    if not images:
        known = ", ".join(IMAGE_SUFFIXES + VOLUME_SUFFIXES)
        raise CosegError(f"{folder} holds no image ({known}).")
    kinds = nnunet.label_folders(root) if of_nnunet else {kind: kind for kind in LABEL_KINDS}
    labels: dict[str, dict[str, Path]] = {kind: {} for kind in kinds}
    for kind, where in kinds.items():
        for path in sorted((root / where).glob("*")):
            name = _named(path, LABEL_SUFFIXES)
            if name is not None:
                labels[kind][name] = path
    names = [str(_named(image, IMAGE_SUFFIXES)) for image in images]
    if of_nnunet:
        names = [name.removesuffix(nnunet.CHANNEL) for name in names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CosegError(f"{folder} has two images of the name {twice[0]}.")
    items = []
    for path, stem in zip(images, names, strict=True):
        own = {kind: found[stem] for kind, found in labels.items() if stem in found}
        if is_volume(path):
            # Planes of one volume stay together, unless `group` parts them by their names.
            of_volume = {kind: label for kind, label in own.items() if is_volume(label)}
            for plane in range(count_planes(path)):
                name = f"{stem}-z{plane:04d}"
                # A table may name the patient of a volume, or of single planes.
                whole = group is None or (isinstance(group, dict) and name not in group)
                part = _group_of(stem if whole else name, group, root)
                items.append(FolderItem(name, path, of_volume, part, plane))
        else:
            items.append(FolderItem(stem, path, own, _group_of(stem, group, root)))
    return tuple(items)


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
