"""Boxes and points in CSV files, as prompts by image and label."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from napari_coseg.imaging.tables import check_labels, line_of, read_cells, read_numbers
from napari_coseg.types import ClassTable, CosegError, Prompt

#: Columns that the files must have. ``class`` and ``image`` may stand beside them, and ``plane``
#: where images are volumes.
BOX_COLUMNS = ("label", "row0", "column0", "row1", "column1")
POINT_COLUMNS = ("label", "row", "column", "positive")

_YES = frozenset({"1", "1.0", "true", "yes", "+", "positive"})
_NO = frozenset({"0", "0.0", "false", "no", "-", "negative"})
_MOST_CLASSES = 254
# A whole number, as a program writes it that takes all numbers for floats.
_WHOLE = re.compile(r"(\d+)\.0*")


#: Image, label, plane.
_Key = tuple[str, int, int | None]


@dataclass(frozen=True)
class PromptedObject:
    """One object that is asked for, in a volume on one of its planes.

    Attributes
    ----------
    label : int
        Its id in the label image.
    prompt : Prompt
        Box, points, or both.
    class_id : int
        0 where none is given.
    plane : int or None
        Number of the plane from 0; None where the files name none.
    """

    label: int
    prompt: Prompt
    class_id: int = 0
    plane: int | None = None


@dataclass(frozen=True)
class PromptTable:
    """What is asked for.

    Attributes
    ----------
    objects : dict of str
        By the name of the image, in the order of the files; under ``""`` where the files name no
        image.
    classes : ClassTable
        What the classes' ids mean.
    """

    objects: dict[str, list[PromptedObject]]
    classes: ClassTable


@dataclass
class _Draft:
    """An object on a plane as far as it was read."""

    box: tuple[float, float, float, float] | None = None
    points: list[tuple[float, float, bool]] = field(default_factory=list)


def read_prompts(boxes: Path | None = None, points: Path | None = None) -> PromptTable:
    """Read boxes, points, or both; rows of one image, label and plane make one object.

    Parameters
    ----------
    boxes : Path, optional
        CSV with the columns `BOX_COLUMNS`: rows and columns in pixels, the last ones exclusive.
    points : Path, optional
        CSV with the columns `POINT_COLUMNS`: in pixel centres; ``positive`` is 1 on the object, 0
        beside it.

    Returns
    -------
    PromptTable
        A column ``class`` holds ids (whole numbers from 1; 0 or nothing for none) or names, which
        are numbered as they first appear. A column ``image`` names the image of each row, and
        ``plane`` the plane of a volume: an object may have prompts on several, each of them a
        `PromptedObject` with the label and class of the others.

    Raises
    ------
    CosegError
        If a file is missing or no such table, an object has two boxes or two classes, or one file
        names images or planes and the other does not.
    """
    if boxes is None and points is None:
        raise CosegError("Nothing to segment was named: give --boxes, --points or both.")
    drafts: dict[_Key, _Draft] = {}
    tables = []
    for path, columns in ((boxes, BOX_COLUMNS), (points, POINT_COLUMNS)):
        if path is not None:
            what = "a table of boxes" if columns is BOX_COLUMNS else "a table of points"
            tables.append((path, read_cells(path, columns, what)))
    for name in ("image", "plane"):
        if len({name in cells.columns for _, cells in tables}) > 1:
            raise CosegError(
                f"{boxes} and {points} do not go together: give both of them a column {name}, or "
                "none."
            )
    named: dict[tuple[str, int], str] = {}
    for path, cells in tables:
        for key, draft in _rows(path, cells, drafts, named):
            drafts[key] = draft
    if not drafts:
        listed = " and ".join(str(path) for path, _ in tables)
        raise CosegError(f"{listed} {'has' if len(tables) == 1 else 'have'} no row: add some.")
    numbers, classes = _classes([named.get((image, label), "") for image, label, _ in drafts])
    objects: dict[str, list[PromptedObject]] = {}
    for (image, label, plane), draft in drafts.items():
        prompt = Prompt(draft.box, tuple(draft.points))
        class_id = numbers[named.get((image, label), "")]
        objects.setdefault(image, []).append(PromptedObject(label, prompt, class_id, plane))
    return PromptTable(objects, classes)


def _rows(
    path: Path,
    cells: pd.DataFrame,
    drafts: dict[_Key, _Draft],
    named: dict[tuple[str, int], str],
) -> Iterator[tuple[_Key, _Draft]]:
    """Yield each row's object with the row added to it; its class is noted beside."""
    labels = read_numbers(path, cells["label"], whole=True)
    check_labels(path, labels)
    boxes = "row0" in cells.columns and set(BOX_COLUMNS) <= set(cells.columns)
    names = BOX_COLUMNS[1:] if boxes else POINT_COLUMNS[1:3]
    numbers = np.stack([_filled(path, cells[name]) for name in names], 1).tolist()
    signs = None if boxes else _signs(path, cells["positive"])
    none = [""] * len(cells)
    planes: list[int | None] = [None] * len(cells)
    if "plane" in cells.columns:
        planes = [*map(int, read_numbers(path, cells["plane"], whole=True))]
    images = cells["image"].str.strip().tolist() if "image" in cells.columns else none
    kinds = _kinds(cells["class"]) if "class" in cells.columns else none
    for row, label in enumerate(labels.tolist()):
        one, plane = (images[row], int(label)), planes[row]
        key = (*one, plane)
        draft = drafts.get(key) or _Draft()
        if kinds[row] and named.setdefault(one, kinds[row]) != kinds[row]:
            raise CosegError(
                f"{path} calls label {label} {kinds[row]!r} in line {line_of(cells, row)}, and "
                f"{named[one]!r} before: an object has one class."
            )
        if signs is not None:
            draft.points.append((numbers[row][0], numbers[row][1], signs[row]))
        elif draft.box is not None:
            on = "" if plane is None else f" on plane {plane}"
            raise CosegError(
                f"{path} has a second box of label {label}{on} in line {line_of(cells, row)}: an "
                "object has one box; give the other one another label."
            )
        else:
            row0, column0, row1, column1 = numbers[row]
            draft.box = (row0, column0, row1, column1)
        yield key, draft


def _filled(path: Path, cells: pd.Series) -> pd.Series:
    values = read_numbers(path, cells, whole=False)
    empty = np.flatnonzero(~np.isfinite(values))
    if empty.size:
        row = int(empty[0])
        raise CosegError(
            f"{path} has {cells.iloc[row]!r} in line {line_of(cells, row)}, column {cells.name}, "
            "where a number is expected."
        )
    return values


def _signs(path: Path, cells: pd.Series) -> list[bool]:
    signs = []
    for row, cell in enumerate(cells.str.strip().str.lower()):
        if cell not in _YES | _NO:
            raise CosegError(
                f"{path} has {cells.iloc[row]!r} in line {line_of(cells, row)}, column positive: "
                "write 1 for a point on the object and 0 for one beside it."
            )
        signs.append(cell in _YES)
    return signs


def _kinds(cells: pd.Series) -> list[str]:
    """Return classes as they are written; ids as whole numbers, where a program wrote 2.0."""
    found = [(cell, _WHOLE.fullmatch(cell)) for cell in cells.str.strip()]
    return [cell if whole is None else whole[1] for cell, whole in found]


def _classes(given: list[str]) -> tuple[dict[str, int], ClassTable]:
    """Give classes their ids: their own if all are whole numbers, else as they first appear."""
    names = [name for name in dict.fromkeys(given) if name]
    if names and all(name.isdecimal() and int(name) <= _MOST_CLASSES for name in names):
        numbers = {name: int(name) for name in names}
        table = ClassTable.from_names(f"class {i}" for i in range(1, max(numbers.values()) + 1))
    else:
        numbers = {name: number for number, name in enumerate(names, 1)}
        table = ClassTable.from_names(names)
    return {"": 0, **numbers}, table
