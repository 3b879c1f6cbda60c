"""A folder data set: images and whatever labels there are, matched by name.

The layout is the project's own (docs/formats.md). All label folders are optional:
a missing label is "not annotated", never background. A folder of nnU-Net v2 is read as well.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets import nnunet
from napari_coseg.datasets.labelled import (
    LABEL_KINDS,
    PARTS,
    Format,
    Item,
    ItemFault,
    LabelledDataset,
    LabelledImage,
    OpenOptions,
)
from napari_coseg.datasets.volume_planes import count_planes, read_label_plane, read_plane
from napari_coseg.imaging.labels import read_labels
from napari_coseg.imaging.source import open_image
from napari_coseg.imaging.volume_headers import VOLUME_SUFFIXES, is_volume, volume_stem
from napari_coseg.imaging.volumes import read_grid
from napari_coseg.types import IGNORE, ClassTable, CosegError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
LABEL_SUFFIXES = (".png", ".tif", ".tiff")
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
    "parts",
}


class FolderDataset(LabelledDataset):
    """Labelled images of one folder.

    Where the set's description does not say how large a pixel is, `mpp` and `spacing` are those of
    the first volume.

    Parameters
    ----------
    root : Path or str
    options : OpenOptions, optional
        Only `mpp` is looked at.

    Raises
    ------
    CosegError
        If there is no description or image, or a key is wrong.
    """

    format = Format("folder", "folder data set", "docs/formats.md")

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        self.root = Path(root)
        about = _read_description(self.root)
        if options is not None and options.mpp is not None:
            about["mpp"] = options.mpp
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
        parts = _parts(about.get("parts", {}), where)
        self.items, self.faults = _find_items(self.root, about.get("group"), parts, self._nnunet)
        if options is not None and options.mpp is not None and self.items[0].plane is not None:
            raise CosegError(
                f"{self.root} holds volumes, which say themselves how large voxels are."
            )

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder has a description of ours, or nnU-Net's with labels of ours."""
        return (root / "dataset.toml").is_file() or nnunet.is_own(root)

    @classmethod
    def name_of(cls, root: Path) -> str:
        """Return what the description calls the set, or else the folder's name.

        Raises
        ------
        CosegError
            If it has no description that can be read.
        """
        return _name(_read_description(root), root)

    def read(self, item: Item, planes: Sequence[float] | None = None) -> LabelledImage:
        """Read an item's image and labels; see `LabelledDataset.read`."""
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

    def _mpp(self, item: Item) -> float:
        """Pixel size of an item in µm."""
        spacing = self._spacing(item) if item.plane is not None and self._of_files else None
        return self.mpp if spacing is None else 1000 * spacing[2]

    def _spacing(self, item: Item) -> tuple[float, ...] | None:
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


def _parts(listed: object, where: Path) -> dict[str, str]:
    """Part of each name that the description puts into one."""
    if not isinstance(listed, dict) or not all(
        part in PARTS and isinstance(names, list) for part, names in listed.items()
    ):
        raise CosegError(f"parts in {where} must be lists of names: {', '.join(PARTS)}.")
    found: dict[str, str] = {}
    for part, names in listed.items():
        for name in names:
            if found.setdefault(str(name), part) != part:
                raise CosegError(f"parts in {where} has {name} in two parts.")
    return found


def _find_items(
    root: Path, group: object, parts: Mapping[str, str], of_nnunet: bool
) -> tuple[tuple[Item, ...], tuple[ItemFault, ...]]:
    folder = root / ("imagesTr" if of_nnunet else "images")
    images = sorted(
        path
        for path in _files(folder, of_nnunet and nnunet.is_own(root))
        if _named(path, IMAGE_SUFFIXES) is not None
    )
    if not images:
        known = ", ".join(IMAGE_SUFFIXES + VOLUME_SUFFIXES)
        raise CosegError(f"{folder} holds no image ({known}).")
    kinds = nnunet.label_folders(root) if of_nnunet else {kind: kind for kind in LABEL_KINDS}
    labels: dict[str, dict[str, Path]] = {kind: {} for kind in kinds}
    for kind, where in kinds.items():
        for path in _files(root / where, of_nnunet and nnunet.is_own(root)):
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
                whose = _group_of(stem if whole else name, group, root)
                items.append(Item(name, path, of_volume, whose, plane, parts.get(stem)))
        else:
            whose = _group_of(stem, group, root)
            items.append(Item(stem, path, own, whose, part=parts.get(stem)))
    unknown = sorted(set(parts) - set(names))
    if unknown:
        raise CosegError(f"parts in {root / 'dataset.toml'} names {unknown[0]}, which is no image.")
    lone = [
        ItemFault(name, f"{path} is the label of no image: add the image, or remove the label.")
        for found in labels.values()
        for name, path in found.items()
        if name not in names
    ]
    return tuple(items), tuple(lone)


def _files(folder: Path, both: bool) -> list[Path]:
    """Files of a folder, and of nnU-Net's test part beside it."""
    others = folder.parent / f"{folder.name.removesuffix('Tr')}Ts"
    found = [*folder.glob("*"), *(others.glob("*") if both else ())]
    return sorted(found, key=lambda path: path.name)


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
