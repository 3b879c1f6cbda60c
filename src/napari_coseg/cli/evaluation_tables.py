"""How tables reach a terminal, a pipe and JSON."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from rich.console import Console

#: Columns of a table that goes into a file or a pipe, which must not be cut at 80.
WIDTH = 120


def output(width: int = WIDTH) -> Console:
    """Return where tables are printed."""
    console = Console()
    return console if console.is_terminal else Console(width=width)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows for JSON, which knows no NaN."""
    return [
        {
            str(key): None if isinstance(value, float) and math.isnan(value) else value
            for key, value in row.items()
        }
        for row in table.to_dict("records")
    ]
