"""A data set written as a raw data set of nnU-Net v2, pictures or volumes.

Format: ``documentation/dataset_format.md`` of nnU-Net v2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from napari_coseg.datasets.labelled import LABEL_KINDS, Item, LabelledDataset, LabelledImage
from napari_coseg.datasets.nnunet import CHANNEL, is_nnunet, nnunet_description
from napari_coseg.datasets.nnunet_labels import SPLITS, read_json
from napari_coseg.datasets.nnunet_layout import ENDINGS, FOLDERS, is_hounsfield, semantic_labels
from napari_coseg.datasets.volume_files import copy_volume, ending_of
from napari_coseg.datasets.whole_volumes import LabelVolume
from napari_coseg.datasets.writers import (
    DatasetWriter,
    check_size,
    described,
    save_picture,
    save_text,
    write_label_picture,
)
from napari_coseg.imaging.volume_writing import write_labels
from napari_coseg.imaging.volumes import read_volume
from napari_coseg.types import CosegError


class NnunetWriter(DatasetWriter):
    """nnU-Net v2: ``labelsTr`` has one id a pixel, regions first and the classes of objects then.

    Regions, objects with their ids, and classes lie beside in folders of their own, at which
    nnU-Net does not look, so that nothing of them is lost to our reader. The test part is
    ``imagesTs``; a validation part is the one fold of ``splits_final.json``.
    """

    key = "nnunet"
    volumes = True

    def __init__(self, folder: Path, dataset: LabelledDataset) -> None:
        super().__init__(folder, dataset)
        if any(item.plane is None for item in dataset.items):
            check_size(dataset, "dataset.json")
        # One ending stands for the whole set.
        endings = {ending_of(item.image) for item in dataset.items if item.plane is not None}
        self._ending = endings.pop() if len(endings) == 1 and endings <= {*ENDINGS} else ".nii.gz"

    def write(self, item: Item, read: LabelledImage) -> Mapping[str, Any]:
        """Write image and labels; see `DatasetWriter.write`."""
        check_size(self.dataset, "dataset.json", item.name, read.mpp)
        self._refuse_crowds(item, read)
        parts = {kind: getattr(read, kind) for kind in LABEL_KINDS}
        parts = {kind: labels for kind, labels in parts.items() if labels is not None}
        semantic, facts = self._semantic(item, parts)
        for kind, labels in parts.items():
            write_label_picture(self._path(item, kind, ".png"), labels)
        if semantic is not None:
            save_picture(self._path(item, "labels", ".png"), semantic)
        save_picture(self._path(item, "images", ".png"), read.image)
        return facts

    def write_volume(self, volume: Item, read: LabelVolume) -> Mapping[str, Any]:
        """Write a volume and its labels; see `DatasetWriter.write_volume`."""
        semantic, facts = self._semantic(volume, read.labels)
        for kind, labels in read.labels.items():
            write_labels(self._path(volume, kind, self._ending), labels, read.grid)
        if semantic is not None:
            write_labels(self._path(volume, "labels", self._ending), semantic, read.grid)
        copy_volume(volume.image, self._path(volume, "images", self._ending))
        found = read_volume(volume.image)
        return {**facts, "hounsfield": is_hounsfield(found.voxels, found.unit)}

    def finish(self, items: Sequence[Item], known: Mapping[str, Mapping[str, Any]]) -> None:
        """Write ``dataset.json``, and ``splits_final.json`` where there is a validation part."""
        volumes = any("hounsfield" in facts for facts in known.values())
        plain, tables = described(self.dataset, items)
        own = {key: value for key, value in plain.items() if key != "name"}
        if volumes:
            # Each file says its own.
            own.pop("spacing", None)
        held = [item.name for item in items if item.part == "validation"]
        if held:
            rest = [item.name for item in items if item.part in ("train", None)]
            save_text(self.folder / SPLITS, json.dumps([{"train": rest, "val": held}]) + "\n")
        text = nnunet_description(
            plain["name"],
            plain["region_classes"],
            self._kinds(),
            count=sum(item.part != "test" for item in items),
            ending=self._ending if volumes else ".png",
            channels=self._channels(known) if volumes else ("R", "G", "B"),
            ignored=any(facts["ignored"] for facts in known.values()),
            own=own | tables,
        )
        save_text(self.folder / "dataset.json", text)

    def _kinds(self) -> list[str]:
        """Names of the classes of objects; nnU-Net has no objects without."""
        found = [info.name for info in self.dataset.instance_classes]
        return found or (["object"] if "instances" in self.dataset.kinds else [])

    def _semantic(
        self, item: Item, parts: Mapping[str, npt.NDArray[Any]]
    ) -> tuple[npt.NDArray[Any] | None, Mapping[str, Any]]:
        if "regions" not in parts and "instances" not in parts:
            if item.part == "test":
                return None, {"ignored": False}
            raise CosegError(f"{item.name} has no labels, and nnU-Net trains on none without.")
        counts = len(self.dataset.region_classes), len(self._kinds())
        labels, ignored = semantic_labels(parts, *counts)
        return labels, {"ignored": ignored}

    def _channels(self, known: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
        """Name of the channel: nnU-Net takes it for how grey values are normalised."""
        if is_nnunet(self.dataset.root):
            named = read_json(self.dataset.root / "dataset.json").get("channel_names")
            if isinstance(named, dict) and len(named) == 1:
                return tuple(map(str, named.values()))
        return ("CT" if all(facts["hounsfield"] for facts in known.values()) else "CBCT",)

    def _path(self, item: Item, kind: str, ending: str) -> Path:
        folder = FOLDERS[kind]
        if item.part == "test":
            folder = folder.removesuffix("Tr") + "Ts"
        path = self.folder / folder / f"{item.name}{CHANNEL if kind == 'images' else ''}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
