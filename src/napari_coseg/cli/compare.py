"""``napari-coseg compare``: whether runs differ by more than chance."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_coseg.types import CosegError

if TYPE_CHECKING:
    import pandas as pd


class By(StrEnum):
    """What several runs are."""

    pair = "pair"
    seed = "seed"


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Scores of images that evaluate --out wrote. The folds of one run are joined by "
            "commas: fold0.csv,fold1.csv."
        ),
    ],
    by: Annotated[
        By,
        typer.Option(
            help="pair: the second run against the first, image by image. seed: runs of several "
            "seeds in one table."
        ),
    ] = By.pair,
    scores: Annotated[
        str | None,
        typer.Option(help="Only these scores, joined by commas, such as dice,pq; fewer tests."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the table to this CSV file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compare two runs on the same images, or gather several seeds and folds.

    Two runs: paired Wilcoxon signed-rank test for each class and score, Holm's correction over all
    of them, the rank-biserial correlation as the size of the effect, and the mean difference with
    its 95 % bootstrap interval. Seeds: mean and standard deviation over the runs.
    """
    from napari_coseg.cli.evaluation_tables import records
    from napari_coseg.imaging.files import atomic_path
    from napari_coseg.metrics.comparison import compare_runs
    from napari_coseg.metrics.repeated_runs import summarise_seeds

    if by == By.pair and len(runs) != 2:
        raise CosegError(f"A pair is two runs, not {len(runs)}: for several seeds add --by seed.")
    if out is not None and not out.parent.is_dir():
        raise CosegError(f"Cannot write {out}: make the folder {out.parent} first.")
    if len(set(runs)) < len(runs):
        raise CosegError("One run was named twice.")
    read = {run: _read_run(run, scores) for run in runs}
    table = compare_runs(*read.values()) if by == By.pair else summarise_seeds(read)
    if table.empty:
        raise CosegError("The runs share no image with a value.")
    if out is not None:
        with atomic_path(out) as part:
            table.to_csv(part, index=False)
    if as_json:
        typer.echo(json.dumps({"runs": runs, "by": str(by), "rows": records(table)}, indent=2))
    else:
        _print(table, runs, by)


def _read_run(run: str, scores: str | None) -> pd.DataFrame:
    """Read the folds of a run."""
    import pandas as pd

    from napari_coseg.metrics.comparison import KEYS
    from napari_coseg.metrics.repeated_runs import pool_folds

    folds = []
    # A file whose own name has a comma is one fold.
    for name in [run] if Path(run).is_file() else run.split(","):
        try:
            folds.append(
                pd.read_csv(
                    name, dtype={"image": str, "group": str, "class": str}, encoding="utf-8"
                )
            )
        except FileNotFoundError:
            raise CosegError(f"There is no file {name}.") from None
        except (OSError, ValueError) as error:
            raise CosegError(f"{name} cannot be read as a table of scores: {error}.") from error
    table = pool_folds(folds)
    found = [column for column in table.columns if column not in KEYS]
    text = [column for column in found if not pd.api.types.is_numeric_dtype(table[column])]
    if text:
        raise CosegError(f"{run}: the column {text[0]} holds no numbers.")
    if scores is None:
        return table
    wanted = [score.strip() for score in scores.split(",")]
    for score in wanted:
        if score not in found:
            raise CosegError(f"{run} has no score {score}: there are {', '.join(found)}.")
    return table[[*(key for key in KEYS if key in table.columns), *wanted]]


def _print(table: pd.DataFrame, runs: Sequence[str], by: By) -> None:
    from rich import box
    from rich.table import Table

    from napari_coseg.cli.evaluation_tables import output

    if by == By.pair:
        title = f"B ({runs[1]}) against A ({runs[0]}), paired by image; p by Wilcoxon's test"
        heads = {
            "pairs": "pairs",
            "groups": "of",
            "mean_a": "A",
            "mean_b": "B",
            "difference": "B - A",
            "low": "95 % from",
            "high": "to",
            "effect": "effect",
            "p": "p",
            "p_holm": "p (Holm)",
            "note": "",
        }
    else:
        title = f"{len(runs)} runs: mean and standard deviation over seeds"
        heads = {
            "images": "images",
            "seeds": "seeds",
            "mean": "mean",
            "deviation": "deviation",
            "low": "95 % from",
            "high": "to",
        }
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("task", "class", "score"):
        shown.add_column(name, no_wrap=True)
    for head in heads.values():
        shown.add_column(head, justify="right", no_wrap=True)
    for row in table.to_dict("records"):
        cells = [str(row[name]) for name in ("task", "class", "score")]
        shown.add_row(*cells, *(_cell(row[key], str(key)) for key in heads))
    output(150).print(shown)


def _cell(value: object, key: str) -> str:
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "-"
    return f"{value:.2g}" if key.startswith("p") else f"{value:.3f}"
