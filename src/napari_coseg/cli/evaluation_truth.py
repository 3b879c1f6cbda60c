"""Truth in any format that is read: data sets, and the parts that a training config makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_coseg.cli.evaluation_files import (
    HeldLabels,
    LabelSet,
    open_label_set,
    spacing_of,
)
from napari_coseg.datasets.labelled import PARTS, Item, LabelledDataset, OpenOptions
from napari_coseg.datasets.opening import open_dataset, reader_of
from napari_coseg.imaging.volumes import read_grid
from napari_coseg.types import IGNORE, ClassTable, CosegError

IdTable = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TruthOptions:
    """What a person says about the truth.

    Attributes
    ----------
    format : str or None
        Key of its format.
    part : str or None
        ``"train"``, ``"validation"``, ``"test"`` or ``"all"``.
    mapping : Path or None
        See `OpenOptions`.
    mpp : float or None
    """

    format: str | None = None
    part: str | None = None
    mapping: Path | None = None
    mpp: float | None = None


@dataclass(frozen=True)
class _Source:
    """Items of one data set, and what its class ids become."""

    dataset: LabelledDataset
    items: Sequence[Item]
    region_ids: IdTable
    instance_ids: IdTable


def open_truth(path: Path, options: TruthOptions, task: str | None = None) -> LabelSet:
    """Open what predictions are scored against.

    Parameters
    ----------
    path : Path
        What `open_label_set` takes; a data set of any format that is read; or a training config,
        whose part for the test is taken where no other is named.
    options : TruthOptions
    task : str or None
        As `open_label_set` takes it.

    Raises
    ------
    CosegError
        If it cannot be opened, or has no such part.
    """
    if path.suffix.lower() == ".toml":
        return _of_config(path, options)
    named = options.format or options.part or options.mapping
    if not named and not _is_read(path):
        found = open_label_set(path, task)
        return replace(found, groups=_groups_of(path))
    dataset, items = open_part(path, options)
    source = _Source(
        dataset, items, _own_ids(dataset.region_classes), _own_ids(dataset.instance_classes)
    )
    names = (_names(dataset.region_classes), _names(dataset.instance_classes))
    return _label_set(path, [source], *names, options.part)


def open_part(path: Path, options: TruthOptions) -> tuple[LabelledDataset, list[Item]]:
    """Open a data set with the items of one part.

    Raises
    ------
    CosegError
        If it cannot be opened, or it has no such part.
    """
    opened = OpenOptions(mpp=options.mpp, mapping=options.mapping)
    dataset = open_dataset(path, options.format, opened)
    return dataset, _of_part(dataset, options.part)


def _groups_of(path: Path) -> dict[str, str]:
    """Patient or slide of each image, where a folder data set says it."""
    if not (path / "dataset.toml").is_file():
        return {}
    try:
        items = open_dataset(path, "folder").items
    except CosegError:
        # Labels without their images can be scored, and are no data set that can be opened.
        return {}
    names = {
        item.name.rpartition("-z")[0] if item.plane is not None else item.name: item
        for item in items
    }
    return {name: item.group for name, item in names.items()}


def _is_read(path: Path) -> bool:
    """Whether a folder needs a reader: our own layouts are read without one."""
    if not path.is_dir() or (path / "dataset.toml").is_file() or (path / "run.json").is_file():
        return False
    try:
        open_label_set(path)
    except CosegError:
        try:
            reader_of(path)
        except CosegError:
            return False
        return True
    return False


def faults_of(dataset: LabelledDataset) -> list[str]:
    """Say what of a data set cannot be used."""
    return [f"{dataset.name}: {fault.name}: {fault.sentence}" for fault in dataset.faults]


def _of_part(dataset: LabelledDataset, part: str | None) -> list[Item]:
    if part is None or part == "all":
        return list(dataset.items)
    items = [item for item in dataset.items if item.part == part]
    if not items:
        known = sorted({item.part for item in dataset.items if item.part}, key=PARTS.index)
        there = f"its makers divided it into {', '.join(known)}" if known else "it is not divided"
        raise CosegError(
            f"{dataset.root} has no part {part}: {there}. For the part that a training config "
            "makes, give the config in place of the data set."
        )
    return items


def _of_config(path: Path, options: TruthOptions) -> LabelSet:
    from napari_coseg.training.config import TrainingConfig, load_config
    from napari_coseg.training.items import training_set
    from napari_coseg.training.parts import open_parts

    if options.format or options.mapping:
        raise CosegError(f"{path} says itself what its data sets are: leave --format out.")
    config = load_config(path)
    if not isinstance(config, TrainingConfig):
        raise CosegError(
            f"{path} is for a model that is prompted: give a weights file of such a model in place "
            "of predictions."
        )
    sources = []
    for part in open_parts(config, options.part or "test"):
        section = next(s for s in config.data if s is part.section or s.path == part.section.path)
        one = training_set(part.dataset, part.items, section, config.model)
        sources.append(_Source(part.dataset, part.items, one.region_ids, one.instance_ids))
    regions, instances = config.model.region_classes, config.model.instance_classes
    return _label_set(path, sources, regions, instances, options.part or "test")


def _label_set(
    path: Path,
    sources: Sequence[_Source],
    regions: Sequence[str],
    instances: Sequence[str],
    part: str | None,
) -> LabelSet:
    from napari_coseg.inference.jobs import name_jobs

    paths = {item.image for source in sources for item in source.items}
    # As `predict` names the results of these very images.
    named = {job.path: job.name for job in name_jobs(sorted(paths))}
    found: dict[str, tuple[_Source, list[Item]]] = {}
    for source in sources:
        of_file: dict[Path, list[Item]] = {}
        for item in source.items:
            of_file.setdefault(item.image, []).append(item)
        for image, items in of_file.items():
            if items[0].plane is not None or len(items) == 1:
                found[named[image]] = (source, items)
            else:
                # Several pictures in one file have no other name than their own.
                found |= {item.name: (source, [item]) for item in items}
    reader = _Reader(found)
    first = sources[0].dataset
    return LabelSet(
        path,
        {name: dict(items[0].labels) for name, (_, items) in found.items()},
        _class_names(regions, instances),
        spacing_of(first.mpp, str(path)) if first.mpp > 0 else None,
        reader=reader,
        stacks=frozenset(name for name, (_, items) in found.items() if items[0].plane is not None),
        format=first.format.key,
        part=part,
        faults=tuple(line for source in sources for line in faults_of(source.dataset)),
        groups={name: items[0].group for name, (_, items) in found.items()},
    )


class _Reader:
    """Reads the labels of an image, or all planes of a volume."""

    def __init__(self, found: Mapping[str, tuple[_Source, list[Item]]]) -> None:
        self._found = found

    def __call__(self, name: str) -> dict[str, HeldLabels]:
        source, items = self._found[name]
        if items[0].plane is None:
            return self._picture(source, items[0])
        return self._volume(source, sorted(items, key=lambda item: item.plane or 0))

    def _picture(self, source: _Source, item: Item) -> dict[str, HeldLabels]:
        return {
            kind: HeldLabels(item.labels.get(kind, item.image), labels)
            for kind, labels in _labels(source, item).items()
        }

    def _volume(self, source: _Source, items: Sequence[Item]) -> dict[str, HeldLabels]:
        image = items[0].image
        if [item.plane for item in items] != list(range(len(items))):
            raise CosegError(
                f"{image}: only some of its planes are in this part, and volumes are scored whole: "
                'split by = "group".'
            )
        grid = read_grid(image)
        if grid is None:
            raise CosegError(
                f"{image} does not say how large a voxel is and how it lies: it cannot be laid on "
                "a prediction."
            )
        planes = [_labels(source, item) for item in items]
        return {
            kind: HeldLabels(
                items[0].labels.get(kind, image), np.stack([p[kind] for p in planes]), grid
            )
            for kind in planes[0]
        }


def _labels(source: _Source, item: Item) -> dict[str, npt.NDArray[np.int32]]:
    read = source.dataset.read(item)
    found = {
        "regions": None if read.regions is None else source.region_ids[read.regions],
        "region_instances": read.region_instances,
        "instances": read.instances,
        "crowds": read.crowds,
        "classes": None if read.classes is None else source.instance_ids[read.classes],
    }
    return {
        kind: labels.astype(np.int32, copy=False)
        for kind, labels in found.items()
        if labels is not None
    }


def _own_ids(classes: ClassTable) -> IdTable:
    """Ids 1, 2, ... in the order of the table; ids that it does not know do not count."""
    table = np.full(256, IGNORE, np.uint8)
    table[0] = 0
    for number, info in enumerate(classes, 1):
        table[info.id] = number
    return table


def _names(classes: ClassTable) -> tuple[str, ...]:
    return tuple(info.name for info in classes)


def _class_names(regions: Sequence[str], instances: Sequence[str]) -> dict[str, tuple[str, ...]]:
    both = {"regions": tuple(regions), "instances": tuple(instances)}
    return {task: names for task, names in both.items() if names}
