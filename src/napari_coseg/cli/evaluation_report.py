"""What an evaluation prints and writes: tables, JSON, the scores of each image."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from napari_coseg.cli.evaluation_published import (
    print_published,
    published_content,
    published_file,
    published_rows,
)
from napari_coseg.cli.evaluation_run import Scores
from napari_coseg.cli.evaluation_tables import output, records
from napari_coseg.imaging.files import atomic_path
from napari_coseg.metrics.published_tables import PublishedTable


def report(
    scores: Scores,
    out: Path | None,
    as_json: bool,
    threshold: float,
    published: PublishedTable | None = None,
) -> None:
    """Print tables or JSON, write the CSV files, and name the problems."""
    beside = None if out is None or published is None else published_file(out, published)
    if out is not None:
        with atomic_path(out) as part:
            scores.images.to_csv(part, index=False)
    if beside is not None and published is not None:
        with atomic_path(beside) as part:
            published_rows(published, scores.summary).to_csv(part, index=False)
    if as_json:
        content: dict[str, Any] = {
            "predictions": str(scores.predictions),
            "truth": str(scores.truth),
            "threshold": threshold,
            "spacing": scores.spacing,
            "unit": scores.unit,
            "summary": records(scores.summary),
            "images": records(scores.images),
            "notes": scores.notes,
            "problems": scores.problems,
            "without_truth": scores.without_truth,
            "without_prediction": scores.without_prediction,
        }
        if published is not None:
            content["published"] = published_content(published, scores.summary)
        typer.echo(json.dumps(content, indent=2))
    else:
        _print_tables(scores.summary, scores.unit)
        if published is not None:
            print_published(published, scores.summary, output())
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    for note in scores.notes:
        errors.print(note)
    for problem in scores.problems:
        errors.print(f"Not scored: {problem}")
    if out is not None:
        errors.print(f"Scores of each image: {out}")
    if beside is not None:
        errors.print(f"Beside the published figures: {beside}")


#: Headings of the scores, in the order in which they are printed.
_HEADINGS = {
    "dice": "Dice",
    "iou": "IoU",
    "pq": "PQ",
    "sq": "SQ",
    "rq": "RQ",
    "f1": "F1",
    "precision": "Prec.",
    "recall": "Rec.",
    "aji": "AJI",
    "aji_plus": "AJI+",
    "centroid_f": "Fd",
    "hd": "HD",
    "hd95": "HD95",
    "box": "Box",
    "point": "1 point",
    "points5": "5 points",
}


def _print_tables(summary: pd.DataFrame, unit: str) -> None:
    """Print one table a task; lines of a class: pooled, mean over images, its interval."""
    console = output()
    for task, rows in summary.groupby("task", sort=False):
        scores = [score for score in _HEADINGS if score in set(rows["score"])]
        distances = f"; HD and HD95 in {unit}" if "hd" in scores else ""
        table = Table(
            title=f"{str(task).capitalize()}, pooled over n images{distances}",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        table.add_column("class", no_wrap=True)
        table.add_column("n", justify="right", no_wrap=True)
        for score in scores:
            table.add_column(_HEADINGS[score], justify="right", no_wrap=True)
        for name, of_class in rows.groupby("class", sort=False):
            values = of_class.set_index("score")
            table.add_row(str(name), str(values["images"].max()), *_cells(values, "pooled", scores))
            table.add_row("  mean", "", *_cells(values, "mean", scores))
            if values["low"].notna().any():
                table.add_row("  95 % from", "", *_cells(values, "low", scores))
                table.add_row("  95 % to", "", *_cells(values, "high", scores))
        console.print(table)


def _cells(values: pd.DataFrame, column: str, scores: list[str]) -> list[str]:
    return [_number(float(values.loc[score, column]), score) for score in scores]


def _number(value: float, score: str) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.1f}" if score.startswith("hd") else f"{value:.3f}"
