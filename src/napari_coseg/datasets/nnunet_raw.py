"""nnU-Net's raw data sets as they are published, volumes or pictures.

Format: ``documentation/dataset_format.md``, ``region_based_training.md`` and ``ignore_label.md`` of
nnU-Net v2. Folders that this program wrote are `napari_coseg.datasets.folder`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.labelled import (
    Format,
    Item,
    ItemFault,
    LabelledDataset,
    LabelledImage,
    OpenOptions,
)
from napari_coseg.datasets.mapping import IGNORED, ClassMapping, classes_of, group_of, read_mapping
from napari_coseg.datasets.nnunet import KEY, is_nnunet, is_own
from napari_coseg.datasets.nnunet_labels import (
    SPLITS,
    channel_of,
    label_tables,
    named_labels,
    parts_of_fold,
    read_json,
)
from napari_coseg.datasets.volume_planes import count_planes, read_label_plane, read_plane
from napari_coseg.imaging.labels import read_labels
from napari_coseg.imaging.source import open_image
from napari_coseg.imaging.volume_headers import is_volume
from napari_coseg.imaging.volumes import read_grid
from napari_coseg.types import CosegError

#: Keys of a mapping.
KEYS = frozenset({"regions", "instances", "channel", "fold", "splits", "group"})
_FOLDERS = (("imagesTr", "labelsTr", "train"), ("imagesTs", "labelsTs", "test"))


class NnunetDataset(LabelledDataset):
    """A raw data set of nnU-Net v2.

    Labels are regions, by the names of ``dataset.json``; where those are made of several ids, a
    pixel is of the last of them that holds its id, in the order of ``regions_class_order``, as in
    what nnU-Net predicts. ``imagesTs`` is the test part. The validation cases of one fold of
    ``splits_final.json`` are the validation part.

    A mapping's tables ``[regions]`` and ``[instances]`` say what each name is taken for: a name in
    ``[instances]`` is one object in each case, whose id is the label's. ``channel`` is the number
    or name of the channel of several, ``fold`` the fold (0), ``splits`` the file of folds beside
    ``dataset.json``, ``group`` a pattern that finds the patient in a case's name. Volumes say
    their own spacing; of pictures, the key ``coseg`` of ``dataset.json`` may say ``mpp``.

    Parameters
    ----------
    root : Path or str
    options : OpenOptions, optional

    Raises
    ------
    CosegError
        If ``dataset.json`` cannot be read, or does not fit the mapping, or there is no case.
    """

    format = Format(
        "nnunet",
        "nnU-Net v2 raw data set",
        "https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md",
    )

    def __init__(self, root: Path | str, options: OpenOptions | None = None) -> None:
        options = options or OpenOptions()
        self.root = Path(root)
        self._where = options.mapping
        mapping = read_mapping(options.mapping, self._mapping_keys())
        about = read_json(self.root / "dataset.json")
        if "dataset" in about:
            raise CosegError(
                f"{self.root / 'dataset.json'} lists its files itself ('dataset'): put the images "
                "into imagesTr and the labels into labelsTr."
            )
        own = about.get(KEY)
        said = own.get("mpp") if isinstance(own, dict) else None
        self._mpp = options.mpp or (float(said) if isinstance(said, int | float) else None)
        self.mpp = float("nan") if self._mpp is None else self._mpp
        self.name = str(about.get("name") or self.root.name)
        self.license = str(about.get("licence", about.get("license", "unknown")))
        labels = named_labels(self.root / "dataset.json", about)
        regions, instances = self._classes(labels, mapping)
        self._tables = label_tables(labels, about, regions, instances, self.root / "dataset.json")
        self.region_classes, self.instance_classes = regions.table, instances.table
        self._kinds = [k for k, one in (("regions", regions), ("instances", instances)) if one.ids]
        self._ending = str(about.get("file_ending", ""))
        channel = channel_of(mapping.get("channel"), about, self.root)
        parts = parts_of_fold(self.root, mapping)
        self.items, self.faults = self._find(channel, parts, mapping)
        if not self.items:
            more = f" {self.faults[0].sentence}" if self.faults else ""
            raise CosegError(f"{self.root / 'imagesTr'} holds no case that can be used.{more}")
        first = self.items[0].image
        grid = read_grid(first) if is_volume(first) else None
        if grid is not None:
            self.spacing = grid.spacing
            self.mpp = 1000 * grid.spacing[2]
        if options.mpp is not None and is_volume(first):
            raise CosegError(
                f"{self.root} holds volumes, which say themselves how large voxels are."
            )

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder is nnU-Net's, not written by this program, and of no other reader."""
        return is_nnunet(root) and not is_own(root) and not is_toothfairy2(root)

    def _mapping_keys(self) -> Collection[str]:
        return KEYS

    def _classes(
        self, labels: Mapping[str, tuple[int, ...]], mapping: Mapping[str, Any]
    ) -> tuple[ClassMapping, ClassMapping]:
        """Classes of regions and of instances for the set's names."""
        instances = classes_of(mapping, "instances", {}, self._where)
        default = {
            name: IGNORED if name == IGNORED else name
            for name in labels
            if name not in instances.ids
        }
        return classes_of(mapping, "regions", default, self._where), instances

    def read(self, item: Item, planes: Sequence[float] | None = None) -> LabelledImage:
        """Read an item's image and labels; see `LabelledDataset.read`."""
        if item.plane is None:
            if planes is not None:
                raise CosegError(
                    f"{item.image} is no volume, and the model sees planes of volumes."
                )
            with open_image(item.image) as source:
                image = source.read(0, 0, *source.shape)
                mpp = self._mpp or source.mpp or float("nan")
        else:
            grid = read_grid(item.image)
            mpp = float("nan") if grid is None else 1000 * grid.spacing[2]
            offsets = None
            if planes is not None:
                if grid is None:
                    raise CosegError(f"{item.image} does not say how large its voxels are.")
                offsets = [mm / grid.spacing[0] for mm in planes]
            image = read_plane(item.image, item.plane, None, offsets)
        path = next(iter(item.labels.values()), None)
        if path is None:
            return LabelledImage(image, mpp)
        if item.plane is None:
            labels: npt.NDArray[Any] = read_labels(path, expected_shape=image.shape[:2])
        else:
            labels = read_label_plane(path, item.plane, item.image)
        found = self._turned(labels, path)
        return LabelledImage(image, mpp, **{k: v for k, v in found.items() if v is not None})

    def _turned(self, labels: npt.NDArray[Any], path: Path) -> dict[str, Any]:
        """Labels of the file as regions, instances and their classes."""
        regions, classes = self._tables
        inside = labels.astype(np.int64)
        known = regions >= 0
        beyond = np.unique(inside[(inside < 0) | (inside >= len(known))])
        missing = np.unique(inside[(inside >= 0) & (inside < len(known))])
        unknown = [*beyond.tolist(), *missing[~known[missing]].tolist()]
        if unknown:
            raise CosegError(
                f"{path} holds the label {unknown[0]}, which {self.root / 'dataset.json'} does "
                "not name."
            )
        kind = classes[inside].astype(np.uint8)
        whose = "instances" in self._kinds
        return {
            "regions": regions[inside].astype(np.uint8) if "regions" in self._kinds else None,
            "instances": np.where(kind > 0, inside, 0).astype(np.int32) if whose else None,
            "classes": kind if whose else None,
        }

    def _find(
        self, channel: int, parts: Mapping[str, str] | None, mapping: Mapping[str, Any]
    ) -> tuple[tuple[Item, ...], tuple[ItemFault, ...]]:
        items: list[Item] = []
        faults: list[ItemFault] = []
        taken: set[str] = set()
        divided = parts is not None or (self.root / "imagesTs").is_dir()
        for images_folder, labels_folder, part in _FOLDERS:
            images, more = self._files(images_folder, f"_{channel:04d}")
            labels, others = self._files(labels_folder, "")
            faults += more + others
            for case, image in images.items():
                if case in taken:
                    faults.append(ItemFault(case, f"{image} is there in imagesTr as well."))
                    continue
                taken.add(case)
                path = labels.pop(case, None)
                if path is None and (part == "train" or labels or _has_files(self.root, "Ts")):
                    faults.append(ItemFault(case, f"{image} has no labels in {labels_folder}."))
                    continue
                own = part if divided else None
                if parts is not None and part == "train":
                    own = parts.get(case)
                    if own is None:
                        faults.append(ItemFault(case, f"{SPLITS} does not name {case}."))
                        continue
                kinds = dict.fromkeys(self._kinds, path) if path is not None else {}
                try:
                    items += _planes(case, image, kinds, group_of(mapping, case), own)
                except CosegError as error:
                    faults.append(ItemFault(case, str(error)))
            faults += [
                ItemFault(case, f"{path} has no image {case}_{channel:04d} in {images_folder}.")
                for case, path in labels.items()
            ]
        faults += [
            ItemFault(case, f"{SPLITS} names {case}, which is no case of imagesTr.")
            for case in sorted(set(parts or ()) - taken)
        ]
        return tuple(items), tuple(faults)

    def _files(self, folder: str, channel: str) -> tuple[dict[str, Path], list[ItemFault]]:
        """Files of a folder by their case."""
        found: dict[str, Path] = {}
        faults = []
        for path in sorted((self.root / folder).glob("*")):
            name = path.name
            if name.startswith(".") or not (self._ending and name.endswith(self._ending)):
                if not name.startswith(".") and not name.endswith(".json"):
                    faults.append(
                        ItemFault(
                            name, f"{path} does not end in {self._ending!r} as dataset.json says."
                        )
                    )
                continue
            stem = name.removesuffix(self._ending)
            if channel and not stem.endswith(channel):
                if stem[-5:-4] != "_" or not stem[-4:].isdigit():
                    faults.append(
                        ItemFault(name, f"{path} has no channel ({channel}) in its name.")
                    )
                continue
            found[stem.removesuffix(channel)] = path
        return found, faults


def is_toothfairy2(root: Path) -> bool:
    """Whether a folder of nnU-Net is ToothFairy2 by its name or its description's."""
    if "toothfairy2" in root.resolve().name.lower():
        return True
    try:
        return "toothfairy2" in str(read_json(root / "dataset.json").get("name", "")).lower()
    except CosegError:
        return False


def _has_files(root: Path, end: str) -> bool:
    """Whether labels of a part are published at all."""
    return any((root / f"labels{end}").glob("[!.]*"))


def _planes(
    case: str, image: Path, labels: Mapping[str, Path], group: str, part: str | None
) -> list[Item]:
    if not is_volume(image):
        return [Item(case, image, labels, group, part=part)]
    return [
        Item(f"{case}-z{plane:04d}", image, labels, group, plane, part)
        for plane in range(count_planes(image))
    ]
