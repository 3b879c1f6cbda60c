"""Which label files make up a prediction folder, a folder data set or a single file."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_headers import VOLUME_SUFFIXES, is_volume
from napari_coseg.types import CosegError

#: Endings of label files; the double one first, so that it is not taken for ``.gz``.
LABEL_SUFFIXES = (*VOLUME_SUFFIXES, ".png", ".tif", ".tiff", ".bmp")
#: What a label file holds, by the folder it lies in or by the end of its name.
KINDS = ("region_instances", "regions", "instances", "classes")
TASKS = ("regions", "instances")


@dataclass(frozen=True, eq=False)
class HeldLabels:
    """Labels that a reader gave, in place of a file to read.

    Attributes
    ----------
    path : Path
        Where they are from.
    labels : ndarray of int32, (rows, columns) or (planes, rows, columns)
    grid : VolumeGrid or None
        Where a volume lies.
    """

    path: Path
    labels: npt.NDArray[np.int32]
    grid: VolumeGrid | None = None

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class LabelSet:
    """Label files of a set of images.

    Attributes
    ----------
    path : Path
        The folder or file that was named.
    images : dict
        For each image name the files of it by kind: those of `KINDS` and ``objects``.
    names : dict
        Class names by task, in the order of their ids; without those that are not known.
    spacing : tuple of float or None
        µm per pixel along rows and columns; None for volumes, which say it themselves.
    single : bool
        Whether `path` is one label file.
    reader : callable or None
        Reads the labels of an image by kind, where that takes more than to open a label file.
    stacks : frozenset of str
        Images that the reader gives as volumes.
    format : str or None
        Key of the data set's format, where a reader knows it.
    part : str or None
        The part of a data set that these are.
    faults : tuple of str
        What a reader found and cannot be used.
    groups : dict
        Patient or slide of an image, for those of which a data set says it.
    """

    path: Path
    images: dict[str, dict[str, Path]]
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    spacing: tuple[float, ...] | None = None
    single: bool = False
    reader: Callable[[str], dict[str, HeldLabels]] | None = None
    stacks: frozenset[str] = frozenset()
    format: str | None = None
    part: str | None = None
    faults: tuple[str, ...] = ()
    groups: dict[str, str] = field(default_factory=dict)

    def are_volumes(self, names: Iterable[str]) -> set[bool]:
        """Say whether the labels of some images are volumes: True, False, or both."""
        if self.reader is not None:
            return {name in self.stacks for name in names}
        return {
            is_volume(path)
            for name in names
            for kind, path in self.images[name].items()
            if kind in KINDS
        }

    def having(self, task: str) -> bool:
        """Whether any image has labels of a task."""
        return any(task in files for files in self.images.values())


@dataclass(frozen=True)
class Pairing:
    """Images of two sets that belong together.

    Attributes
    ----------
    pairs : list of (str, str)
        Names in the predictions and in the truth.
    lone_predictions, lone_truths : list of str
        Names without a counterpart.
    """

    pairs: list[tuple[str, str]]
    lone_predictions: list[str]
    lone_truths: list[str]


def open_label_set(path: Path, task: str | None = None) -> LabelSet:
    """List the label files of a folder or file.

    Parameters
    ----------
    path : Path
        A folder data set (``regions/NAME.png`` and so on), a folder that ``predict`` wrote
        (``NAME_regions.tif`` and so on), or one label file.
    task : str or None
        ``"regions"`` or ``"instances"`` where one label file does not say itself what it is.

    Raises
    ------
    CosegError
        If nothing is there, the folder holds no label file, ``dataset.toml`` or ``run.json``
        cannot be read, or it is not clear what a single file holds.
    """
    if path.is_file():
        return _single_file(path, task)
    if not path.is_dir():
        raise CosegError(f"{path} does not exist: give a folder or a label file.")
    images, by_folder = _by_name_ending(path), False
    if (path / "dataset.toml").is_file() or not images:
        images, by_folder = _by_folder(path), True
    if not images:
        raise CosegError(
            f"{path} holds no labels: expected files like NAME_instances.tif, or folders "
            "called regions or instances with a label image for each picture."
        )
    found = LabelSet(path, images)
    return _with_dataset(found) if by_folder else _with_run(found)


def pair_names(predictions: LabelSet, truth: LabelSet) -> Pairing:
    """Match image names: equal ones, then those whose last part is equal and unique.

    Two single files belong together whatever they are called. A single prediction leaves no
    true image behind as missing.
    """
    if predictions.single and truth.single:
        return Pairing([(next(iter(predictions.images)), next(iter(truth.images)))], [], [])
    pairs = [(name, name) for name in predictions.images if name in truth.images]
    used = {name for name, _ in pairs}
    rest_of_truth = _unique_last_parts(name for name in truth.images if name not in used)
    rest = _unique_last_parts(name for name in predictions.images if name not in used)
    pairs += [(rest[last], rest_of_truth[last]) for last in rest if last in rest_of_truth]
    paired = {name for name, _ in pairs}, {name for _, name in pairs}
    return Pairing(
        sorted(pairs),
        [] if truth.single else sorted(set(predictions.images) - paired[0]),
        [] if predictions.single else sorted(set(truth.images) - paired[1]),
    )


def _single_file(path: Path, task: str | None) -> LabelSet:
    stem = _stem(path)
    if stem is None:
        raise CosegError(f"{path} is no label image: expected {', '.join(LABEL_SUFFIXES)}.")
    name, kind = _split_kind(stem)
    if kind not in TASKS and path.parent.name in TASKS:
        kind = path.parent.name
    if task is not None:
        kind = task
    if kind not in TASKS:
        raise CosegError(
            f"{path} does not say what it holds: add --task regions or --task instances."
        )
    files = {kind: path}
    for other, companion in _companions(path, name, stem).items():
        files.setdefault(other, companion)
    return LabelSet(path, {name: files}, single=True)


def _companions(path: Path, name: str, stem: str) -> dict[str, Path]:
    """Find what belongs to a single file: its object table, its classes image."""
    found = {}
    table = path.parent / f"{name}_objects.csv"
    if name != stem and table.is_file():
        found["objects"] = table
    for suffix in LABEL_SUFFIXES:
        classes = path.parent.parent / "classes" / f"{stem}{suffix}"
        if path.parent.name == "instances" and classes.is_file():
            found["classes"] = classes
    return found


def _by_name_ending(folder: Path) -> dict[str, dict[str, Path]]:
    """Files such as ``SUB/NAME_regions.tif`` and ``SUB/NAME_objects.csv``."""
    images: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.rglob("*")):
        stem = path.stem if path.name.endswith("_objects.csv") else _stem(path)
        if stem is None or path.name.startswith("."):
            continue
        name, kind = _split_kind(stem)
        if kind is not None and name:
            key = (path.parent.relative_to(folder) / name).as_posix()
            _put(images, key, kind, path)
    # A table alone is nothing that could be scored.
    return {name: files for name, files in images.items() if set(files) & set(KINDS)}


def _by_folder(folder: Path) -> dict[str, dict[str, Path]]:
    """Files such as ``regions/NAME.png``."""
    images: dict[str, dict[str, Path]] = {}
    for kind in KINDS:
        for path in sorted((folder / kind).rglob("*")):
            stem = _stem(path)
            if stem is not None and not path.name.startswith("."):
                key = (path.parent.relative_to(folder / kind) / stem).as_posix()
                _put(images, key, kind, path)
    return images


def _put(images: dict[str, dict[str, Path]], name: str, kind: str, path: Path) -> None:
    files = images.setdefault(name, {})
    if kind in files:
        raise CosegError(f"{files[kind]} and {path} are both the {kind} of {name}: remove one.")
    files[kind] = path


def _stem(path: Path) -> str | None:
    """Name of a label file without its ending; None for other files."""
    for suffix in LABEL_SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return None


def _split_kind(stem: str) -> tuple[str, str | None]:
    for kind in (*KINDS, "objects"):
        if stem.endswith(f"_{kind}"):
            return stem.removesuffix(f"_{kind}"), kind
    return stem, None


def _unique_last_parts(names: Iterable[str]) -> dict[str, str]:
    """Names by their last part; without last parts that several of them share."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.rpartition("/")[2], []).append(name)
    return {last: full[0] for last, full in found.items() if len(full) == 1}


def _with_dataset(labels: LabelSet) -> LabelSet:
    """Add what ``dataset.toml`` says: class names and the size of a pixel."""
    path = labels.path / "dataset.toml"
    if not path.is_file():
        return labels
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise CosegError(f"{path} cannot be read: {error}.") from error
    mpp = content.get("mpp")
    spacing = None if mpp is None else spacing_of(mpp, str(path))
    return replace(labels, names=_class_names(content, path), spacing=spacing)


def _with_run(labels: LabelSet) -> LabelSet:
    """Add what ``run.json`` says: class names."""
    path = labels.path / "run.json"
    if not path.is_file():
        return labels
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise CosegError(f"{path} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise CosegError(f"{path} cannot be read: it does not hold a table of settings.")
    return replace(labels, names=_class_names(content, path))


def _class_names(content: Mapping[str, Any], path: Path) -> dict[str, tuple[str, ...]]:
    names = {}
    for task, key in (("regions", "region_classes"), ("instances", "instance_classes")):
        listed = content.get(key)
        if not listed:
            continue
        try:
            names[task] = tuple(str(c["name"]) if isinstance(c, dict) else str(c) for c in listed)
        except (KeyError, TypeError) as error:
            raise CosegError(f"{path}: {key} must be a list of class names.") from error
    return names


def spacing_of(mpp: float, where: str) -> tuple[float, float]:
    """Rows' and columns' size of a pixel in µm.

    Raises
    ------
    CosegError
        If it is no number above 0.
    """
    if isinstance(mpp, bool) or not isinstance(mpp, int | float) or not 0 < mpp < math.inf:
        raise CosegError(f"{where}: mpp must be a number above 0, not {mpp}.")
    return float(mpp), float(mpp)
