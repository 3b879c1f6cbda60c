"""Our figures beside those that a paper prints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from napari_coseg.metrics.published_tables import PublishedTable, published_table
from napari_coseg.types import CosegError

#: What the rows of each kind are called.
PUBLISHED, OURS = "published, not re-run", "this run"


def check_table(text: str, *, prompted: bool) -> None:
    """Refuse what can be known to be wrong before anything is scored.

    Parameters
    ----------
    text : str
        As `choose_table` takes it.
    prompted : bool
        Whether a model that is prompted is scored, and not label files.

    Raises
    ------
    CosegError
        If there is no such table or data set, or it is of the other kind of scores.
    """
    name, _, data = text.partition(":")
    table = published_table(name)
    if data:
        table = table.of(data)
    if prompted and table.columns[0].task != "prompts":
        raise CosegError(f"{name} is of label files, and this is a model that is prompted.")
    if not prompted and table.columns[0].task == "prompts":
        raise CosegError(
            f"{name} is of a model that is prompted: give its weights file in place of predictions."
        )


def choose_table(text: str, known: tuple[str | None, ...] = ()) -> PublishedTable:
    """Find the table that ``--as`` names, with the columns of one data set.

    Parameters
    ----------
    text : str
        Name of a table, or ``TABLE:DATA``.
    known : tuple of str or None
        What the truth may be called, where the text names no data set.

    Raises
    ------
    CosegError
        If there is no such table, or it is not clear which of its data sets this is.
    """
    name, _, data = text.partition(":")
    table = published_table(name)
    if data:
        return table.of(data)
    if len(table.data) == 1:
        return table
    found = [key for key in known if key in table.data]
    if not found:
        raise CosegError(
            f"{name} has the data sets {', '.join(table.data)}: say which one this is, for example "
            f"--as {name}:{table.data[0]}."
        )
    return table.of(str(found[0]))


def published_rows(table: PublishedTable, summary: pd.DataFrame) -> pd.DataFrame:
    """Rows of the table and ours, one column a heading."""
    headings = [column.heading for column in table.columns]
    rows = [
        {
            "kind": PUBLISHED,
            "method": row.method,
            "reference": row.reference,
            **dict(zip(headings, row.values, strict=True)),
            "doubts": "; ".join(row.doubts.values()),
            "source": table.source,
        }
        for row in table.rows
    ]
    ours = dict(zip(headings, table.ours(summary), strict=True))
    rows.append({"kind": OURS, "method": "napari-coseg", "reference": "", **ours})
    return pd.DataFrame(rows)


def published_content(table: PublishedTable, summary: pd.DataFrame) -> dict[str, Any]:
    """Return the same for JSON."""
    return {
        "table": table.name,
        "source": table.source,
        "caption": table.caption,
        "unit": table.unit,
        "note": table.note,
        "figures": PUBLISHED,
        "columns": [column.heading for column in table.columns],
        "rows": [
            {
                "method": row.method,
                "reference": row.reference,
                "values": [_known(value) for value in row.values],
                "doubts": dict(row.doubts),
            }
            for row in table.rows
        ],
        "ours": [_known(value) for value in table.ours(summary)],
    }


def published_file(out: Path, table: PublishedTable) -> Path:
    """Where the table is written, beside the scores of each image."""
    return out.with_name(f"{out.stem}_{table.name}.csv")


def print_published(table: PublishedTable, summary: pd.DataFrame, console: Console) -> None:
    """Print the table with our row below it."""
    shown = Table(
        title=f"Table {table.table}: {table.caption} ({table.unit}).\n"
        f"Figures of {table.paper}, {PUBLISHED}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    shown.add_column("method", no_wrap=True)
    for column in table.columns:
        shown.add_column(column.heading, justify="right")
    doubts: list[str] = []
    for row in table.rows:
        cells = []
        for column, value in zip(table.columns, row.values, strict=True):
            mark = ""
            if column.key in row.doubts:
                doubts.append(f"{row.method}, {column.heading}: {row.doubts[column.key]}.")
                mark = "?"
            cells.append(_cell(value) + mark)
        shown.add_row(row.method, *cells)
    shown.add_section()
    shown.add_row(f"napari-coseg ({OURS})", *(_cell(value) for value in table.ours(summary)))
    console.print(shown)
    for line in (*doubts, *([table.note] if table.note else [])):
        console.print(f"? {line}" if line in doubts else line, highlight=False, markup=False)


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
