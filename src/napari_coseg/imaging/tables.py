"""Object tables as CSV files with the columns of `types.OBJECT_COLUMNS`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_coseg.imaging.files import atomic_path
from napari_coseg.imaging.opening import check_file
from napari_coseg.types import OBJECT_COLUMNS, ClassTable, CosegError, empty_objects

if TYPE_CHECKING:
    import pandas as pd

# Digits behind the point: what a pixel's grid and a network's probability can tell.
_DIGITS = {
    "score": 4,
    "area_um2": 3,
    "volume_mm3": 3,
    "surface_mm2": 3,
    "plane": 2,
    "row": 2,
    "column": 2,
    "fdi_confidence": 3,
}
_NAMES = ("class_name", "region_name", "jaw")
_LARGEST = np.iinfo(np.int32).max


def write_objects(
    path: Path | str, frame: pd.DataFrame, columns: Sequence[str] = OBJECT_COLUMNS
) -> None:
    """Write an object table, whole or not at all.

    UTF-8, comma, point, one header line; unknown numbers are empty cells. Scores have four digits
    behind the point, areas, volumes and surfaces three, centroids two.

    Parameters
    ----------
    path : Path or str
        File to write.
    frame : DataFrame
        With these columns; others are left out.
    columns : sequence of str
        Of pictures, or those of volumes.

    Raises
    ------
    CosegError
        If the file cannot be written.
    ValueError
        If a column is missing.
    """
    import pandas as pd

    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValueError(f"the object table lacks the columns {missing}")
    cells = {}
    for name in columns:
        column = frame[name]
        if name in _DIGITS:
            digits = _DIGITS[name]
            values = column.to_numpy(np.float64, na_value=np.nan)
            cells[name] = [f"{v:.{digits}f}" if np.isfinite(v) else "" for v in values]
        elif name in _NAMES:
            cells[name] = ["" if pd.isna(v) else str(v) for v in column]
        else:
            cells[name] = column.to_numpy(np.int64).tolist()
    text = pd.DataFrame(cells, columns=list(columns))
    with atomic_path(path) as part:
        text.to_csv(part, index=False, encoding="utf-8", lineterminator="\n")


def read_objects(path: Path | str) -> pd.DataFrame:
    """Read an object table.

    Returns
    -------
    DataFrame
        The columns of `OBJECT_COLUMNS` in that order, with the types of `empty_objects`; columns
        that are not among them are left out. Empty cells of ``score``, ``area_um2``, ``row`` and
        ``column`` are NaN.

    Raises
    ------
    CosegError
        If the file is no such table: a column is missing, a cell is not a number where one is
        wanted, or a label is below 1 or stands twice.
    """
    import pandas as pd

    path = check_file(path)
    text = read_cells(path, OBJECT_COLUMNS, "an object table")
    kinds = empty_objects().dtypes
    frame = pd.DataFrame(index=text.index)
    for name in OBJECT_COLUMNS:
        if name in _NAMES:
            frame[name] = text[name].astype(object)
        else:
            frame[name] = read_numbers(path, text[name], whole=kinds[name].kind == "i")
    labels = frame["label"]
    check_labels(path, labels)
    double = labels[labels.duplicated()]
    if len(double):
        raise CosegError(f"{path} has the label {double.iloc[0]} more than once.")
    return frame.reset_index(drop=True)


def classes_named_in(objects: pd.DataFrame) -> ClassTable:
    """Make the class table of objects that name their classes, in the usual colours.

    Parameters
    ----------
    objects : DataFrame
        With ``class`` and ``class_name``. Ids that nothing names are called by their number.

    Raises
    ------
    CosegError
        If there are more than 254 classes.
    """
    named = dict(zip(objects["class"], objects["class_name"], strict=True))
    names = [str(named.get(i) or f"class {i}") for i in range(1, max([0, *named]) + 1)]
    if len(set(names)) < len(names):
        names = [f"{name} ({i})" for i, name in enumerate(names, 1)]
    return ClassTable.from_names(names)


def read_cells(path: Path, columns: Sequence[str], what: str) -> pd.DataFrame:
    """Read a CSV file as text, cell by cell.

    Parameters
    ----------
    path : Path
        UTF-8, with commas and one header line; or with semicolons or tabs, as spreadsheets write
        them where the comma is in numbers.
    columns : sequence of str
        Which ones there must be; others may be there too.
    what : str
        What such a table is called, for messages.

    Returns
    -------
    DataFrame of str
        Rows without any text are left out; `line_of` says where the others stand in the file.

    Raises
    ------
    CosegError
        If the file is no such table.
    """
    import pandas as pd

    check_file(path)
    try:
        sign, names = _header(path)
        # As text, so that a class called "NA" stays one and a bad cell can be named.
        text = pd.read_csv(
            path,
            sep=sign,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            skipinitialspace=True,
        )
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise CosegError(f"{path} is not a table in CSV: {_short(error)}.") from error
    if not isinstance(text.index, pd.RangeIndex):
        raise CosegError(f"{path} has lines with more cells than its header.")
    text = text.rename(columns=str.strip)
    twice = [name for name in columns if names.count(name) > 1]
    if twice:
        raise CosegError(f"{path} has the column {twice[0]} twice: remove one of them.")
    # Cells that a line does not reach, and lines that a spreadsheet thought to be used.
    text = text.fillna("")
    text = text[(text != "").any(axis=1)]
    missing = [name for name in columns if name not in text.columns]
    if missing:
        listed = ", ".join(missing)
        raise CosegError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {listed}: {what} has "
            f"{', '.join(columns)}."
        )
    return text


def line_of(cells: pd.DataFrame | pd.Series, row: int) -> int:
    """Return the line of the file that a row of `read_cells` stands in."""
    return int(cells.index[row]) + 2


def read_numbers(path: Path, cells: pd.Series, *, whole: bool) -> pd.Series:
    """Return a column of text as numbers: whole ones, or NaN for an empty cell.

    Raises
    ------
    CosegError
        If a cell is something else; the message names its line and column.
    """
    import pandas as pd

    values = pd.to_numeric(cells.where(cells != "", "nan"), errors="coerce")
    bad = values.isna() & ~cells.str.lower().isin(["", "nan"])
    if whole:
        bad |= values.isna() | ~np.isfinite(values) | (values % 1 != 0)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        wanted = "a whole number" if whole else "a number"
        raise CosegError(
            f"{path} has {cells.iloc[row]!r} in line {line_of(cells, row)}, column {cells.name}, "
            f"where {wanted} is expected."
        )
    return values.astype(np.int64 if whole else np.float64)


def check_labels(path: Path, labels: pd.Series) -> None:
    """Raise `CosegError` if a label is none that a label image can hold."""
    if len(labels) and (labels.min() < 1 or labels.max() > _LARGEST):
        raise CosegError(f"{path} has labels outside of 1 to {_LARGEST}, which no label image has.")


def _header(path: Path) -> tuple[str, list[str]]:
    """Return what parts the cells of a file, a comma unless the header has none, and its names."""
    with path.open(encoding="utf-8-sig") as file:
        header = next((line for line in file if line.strip()), "")
    sign = next((sign for sign in ",;\t" if sign in header), ",")
    return sign, [name.strip() for name in next(csv.reader([header], delimiter=sign), [])]


def _short(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")[:160]
