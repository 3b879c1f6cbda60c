"""Tables (CSV) that come with published sets."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from napari_coseg.types import CosegError


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a table's rows; spaces round names and values do not count.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        Those that must be there.

    Raises
    ------
    CosegError
        If the file cannot be read, lacks a column, or a row lacks a value of one.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.reader(file)
            names = [name.strip() for name in next(table, [])]
            rows = [[value.strip() for value in row] for row in table if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CosegError(f"{path} cannot be read: {error}.") from error
    missing = [name for name in columns if name not in names]
    if missing:
        raise CosegError(f"{path} has no column {missing[0]!r}: it must have {', '.join(columns)}.")
    short = [row for row in rows if len(row) < len(names)]
    if short:
        raise CosegError(f"{path} has a row of {len(short[0])} values: {', '.join(short[0])}.")
    return [dict(zip(names, row, strict=False)) for row in rows]
