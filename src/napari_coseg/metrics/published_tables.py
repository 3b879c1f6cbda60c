"""The figures that the two papers print, and where our own belong among them.

The files in ``published`` hold them as they were printed; nothing there was run again.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

import pandas as pd

from napari_coseg.types import CosegError

#: Names that readers and people give to the papers' classes.
_SAME_CLASS = {
    "tumor": ("tumour", "nuclei_tumor", "tissue_tumor"),
    "stroma": ("tissue_stroma",),
    "lymphocyte": ("lymph", "lymphocytes", "nuclei_lymphocyte", "til"),
    "other": ("other cells", "other cell", "others"),
    "gland": ("glands",),
    "lympho-reticular": ("lr", "lymphoreticular"),
    "lower jaw": ("lower jawbone",),
    "upper jaw": ("upper jawbone",),
    "lower tooth": ("lower teeth",),
    "upper tooth": ("upper teeth",),
}


@dataclass(frozen=True)
class PublishedColumn:
    """One column of figures.

    Attributes
    ----------
    data : str
        Key of the data set's format.
    task : str
        ``"regions"``, ``"instances"`` or ``"prompts"``.
    class_name : str
    score : str
        As in an evaluation's tables.
    heading : str
        As printed.
    """

    data: str
    task: str
    class_name: str
    score: str
    heading: str

    @property
    def key(self) -> str:
        """What doubts about it are filed under."""
        return f"{self.data}.{self.class_name}.{self.score}"

    @property
    def in_percent(self) -> bool:
        """Whether it is a share; distances are not."""
        return not self.score.startswith("hd")


@dataclass(frozen=True)
class PublishedRow:
    """A method's figures.

    Attributes
    ----------
    method : str
    reference : str
        Its number in the paper's list; empty for the paper's own.
    values : tuple of float
        One a column, as printed; NaN where the paper, or the text that it was taken from, has none.
    doubts : dict
        What is doubtful, by `PublishedColumn.key`.
    """

    method: str
    reference: str
    values: tuple[float, ...]
    doubts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishedTable:
    """A table of a paper.

    Attributes
    ----------
    name : str
        For example ``"coseg-table-1"``.
    paper, table, page, caption, unit, note : str
        Where it stands and what it says; `page` is empty where it is not known.
    columns : tuple of PublishedColumn
    rows : tuple of PublishedRow
    """

    name: str
    paper: str
    table: str
    page: str
    caption: str
    unit: str
    note: str
    columns: tuple[PublishedColumn, ...]
    rows: tuple[PublishedRow, ...]

    @property
    def data(self) -> tuple[str, ...]:
        """Data sets that it has columns of."""
        return tuple(dict.fromkeys(column.data for column in self.columns))

    @property
    def source(self) -> str:
        """Paper, table and page in one line."""
        page = f", page {self.page}" if self.page else ""
        return f"{self.paper}, table {self.table}{page}"

    def of(self, data: str) -> PublishedTable:
        """Return the columns of one data set alone.

        Raises
        ------
        CosegError
            If it has none.
        """
        places = [i for i, column in enumerate(self.columns) if column.data == data]
        if not places:
            raise CosegError(f"{self.name} has the data sets {', '.join(self.data)}, not {data}.")
        columns = tuple(self.columns[i] for i in places)
        keys = {column.key for column in columns}
        rows = tuple(
            PublishedRow(
                row.method,
                row.reference,
                tuple(row.values[i] for i in places),
                {key: doubt for key, doubt in row.doubts.items() if key in keys},
            )
            for row in self.rows
        )
        return PublishedTable(
            self.name,
            self.paper,
            self.table,
            self.page,
            self.caption,
            self.unit,
            self.note,
            columns,
            rows,
        )

    def ours(self, summary: pd.DataFrame) -> tuple[float, ...]:
        """Find our figure for each column, in the paper's unit; NaN where there is none.

        Parameters
        ----------
        summary : DataFrame
            Of `PaperEvaluation.summary`: the mean over images is what the papers print. Of prompts
            the class is the data set.
        """
        found = {
            (row.task, _plain(row.class_name), row.score): row.mean
            for row in summary.rename(columns={"class": "class_name"}).itertuples()
        }
        sets = {name for task, name, _ in found if task == "prompts"}

        def ours(column: PublishedColumn) -> float:
            name = _plain(column.class_name)
            if column.task == "prompts":
                # One set for one set, whatever its folder is called.
                alone = len(self.data) == 1 and len(sets) == 1
                name = next(iter(sets)) if alone else column.data
            value: float = found.get((column.task, name, column.score), math.nan)
            return value * (100 if column.in_percent else 1)

        return tuple(ours(column) for column in self.columns)


def table_names() -> tuple[str, ...]:
    """Names of the tables that there are."""
    return tuple(
        sorted(
            entry.name.removesuffix(".toml")
            for entry in files(__package__).joinpath("published").iterdir()
            if entry.name.endswith(".toml")
        )
    )


@cache
def published_table(name: str) -> PublishedTable:
    """Read a table.

    Raises
    ------
    CosegError
        If there is none of that name.
    """
    if name not in table_names():
        raise CosegError(f"There is no table {name!r}: it is one of {', '.join(table_names())}.")
    entry = files(__package__).joinpath("published", f"{name}.toml")
    content = tomllib.loads(entry.read_text("utf-8"))
    return PublishedTable(
        name=name,
        **{key: content[key] for key in ("paper", "table", "page", "caption", "unit")},
        note=content.get("note", ""),
        columns=tuple(
            PublishedColumn(c["data"], c["task"], c["class"], c["score"], c["heading"])
            for c in content["columns"]
        ),
        rows=tuple(
            PublishedRow(
                row["method"],
                row.get("reference", ""),
                tuple(float(value) for value in row["values"]),
                row.get("doubts", {}),
            )
            for row in content["rows"]
        ),
    )


def _plain(name: str) -> str:
    """Return one name for the names of a class."""
    folded = name.casefold()
    return next((key for key, names in _SAME_CLASS.items() if folded in names), folded)
