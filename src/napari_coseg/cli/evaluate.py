"""``napari-coseg evaluate``: score predictions against truth."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_coseg.cli.options import Part
from napari_coseg.types import CosegError

if TYPE_CHECKING:
    from napari_coseg.cli.evaluation_run import Scores
    from napari_coseg.cli.evaluation_truth import TruthOptions
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
        Path,
        typer.Argument(
            help="Folder that predict wrote, or one label file; or a model that is prompted, by "
            "its name or weights file."
        ),
    ],
    truth: Annotated[
        Path,
        typer.Argument(
            help="Data set of any format that is read, another prediction folder, or one label "
            "file; or a training config, for the part that it keeps for the test."
        ),
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
    format_: Annotated[
        str | None,
        typer.Option("--format", help="Format of the truth, where it is not found out."),
    ] = None,
    part: Annotated[
        Part | None,
        typer.Option(
            help="Only this part of the truth: as its makers divided it, or, where the truth is a "
            "training config, as its split does (by default the test)."
        ),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="TOML file with names that differ from the published ones.")
    ] = None,
    as_: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="TABLE[:DATA]",
            help="Score by the rules of the papers' authors, and print the published figures of "
            "that table beside: coseg-table-1 to -7, syncsam-table-2 to -5.",
        ),
    ] = None,
    objects: Annotated[
        int | None,
        typer.Option(min=1, help="Of a model that is prompted: most objects of each data set."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of a model that is prompted: for its points.")] = 0,
    device: Annotated[
        str, typer.Option(help="Of a model that is prompted: auto, cpu, cuda, cuda:1 or mps.")
    ] = "auto",
) -> None:
    """Score predictions against truth: Dice, IoU, HD95, PQ, AJI, F1, by class.

    Volumes are scored in 3D, with distances in mm. Images are matched by name. Pooled scores count
    all images together; means are over the images in which either side has the class, with their
    95 % bootstrap interval. A model that is prompted, in place of predictions, is given boxes, one
    point and five points of the truth's objects. Exits with 1 when something could not be scored.
    """
    from napari_coseg.cli.evaluation_report import report
    from napari_coseg.cli.evaluation_truth import TruthOptions

    if out is not None and not out.parent.is_dir():
        raise CosegError(f"Cannot write {out}: make the folder {out.parent} first.")
    if as_ is not None:
        from napari_coseg.cli.evaluation_published import check_table, choose_table

        check_table(as_, prompted=_is_model(predictions))
    options = TruthOptions(format_, None if part is None else str(part), mapping, mpp)
    if _is_model(predictions):
        from napari_coseg.cli.evaluation_prompts import score_model

        scores, known = score_model(predictions, truth, options, objects, seed, device)
    else:
        wanted = None if task is None else str(task)
        scores, known = _score_files(
            predictions,
            truth,
            options,
            wanted,
            _settings(threshold, boundary, centroids),
            classes_by_id=classes_by_id,
            by_paper=as_ is not None,
        )
    published = None if as_ is None else choose_table(as_, known)
    report(scores, out, as_json, threshold, published)
    if scores.problems:
        raise typer.Exit(1)


def _is_model(predictions: Path) -> bool:
    """Whether a weights file or a model's name stands in place of predictions."""
    from napari_coseg.weights.catalogue import SUFFIX, known_names

    if predictions.suffix.lower() == SUFFIX:
        return True
    return not predictions.exists() and str(predictions) in known_names()


def _settings(threshold: float, boundary: bool, centroids: Centroids) -> ScoreSettings:
    from napari_coseg.metrics.centroid import pair_all_points, pair_points
    from napari_coseg.metrics.image_scores import ScoreSettings

    return ScoreSettings(
        threshold=threshold,
        surface=boundary,
        pair=pair_points if centroids == Centroids.near else pair_all_points,
    )


def _score_files(
    predictions: Path,
    truth: Path,
    options: TruthOptions,
    task: str | None,
    settings: ScoreSettings,
    *,
    classes_by_id: bool,
    by_paper: bool,
) -> tuple[Scores, tuple[str | None, ...]]:
    """Score label files; return also what the truth may be called."""
    from napari_coseg.cli.evaluation_files import open_label_set, pair_names, spacing_of
    from napari_coseg.cli.evaluation_run import EvaluationRun, are_volumes
    from napari_coseg.cli.evaluation_truth import open_truth

    spacing = None if options.mpp is None else spacing_of(options.mpp, "--mpp")
    predicted, true = open_label_set(predictions, task), open_truth(truth, options, task)
    if classes_by_id:
        predicted = replace(predicted, names={})
    pairing = pair_names(predicted, true)
    if not pairing.pairs:
        raise CosegError(
            f"No image of {predictions} has a counterpart of the same name in {truth}."
        )
    volumes = are_volumes(predicted, true, pairing)
    if volumes and options.mpp is not None:
        raise CosegError("--mpp is for pictures: volumes say themselves how large a voxel is.")
    run = EvaluationRun(
        predicted, true, pairing, spacing or true.spacing, volumes, by_paper=by_paper
    )
    run.score([task] if task else ["regions", "instances"], settings)
    if run.scored == 0:
        raise CosegError("Nothing could be scored. " + " ".join(run.problems + run.notes))
    return run.scores(), (true.format, truth.name)
