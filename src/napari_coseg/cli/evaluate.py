"""``napari-coseg evaluate``: score predictions against truth."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_coseg.types import CosegError

if TYPE_CHECKING:
    import pandas as pd

    from napari_coseg.cli.evaluation_files import LabelSet, Pairing
    from napari_coseg.cli.evaluation_labels import ClassMatch
    from napari_coseg.metrics.image_scores import ScoreSettings


class Task(StrEnum):
    """What a single label file holds."""

    regions = "regions"
    instances = "instances"


class Centroids(StrEnum):
    """How centroids of objects are paired."""

    near = "near"
    hovernet = "hovernet"


def evaluate(
    predictions: Annotated[
        Path, typer.Argument(help="Folder that predict wrote, or one label file.")
    ],
    truth: Annotated[
        Path, typer.Argument(help="Folder data set, another prediction folder, or one label file.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Write the scores of each image to this CSV file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    task: Annotated[
        Task | None, typer.Option(help="Only this task; also says what a single file holds.")
    ] = None,
    mpp: Annotated[
        float | None,
        typer.Option(
            help="µm per pixel of pictures, for distances; else that of the truth's dataset.toml."
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="IoU that a matched object must exceed.")
    ] = 0.5,
    boundary: Annotated[bool, typer.Option(help="Measure Hausdorff distances of regions.")] = True,
    centroids: Annotated[
        Centroids,
        typer.Option(
            help="How centroids are paired for Fd: near ones, or all by the least total distance "
            "as HoVer-Net's code does, for figures to set beside published ones."
        ),
    ] = Centroids.near,
    classes_by_id: Annotated[
        bool, typer.Option("--classes-by-id", help="Match classes by number, not by name.")
    ] = False,
) -> None:
    """Score predictions against truth: Dice, IoU, HD95, PQ, AJI, F1, by class.

    Volumes are scored in 3D, with distances in mm. Images are matched by name. Pooled scores count
    all images together; means are over the images in which either side has the class, with their
    95 % bootstrap interval. Exits with 1 when something could not be scored.
    """
    from napari_coseg.cli.evaluation_files import open_label_set, pair_names, spacing_of
    from napari_coseg.metrics.centroid import pair_all_points, pair_points
    from napari_coseg.metrics.image_scores import ScoreSettings

    wanted = None if task is None else str(task)
    if out is not None and not out.parent.is_dir():
        raise CosegError(f"Cannot write {out}: make the folder {out.parent} first.")
    given_spacing = None if mpp is None else spacing_of(mpp, "--mpp")
    predicted, true = open_label_set(predictions, wanted), open_label_set(truth, wanted)
    if classes_by_id:
        predicted = replace(predicted, names={})
    pairing = pair_names(predicted, true)
    if not pairing.pairs:
        raise CosegError(
            f"No image of {predictions} has a counterpart of the same name in {truth}."
        )
    volumes = _are_volumes(predicted, true, pairing)
    if volumes and mpp is not None:
        raise CosegError("--mpp is for pictures: volumes say themselves how large a voxel is.")
    run = _Run(predicted, true, pairing, given_spacing or true.spacing, volumes)
    settings = ScoreSettings(
        threshold=threshold,
        surface=boundary,
        pair=pair_points if centroids == Centroids.near else pair_all_points,
    )
    run.score([wanted] if wanted else ["regions", "instances"], settings)
    if run.scored == 0:
        raise CosegError("Nothing could be scored. " + " ".join(run.problems + run.notes))
    _report(run, out, as_json, threshold)
    if run.problems:
        raise typer.Exit(1)


class _Run:
    """One evaluation: its tables, and what went wrong on the way."""

    def __init__(
        self,
        predictions: LabelSet,
        truth: LabelSet,
        pairing: Pairing,
        spacing: tuple[float, ...] | None,
        volumes: bool,
    ) -> None:
        self.predictions, self.truth = predictions, truth
        self.pairing = pairing
        self.spacing = None if volumes else spacing
        self.unit = "mm" if volumes else "px" if spacing is None else "µm"
        self.problems: list[str] = []
        if pairing.lone_predictions:
            self.problems.append(f"No truth for {_listed(pairing.lone_predictions)}.")
        if pairing.lone_truths:
            self.problems.append(f"No prediction for {_listed(pairing.lone_truths)}.")
        self.notes: list[str] = []
        self.scored = 0
        self.images: list[pd.DataFrame] = []
        self.summaries: list[pd.DataFrame] = []

    def score(self, tasks: list[str], settings: ScoreSettings) -> None:
        """Score each task that both sides have."""
        for task in tasks:
            sides = {"PREDICTIONS": self.predictions, "TRUTH": self.truth}
            without = [side for side, labels in sides.items() if not labels.having(task)]
            if len(without) == 1:
                self.notes.append(f"{without[0]} holds no {task}: they are not scored.")
            if not without:
                self._score_task(task, settings)

    def _score_task(self, task: str, settings: ScoreSettings) -> None:
        from napari_coseg.cli.evaluation_labels import read_instances, read_regions
        from napari_coseg.metrics.report import Evaluation

        classes = self._classes(task)
        names = {} if classes is None else classes.names
        if task == "regions" and not names:
            return
        evaluation = Evaluation(
            replace(
                settings,
                region_classes=names if task == "regions" else {},
                instance_classes=names if task == "instances" else {},
            )
        )
        scored = 0
        for name, predicted, true in self._files(task):
            try:
                if classes is not None and task == "regions":
                    pair = read_regions(name, predicted, true, classes, self.spacing)
                else:
                    pair = read_instances(name, predicted, true, classes, self.spacing)
                evaluation.add(pair)
            except CosegError as error:
                self.problems.append(f"{name}: {error}")
            else:
                scored += 1
        if scored:
            self.images.append(evaluation.images())
            self.summaries.append(evaluation.summary())
            self.scored += scored

    def _classes(self, task: str) -> ClassMatch | None:
        """Match the task's classes; None where there are none or they cannot be matched."""
        from napari_coseg.cli.evaluation_labels import has_classes, match_classes

        if task == "instances":
            sides = {"PREDICTIONS": self.predictions, "TRUTH": self.truth}
            without = [side for side, labels in sides.items() if not has_classes(labels)]
            if len(without) == 1:
                self.notes.append(
                    f"{without[0]} does not say the classes of its objects: scored class-free."
                )
            if without:
                return None
        try:
            classes = match_classes(task, self.predictions, self.truth)
        except CosegError as error:
            self.problems.append(str(error))
            return None
        self.notes += classes.notes
        if task == "regions" and not classes.names:
            self.notes.append("No region of any class on either side: regions are not scored.")
        return classes

    def _files(self, task: str) -> Iterator[tuple[str, dict[str, Path], dict[str, Path]]]:
        """Files of each pair of images that both have the task, with progress on a terminal."""
        from rich.console import Console
        from rich.progress import track

        console = Console(stderr=True)
        for name, true_name in track(
            self.pairing.pairs,
            description=f"Scoring {task}",
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ):
            predicted, true = self.predictions.images[name], self.truth.images[true_name]
            if task in predicted and task in true:
                yield true_name, predicted, true
            elif task in true:
                self.problems.append(f"{true_name}: no predicted {task}.")


def _are_volumes(predictions: LabelSet, truth: LabelSet, pairing: Pairing) -> bool:
    """Say whether the images that belong together are volumes."""
    kinds = predictions.are_volumes(name for name, _ in pairing.pairs)
    kinds |= truth.are_volumes(name for _, name in pairing.pairs)
    if len(kinds) > 1:
        raise CosegError(
            "There are labels of pictures and of volumes, whose figures do not belong together: "
            "evaluate them one by one."
        )
    return True in kinds


def _listed(names: list[str], most: int = 5) -> str:
    """Write some names and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} of the images: {', '.join(names[:most])}{more}"


def _report(run: _Run, out: Path | None, as_json: bool, threshold: float) -> None:
    """Print tables or JSON, write the CSV file, and name the problems."""
    import pandas as pd
    from rich.console import Console

    from napari_coseg.imaging.files import atomic_path

    images, summary = pd.concat(run.images), pd.concat(run.summaries)
    if out is not None:
        with atomic_path(out) as part:
            images.to_csv(part, index=False)
    if as_json:
        content = {
            "predictions": str(run.predictions.path),
            "truth": str(run.truth.path),
            "threshold": threshold,
            "spacing": run.spacing,
            "unit": run.unit,
            "summary": _records(summary),
            "images": _records(images),
            "notes": run.notes,
            "problems": run.problems,
            "without_truth": run.pairing.lone_predictions,
            "without_prediction": run.pairing.lone_truths,
        }
        typer.echo(json.dumps(content, indent=2))
    else:
        _print_tables(summary, run.unit)
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    for note in run.notes:
        errors.print(note)
    for problem in run.problems:
        errors.print(f"Not scored: {problem}")
    if out is not None:
        errors.print(f"Scores of each image: {out}")


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
}


def _print_tables(summary: pd.DataFrame, unit: str) -> None:
    """Print one table a task; lines of a class: pooled, mean over images, its interval."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        # What goes into a file or a pipe must not be cut at 80 columns.
        console = Console(width=120)
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


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON, which knows no NaN."""
    return [
        {
            str(key): None if isinstance(value, float) and math.isnan(value) else value
            for key, value in row.items()
        }
        for row in table.to_dict("records")
    ]
