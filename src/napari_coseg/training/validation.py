"""Held-out images, predicted as a user would and scored by the project's own metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from napari_coseg.datasets.labelled import Item, LabelledDataset
from napari_coseg.imaging.overlay import overlay
from napari_coseg.imaging.source import ArraySource
from napari_coseg.inference.panoptic import segment_image
from napari_coseg.metrics.image_scores import ImagePair, ScoreSettings, without_crowds
from napari_coseg.metrics.panoptic import majority_classes
from napari_coseg.metrics.report import Evaluation
from napari_coseg.training.items import TrainingSet
from napari_coseg.types import PanopticResult
from napari_coseg.weights.loading import LoadedModel


@dataclass(frozen=True)
class HeldOut:
    """Held-out items of one data set, with the class ids of its training set."""

    training: TrainingSet
    items: tuple[Item, ...]

    @property
    def dataset(self) -> LabelledDataset:
        """The data set."""
        return self.training.dataset


@dataclass
class ValidationResult:
    """Scores of all data sets.

    Attributes
    ----------
    table : DataFrame
        As `Evaluation.summary`, with a first column ``set``.
    score : float
        Mean over (set, task) of pooled panoptic quality: what chooses the best checkpoint.
    """

    table: pd.DataFrame
    score: float

    def figures(self) -> dict[str, float]:
        """Pooled scores under names like ``consep/instances/all/pq``."""
        kept = self.table[self.table["score"].isin(("pq", "aji", "dice", "f1"))]
        return {
            f"{row.set}/{row.task}/{row['class']}/{row.score}": float(row.pooled)
            for _, row in kept.iterrows()
        }


def validate(
    model: LoadedModel,
    held_out: Sequence[HeldOut],
    *,
    pictures: Path | None = None,
    count: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ValidationResult:
    """Predict and score every held-out item.

    Parameters
    ----------
    model : LoadedModel
    held_out : sequence of HeldOut
    pictures : Path, optional
        Folder for prediction beside truth, the first `count` items of each set.
    progress : callable, optional
        Called with the items done and all items.

    Returns
    -------
    ValidationResult
        The score is NaN where nothing is held out.
    """
    total = sum(len(one.items) for one in held_out)
    done = 0
    tables = []
    qualities = []
    for one in held_out:
        evaluation = Evaluation(_settings(model, one))
        for index, item in enumerate(one.items):
            read = one.training.read(item)
            result = segment_image(ArraySource(read.image, mpp=read.mpp), model)
            regions = None if read.regions is None else one.training.region_ids[read.regions]
            predicted = result.instances
            if predicted is not None and read.crowds is not None:
                predicted = without_crowds(predicted, read.crowds).astype(np.int32)
            truth_classes = None
            if read.instances is not None and read.classes is not None:
                truth_classes = _model_classes(
                    majority_classes(read.instances, read.classes), one.training.instance_ids
                )
            evaluation.add(
                ImagePair(
                    name=item.name,
                    group=item.group,
                    truth_regions=regions,
                    prediction_regions=result.regions,
                    truth_region_instances=read.region_instances,
                    truth_instances=read.instances,
                    prediction_instances=predicted,
                    truth_classes=truth_classes,
                    prediction_classes=dict(
                        zip(result.objects["label"], result.objects["class"], strict=True)
                    ),
                )
            )
            if pictures is not None and index < count:
                _picture(
                    pictures / f"{one.dataset.name}-{item.name}.png",
                    read.image,
                    regions,
                    read.instances,
                    truth_classes,
                    result,
                )
            done += 1
            if progress is not None:
                progress(done, total)
        table = evaluation.summary(resamples=100)
        table.insert(0, "set", one.dataset.name)
        tables.append(table)
        qualities += _qualities(table)
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    known = [q for q in qualities if not math.isnan(q)]
    return ValidationResult(table, float(np.mean(known)) if known else math.nan)


def _settings(model: LoadedModel, one: HeldOut) -> ScoreSettings:
    # A class that the set does not annotate cannot be right or wrong there.
    known = {task: one.training.known(task) for task in ("regions", "instances")}
    regions = {c.id: c.name for c in model.card.region_table if c.id in known["regions"]}
    instances = {}
    if "classes" in one.dataset.kinds:
        instances = {c.id: c.name for c in model.card.instance_table if c.id in known["instances"]}
    return ScoreSettings(region_classes=regions, instance_classes=instances, surface=False)


def _model_classes(classes: Mapping[int, int], ids: npt.NDArray[np.uint8]) -> dict[int, int]:
    return {label: int(ids[class_id]) for label, class_id in classes.items()}


def _qualities(table: pd.DataFrame) -> list[float]:
    """One figure a task: objects whatever their class, regions as the mean over classes."""
    pooled = table[table["score"] == "pq"]
    objects = pooled[(pooled["task"] == "instances") & (pooled["class"] == "all")]
    regions = pooled[(pooled["task"] == "regions") & (pooled["class"] != "mean of classes")]
    found = [float(objects["pooled"].iloc[0])] if len(objects) else []
    if len(regions):
        found.append(float(regions["pooled"].mean()))
    return found


def _picture(
    path: Path,
    image: npt.NDArray[np.uint8],
    regions: npt.NDArray[np.uint8] | None,
    instances: npt.NDArray[np.int32] | None,
    classes: Mapping[int, int] | None,
    result: PanopticResult,
) -> None:
    """Truth on the left, prediction on the right."""
    table = pd.DataFrame(
        {"label": list((classes or {}).keys()), "class": list((classes or {}).values())}
    )
    truth = overlay(
        image, regions, instances, table, result.region_classes, result.instance_classes
    )
    shown = overlay(
        image,
        result.regions,
        result.instances,
        result.objects,
        result.region_classes,
        result.instance_classes,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([truth, shown], axis=1)).save(path)
