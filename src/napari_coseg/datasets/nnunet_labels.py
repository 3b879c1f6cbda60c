"""What nnU-Net v2's ``dataset.json`` and ``splits_final.json`` say of labels, channels, folds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.file_names import climbs_out
from napari_coseg.datasets.mapping import IGNORED, ClassMapping
from napari_coseg.types import IGNORE, CosegError

#: nnU-Net's file of folds.
SPLITS = "splits_final.json"


def read_json(path: Path) -> dict[str, Any]:
    """Read a description of nnU-Net.

    Raises
    ------
    CosegError
        If it cannot be read.
    """
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CosegError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(about, dict):
        raise CosegError(f"{path} is no description of a data set of nnU-Net.")
    return about


def named_labels(where: Path, about: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the ids of each name, without the background.

    Raises
    ------
    CosegError
        If labels are not named as nnU-Net v2 does.
    """
    labels = about.get("labels")
    if not isinstance(labels, dict) or not labels:
        raise CosegError(f"{where} names no labels.")
    found = {}
    for name, said in labels.items():
        try:
            ids = tuple(int(one) for one in said) if isinstance(said, list) else (int(said),)
        except (TypeError, ValueError) as error:
            raise CosegError(
                f"{where}: the label {name!r} is no number: nnU-Net v2 wants name = number."
            ) from error
        if any(not 0 <= one <= np.iinfo(np.uint16).max for one in ids):
            raise CosegError(f"{where}: the label {name!r} is not 0 to 65,535.")
        if ids != (0,):
            found[str(name)] = ids
    return found


def label_tables(
    labels: Mapping[str, tuple[int, ...]],
    about: Mapping[str, Any],
    regions: ClassMapping,
    instances: ClassMapping,
    where: Path,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the class of a region and of an object for each id; -1 for one that nobody names.

    Parameters
    ----------
    labels : mapping
        Ids of each name.
    about : mapping
        ``dataset.json``.
    regions, instances : ClassMapping
    where : Path
        Of ``dataset.json``, for messages.

    Raises
    ------
    CosegError
        If the classes do not fit the names, or the order of labels of several ids is not told.
    """
    for table in (regions, instances):
        strange = [name for name in table.ids if name not in labels]
        if strange:
            raise CosegError(
                f"The mapping names {strange[0]!r}, which is no label of {where}: they are "
                f"{', '.join(labels)}."
            )
    silent = [name for name in labels if name not in regions.ids and name not in instances.ids]
    if silent:
        raise CosegError(
            f"The mapping does not say what {silent[0]!r} of {where} is: name a class, "
            '"background" or "ignore".'
        )
    size = max(one for ids in labels.values() for one in ids) + 1
    region, kind = np.full(size, -1, np.int64), np.full(size, -1, np.int64)
    region[0] = kind[0] = 0
    for name in _ordered(labels, about, where):
        for one in labels[name]:
            region[one] = regions.ids.get(name, max(region[one], 0))
            kind[one] = instances.ids.get(name, max(kind[one], 0))
            if name == IGNORED and name not in instances.ids and instances.ids:
                kind[one] = IGNORE
    return region, kind


def _ordered(
    labels: Mapping[str, tuple[int, ...]], about: Mapping[str, Any], where: Path
) -> list[str]:
    """Names in the order in which they cover each other, the last on top."""
    names = list(labels)
    if all(len(ids) == 1 for ids in labels.values()):
        return names
    order = about.get("regions_class_order")
    wanted = [name for name in names if name != IGNORED]
    if not isinstance(order, list) or len(order) != len(wanted):
        raise CosegError(
            f"{where} has labels of several ids: its regions_class_order must have a number for "
            "each of them."
        )
    # nnU-Net draws them as they are listed, each over those before it.
    return wanted + [name for name in names if name == IGNORED]


def channel_of(said: object, about: Mapping[str, Any], root: Path) -> int:
    """Return the channel that a mapping chooses by number or name.

    Raises
    ------
    CosegError
        If there are several and none is chosen, or there is no such one.
    """
    names = about.get("channel_names", {})
    listed = {str(name): int(number) for number, name in dict(names).items()}
    several = any((root / "imagesTr").glob("*_0001.*"))
    if said is None:
        if several:
            raise CosegError(
                f"{root} has several files an image, a channel each: choose one in a mapping "
                f"(channel = 0; they are {', '.join(listed) or 'not named'})."
            )
        return 0
    if isinstance(said, str) and said in listed:
        return listed[said]
    if isinstance(said, int) and not isinstance(said, bool) and 0 <= said <= 9999:
        return said
    raise CosegError(f"channel in the mapping is none of {', '.join(listed)}: {said!r}.")


def parts_of_fold(root: Path, mapping: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the part of each case in one fold, None where folds are not published.

    Raises
    ------
    CosegError
        If there is no such file or fold, or a case is in both parts.
    """
    name = mapping.get("splits", SPLITS)
    if not isinstance(name, str) or climbs_out(name):
        raise CosegError(f"splits in the mapping must be a file beside dataset.json: {name!r}.")
    path = root / name
    if not path.is_file():
        if "splits" in mapping or "fold" in mapping:
            raise CosegError(f"{path} does not exist: copy it from nnUNet_preprocessed.")
        return None
    fold = mapping.get("fold", 0)
    try:
        folds = json.loads(path.read_text(encoding="utf-8"))
        chosen = folds[fold]
        parts = dict.fromkeys(map(str, chosen["train"]), "train")
        held = dict.fromkeys(map(str, chosen["val"]), "validation")
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise CosegError(f"{path} has no fold {fold!r} with train and val.") from error
    both = sorted(parts.keys() & held)
    if both:
        raise CosegError(f"{path} has {both[0]} in both parts of fold {fold}.")
    return parts | held
