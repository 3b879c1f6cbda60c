"""Label files of one image read, checked and brought to the truth's class ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_coseg.cli.evaluation_files import HeldLabels, LabelSet
from napari_coseg.imaging.labels import read_labels
from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_headers import is_volume
from napari_coseg.imaging.volumes import read_label_volume
from napari_coseg.metrics.image_scores import ImagePair, without_crowds
from napari_coseg.metrics.panoptic import majority_classes
from napari_coseg.types import IGNORE, CosegError

Labels = npt.NDArray[np.int32]
#: A label file, or labels that a reader gave.
Where = Path | HeldLabels


@dataclass(frozen=True)
class ClassMatch:
    """Classes of one task on both sides.

    Attributes
    ----------
    names : dict
        Classes to score: name by the truth's id.
    truth_ids, prediction_ids : frozenset of int or None
        Ids that may occur; None where any may.
    translate : dict
        Truth's id of each of the prediction's ids; 0 where truth does not know the class.
    notes : list of str
        What a person should know about it.
    """

    names: dict[int, str]
    truth_ids: frozenset[int] | None
    prediction_ids: frozenset[int] | None
    translate: dict[int, int]
    notes: list[str]


def match_classes(task: str, predictions: LabelSet, truth: LabelSet) -> ClassMatch:
    """Match classes by name where both sides name them, else by id.

    Raises
    ------
    CosegError
        If both sides have names and share none.
    """
    predicted, true = predictions.names.get(task), truth.names.get(task)
    what = task.removesuffix("s")
    if predicted is not None and true is not None:
        return _match_by_name(what, predicted, true)
    named = true or predicted
    if named is not None:
        names = dict(enumerate(named, 1))
        ids = frozenset(names)
        silent = "PREDICTIONS" if predicted is None else "TRUTH"
        note = f"{silent} does not name its {what} classes: they are matched by number."
        return ClassMatch(names, ids, ids, {i: i for i in ids}, [note])
    found = sorted(_ids_found(task, predictions) | _ids_found(task, truth))
    names = {i: f"class {i}" for i in found}
    return ClassMatch(names, None, None, {i: i for i in found}, [])


def _match_by_name(what: str, predicted: tuple[str, ...], true: tuple[str, ...]) -> ClassMatch:
    id_of = {name.casefold(): i for i, name in enumerate(true, 1)}
    translate = {i: id_of.get(name.casefold(), 0) for i, name in enumerate(predicted, 1)}
    if not any(translate.values()):
        raise CosegError(
            f"PREDICTIONS and TRUTH share no {what} class ({', '.join(predicted)}; "
            f"{', '.join(true)}): rename them in dataset.toml, or match them by number with "
            "--classes-by-id."
        )
    unknown = [name for name in predicted if name.casefold() not in id_of]
    known = {name.casefold() for name in predicted}
    missed = [name for name in true if name.casefold() not in known]
    notes = []
    if unknown:
        notes.append(
            f"TRUTH does not know the predicted {what} classes {', '.join(unknown)}: "
            "they count as none of its classes."
        )
    if missed:
        notes.append(
            f"PREDICTIONS does not know the {what} classes {', '.join(missed)} of TRUTH: "
            "all of them count as missed."
        )
    names = dict(enumerate(true, 1))
    return ClassMatch(names, frozenset(names), frozenset(translate), translate, notes)


def read_regions(
    name: str,
    prediction: Mapping[str, Where],
    truth: Mapping[str, Where],
    classes: ClassMatch,
    spacing: tuple[float, ...] | None,
) -> ImagePair:
    """Read the regions of one image, both sides.

    Parameters
    ----------
    spacing : tuple of float or None
        µm per pixel of pictures; volumes say their own, in mm.

    Raises
    ------
    CosegError
        If a file cannot be read, has another size or grid, or holds ids that are no class.
    """
    true, predicted, grid = _read_both(truth["regions"], prediction["regions"])
    _check_ids(truth["regions"], true, classes.truth_ids, ignore=True)
    _check_ids(prediction["regions"], predicted, classes.prediction_ids)
    if IGNORE in predicted:
        raise CosegError(
            f"{prediction['regions']} holds {IGNORE}, which marks pixels to ignore: only the "
            "truth may have it."
        )
    separate = [
        _read_beside(side["region_instances"], true.shape, grid)
        if "region_instances" in side
        else None
        for side in (truth, prediction)
    ]
    table = np.zeros(int(predicted.max(initial=0)) + 1, np.int32)
    for own_id, true_id in classes.translate.items():
        if own_id < len(table):
            table[own_id] = true_id
    return ImagePair(
        name,
        truth_regions=true,
        prediction_regions=table[predicted],
        truth_region_instances=separate[0],
        prediction_region_instances=separate[1],
        spacing=spacing if grid is None else grid.spacing,
    )


def read_instances(
    name: str,
    prediction: Mapping[str, Where],
    truth: Mapping[str, Where],
    classes: ClassMatch | None,
    spacing: tuple[float, ...] | None,
) -> ImagePair:
    """Read the objects of one image and their classes, both sides.

    Parameters
    ----------
    classes : ClassMatch or None
        None to score whatever the class.
    spacing : tuple of float or None
        As in `read_regions`.

    Raises
    ------
    CosegError
        If a file cannot be read, has another size or grid, or holds ids that are no class.
    """
    true, predicted, grid = _read_both(truth["instances"], prediction["instances"])
    if "crowds" in truth:
        crowds = _read_beside(truth["crowds"], true.shape, grid)
        predicted = without_crowds(predicted, crowds > 0).astype(np.int32)
    true_classes = predicted_classes = None
    if classes is not None:
        true_classes = _object_classes(truth, true, grid, classes.truth_ids, ignore=True)
        predicted_classes = _object_classes(prediction, predicted, grid, classes.prediction_ids)
    if classes is not None and predicted_classes is not None:
        translate = classes.translate
        predicted_classes = {i: translate.get(c, 0) for i, c in predicted_classes.items()}
    return ImagePair(
        name,
        truth_instances=true,
        prediction_instances=predicted,
        truth_classes=true_classes,
        prediction_classes=predicted_classes,
        spacing=spacing if grid is None else grid.spacing,
    )


def has_classes(labels: LabelSet) -> bool:
    """Whether any image says the classes of its objects."""
    return any("objects" in files or "classes" in files for files in labels.images.values())


def _object_classes(
    files: Mapping[str, Where],
    instances: Labels,
    grid: VolumeGrid | None,
    allowed: frozenset[int] | None,
    ignore: bool = False,
) -> dict[int, int] | None:
    """Class of each object, from the object table or the classes image, whichever is there."""
    if "objects" in files:
        table = files["objects"]
        assert isinstance(table, Path)
        classes = _read_object_table(table)
        missing = sorted(set(np.unique(instances).tolist()) - set(classes) - {0})
        if missing:
            raise CosegError(
                f"{files['objects']} has no row for {len(missing)} objects of "
                f"{_name(files['instances'])}, the first of them {missing[0]}."
            )
        _check_ids(files["objects"], np.array(list(classes.values()), np.int64), allowed, ignore)
        return classes
    if "classes" in files:
        pixels = _read_beside(files["classes"], instances.shape, grid)
        _check_ids(files["classes"], pixels, allowed, ignore)
        return majority_classes(instances, pixels)
    return None


def _read_object_table(path: Path) -> dict[int, int]:
    """Class of each label in an object table."""
    try:
        table = pd.read_csv(path, usecols=["label", "class"], encoding="utf-8")
    except (ValueError, OSError) as error:
        # pandas raises ValueError for missing columns, empty files and bad text alike.
        raise CosegError(
            f"{path} cannot be read as an object table with the columns label and class: {error}."
        ) from error
    for column in ("label", "class"):
        values = pd.to_numeric(table[column], errors="coerce")
        if values.isna().any() or (values < 0).any() or (values % 1 != 0).any():
            raise CosegError(f"{path}: the column {column} must hold whole numbers from 0 up.")
    if table["label"].duplicated().any():
        twice = table.loc[table["label"].duplicated(), "label"].iloc[0]
        raise CosegError(f"{path} has two rows for the object {twice}.")
    pairs = zip(table["label"].astype(int), table["class"].astype(int), strict=True)
    return {int(label): int(class_id) for label, class_id in pairs}


def _read(path: Where) -> tuple[Labels, VolumeGrid | None]:
    """Read labels; those of a volume with their place."""
    if isinstance(path, HeldLabels):
        return path.labels, path.grid
    if not is_volume(path):
        return read_labels(path), None
    volume = read_label_volume(path)
    return volume.voxels.astype(np.int32, copy=False), volume.grid


def _read_both(truth: Where, prediction: Where) -> tuple[Labels, Labels, VolumeGrid | None]:
    """Read true and predicted labels, and check that they lie on each other."""
    true, grid = _read(truth)
    predicted, other = _read(prediction)
    if (grid is None) != (other is None):
        volume, picture = (truth, prediction) if other is None else (prediction, truth)
        raise CosegError(f"{volume} is a volume and {picture} a picture: compare like with like.")
    if grid is None and true.shape != predicted.shape:
        raise CosegError(
            f"{prediction} is {_size(predicted)} and {truth} is {_size(true)}: "
            "predict on the very images that the truth belongs to."
        )
    different = "" if grid is None or other is None else grid.difference(other)
    if different:
        raise CosegError(
            f"{prediction} is not on the grid of {truth}: {different}; predict on the very volumes "
            "that the truth belongs to."
        )
    return true, predicted, grid


def _read_beside(path: Where, shape: tuple[int, ...], grid: VolumeGrid | None) -> Labels:
    """Read further labels of an image, and check that they lie on the first ones."""
    labels, other = _read(path)
    if labels.shape != shape:
        raise CosegError(
            f"{path} is {_size(labels)}, but the labels beside it are "
            f"{' x '.join(map(str, shape))}: all labels of an image have its size."
        )
    different = "" if grid is None or other is None else grid.difference(other)
    if different:
        raise CosegError(f"{path} is not on the grid of the labels beside it: {different}.")
    return labels


def _check_ids(
    path: Where,
    values: npt.NDArray[Any],
    allowed: frozenset[int] | None,
    ignore: bool = False,
) -> None:
    if allowed is None:
        return
    known = {0, *allowed} | ({IGNORE} if ignore else set())
    unknown = sorted(set(np.unique(values).tolist()) - known)
    if unknown:
        raise CosegError(
            f"{path} holds the class ids {', '.join(map(str, unknown[:5]))}, which are not among "
            f"the {len(allowed)} named classes."
        )


def _ids_found(task: str, labels: LabelSet) -> set[int]:
    """Class ids in a set that names no class. Files that cannot be read are named later."""
    found: set[int] = set()
    for files in labels.images.values():
        try:
            if task == "regions" and "regions" in files:
                found |= set(np.unique(_read(files["regions"])[0]).tolist())
            elif task == "instances" and "objects" in files:
                found |= set(_read_object_table(files["objects"]).values())
            elif task == "instances" and "classes" in files:
                found |= set(np.unique(_read(files["classes"])[0]).tolist())
        except CosegError:
            continue
    return found - {0, IGNORE}


def _name(where: Where) -> str:
    return where.name if isinstance(where, Path) else where.path.name


def _size(labels: npt.NDArray[Any]) -> str:
    return " x ".join(map(str, labels.shape))
