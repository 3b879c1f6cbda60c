"""Classes that a set publishes as numbers, and what they are read as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.datasets.labelled import PARTS
from napari_coseg.datasets.mapping import classes_of
from napari_coseg.types import ClassTable, CosegError

#: The table of a mapping file that says what published classes of objects are taken for.
TABLE = "instances"


@dataclass(frozen=True)
class PublishedClasses:
    """Published numbers of classes, and the classes that they are read as.

    Attributes
    ----------
    table : ClassTable
    ids : mapping of int to int
        Class of each published number: 0 for background, 255 for what must not be looked at.
    """

    table: ClassTable
    ids: Mapping[int, int]

    @classmethod
    def of(
        cls,
        published: Mapping[int, str],
        default: Mapping[str, str],
        mapping: Mapping[str, Any],
        where: Path | None = None,
    ) -> PublishedClasses:
        """Take classes for what a mapping's table `TABLE` says, or else the default.

        Parameters
        ----------
        published : mapping of int to str
            Name of each number.
        default : mapping of str to str
            What each name is taken for.
        mapping : mapping
            Keys of a mapping file.
        where : Path, optional
            The file, for messages.

        Raises
        ------
        CosegError
            If the table is no table of names, leaves a published one out or has another.
        """
        classes = classes_of(mapping, TABLE, default, where)
        if set(classes.ids) != set(published.values()):
            raise CosegError(
                f"[{TABLE}] in {where} must say of each published class what it is taken for: "
                f"{', '.join(published.values())}."
            )
        return cls(classes.table, {n: classes.ids[name] for n, name in published.items()})

    def apply(self, numbers: npt.NDArray[np.int32], path: Path) -> npt.NDArray[np.uint8]:
        """Return the class of each published number, 0 for 0.

        Raises
        ------
        CosegError
            If a number is not published.
        """
        highest = max(self.ids)
        table = np.full(highest + 2, -1, np.int16)
        table[0] = 0
        for number, own in self.ids.items():
            table[number] = own
        found = table[np.minimum(numbers, highest + 1)]
        if (found < 0).any():
            raise CosegError(
                f"{path} holds class {numbers[found < 0].flat[0]}, and the published classes are "
                f"{', '.join(map(str, sorted(self.ids)))}."
            )
        return found.astype(np.uint8)


def same(published: Mapping[int, str]) -> dict[str, str]:
    """Take each published class for itself."""
    return {name: name for name in published.values()}


def parts_of_folds(
    mapping: Mapping[str, Any], default: Mapping[int, str], where: Path | None
) -> Mapping[int, str]:
    """Return the part of each fold by a mapping's key ``parts`` (part = list of folds).

    Raises
    ------
    CosegError
        If it is no such table, or a fold stands in two parts.
    """
    listed = mapping.get("parts")
    if listed is None:
        return default
    if not isinstance(listed, Mapping) or not all(
        part in PARTS and isinstance(folds, list) and all(type(fold) is int for fold in folds)
        for part, folds in listed.items()
    ):
        raise CosegError(f"parts in {where} must be lists of folds' numbers: {', '.join(PARTS)}.")
    found = [(fold, part) for part, folds in listed.items() for fold in folds]
    if len(dict(found)) < len(found):
        raise CosegError(f"parts in {where} has a fold in two parts.")
    return dict(found)
