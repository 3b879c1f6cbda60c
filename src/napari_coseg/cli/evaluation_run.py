"""One evaluation: predictions and truth read pair by pair and scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import track

from napari_coseg.cli.evaluation_files import LabelSet, Pairing
from napari_coseg.cli.evaluation_labels import (
    ClassMatch,
    Where,
    has_classes,
    match_classes,
    read_instances,
    read_regions,
)
from napari_coseg.metrics.comparison import groups_of
from napari_coseg.metrics.image_scores import ScoreSettings
from napari_coseg.metrics.paper_rules import SIDE, PaperEvaluation
from napari_coseg.metrics.report import Evaluation
from napari_coseg.types import CosegError


@dataclass(frozen=True)
class Scores:
    """What an evaluation found.

    Attributes
    ----------
    predictions, truth : Path
    images, summary : DataFrame
        Of `Evaluation`.
    unit : str
        Of distances.
    spacing : tuple of float or None
    notes, problems : list of str
    without_truth, without_prediction : list of str
        Names of images.
    """

    predictions: Path
    truth: Path
    images: pd.DataFrame
    summary: pd.DataFrame
    unit: str = "px"
    spacing: tuple[float, ...] | None = None
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    without_truth: list[str] = field(default_factory=list)
    without_prediction: list[str] = field(default_factory=list)


class EvaluationRun:
    """One evaluation: its tables, and what went wrong on the way.

    Parameters
    ----------
    predictions, truth : LabelSet
    pairing : Pairing
    spacing : tuple of float or None
        µm per pixel of pictures.
    volumes : bool
    by_paper : bool
        Whether the papers' rules are used, see `napari_coseg.metrics.paper_rules`.
    """

    def __init__(
        self,
        predictions: LabelSet,
        truth: LabelSet,
        pairing: Pairing,
        spacing: tuple[float, ...] | None,
        volumes: bool,
        by_paper: bool = False,
    ) -> None:
        self.predictions, self.truth = predictions, truth
        self.pairing = pairing
        self.by_paper = by_paper
        self.spacing = None if volumes or by_paper else spacing
        self.unit = "mm" if volumes else "px" if spacing is None else "µm"
        if by_paper:
            self.unit = f"px of {SIDE} x {SIDE}"
        self.problems: list[str] = list(truth.faults)
        self.notes: list[str] = []
        if pairing.lone_predictions:
            line = f"No truth for {_listed(pairing.lone_predictions)}."
            # Predictions of the other parts of a set are no mistake.
            (self.notes if truth.part else self.problems).append(line)
        if pairing.lone_truths:
            self.problems.append(f"No prediction for {_listed(pairing.lone_truths)}.")
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

    def scores(self) -> Scores:
        """Return what was found."""
        return Scores(
            self.predictions.path,
            self.truth.path,
            pd.concat(self.images),
            pd.concat(self.summaries),
            self.unit,
            self.spacing,
            self.notes,
            self.problems,
            self.pairing.lone_predictions,
            self.pairing.lone_truths,
        )

    def _score_task(self, task: str, settings: ScoreSettings) -> None:
        classes = self._classes(task)
        names = {} if classes is None else classes.names
        if task == "regions" and not names:
            return
        evaluation = (PaperEvaluation if self.by_paper else Evaluation)(
            replace(
                settings,
                region_classes=names if task == "regions" else {},
                instance_classes=names if task == "instances" else {},
            )
        )
        scored = 0
        for name, predicted, files in self._files(task):
            try:
                reader = self.truth.reader
                true: Mapping[str, Where] = files if reader is None else reader(name)
                if classes is not None and task == "regions":
                    pair = read_regions(name, predicted, true, classes, self.spacing)
                else:
                    pair = read_instances(name, predicted, true, classes, self.spacing)
                evaluation.add(replace(pair, group=self.truth.groups.get(name)))
            except CosegError as error:
                self.problems.append(f"{name}: {error}")
            else:
                scored += 1
        if scored and (note := _grouped(evaluation.images())) and note not in self.notes:
            self.notes.append(note)
        if scored:
            self.images.append(evaluation.images())
            self.summaries.append(evaluation.summary())
            self.scored += scored

    def _classes(self, task: str) -> ClassMatch | None:
        """Match the task's classes; None where there are none or they cannot be matched."""
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


def _grouped(images: pd.DataFrame) -> str | None:
    """Say that intervals are of groups, where several images are of one."""
    groups = groups_of(images).nunique()
    if groups == images["image"].nunique():
        return None
    return f"Intervals are over {groups} patients, slides or volumes, of which the images are."


def are_volumes(predictions: LabelSet, truth: LabelSet, pairing: Pairing) -> bool:
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
